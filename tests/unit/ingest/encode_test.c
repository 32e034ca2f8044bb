/* SPDX-License-Identifier: Apache-2.0 */
#include "film.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
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

/* Frames at uneven times: none dropped, none doubled, each at its own time. */
static void test_variable_rate(void **state)
{
    (void)state;
    struct film_job job = {0};
    film_run(QUIET "-f lavfi -i testsrc2=size=320x240:rate=50:duration=9 -vf "
                   "\"select='not(mod(n,7))+not(mod(n,5))+between(n,200,240)'\" -vsync vfr " X264
                   "-bf 2 vfr.mkv");
    unsigned frames = film_frames("vfr.mkv");
    film_ladder(&job, 2000, 2, 120, 240);
    assert_int_equal(film_encode(&job, "vfr.mkv", "vfr"), 0);
    const char *const tracks[] = {"v240", "v120"};
    check_frames("vfr", tracks[0], frames);
    check_frames("vfr", tracks[1], frames);
    check_aligned("vfr", tracks, 2);
    CLEAN(base_free)
    char *from = film_ask("ffprobe -v error -show_entries frame=pts_time "
                          "-of csv=p=0 vfr.mkv");
    CLEAN(base_free)
    char *to = film_ask("ffprobe -v error -show_entries frame=pts_time "
                        "-of csv=p=0 out.mp4");
    assert_string_equal(from, to);
}

/* What comes out looks like what ffmpeg makes of the same film. */
static void check_alike(const char *film, const char *filter, const char *out)
{
    CLEAN(base_free)
    char *psnr = film_ask(
        "ffmpeg -nostdin -i %s -i %s -lavfi '[0:v]%s,setsar=1,settb=1/90000[a];[1:v]setsar=1,"
        "settb=1/90000[b];[a][b]psnr=stats_file=-' -f null - 2>/dev/null | tail -1",
        film, out, filter);
    const char *average = strstr(psnr, "psnr_y:");
    assert_non_null(average);
    double db = strtod(average + 7, NULL);
    if (db < 20)
        print_error("%s: %s\n", out, psnr);
    assert_true(db > 20);
}

static void test_rotation(void **state)
{
    (void)state;
    film_run(QUIET "-f lavfi -i testsrc2=size=320x240:rate=10:duration=3 " X264 "flat.mp4");
    static const char *const degrees[] = {"90", "180", "270"};
    for (unsigned i = 0; i < ARRAY_LEN(degrees); i++) {
        struct film_job job = {0};
        char work[16];
        (void)snprintf(work, sizeof work, "turn%s", degrees[i]);
        film_run(QUIET "-i flat.mp4 -c copy -metadata:s:v rotate=%s %s.mp4", degrees[i], work);
        film_ladder(&job, 2000, 1, 240);
        char name[24];
        (void)snprintf(name, sizeof name, "%s.mp4", work);
        assert_int_equal(film_encode(&job, name, work), 0);
        check_frames(work, "v240", 30);
        check_alike(name, "null", "out.mp4"); /* the program turns it as well */
    }
}

static void test_odd_sizes(void **state)
{
    (void)state;
    struct film_job job = {0};
    film_run(QUIET "-f lavfi -i testsrc2=size=321x241:rate=10:duration=2 -c:v ffv1 odd.mkv");
    film_ladder(&job, 2000, 2, 120, 360);
    assert_int_equal(film_encode(&job, "odd.mkv", "odd"), 0);
    check_frames("odd", "v120", 20);
    CLEAN(base_free)
    char *size = film_ask("ffprobe -v error -show_entries stream=width,height "
                          "-of csv=p=0 out.mp4");
    assert_string_equal(size, "160,120");
    struct film_job own = {0};
    film_ladder(&own, 2000, 1, 360); /* no rung fits: its own size */
    assert_int_equal(film_encode(&own, "odd.mkv", "own"), 0);
    check_frames("own", "v240", 20);
    check_alike("odd.mkv", "scale=320:240", "out.mp4");
}

static void test_square_pixels(void **state)
{
    (void)state;
    struct film_job job = {0};
    film_run(QUIET "-f lavfi -i testsrc2=size=180x120:rate=10:duration=1 -vf setsar=32/27 " X264
                   "sar.mp4");
    film_ladder(&job, 2000, 1, 120);
    assert_int_equal(film_encode(&job, "sar.mp4", "sar"), 0);
    check_frames("sar", "v120", 10);
    CLEAN(base_free)
    char *size = film_ask("ffprobe -v error -show_entries stream=width,height,"
                          "sample_aspect_ratio -of csv=p=0 out.mp4");
    assert_string_equal(size, "214,120,1:1"); /* 180 * 32 / 27 = 213.3 */
}

