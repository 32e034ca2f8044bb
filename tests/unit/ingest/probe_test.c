/* SPDX-License-Identifier: Apache-2.0 */
#include "film.h"
#include <errno.h>
#include <unistd.h>
#include "base/file.h"

#define QUIET "ffmpeg -nostdin -v error -y "
#define X264  "-c:v libx264 -preset ultrafast -pix_fmt yuv420p "

static int probe_name(const char *name, struct probe **ret, struct err *err)
{
    CLEAN(base_free) char *path = file_join(film_dir, name);
    return probe_open(path, ret, err);
}

/* Refused, in one sentence that names the file and says that. */
static void probe_refuses(const char *name, int error, const char *says)
{
    struct probe *p = NULL;
    struct err err = {0};
    int r = probe_name(name, &p, &err);
    if (r != error || strstr(err.text, says) == NULL)
        print_error("%s: %d: %s\n", name, r, err.text);
    assert_int_equal(r, error);
    assert_null(p);
    assert_non_null(strstr(err.text, says));
    assert_non_null(strstr(err.text, name));
    assert_null(strchr(err.text, '\n'));
}

static void probe_test_refused(void **state)
{
    (void)state;
    film_run(QUIET "-f lavfi -i testsrc=size=160x120:rate=10:duration=3 " X264 "whole.mp4");
    film_run("head -c $(($(stat -c %%s whole.mp4) / 2)) whole.mp4 > half.mp4");
    film_run(QUIET "-i whole.mp4 -c copy -movflags +faststart front.mp4");
    film_run("head -c $(($(stat -c %%s front.mp4) * 3 / 4)) front.mp4 > cut.mp4");
    film_run(QUIET "-f lavfi -i sine=duration=1 sound.mp4");
    film_run(QUIET "-f lavfi -i testsrc=size=160x120:duration=1:rate=1 -frames:v 1 still.png");
    film_run(": > empty.mp4; printf 'just some text, a film it is not\\n' > text.mp4; "
             "cp text.mp4 text.nfo; mkdir folder.mp4; head -c 100000 /dev/urandom > noise.mp4; "
             "printf '#EXTM3U\\n#EXT-X-TARGETDURATION:3\\n#EXTINF:3,\\nwhole.mp4\\n' > list.m3u8; "
             "printf 'ffconcat version 1.0\\nfile whole.mp4\\n' > list.ffconcat");
    probe_refuses("absent.mp4", -ENOENT, "No such file");
    probe_refuses("folder.mp4", -EISDIR, "folder");
    probe_refuses("empty.mp4", -EBADMSG, "is empty");
    probe_refuses("text.mp4", -EBADMSG, "not a film");
    probe_refuses("text.nfo", -EBADMSG, "not a film");
    probe_refuses("noise.mp4", -EBADMSG, "not a film");
    probe_refuses("still.png", -EBADMSG, "not a film");
    probe_refuses("list.m3u8", -EBADMSG, "not a film");
    probe_refuses("list.ffconcat", -EBADMSG, "not a film");
    probe_refuses("half.mp4", -EBADMSG, "is truncated");
    probe_refuses("cut.mp4", -EBADMSG, "is truncated");
    probe_refuses("sound.mp4", -EBADMSG, "has no video");
}

static void probe_test_unreadable(void **state)
{
    (void)state;
    film_run("chmod 755 . && cp whole.mp4 secret.mp4 && chmod 0 secret.mp4");
    bool is_root = geteuid() == 0; /* who may read everything: be nobody meanwhile */
    if (is_root)
        assert_int_equal(seteuid(65534), 0);
    probe_refuses("secret.mp4", -EACCES, "Permission denied");
    if (is_root)
        assert_int_equal(seteuid(0), 0);
}

static void probe_test_tracks(void **state)
{
    (void)state;
    struct probe *p = NULL;
    struct err err = {0};
    film_run("printf '1\\n00:00:00,100 --> 00:00:00,900\\nhi\\n' > s.srt");
    film_run(QUIET "-f lavfi -i testsrc=size=160x120:rate=24000/1001:duration=1 "
                   "-f lavfi -i sine=duration=1:sample_rate=44100 -f lavfi -i "
                   "sine=duration=1:sample_rate=48000 "
                   "-i s.srt -map 0 -map 1 -map 2 -map 1 -map 3 " X264 "-c:a aac -c:s srt "
                   "-metadata:s:a:0 language=ger -metadata:s:a:1 language=eng -metadata:s:a:1 "
                   "title=Commentary -metadata:s:a:2 language=eng -metadata:s:s:0 language=pt-BR "
                   "-disposition:a:0 0 -disposition:a:1 default tracks.mkv");
    assert_int_equal(probe_name("tracks.mkv", &p, &err), 0);
    assert_int_equal(p->audios_count, 3);
    assert_string_equal(p->audios[0].id, "a-de");
    assert_string_equal(p->audios[0].name, "German");
    assert_int_equal(p->audios[0].sample_rate, 44100);
    assert_false(p->audios[0].is_default);
    assert_string_equal(p->audios[1].id, "a-en");
    assert_string_equal(p->audios[1].name, "Commentary");
    assert_int_equal(p->audios[1].sample_rate, 48000);
    assert_true(p->audios[1].is_default);
    assert_string_equal(p->audios[2].id, "a-en-2");
    assert_int_equal(p->texts_count, 1);
    assert_string_equal(p->texts[0].id, "t-pt-br");
    assert_string_equal(p->texts[0].language, "pt-BR");
    assert_int_equal(p->video.timescale, 24000);
    /* The AAC delay in front of the first picture is not the film's start. */
    const AVStream *video = p->format->streams[p->video.index];
    assert_int_equal(probe_ticks(p, video->start_time, video->time_base, 1000), 0);
    probe_free(p);
}

static void probe_test_shape(void **state)
{
    (void)state;
    struct probe *p = NULL;
    struct err err = {0};
    film_run(QUIET "-i whole.mp4 -c copy -metadata:s:v rotate=90 turned.mp4");
    assert_int_equal(probe_name("turned.mp4", &p, &err), 0);
    assert_int_equal(p->video.rotation, 270); /* what the program makes of that tag */
    assert_int_equal(p->video.width, 120);
    assert_int_equal(p->video.height, 160);
    p = probe_free(p);
    film_run(QUIET "-f lavfi -i testsrc=size=720x576:rate=25:duration=1 -vf setsar=16/11 " X264
                   "wide.mp4");
    assert_int_equal(probe_name("wide.mp4", &p, &err), 0);
    assert_int_equal(p->video.width, 1047); /* 720 * 16 / 11 */
    assert_int_equal(p->video.height, 576);
    assert_int_equal(p->video.timescale, 90000);
    p = probe_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probe_test_refused),
        cmocka_unit_test(probe_test_unreadable),
        cmocka_unit_test(probe_test_tracks),
        cmocka_unit_test(probe_test_shape),
    };
    return cmocka_run_group_tests(tests, film_folder, film_folder_remove);
}
