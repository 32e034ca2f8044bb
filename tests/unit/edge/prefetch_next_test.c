/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/prefetch_next.h"
#include <errno.h>
#include "../unit.h"

static void references_are_resolved(void **state)
{
    (void)state;
    static const struct {
        const char *base, *reference, *target; /* NULL: -EINVAL */
    } cases[] = {
        {"/a/b/p.m3u8", "s1.ts", "/a/b/s1.ts"},
        {"/a/b/p.m3u8?x=/y", "s1.ts?q=1", "/a/b/s1.ts?q=1"},
        {"/a/b/p.m3u8", "../s1.ts", "/a/s1.ts"},
        {"/a/b/p.m3u8", "./c/./../s1.ts", "/a/b/s1.ts"},
        {"/a/b/p.m3u8", "/s1.ts", "/s1.ts"},
        {"/a/b/p.m3u8", "?q", "/a/b/p.m3u8?q"},
        {"/a/b/p.m3u8", "s#f", "/a/b/s"},
        {"/a/b/p.m3u8", "c/..", "/a/b/"},
        {"/p", "..", NULL},
        {"/a/b/p.m3u8", "../../../s1.ts", NULL},
        {"/a/b/p.m3u8", "http://evil.example/s1.ts", NULL},
        {"/a/b/p.m3u8", "//evil.example/s1.ts", NULL},
        {"/a/b/p.m3u8", "data:x", NULL},
        {"/a/b/p.m3u8", "", NULL},
        {"/a/b/p.m3u8", "a b", NULL},
        {"/a/b/p.m3u8", "a\r\nHost: x", NULL},
        {"/a/b/p.m3u8", "a\x80", NULL},
        {"", "a", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEAN_BUF struct buf out = BUF_EMPTY;
        buf_puts(&out, "kept");
        int r = prefetch_resolve(str_of(cases[i].base), str_of(cases[i].reference), &out);
        assert_int_equal(r, cases[i].target == NULL ? -EINVAL : 0);
        struct str rest = str_skip(buf_str(&out), 4);
        if (!str_eq(rest, str_of(cases[i].target)) && cases[i].target != NULL)
            fail_msg("case %zu: " STR_FMT, i, STR_ARG(rest));
        assert_int_equal(rest.size, cases[i].target == NULL ? 0 : strlen(cases[i].target));
    }
}

static void collect(void *arg, struct str target)
{
    buf_put_str(arg, target);
    buf_putc(arg, ' ');
}

static void what_comes_next_in_a_playlist(void **state)
{
    (void)state;
    static const char text[] =
        "#EXTM3U\r\n#EXT-X-TARGETDURATION:4\r\n#EXT-X-MAP:URI=\"init.mp4\"\r\n"
        "#EXTINF:4,\r\ns1.ts\r\n#EXTINF:4,\r\ns2.ts?v=1\r\n\r\n#EXTINF:4,\r\n"
        "s2.ts?v=1\n#EXTINF:4,\n/other/s3.ts\n#EXTINF:4,\n"
        "http://elsewhere.example/s4.ts\n#EXTINF:4,\ns5.ts";
    static const struct {
        const char *target;
        unsigned count;
        int r;
        const char *next;
    } cases[] = {
        {"/v/s1.ts", 2, 0, "/v/s2.ts?v=1 /v/s2.ts?v=1 "},
        {"/v/s1.ts", 1, 0, "/v/s2.ts?v=1 "},
        {"/v/s2.ts?v=1", 2, 0, "/other/s3.ts /v/s5.ts "},
        {"/v/s5.ts", 2, 0, ""},
        {"/other/s3.ts", 9, 0, "/v/s5.ts "},
        {"/v/s2.ts", 2, -ENOENT, ""},
        {"/w/s1.ts", 2, -ENOENT, ""},
        {"/v/1.ts", 2, -ENOENT, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEAN_BUF struct buf next = BUF_EMPTY;
        buf_puts(&next, "");
        int r = prefetch_from_playlist(STR(text), STR("/v/index.m3u8?a=b"), str_of(cases[i].target),
                                       cases[i].count, collect, &next);
        assert_int_equal(r, cases[i].r);
        if (!str_eq(buf_str(&next), str_of(cases[i].next)))
            fail_msg("case %zu: " STR_FMT, i, STR_ARG(buf_str(&next)));
    }
    assert_int_equal(prefetch_from_playlist(STR("<MPD/>"), STR("/a"), STR("/b"), 1, collect, NULL),
                     -EINVAL);
}

static void the_next_number(void **state)
{
    (void)state;
    static const struct {
        const char *target, *next;
    } cases[] = {
        {"/a/seg-0009.m4s", "/a/seg-0010.m4s"},
        {"/a/seg-9.m4s?t=1", "/a/seg-10.m4s?t=1"},
        {"/v1080/chunk_7_en.m4s", "/v1080/chunk_8_en.m4s"},
        {"/a/999.ts", "/a/1000.ts"},
        {"/a/v720-000000000000000000.mp4", "/a/v720-000000000000000001.mp4"},
        {"/a1/seg.m4s", NULL},
        {"/a/seg9", NULL},
        {"/a/.mp4", NULL},
        {"/a/1234567890123456789.ts", NULL},
        {"/", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEAN_BUF struct buf out = BUF_EMPTY;
        int r = prefetch_by_number(str_of(cases[i].target), &out);
        assert_int_equal(r, cases[i].next == NULL ? -EINVAL : 0);
        if (cases[i].next != NULL)
            assert_string_equal(out.data, cases[i].next);
    }
    assert_int_equal(prefetch_kind_of(STR("/a/b.m3u8?x")), PREFETCH_PLAYLIST);
    assert_int_equal(prefetch_kind_of(STR("/a/b.m4s?x=.m3u8")), PREFETCH_SEGMENT);
    assert_int_equal(prefetch_kind_of(STR("/a/b.html?x=.ts")), PREFETCH_NEITHER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references_are_resolved),
        cmocka_unit_test(what_comes_next_in_a_playlist),
        cmocka_unit_test(the_next_number),
    };
    return cmocka_run_group_tests_name("prefetch_next", tests, NULL, NULL);
}