static void test_pixel_formats(void **state)
{
    (void)state;
    static const char *const formats[][2] = {
        {"10bit.mkv", "-c:v ffv1 -pix_fmt yuv422p10le"},
        {"full.mkv", "-c:v mjpeg -q:v 3 -pix_fmt yuvj420p"},
        {"rgb.mkv", "-c:v ffv1 -pix_fmt bgr0"},
    };
    for (unsigned i = 0; i < ARRAY_LEN(formats); i++) {
        struct film_job job = {0};
        film_run(QUIET "-f lavfi -i testsrc2=size=320x240:rate=10:duration=1 %s %s", formats[i][1],
                 formats[i][0]);
        film_ladder(&job, 2000, 1, 240);
        assert_int_equal(film_encode(&job, formats[i][0], formats[i][0] + 1), 0);
        check_frames(formats[i][0] + 1, "v240", 10);
        check_alike(formats[i][0], "format=yuv420p", "out.mp4");
    }
}

static void test_interlaced(void **state)
{
    (void)state;
    struct film_job job = {0};
    film_run(QUIET "-f lavfi -i testsrc2=size=320x240:rate=50:duration=2 -vf tinterlace=4 "
                   "-c:v mpeg2video -flags +ilme+ildct -b:v 3M tff.mkv");
    unsigned frames = film_frames("tff.mkv");
    film_ladder(&job, 2000, 1, 240);
    assert_int_equal(film_encode(&job, "tff.mkv", "tff"), 0);
    check_frames("tff", "v240", frames);
}

static void test_no_sound_one_frame(void **state)
{
    (void)state;
    struct film_job job = {0};
    film_run(QUIET "-f lavfi -i testsrc2=size=320x240:rate=25:duration=1 -frames:v 1 " X264
                   "one.mp4");
    film_ladder(&job, 2000, 2, 120, 240);
    assert_int_equal(film_encode(&job, "one.mp4", "one"), 0);
    assert_int_equal(film_export("one", "v240", "out.mp4"), 1);
    assert_int_equal(film_frames("out.mp4"), 1);
    check_frames("one", "v120", 1);
    struct work *w = film_work("one");
    struct work_track *t = NULL;
    assert_int_equal(work_track(w, "v240", &t), 0);
    assert_int_equal(t->segments[0].duration, 3600);
    struct picture p;
    assert_true(work_find_picture(w, "poster", &p));
    assert_int_equal(p.width, 320);
    assert_true(work_find_picture(w, "sheet-0", &p));
    assert_int_equal(p.width, 160);
    assert_int_equal(p.height, 120);
    work_free(w);
}

/* Everything moves by what the container starts with; sound that starts later stays later. */
static void test_start_offset(void **state)
{
    (void)state;
    struct film_job job = {0};
    film_run(QUIET "-f lavfi -i testsrc2=size=160x120:rate=25:duration=4 -itsoffset 1 -f lavfi -i "
                   "\"sine=frequency=440:duration=3\" " X264
                   "-c:a aac -output_ts_offset 17 off.ts");
    film_ladder(&job, 2000, 1, 120);
    assert_int_equal(film_encode(&job, "off.ts", "off"), 0);
    check_frames("off", "v120", 100);
    CLEAN(base_free)
    char *first = film_ask("ffprobe -v error -show_entries frame=pts_time -of "
                           "csv=p=0 out.mp4 | head -1");
    assert_true(str_starts(str_of(first), STR("0.000000")));
    assert_true(film_export("off", "a-und", "sound.mp4") >= 2);
    CLEAN(base_free)
    char *silence =
        film_ask("ffmpeg -nostdin -i sound.mp4 -af silencedetect=n=-50dB:d=0.5 -f null - 2>&1 | "
                 "grep -o 'silence_end: [0-9.]*'");
    double end = strtod(silence + strlen("silence_end: "), NULL);
    assert_true(end > 0.95 && end < 1.05);
}

