/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/ladder.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "../unit.h"
#include "base/file.h"

static struct ladder ladder_of(const char *spec)
{
    struct ladder l;
    struct err err = {0};
    assert_int_equal(ladder_load(spec, 4000, &l, &err), 0);
    return l;
}

static void ladder_test_bitrate(void **state)
{
    (void)state;
    uint64_t v = 7;
    assert_int_equal(ladder_bitrate("2.5M", &v), 0);
    assert_int_equal(v, 2500000);
    assert_int_equal(ladder_bitrate("800k", &v), 0);
    assert_int_equal(v, 800000);
    assert_int_equal(ladder_bitrate("128000", &v), 0);
    assert_int_equal(v, 128000);
    const char *const bad[] = {"", "k", "-1M", "inf", "1e99", "5Q", "5kk", " 5k", "0", "999", "1T"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(ladder_bitrate(bad[i], &v), -EINVAL);
    assert_int_equal(v, 128000);
}

static void ladder_test_fit(void **state)
{
    (void)state;
    struct ladder l = ladder_of("auto");
    struct ladder_size s[LADDER_RUNGS_MAX];
    assert_int_equal(ladder_fit(&l, 1920, 1080, s), 5);
    assert_int_equal(s[0].height, 1080);
    assert_int_equal(s[0].width_px, 1920);
    assert_int_equal(s[0].height_px, 1080);
    assert_int_equal(s[0].rung->bitrate, 5000000);
    assert_int_equal(s[2].height, 480);
    assert_int_equal(s[2].width_px, 854); /* 853.33, even */
    assert_int_equal(s[4].width_px, 426);
    /* Portrait: the short side counts. */
    assert_int_equal(ladder_fit(&l, 1080, 1920, s), 5);
    assert_int_equal(s[1].width_px, 720);
    assert_int_equal(s[1].height_px, 1280);
    /* Never larger than the source. */
    assert_int_equal(ladder_fit(&l, 1278, 719, s), 3);
    assert_int_equal(s[0].height, 480);
    assert_int_equal(ladder_fit(&l, 3840, 2160, s), 7);
    assert_int_equal(ladder_fit(&l, 1920, 800, s), 4);
    assert_int_equal(s[0].width_px, 1728);
    /* Below the lowest rung: its own size, made even. */
    assert_int_equal(ladder_fit(&l, 177, 145, s), 1);
    assert_int_equal(s[0].height, 144);
    assert_int_equal(s[0].width_px, 176);
    assert_int_equal(s[0].height_px, 144);
    assert_int_equal(ladder_fit(&l, 1, 1, s), 1);
    assert_int_equal(s[0].width_px, 2);
}

static void ladder_test_limits(void **state)
{
    (void)state;
    struct ladder l = ladder_of("auto");
    for (unsigned i = 0; i < l.rungs_count; i++) {
        const struct rung *r = &l.rungs[i];
        assert_true(r->maxrate >= r->bitrate * 12 / 10 && r->maxrate <= r->bitrate * 15 / 10);
        assert_true(r->bufsize >= r->bitrate);
        assert_string_equal(r->preset, "veryfast");
        assert_true(r->crf < 0);
    }
    assert_true(ladder_of("copy").is_copy);
}

static int ladder_yaml(const char *text, struct ladder *l, struct err *err)
{
    char path[] = "/tmp/weir-ladder-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(file_write_all(fd, text, strlen(text)), 0);
    base_close(fd);
    int r = ladder_load(path, 4000, l, err);
    assert_int_equal(unlink(path), 0);
    return r;
}

static void ladder_test_file(void **state)
{
    (void)state;
    struct ladder l;
    struct err err = {0};
    assert_int_equal(
        ladder_yaml("rungs:\n"
                    "  - {height: 480, video_bitrate: 900k, preset: slow, crf: 21.5}\n"
                    "  - {height: 240, video_bitrate: 300k, maxrate: 400k, bufsize: 1M}\n"
                    "segment_seconds: 2.5\naudio_bitrate: 96k\npreset: fast\n",
                    &l, &err),
        0);
    assert_int_equal(l.rungs_count, 2);
    assert_int_equal(l.rungs[0].height, 240); /* sorted */
    assert_int_equal(l.rungs[0].maxrate, 400000);
    assert_int_equal(l.rungs[0].bufsize, 1000000);
    assert_string_equal(l.rungs[0].preset, "fast");
    assert_string_equal(l.rungs[1].preset, "slow");
    assert_true(l.rungs[1].crf > 21.4 && l.rungs[1].crf < 21.6);
    assert_int_equal(l.segment_ms, 2500);
    assert_int_equal(l.audio_bitrate, 96000);
}

static void ladder_test_bad_files(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *says;
    } bad[] = {
        {"", "empty"},
        {"rungs: []\n", "1 to 16"},
        {"rungs:\n  - {height: 480}\n", "video_bitrate"},
        {"rungs:\n  - {height: 480, video_bitrate: fast}\n", "'fast' is not a bit rate"},
        {"rungs:\n  - {height: 8, video_bitrate: 1M}\n", "height 8"},
        {"rungs:\n  - {height: 480, video_bitrate: 1M}\n  - {height: 480, video_bitrate: 2M}\n",
         "comes twice"},
        {"rungs:\n  - {height: 480, video_bitrate: 1M, maxrate: 500k}\n",
         "below its video_bitrate"},
        {"rungs:\n  - {height: 480, video_bitrate: 1M, preset: warp}\n", "'warp'"},
        {"rungs:\n  - {height: 480, video_bitrate: 1M, crf: 99}\n", "crf"},
        {"rungs:\n  - {height: 480, video_bitrate: 1M}\nsegment_seconds: 0.1\n", "segment_seconds"},
        {"rungs:\n  - {height: 480, video_bitrate: 1M}\naudio_bitrate: 1k\n", "audio_bitrate"},
        {"rungs:\n  - {height: 480, video_bitrate: 1M}\ncolour: red\n", "colour"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct ladder l = {.segment_ms = 77};
        struct err err = {0};
        assert_int_equal(ladder_yaml(bad[i].yaml, &l, &err), -EINVAL);
        if (strstr(err.text, bad[i].says) == NULL)
            print_error("%zu: %s\n", i, err.text);
        assert_non_null(strstr(err.text, bad[i].says));
        assert_non_null(strstr(err.text, "/tmp/weir-ladder-"));
        assert_null(strchr(err.text, '\n'));
        assert_int_equal(l.segment_ms, 77);
    }
    struct ladder l;
    struct err err = {0};
    assert_int_equal(ladder_load("/nowhere/ladder.yaml", 4000, &l, &err), -ENOENT);
}

static void ladder_test_write(void **state)
{
    (void)state;
    struct ladder a = ladder_of("auto"), b = ladder_of("auto");
    CLEAN_BUF struct buf x = BUF_EMPTY;
    CLEAN_BUF struct buf y = BUF_EMPTY;
    ladder_write(&a, &x);
    ladder_write(&b, &y);
    assert_string_equal(x.data, y.data);
    b.rungs[3].bufsize++;
    buf_clear(&y);
    ladder_write(&b, &y);
    assert_string_not_equal(x.data, y.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ladder_test_bitrate),   cmocka_unit_test(ladder_test_fit),
        cmocka_unit_test(ladder_test_limits),    cmocka_unit_test(ladder_test_file),
        cmocka_unit_test(ladder_test_bad_files), cmocka_unit_test(ladder_test_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
