/* SPDX-License-Identifier: Apache-2.0 */
/* Films whose clock jumps, and damaged ones: all that is there comes out, once, and is told of. */
#include "film.h"
#include <stdio.h>
#include <stdlib.h>
#include "base/file.h"

#define QUIET "ffmpeg -nostdin -v error -y "

static int timeline_setup(void **state)
{
    if (film_folder(state) != 0)
        return -1;
    film_run(QUIET "-f lavfi -i testsrc2=size=320x180:rate=25:duration=6 -f lavfi -i "
                   "sine=duration=6:sample_rate=48000 -c:v libx264 -preset ultrafast -bf 2 -g 50 "
                   "-pix_fmt yuv420p -c:a aac a.mp4");
    film_run(QUIET "-i a.mp4 -c copy a.ts");
    return 0;
}

/* Encodes or copies the film and looks at what came out. */
static void check(const char *film, bool copy, unsigned frames, double seconds, const char *note)
{
    struct film_job job = {0};
    char work[32];
    static unsigned count;
    (void)snprintf(work, sizeof work, "work-%u", count++);
    if (copy)
        assert_int_equal(ladder_load("copy", 2000, &job.ladder, &job.err), 0);
    else
        film_ladder(&job, 2000, 1, 180);
    int r = film_encode(&job, film, work);
    if (r < 0)
        print_error("%s: %s\n", film, job.err.text);
    assert_int_equal(r, 0);
    if (note == NULL)
        assert_string_equal(job.notes, "");
    else if (strstr(job.notes, note) == NULL)
        fail_msg("%s: '%s' says nothing of '%s'", film, job.notes, note);
    static const char *const tracks[] = {"v180", "a-und"};
    for (unsigned i = 0; i < 2; i++) {
        (void)film_export(work, tracks[i], "out.mp4");
        CLEAN(base_free)
        char *times = film_ask("ffprobe -v error -show_entries packet=pts_time -of csv=p=0 out.mp4 "
                               "| tr -d , | sort -n | sed -n '1p;$p'");
        char *end = NULL;
        double first = strtod(times, &end), last = strtod(end, NULL);
        if (first > 0.2 || last < seconds - 0.3 || last > seconds + 0.3)
            fail_msg("%s, %s: %s is from %f to %f", film, copy ? "copied" : "encoded", tracks[i],
                     first, last);
    }
    (void)film_export(work, "v180", "out.mp4");
    CLEAN(base_free)
    char *got = film_ask("ffprobe -v error -count_frames -show_entries stream=nb_read_frames "
                         "-of csv=p=0 out.mp4 | tr -d ,");
    assert_in_range(strtoul(got, NULL, 10), frames - 4, frames);
}

static void test_one_behind_the_other(void **state)
{
    (void)state;
    film_run("cat a.ts a.ts > twice.ts; cat a.ts a.ts a.ts > thrice.ts");
    for (int copy = 0; copy < 2; copy++) {
        check("a.ts", copy == 1, 150, 6, NULL);
        check("twice.ts", copy == 1, 300, 12, "jumps 1 time(s)");
        check("thrice.ts", copy == 1, 450, 18, "jumps 2 time(s)");
    }
}

/* Where only the first of several can be read, that is said. */
static void test_films_behind(void **state)
{
    (void)state;
    film_run("cat a.mp4 a.mp4 > behind.mp4");
    check("a.mp4", false, 150, 6, NULL);
    check("behind.mp4", false, 150, 6, "more than one film");
}

static void test_later_part_first(void **state)
{
    (void)state;
    film_run(QUIET "-i a.mp4 -c copy -output_ts_offset 6 late.ts");
    film_run("cat late.ts a.ts > reversed.ts");
    check("reversed.ts", false, 300, 12, "jumps 1 time(s)");
    check("reversed.ts", true, 300, 12, "jumps 1 time(s)");
}

/* Three hours ahead in the middle, and back again: in one container whose clock may jump and in one
 * that says how long it is. */
static void test_hours_ahead(void **state)
{
    (void)state;
    film_run(QUIET "-i a.mp4 -c copy -output_ts_offset 10800 far.ts");
    film_run("cat a.ts far.ts > ahead.ts; cat a.ts far.ts a.ts > ahead-and-back.ts");
    /* setts counts in the container's milliseconds. */
    film_run(QUIET "-i a.mp4 -c copy -bsf:v 'setts=ts=TS+gte(N\\,75)*10800000' "
                   "-bsf:a 'setts=ts=TS+gte(N\\,141)*10800000' ahead.mkv");
    film_run(QUIET "-i ahead.mkv -c copy ahead.mp4");
    for (int copy = 0; copy < 2; copy++) {
        check("ahead.ts", copy == 1, 300, 12, "jumps 1 time(s)");
        check("ahead-and-back.ts", copy == 1, 450, 18, "jumps 2 time(s)");
        check("ahead.mkv", copy == 1, 150, 6, "jumps");
        check("ahead.mp4", copy == 1, 150, 6, "jumps");
    }
}

