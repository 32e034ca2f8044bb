/* SPDX-License-Identifier: Apache-2.0 */
#include "media/view.h"
#include <errno.h>
#include "sample.h"

static void view_test_all(void **state)
{
    (void)state;
    static const struct {
        const char *rest, *type, *begins; /* type NULL: -ENOENT */
    } cases[] = {
        {"master.m3u8", "application/vnd.apple.mpegurl", "#EXTM3U\n"},
        {"v720/index.m3u8", "application/vnd.apple.mpegurl", "#EXTM3U\n"},
        {"v720/iframes.m3u8", "application/vnd.apple.mpegurl", "#EXTM3U\n"},
        {"t-de/index.m3u8", "application/vnd.apple.mpegurl", "#EXTM3U\n"},
        {"manifest.mpd", "application/dash+xml", "<?xml"},
        {"thumbnails.vtt", "text/vtt", "WEBVTT\n"},
        {"presentation.json", "application/json", "{\"version\":1,"},
        {"poster.jpg", "image/jpeg", NULL},
        {"thumbnails/0.jpg", NULL, NULL},
        {"thumbnails/3.jpg", NULL, NULL},
        {"thumbnails/01.jpg", NULL, NULL},
        {"thumbnails/-1.jpg", NULL, NULL},
        {"thumbnails/.jpg", NULL, NULL},
        {"thumbnails/18446744073709551617.jpg", NULL, NULL},
        {"", NULL, NULL},
        {"/", NULL, NULL},
        {"master.m3u8/", NULL, NULL},
        {"v720", NULL, NULL},
        {"v720/", NULL, NULL},
        {"v720/index.m3u8/", NULL, NULL},
        {"v721/index.m3u8", NULL, NULL},
        {"/index.m3u8", NULL, NULL},
        {"a-en/iframes.m3u8", NULL, NULL},
        {"../other/master.m3u8", NULL, NULL},
    };
    CLEAN(presentation_free) struct presentation *p = sample_presentation();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct view v = {.type = "untouched"};
        int r = view_resolve(p, str_of(cases[i].rest), NULL, &v);
        assert_int_equal(r, cases[i].type != NULL ? 0 : -ENOENT);
        assert_string_equal(v.type, cases[i].type != NULL ? cases[i].type : "untouched");
        if (cases[i].begins != NULL) {
            assert_false(v.is_blob);
            assert_true(str_starts(buf_str(&v.text), str_of(cases[i].begins)));
            assert_int_equal(v.size, v.text.size);
        } else if (r == 0) {
            assert_true(v.is_blob);
            assert_true(digest_eq(&v.digest, &p->poster.digest));
            assert_int_equal(v.size, 20000);
        }
        view_clear(&v);
    }
}

static void view_test_sheets(void **state)
{
    (void)state;
    CLEAN(presentation_free) struct presentation *p = sample_presentation();
    static const char *const names[] = {"thumbnails/1.jpg", "thumbnails/2.jpg"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct view v;
        assert_int_equal(view_resolve(p, str_of(names[i]), NULL, &v), 0);
        assert_true(v.is_blob);
        assert_string_equal(v.type, "image/jpeg");
        assert_true(digest_eq(&v.digest, &p->thumbnails.sheets[i].digest));
        view_clear(&v);
    }
}

static void view_test_cap(void **state)
{
    (void)state;
    CLEAN(presentation_free) struct presentation *p = sample_presentation();
    struct view_options cap = {.height_max = 720};
    struct view v;
    assert_int_equal(view_resolve(p, STR("v1080/index.m3u8"), &cap, &v), -ENOENT);
    assert_int_equal(view_resolve(p, STR("v720/index.m3u8"), &cap, &v), 0);
    view_clear(&v);
    assert_int_equal(view_resolve(p, STR("presentation.json"), &cap, &v), 0);
    CLEAN(presentation_free) struct presentation *shown = NULL;
    assert_int_equal(presentation_parse(buf_str(&v.text), &shown, NULL), 0);
    assert_int_equal(shown->tracks_count, p->tracks_count - 1);
    assert_null(presentation_find(shown, STR("v1080")));
    view_clear(&v);
}

