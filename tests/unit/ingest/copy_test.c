/* SPDX-License-Identifier: Apache-2.0 */
#include "film.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/file.h"

#define QUIET "ffmpeg -nostdin -v error -y "
#define X264  "-c:v libx264 -preset ultrafast -pix_fmt yuv420p "

static int copy_run(struct film_job *job, const char *film, const char *work)
{
    assert_int_equal(ladder_load("copy", 2000, &job->ladder, &job->err), 0);
    return film_encode(job, film, work);
}

/* The decoded pictures of both are the same, one by one. */
static void check_same(const char *film, const char *out)
{
    CLEAN(base_free)
    char *a = film_ask("ffmpeg -nostdin -v error -i %s -map 0:v -vsync passthrough "
                       "-f framemd5 - | grep -v '^#' | awk '{print $NF}'",
                       film);
    CLEAN(base_free)
    char *b = film_ask("ffmpeg -nostdin -v error -i %s -map 0:v -vsync passthrough "
                       "-f framemd5 - | grep -v '^#' | awk '{print $NF}'",
                       out);
    assert_string_equal(a, b);
}

static void copy_test_h264(void **state)
{
    (void)state;
    struct film_job job = {0}, again = {0};
    film_run(QUIET "-f lavfi -i testsrc2=size=320x240:rate=25:duration=9 -f lavfi -i "
                   "sine=duration=9 " X264 "-bf 2 -g 30 -c:a aac h264.mp4");
    assert_int_equal(copy_run(&job, "h264.mp4", "h264"), 0);
    assert_int_equal(film_export("h264", "v240", "out.mp4"), 5); /* 0, 2.4, 4.8, 6, 8.4 s */
    assert_int_equal(film_frames("out.mp4"), 225);
    check_same("h264.mp4", "out.mp4");
    (void)film_export("h264", "a-und", "sound.mp4");
    assert_true(film_frames("sound.mp4") >= 386);
    struct work *w = film_work("h264");
    struct picture p;
    assert_true(work_find_picture(w, "poster", &p));
    assert_true(work_find_picture(w, "sheet-0", &p));
    work_free(w);
    assert_int_equal(copy_run(&again, "h264.mp4", "h264"), 0);
    assert_int_equal(again.encoded, 0);
}

/* Start codes, ADTS, clock far from zero. */
static void copy_test_ts(void **state)
{
    (void)state;
    struct film_job job = {0};
    film_run(QUIET "-i h264.mp4 -c copy h264.ts");
    assert_int_equal(copy_run(&job, "h264.ts", "ts"), 0);
    (void)film_export("ts", "v240", "out.mp4");
    assert_int_equal(film_frames("out.mp4"), 225);
    check_same("h264.mp4", "out.mp4");
    (void)film_export("ts", "a-und", "sound.mp4");
    assert_true(film_frames("sound.mp4") >= 386);
}

static void copy_test_hevc_open_gop(void **state)
{
    (void)state;
    struct film_job job = {0};
    film_run(QUIET
             "-f lavfi -i testsrc2=size=320x240:rate=25:duration=6 -f lavfi "
             "-i sine=duration=6 -c:v libx265 -preset "
             "ultrafast -x265-params log-level=none:keyint=25:open-gop=1 -bf 3 -pix_fmt yuv420p "
             "-c:a ac3 hevc.mkv");
    assert_int_equal(copy_run(&job, "hevc.mkv", "hevc"), 0);
    (void)film_export("hevc", "v240", "out.mp4");
    assert_int_equal(film_frames("out.mp4"), 150);
    check_same("hevc.mkv", "out.mp4");
    (void)film_export("hevc", "a-und", "sound.mp4");
    assert_true(film_frames("sound.mp4") >= 172);
}

/* A run that was stopped is gone over again; what it had made is not written twice. */
static void copy_test_again(void **state)
{
    (void)state;
    struct film_job job = {0};
    film_run("mkdir -p part && cp -r h264/blobs part/ && head -c -200 h264/journal > part/journal");
    assert_int_equal(copy_run(&job, "h264.mp4", "part"), 0);
    assert_true(job.reused > 0);
    (void)film_export("part", "v240", "out.mp4");
    assert_int_equal(film_frames("out.mp4"), 225);
}

static void copy_refuses(const char *film, const char *says)
{
    struct film_job job = {0};
    assert_int_equal(copy_run(&job, film, "refused"), -ENOTSUP);
    if (strstr(job.err.text, says) == NULL)
        print_error("%s\n", job.err.text);
    assert_non_null(strstr(job.err.text, says));
    assert_non_null(strstr(job.err.text, "--ladder auto"));
    assert_non_null(strstr(job.err.text, film));
}

static void copy_test_refused(void **state)
{
    (void)state;
    film_run(QUIET
             "-f lavfi -i testsrc2=size=160x120:rate=10:duration=1 -c:v libvpx -b:v 100k v.mkv");
    copy_refuses("v.mkv", "its video is vp8");
    film_run(QUIET "-i h264.mp4 -c:v copy -c:a flac f.mkv");
    copy_refuses("f.mkv", "its audio is flac");
    film_run(QUIET "-i h264.mp4 -c copy -metadata:s:v rotate=90 r.mp4");
    copy_refuses("r.mp4", "turned");
}

static void copy_test_truncated(void **state)
{
    (void)state;
    struct film_job job = {0};
    film_run(QUIET "-i h264.mp4 -c copy -movflags +faststart whole.mp4; "
                   "head -c $(($(stat -c %%s whole.mp4) / 2)) whole.mp4 > cut.mp4");
    assert_int_equal(copy_run(&job, "cut.mp4", "cut"), -EBADMSG);
    assert_non_null(strstr(job.err.text, "is truncated"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copy_test_h264),          cmocka_unit_test(copy_test_ts),
        cmocka_unit_test(copy_test_hevc_open_gop), cmocka_unit_test(copy_test_again),
        cmocka_unit_test(copy_test_refused),       cmocka_unit_test(copy_test_truncated),
    };
    return cmocka_run_group_tests(tests, film_folder, film_folder_remove);
}