/* A still picture of 20 s while the sound goes on, and one without sound, are no jumps. */
static void test_stills(void **state)
{
    (void)state;
    struct film_job job = {0};
    film_run(QUIET
             "-f lavfi -i testsrc2=size=320x180:rate=25:duration=24 -f lavfi -i "
             "sine=duration=24:sample_rate=48000 -vf \"select='lt(t,2)+gt(t,22)'\" -vsync vfr "
             "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac still.mkv");
    check("still.mkv", false, 99, 24, NULL);
    film_run(QUIET "-i still.mkv -an -c copy silent.mkv");
    film_ladder(&job, 2000, 1, 180);
    assert_int_equal(film_encode(&job, "silent.mkv", "silent"), 0);
    assert_string_equal(job.notes, "");
}

/* A run that goes on with what an earlier one left finds the same times: it does not seek. */
static void test_resumed_behind_a_jump(void **state)
{
    (void)state;
    struct film_job whole = {0}, again = {0};
    film_run(QUIET "-f lavfi -i testsrc2=size=320x180:rate=25:duration=24 -f lavfi -i "
                   "sine=duration=24:sample_rate=48000 -c:v libx264 -preset ultrafast -bf 2 -g 50 "
                   "-pix_fmt yuv420p -c:a aac -bsf:v 'setts=ts=TS+gte(N\\,75)*10800000' "
                   "-bsf:a 'setts=ts=TS+gte(N\\,141)*10800000' longer.mkv");
    film_ladder(&whole, 2000, 1, 180);
    again.ladder = whole.ladder;
    assert_int_equal(film_encode(&whole, "longer.mkv", "resumed"), 0);
    (void)film_export("resumed", "v180", "first.mp4");
    CLEAN(base_free) char *lines = film_ask("wc -l < resumed/journal");
    film_run("head -n %lu resumed/journal > j && mv j resumed/journal",
             strtoul(lines, NULL, 10) * 2 / 3);
    assert_int_equal(film_encode(&again, "longer.mkv", "resumed"), 0);
    assert_true(again.reused > 0 && again.encoded > 0);
    assert_non_null(strstr(again.notes, "jumps"));
    (void)film_export("resumed", "v180", "second.mp4");
    film_run("for f in first second; do ffprobe -v error -show_entries frame=pts_time -of csv=p=0 "
             "$f.mp4 | tr -d , | grep . > $f.txt; done; diff first.txt second.txt >&2");
}

static void test_subtitles_jump_along(void **state)
{
    (void)state;
    struct film_job job = {0};
    film_run("printf '1\\n00:00:01,000 --> 00:00:02,000\\nbefore\\n\\n2\\n03:00:04,000 --> "
             "03:00:05,000\\nbehind\\n' > jump.srt");
    film_run(QUIET "-i ahead.mkv -i jump.srt -map 0 -map 1 -c copy -c:s srt spoken.mkv");
    film_ladder(&job, 2000, 1, 180);
    assert_int_equal(film_encode(&job, "spoken.mkv", "spoken"), 0);
    (void)film_export("spoken", "t-und", "out.vtt");
    CLEAN(base_free) char *times = film_ask("grep -- '-->' out.vtt | cut -c 1-9 | tr '\n' ' '");
    assert_string_equal(times, "00:00:01. 00:00:04. ");
}

static void test_damage(void **state)
{
    (void)state;
    film_run("cp a.mp4 hole.mp4; cp a.ts hole.ts; size=$(stat -c %%s a.mp4); "
             "dd if=/dev/zero of=hole.mp4 bs=1 seek=$((size / 2)) count=60000 conv=notrunc "
             "2>/dev/null; dd if=/dev/zero of=hole.ts bs=188 seek=1200 count=300 conv=notrunc "
             "2>/dev/null");
    struct film_job job = {0}, again = {0};
    film_ladder(&job, 2000, 1, 180);
    again.ladder = job.ladder;
    assert_int_equal(film_encode(&job, "hole.mp4", "hole"), 0);
    assert_non_null(strstr(job.notes, "is damaged: 0 packet(s)"));
    assert_int_equal(film_encode(&again, "hole.mp4", "hole"), 0); /* nothing is read any more */
    assert_int_equal(again.encoded, 0);
    assert_string_equal(again.notes, job.notes);
    struct film_job ts = {0};
    film_ladder(&ts, 2000, 1, 180);
    assert_int_equal(film_encode(&ts, "hole.ts", "hole-ts"), 0);
    assert_non_null(strstr(ts.notes, "is damaged: "));
    struct film_job copied = {0};
    assert_int_equal(ladder_load("copy", 2000, &copied.ladder, &copied.err), 0);
    assert_int_equal(film_encode(&copied, "hole.mp4", "hole-copy"), 0);
    assert_non_null(strstr(copied.notes, "is damaged: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_behind_the_other),
        cmocka_unit_test(test_films_behind),
        cmocka_unit_test(test_later_part_first),
        cmocka_unit_test(test_hours_ahead),
        cmocka_unit_test(test_resumed_behind_a_jump),
        cmocka_unit_test(test_subtitles_jump_along),
        cmocka_unit_test(test_stills),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, timeline_setup, film_folder_remove);
}
