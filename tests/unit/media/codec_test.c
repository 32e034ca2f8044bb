/* SPDX-License-Identifier: Apache-2.0 */
#include "media/codec.h"
#include <errno.h>
#include "../unit.h"

typedef int codec_test_fn(struct str in, struct buf *out);

struct codec_test_case {
    struct str in;
    const char *expected; /* NULL: -EBADMSG */
};

static void codec_test_table(codec_test_fn *fn, const struct codec_test_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CLEAN_BUF struct buf out = BUF_EMPTY;
        int r = fn(cases[i].in, &out);
        assert_int_equal(r, cases[i].expected != NULL ? 0 : -EBADMSG);
        if (r == 0)
            assert_string_equal(out.data, cases[i].expected);
        else
            assert_int_equal(out.size, 0);
    }
}

static void codec_test_avc(void **state)
{
    (void)state;
    static const struct codec_test_case cases[] = {
        {STR("\x01\x64\x00\x1f\xff\xe1\x00\x04\x67\x64\x00\x1f\x01\x00\x02\x68\xee"),
         "avc1.64001f"},
        {STR("\0\0\0\1\x09\xf0\0\0\1\x67\x4d\x40\x28\xaa\0\0\1\x68\xee"), "avc1.4d4028"},
        {STR("\x01\x64\x00\x1f\xff\xe1\x00\x44\x67\x64\x00\x1f\x01\x00\x02\x68\xee"), NULL},
        {STR("\x02\x64\x00\x1f\xff\xe1\x00\x04\x67\x64\x00\x1f\x01\x00\x02\x68\xee"), NULL},
        {STR("\x01\x64\x00\x1f\xff\xe1"), NULL},
        {STR("\0\0\1\x68\xee\xee\xee"), NULL}, /* no SPS */
        {STR("\0\0\1\x67\x64"), NULL},
        {STR(""), NULL},
    };
    codec_test_table(codec_avc, cases, ARRAY_LEN(cases));
}

static void codec_test_hevc(void **state)
{
    (void)state;
    static const struct codec_test_case cases[] = {
        /* hvcC of Main, level 3.1 */
        {STR("\x01\x01\x60\x00\x00\x00\xb0\x00\x00\x00\x00\x00\x5d\xf0\x00\xfc\xfd\xf8\xf8\x00\x00"
             "\x0f\x00"),
         "hvc1.1.6.L93.B0"},
        /* Main 10, high tier, profile space 1, three constraint bytes */
        {STR("\x01\x62\x20\x00\x00\x00\x90\x01\x02\x00\x00\x00\x96\xf0\x00\xfc\xfd\xf8\xf8\x00\x00"
             "\x0f\x00"),
         "hvc1.A2.4.H150.90.1.2"},
        /* SPS of an elementary stream, with emulation prevention among its zeros */
        {STR("\0\0\0\1\x42\x01\x01\x01\x60\x00\x00\x03\x00\xb0\x00\x00\x03\x00\x00\x03\x00\x5d"
             "\xa0"),
         "hvc1.1.6.L93.B0"},
        {STR("\x01\x01\x60\x00\x00\x00\xb0\x00\x00\x00\x00\x00"), NULL},
        {STR("\0\0\0\1\x42\x01\x01\x01\x60\x00\x00\x03\x00\xb0"), NULL},
        {STR("\0\0\0\1\x40\x01\x0c\x01\xff\xff"), NULL}, /* VPS only */
        {STR(""), NULL},
    };
    codec_test_table(codec_hevc, cases, ARRAY_LEN(cases));
}

static void codec_test_aac(void **state)
{
    (void)state;
    static const struct codec_test_case cases[] = {
        {STR("\x11\x90"), "mp4a.40.2"},          /* LC, 48 kHz, stereo */
        {STR("\x2b\x11\x88\x00"), "mp4a.40.5"},  /* HE-AAC, said openly */
        {STR("\xeb\x09\x88\x00"), "mp4a.40.29"}, /* HE-AAC v2 */
        {STR("\xf9\x46\x40"), "mp4a.40.42"},     /* xHE-AAC: escaped object type */
        {STR("\x11"), NULL},
        {STR("\x01\x90"), NULL}, /* type 0 */
        {STR("\x16\x90"), NULL}, /* rate index 13 */
        {STR("\xff\xff"), NULL},
        {STR(""), NULL},
    };
    codec_test_table(codec_aac, cases, ARRAY_LEN(cases));
}

static void codec_test_lengths(void **state)
{
    (void)state;
    static const struct {
        struct str in;
        enum codec_nal kind;
        bool drop;
        int r;
        struct str out;
    } cases[] = {
        {STR("\0\0\0\1\x09\x10\0\0\1\x67\x64\0\0\1\x68\xee\0\0\0\1\x65\x88\x80"), CODEC_NAL_AVC,
         false, 0, STR("\0\0\0\2\x67\x64\0\0\0\2\x68\xee\0\0\0\3\x65\x88\x80")},
        {STR("\0\0\0\1\x09\x10\0\0\1\x67\x64\0\0\1\x68\xee\0\0\0\1\x65\x88\x80"), CODEC_NAL_AVC,
         true, 0, STR("\0\0\0\3\x65\x88\x80")},
        {STR("\0\0\1\x46\x01\x50\0\0\1\x40\x01\xaa\0\0\1\x26\x01\xaf\0\0\0"), CODEC_NAL_HEVC, true,
         0, STR("\0\0\0\3\x26\x01\xaf")},
        {STR("\0\0\1\0\0\1\x65\x01"), CODEC_NAL_AVC, false, 0, STR("\0\0\0\2\x65\x01")},
        {STR("\0\0\1\x65\0\0\3\x01"), CODEC_NAL_AVC, false, 0, STR("\0\0\0\5\x65\0\0\3\x01")},
        {STR(""), CODEC_NAL_AVC, false, 0, STR("")},
        {STR("\x65\x88\0\0\1\x65"), CODEC_NAL_AVC, false, -EBADMSG, STR("")},
        {STR("\0\0\1\x65\x88\0\0\1\xe5"), CODEC_NAL_AVC, false, -EBADMSG, STR("")},
        {STR("\0\0\1\x26"), CODEC_NAL_HEVC, false, -EBADMSG, STR("")},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEAN_BUF struct buf out = BUF_EMPTY;
        buf_puts(&out, "kept");
        assert_int_equal(codec_annexb_to_lengths(cases[i].in, cases[i].kind, cases[i].drop, &out),
                         cases[i].r);
        assert_true(str_starts(buf_str(&out), STR("kept")));
        assert_true(str_eq(str_skip(buf_str(&out), 4), cases[i].out));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codec_test_avc),
        cmocka_unit_test(codec_test_hevc),
        cmocka_unit_test(codec_test_aac),
        cmocka_unit_test(codec_test_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
