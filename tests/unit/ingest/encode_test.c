/* SPDX-License-Identifier: Apache-2.0 */
#include "film.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/file.h"

#define QUIET "ffmpeg -nostdin -v error -y "
#define X264  "-c:v libx264 -preset ultrafast -pix_fmt yuv420p "

/* Every rendition has the source's frames and decodes without a word from ffprobe. */
static void check_frames(const char *work, const char *track, unsigned frames)
{
    (void)film_export(work, track, "out.mp4");
    assert_int_equal(film_frames("out.mp4"), frames);
}

/* Segment starts of all video tracks agree, and each segment starts at or behind n * segment. */
static void check_aligned(const char *work, const char *const *tracks, unsigned count)
{
    struct work *w = film_work(work);
    struct work_track *first = NULL;
    assert_int_equal(work_track(w, tracks[0], &first), 0);
    for (unsigned i = 1; i < count; i++) {
        struct work_track *t = NULL;
        assert_int_equal(work_track(w, tracks[i], &t), 0);
        assert_int_equal(t->segments_count, first->segments_count);
        assert_int_equal(t->start, first->start);
        for (unsigned n = 0; n < t->segments_count; n++) {
            assert_int_equal(t->segments[n].duration, first->segments[n].duration);
            assert_true(t->segments[n].key_size > 0);
        }
    }
    work_free(w);
}

static void test_constant_rate(void **state)
{
    (void)state;
    struct film_job job = {0};
    film_run(QUIET "-f lavfi -i testsrc2=size=640x360:rate=30000/1001:duration=10 "
                   "-f lavfi -i sine=frequency=440:duration=10 " X264 "-bf 2 -c:a aac cfr.mp4");
    film_ladder(&job, 2000, 3, 120, 240, 360);
    assert_int_equal(film_encode(&job, "cfr.mp4", "cfr"), 0);
    unsigned frames = film_frames("cfr.mp4 -select_streams v");
    assert_int_equal(frames, 300);
    const char *const tracks[] = {"v360", "v240", "v120"};
    for (unsigned i = 0; i < 3; i++)
        check_frames("cfr", tracks[i], frames);
    check_aligned("cfr", tracks, 3);
    assert_int_equal(film_export("cfr", "v360", "out.mp4"), 5);
    assert_int_equal(film_export("cfr", "a-und", "out.mp4"), 5);
    assert_true(film_frames("out.mp4") >= 430);
    /* The times of the frames are exactly the source's. */
    CLEAN(base_free)
    char *from = film_ask("ffprobe -v error -select_streams v -show_entries "
                          "frame=pts_time -of csv=p=0 cfr.mp4");
    (void)film_export("cfr", "v240", "out.mp4");
    CLEAN(base_free)
    char *to = film_ask("ffprobe -v error -show_entries frame=pts_time "
                        "-of csv=p=0 out.mp4");
    assert_string_equal(from, to);
    assert_int_equal(job.reused, 0);
    assert_int_equal(job.encoded, 5 * 3 + 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_constant_rate),
    };
    return cmocka_run_group_tests(tests, film_folder, film_folder_remove);
}