/* Sound and picture stay together: a flash and a beep at the same time come out so. */
static void test_sync(void **state)
{
    (void)state;
    struct film_job job = {0};
    film_run(QUIET "-f lavfi -i color=black:size=160x120:rate=25:duration=8 -f lavfi -i "
                   "\"aevalsrc='if(between(t,5,5.2),sin(2*PI*880*t),0)':d=8:s=44100\" -vf "
                   "\"drawbox=enable='between(t,5,5.2)':color=white:t=fill\" " X264
                   "-c:a aac beep.mp4");
    film_ladder(&job, 2000, 1, 120);
    assert_int_equal(film_encode(&job, "beep.mp4", "beep"), 0);
    (void)film_export("beep", "a-und", "sound.mp4");
    CLEAN(base_free)
    char *heard =
        film_ask("ffmpeg -nostdin -i sound.mp4 -af silencedetect=n=-40dB:d=0.5 -f null - 2>&1 | "
                 "grep -o 'silence_end: [0-9.]*' | head -1");
    double at = strtod(heard + strlen("silence_end: "), NULL);
    assert_true(at > 4.97 && at < 5.03);
    (void)film_export("beep", "v120", "out.mp4");
    CLEAN(base_free)
    char *seen = film_ask("ffmpeg -nostdin -i out.mp4 -vf blackdetect=d=0.5 -f null - 2>&1 | "
                          "grep -o 'black_end:[0-9.]*' | head -1");
    double black = strtod(seen + strlen("black_end:"), NULL);
    assert_true(black > 4.95 && black < 5.01);
}

static void test_truncated(void **state)
{
    (void)state;
    struct film_job job = {0};
    film_run(QUIET "-f lavfi -i testsrc2=size=320x240:rate=25:duration=10 " X264 "-g 25 long.mkv");
    film_run("head -c $(($(stat -c %%s long.mkv) / 2)) long.mkv > short.mkv");
    film_ladder(&job, 2000, 1, 120);
    assert_int_equal(film_encode(&job, "short.mkv", "short"), -EBADMSG);
    assert_non_null(strstr(job.err.text, "short.mkv: is truncated"));
    assert_null(strchr(job.err.text, '\n'));
    struct work *w = film_work("short");
    struct work_track *t = NULL;
    assert_int_equal(work_track(w, "v120", &t), 0);
    assert_false(t->is_done);
    work_free(w);
}

static void test_subtitles(void **state)
{
    (void)state;
    struct film_job job = {0};
    film_run("printf '1\\n00:00:01,000 --> 00:00:02,000\\n<i>Hi</i> & bye\\n\\n2\\n"
             "00:00:03,500 --> 00:00:04,000\\ntwo\\nlines\\n' > s.srt");
    film_run(QUIET "-f lavfi -i testsrc2=size=160x120:rate=25:duration=5 -i s.srt " X264
                   "-c:s mov_text -metadata:s:s:0 language=eng subs.mp4");
    film_ladder(&job, 2000, 1, 120);
    assert_int_equal(film_encode(&job, "subs.mp4", "subs"), 0);
    assert_int_equal(film_export("subs", "t-en", "out.vtt"), 1);
    CLEAN(base_free) char *vtt = film_ask("cat out.vtt");
    assert_string_equal(vtt, "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n<i>Hi</i> &amp; bye\n"
                             "\n00:00:03.500 --> 00:00:04.000\ntwo\nlines");
}

/* --- going on after a stop -------------------------------------------------------------------- */

struct stopper {
    struct film_job *job;
    int64_t at_ms;
    atomic_bool give_up;
};

/* Stops the encode once the first rendition's encoder has come as far as at_ms. */
static void *stopper_thread(void *arg)
{
    struct stopper *s = arg;
    while (!atomic_load(&s->give_up) && atomic_load(&s->job->progress.at_ms[0]) < s->at_ms)
        (void)sched_yield();
    atomic_store(&s->job->stop, true);
    return NULL;
}

/* Stopped in the middle and gone on, a film is as if it had been encoded at once: same segments on
 * the same clock, the same number of frames, and none made twice. */