static void view_test_thumbnails(void **state)
{
    (void)state;
    CLEAN(presentation_free) struct presentation *p = sample_presentation();
    p->duration_ms = 3675500; /* the last cue lasts to the end */
    p->thumbnails.interval_ms = 125000;
    struct view v;
    assert_int_equal(view_resolve(p, STR("thumbnails.vtt"), NULL, &v), 0);
    char one[DIGEST_TEXT_SIZE];
    char two[DIGEST_TEXT_SIZE];
    char expected[512];
    digest_format(&p->thumbnails.sheets[0].digest, one);
    digest_format(&p->thumbnails.sheets[1].digest, two);
    (void)snprintf(expected, sizeof expected,
                   "WEBVTT\n\n00:00:00.000 --> 00:02:05.000\n../../b/%s.jpg#xywh=0,0,160,90\n\n"
                   "00:02:05.000 --> 00:04:10.000\n../../b/%s.jpg#xywh=160,0,160,90\n\n",
                   one, one);
    assert_true(str_starts(buf_str(&v.text), str_of(expected)));
    (void)snprintf(expected, sizeof expected,
                   ".jpg#xywh=640,270,160,90\n\n00:41:40.000 --> "
                   "00:43:45.000\n../../b/%s.jpg#xywh=0,0,160,90\n",
                   two);
    assert_non_null(strstr(v.text.data, expected));
    (void)snprintf(expected, sizeof expected,
                   "01:00:25.000 --> 01:01:15.500\n../../b/%s.jpg#xywh=640,90,160,90\n", two);
    assert_true(str_ends(buf_str(&v.text), str_of(expected)));
    view_clear(&v);
    CLEAN(presentation_free) struct presentation *bare = NULL;
    assert_int_equal(presentation_new("a", "t", &bare), 0);
    static const char *const absent[] = {"thumbnails.vtt", "poster.jpg", "master.m3u8",
                                         "manifest.mpd"};
    for (size_t i = 0; i < ARRAY_LEN(absent); i++)
        assert_int_equal(view_resolve(bare, str_of(absent[i]), NULL, &v), -ENOENT);
}

static void view_test_blob_names(void **state)
{
    (void)state;
    static const struct {
        const char *name, *type;
    } cases[] = {
        {"0123456789abcdef0123456789abcdef.m4s", "video/iso.segment"},
        {"0123456789abcdef0123456789abcdef.mp4", "video/mp4"},
        {"0123456789abcdef0123456789abcdef.vtt", "text/vtt"},
        {"0123456789abcdef0123456789abcdef.jpg", "image/jpeg"},
        {"0123456789abcdef0123456789abcdef.json", "application/json"},
        {"0123456789abcdef0123456789abcdef.exe", NULL},
        {"0123456789abcdef0123456789abcdef.", NULL},
        {"0123456789abcdef0123456789abcdef", NULL},
        {"0123456789abcdef0123456789abcdef.m4s.m4s", NULL},
        {"0123456789abcdef0123456789abcde.m4s", NULL},
        {"0123456789ABCDEF0123456789abcdef.m4s", NULL},
        {".m4s", NULL},
        {"", NULL},
        {NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct digest d = {{9}};
        const char *type = "untouched";
        int r = view_parse_blob(str_of(cases[i].name), &d, &type);
        assert_int_equal(r, cases[i].type != NULL ? 0 : -EINVAL);
        assert_string_equal(type, cases[i].type != NULL ? cases[i].type : "untouched");
        assert_int_equal(d.bytes[0], cases[i].type != NULL ? 1 : 9);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(view_test_all),        cmocka_unit_test(view_test_sheets),
        cmocka_unit_test(view_test_cap),        cmocka_unit_test(view_test_thumbnails),
        cmocka_unit_test(view_test_blob_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