static void check_resume(const char *film, const char *work, unsigned frames)
{
    struct film_job first = {0}, second = {0}, whole = {0};
    char name[32];
    film_ladder(&first, 2000, 3, 120, 180, 240);
    film_ladder(&second, 2000, 3, 120, 180, 240);
    film_ladder(&whole, 2000, 3, 120, 180, 240);
    struct stopper s = {.job = &first, .at_ms = 11000};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, stopper_thread, &s), 0);
    int r = film_encode(&first, film, work);
    atomic_store(&s.give_up, true);
    (void)pthread_join(thread, NULL);
    assert_int_equal(r, -ECANCELED);
    assert_true(first.encoded > 0);
    assert_int_equal(film_encode(&second, film, work), 0);
    assert_int_equal(second.reused, first.encoded);
    (void)snprintf(name, sizeof name, "%s-whole", work);
    assert_int_equal(film_encode(&whole, film, name), 0);
    assert_int_equal(second.reused + second.encoded, whole.encoded);
    static const char *const tracks[] = {"v240", "v180", "v120", "a-und"};
    struct work *a = film_work(work), *b = film_work(name);
    for (unsigned i = 0; i < ARRAY_LEN(tracks); i++) {
        struct work_track *x = NULL, *y = NULL;
        assert_int_equal(work_track(a, tracks[i], &x), 0);
        assert_int_equal(work_track(b, tracks[i], &y), 0);
        assert_int_equal(x->segments_count, y->segments_count);
        /* The resampler may round the end of the sound otherwise: by less than a frame. */
        assert_true(llabs((long long)x->next - (long long)y->next) < (i < 3 ? 1 : 1024));
        for (unsigned n = 0; n + 1 < x->segments_count; n++)
            assert_int_equal(x->segments[n].duration, y->segments[n].duration);
    }
    work_free(a);
    work_free(b);
    for (unsigned i = 0; i < 3; i++)
        check_frames(work, tracks[i], frames);
    (void)film_export(work, "a-und", "sound.mp4");
    (void)film_frames("sound.mp4");
    (void)film_export(work, "v240", "out.mp4");
    check_alike(film, "null", "out.mp4");
}

static void test_resume_mp4(void **state)
{
    (void)state;
    film_run(QUIET "-f lavfi -i testsrc2=size=320x240:rate=24000/1001:duration=24 -f lavfi -i "
                   "sine=duration=24 " X264 "-bf 2 -g 40 -c:a aac go.mp4");
    check_resume("go.mp4", "go-mp4", film_frames("go.mp4 -select_streams v"));
}

/* No index to search: read from the start again, and encoded from where it was. */
static void test_resume_ts(void **state)
{
    (void)state;
    film_run(QUIET "-i go.mp4 -c copy go.ts");
    check_resume("go.ts", "go-ts", film_frames("go.ts -select_streams v"));
}

static void test_resume_mkv(void **state)
{
    (void)state;
    film_run(QUIET "-i go.mp4 -c copy go.mkv");
    check_resume("go.mkv", "go-mkv", film_frames("go.mkv -select_streams v"));
}

/* All that was lost is one segment in the middle of one rendition. */
static void test_resume_spoiled(void **state)
{
    (void)state;
    struct film_job job = {0};
    struct work *w = film_work("go-mp4");
    struct work_track *t = NULL;
    assert_int_equal(work_track(w, "v180", &t), 0);
    CLEAN(base_free) char *path = work_blob_path(w, &t->segments[5].digest);
    assert_int_equal(file_write(path, STR("spoiled"), 0644), 0);
    work_free(w);
    film_ladder(&job, 2000, 3, 120, 180, 240);
    assert_int_equal(film_encode(&job, "go.mp4", "go-mp4"), 0);
    assert_int_equal(job.encoded, 7); /* that one and those behind it */
    (void)film_export("go-mp4", "v180", "out.mp4");
    assert_int_equal(film_frames("out.mp4"), film_frames("go.mp4 -select_streams v"));
}

static void test_resume_done(void **state)
{
    (void)state;
    struct film_job job = {0};
    film_ladder(&job, 2000, 3, 120, 180, 240);
    assert_int_equal(film_encode(&job, "go.mp4", "go-mp4"), 0);
    assert_int_equal(job.encoded, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_constant_rate), cmocka_unit_test(test_variable_rate),
        cmocka_unit_test(test_rotation),      cmocka_unit_test(test_odd_sizes),
        cmocka_unit_test(test_square_pixels), cmocka_unit_test(test_pixel_formats),
        cmocka_unit_test(test_interlaced),    cmocka_unit_test(test_no_sound_one_frame),
        cmocka_unit_test(test_start_offset),  cmocka_unit_test(test_sync),
        cmocka_unit_test(test_truncated),     cmocka_unit_test(test_subtitles),
        cmocka_unit_test(test_resume_mp4),    cmocka_unit_test(test_resume_ts),
        cmocka_unit_test(test_resume_mkv),    cmocka_unit_test(test_resume_spoiled),
        cmocka_unit_test(test_resume_done),
    };
    return cmocka_run_group_tests(tests, film_folder, film_folder_remove);
}
