/* SPDX-License-Identifier: Apache-2.0 */
#include "media/cmaf.h"
#include <errno.h>
#include <stdlib.h>
#include "../unit.h"

static uint32_t cmaf_test_u32(struct str s, size_t at)
{
    assert_true(at + 4 <= s.size);
    const uint8_t *b = (const uint8_t *)s.data + at;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* The box `type` must come next. */
static struct str cmaf_test_box(struct str *at, const char *type)
{
    char found[5];
    struct str body;
    struct str rest;
    assert_int_equal(cmaf_box(*at, found, &body, &rest), 0);
    assert_string_equal(found, type);
    *at = rest;
    return body;
}

/* What a player would make of a segment. */
struct cmaf_test_sample {
    int64_t dts, pts;
    uint32_t duration, size, flags;
};

struct cmaf_test_segment {
    struct cmaf_test_sample samples[64];
    uint32_t count, sequence, trun_flags;
    struct str mdat;
};

static void cmaf_test_read_trun(struct str trun, uint64_t dts, const uint32_t defaults[3],
                                uint32_t moof_size, struct cmaf_test_segment *out)
{
    uint32_t flags = cmaf_test_u32(trun, 0);
    assert_int_equal(flags >> 24, 1); /* version: signed offsets */
    out->trun_flags = flags & 0xffffff;
    out->count = cmaf_test_u32(trun, 4);
    assert_in_range(out->count, 1, 64);
    assert_true((flags & 1) != 0);
    assert_int_equal(cmaf_test_u32(trun, 8), moof_size + 8);
    size_t at = 12;
    uint32_t first_flags = defaults[2];
    if ((flags & 4) != 0) {
        first_flags = cmaf_test_u32(trun, at);
        at += 4;
    }
    for (uint32_t i = 0; i < out->count; i++) {
        struct cmaf_test_sample *s = &out->samples[i];
        *s = (struct cmaf_test_sample){(int64_t)dts, (int64_t)dts, defaults[0], defaults[1],
                                       i == 0 ? first_flags : defaults[2]};
        if ((flags & 0x100) != 0)
            s->duration = cmaf_test_u32(trun, (at += 4) - 4);
        if ((flags & 0x200) != 0)
            s->size = cmaf_test_u32(trun, (at += 4) - 4);
        if ((flags & 0x400) != 0)
            s->flags = cmaf_test_u32(trun, (at += 4) - 4);
        if ((flags & 0x800) != 0)
            s->pts += (int32_t)cmaf_test_u32(trun, (at += 4) - 4);
        dts += s->duration;
    }
    assert_int_equal(at, trun.size);
}

static void cmaf_test_read(struct str bytes, struct cmaf_test_segment *out)
{
    struct str at = bytes;
    struct str styp = cmaf_test_box(&at, "styp");
    assert_true(str_starts(styp, STR("msdh")));
    size_t moof_at = bytes.size - at.size;
    struct str moof = cmaf_test_box(&at, "moof");
    uint32_t moof_size = (uint32_t)(bytes.size - at.size - moof_at);
    out->mdat = cmaf_test_box(&at, "mdat");
    assert_int_equal(at.size, 0);
    out->sequence = cmaf_test_u32(cmaf_test_box(&moof, "mfhd"), 4);
    struct str traf = cmaf_test_box(&moof, "traf");
    assert_int_equal(moof.size, 0);
    struct str tfhd = cmaf_test_box(&traf, "tfhd");
    uint32_t flags = cmaf_test_u32(tfhd, 0);
    assert_int_equal(flags & 0x020000, 0x020000); /* default-base-is-moof */
    assert_int_equal(flags & 1, 0);               /* no base data offset */
    assert_int_equal(cmaf_test_u32(tfhd, 4), 1);
    uint32_t defaults[3] = {0, 0, 0};
    size_t where = 8;
    for (uint32_t i = 0; i < 3; i++) {
        if ((flags & 8u << i) != 0)
            defaults[i] = cmaf_test_u32(tfhd, (where += 4) - 4);
    }
    assert_int_equal(where, tfhd.size);
    struct str tfdt = cmaf_test_box(&traf, "tfdt");
    assert_int_equal(cmaf_test_u32(tfdt, 0), 1u << 24);
    uint64_t dts = (uint64_t)cmaf_test_u32(tfdt, 4) << 32 | cmaf_test_u32(tfdt, 8);
    cmaf_test_read_trun(cmaf_test_box(&traf, "trun"), dts, defaults, moof_size, out);
    assert_int_equal(traf.size, 0);
}

static void cmaf_test_add(struct cmaf_writer *w, int64_t pts, uint32_t size, bool is_key)
{
    uint8_t bytes[256];
    memset(bytes, (int)(pts / 1000), sizeof bytes);
    struct cmaf_sample s = {bytes, size, pts, 1000, is_key};
    assert_int_equal(cmaf_writer_add(w, &s), 0);
}

/* I P B B P B B, decode order, beyond 2^32 ticks. */
static void cmaf_test_b_frames(void **state)
{
    (void)state;
    CLEAN(cmaf_writer_free) struct cmaf_writer *w = NULL;
    assert_int_equal(cmaf_writer_new(25000, true, &w), 0);
    const int64_t base = INT64_C(5000000000);
    const int64_t order[] = {0, 3, 1, 2, 6, 4, 5};
    for (size_t i = 0; i < ARRAY_LEN(order); i++)
        cmaf_test_add(w, base + order[i] * 1000, (uint32_t)(100 + i), i == 0);
    CLEAN_BUF struct buf out = BUF_EMPTY;
    buf_puts(&out, "before");
    struct segment ret;
    uint64_t start = 0;
    assert_int_equal(cmaf_writer_end(w, 7, base + 7000, &out, &ret, &start), 0);
    assert_true(start == (uint64_t)base);
    assert_int_equal(ret.duration, 7000);
    assert_int_equal(ret.size, out.size - 6);
    struct str bytes = str_skip(buf_str(&out), 6);
    struct digest d = digest_of(bytes.data, bytes.size);
    assert_true(digest_eq(&d, &ret.digest));
    struct cmaf_test_segment seg = {0};
    cmaf_test_read(bytes, &seg);
    assert_int_equal(seg.sequence, 7);
    assert_int_equal(seg.count, 7);
    assert_int_equal(ret.key_size, bytes.size - seg.mdat.size + 100);
    size_t at = 0;
    for (uint32_t i = 0; i < seg.count; i++) {
        assert_int_equal(seg.samples[i].dts, base + (int64_t)i * 1000);
        assert_int_equal(seg.samples[i].pts, base + order[i] * 1000);
        assert_int_equal(seg.samples[i].duration, 1000);
        assert_int_equal(seg.samples[i].size, 100 + i);
        assert_int_equal(seg.samples[i].flags, i == 0 ? 0x02000000 : 0x01010000);
        assert_int_equal((uint8_t)seg.mdat.data[at], (uint8_t)((base + order[i] * 1000) / 1000));
        at += seg.samples[i].size;
    }
    assert_int_equal(at, seg.mdat.size);
}

/* Frame times that a decoder of a film with dropped frames gives: durations are the gaps. */
static void cmaf_test_uneven(void **state)
{
    (void)state;
    CLEAN(cmaf_writer_free) struct cmaf_writer *w = NULL;
    assert_int_equal(cmaf_writer_new(1000, true, &w), 0);
    cmaf_test_add(w, 40, 10, true);
    cmaf_test_add(w, 200, 10, false);
    cmaf_test_add(w, 120, 10, true); /* a second key frame: flags are said for each */
    cmaf_test_add(w, 80, 10, false);
    CLEAN_BUF struct buf out = BUF_EMPTY;
    struct segment ret;
    uint64_t start = 0;
    assert_int_equal(cmaf_writer_end(w, 1, 201, &out, &ret, &start), 0);
    struct cmaf_test_segment seg = {0};
    cmaf_test_read(buf_str(&out), &seg);
    const struct cmaf_test_sample expected[] = {{40, 40, 40, 10, 0x02000000},
                                                {80, 200, 40, 10, 0x01010000},
                                                {120, 120, 80, 10, 0x02000000},
                                                {200, 80, 1, 10, 0x01010000}};
    assert_int_equal(seg.count, 4);
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        assert_int_equal(seg.samples[i].dts, expected[i].dts);
        assert_int_equal(seg.samples[i].pts, expected[i].pts);
        assert_int_equal(seg.samples[i].duration, expected[i].duration);
        assert_int_equal(seg.samples[i].size, expected[i].size);
        assert_int_equal(seg.samples[i].flags, expected[i].flags);
    }
    assert_int_equal(ret.duration, 161);
    assert_int_equal(start, 40);
}

static void cmaf_test_audio(void **state)
{
    (void)state;
    CLEAN(cmaf_writer_free) struct cmaf_writer *w = NULL;
    assert_int_equal(cmaf_writer_new(48000, false, &w), 0);
    CLEAN_BUF struct buf out = BUF_EMPTY;
    uint8_t bytes[64] = {1};
    for (uint32_t i = 0; i < 10; i++) {
        struct cmaf_sample s = {bytes, 30 + i, (int64_t)i * 1024, 1024, false};
        assert_int_equal(cmaf_writer_add(w, &s), 0);
    }
    struct segment ret;
    uint64_t start = 9;
    assert_int_equal(cmaf_writer_end(w, 1, INT64_MIN, &out, &ret, &start), 0);
    assert_int_equal(start, 0);
    assert_int_equal(ret.duration, 10240);
    assert_int_equal(ret.key_size, 0);
    struct cmaf_test_segment seg = {0};
    cmaf_test_read(buf_str(&out), &seg);
    assert_int_equal(seg.trun_flags, 0x201); /* sizes only: 4 bytes a frame */
    assert_int_equal(seg.samples[9].dts, 9216);
    assert_int_equal(seg.samples[9].flags, 0x02000000);
}

/* A writer that went on and one that was started anew give the same bytes. */
static void cmaf_test_restart(void **state)
{
    (void)state;
    CLEAN(cmaf_writer_free) struct cmaf_writer *w = NULL;
    CLEAN(cmaf_writer_free) struct cmaf_writer *again = NULL;
    assert_int_equal(cmaf_writer_new(1000, true, &w), 0);
    assert_int_equal(cmaf_writer_new(1000, true, &again), 0);
    CLEAN_BUF struct buf first = BUF_EMPTY;
    CLEAN_BUF struct buf second = BUF_EMPTY;
    CLEAN_BUF struct buf anew = BUF_EMPTY;
    struct segment a;
    struct segment b;
    uint64_t start;
    cmaf_test_add(w, 0, 20, true);
    assert_int_equal(cmaf_writer_end(w, 1, 1000, &first, &a, &start), 0);
    cmaf_test_add(w, 1000, 20, true);
    cmaf_test_add(w, 2000, 21, false);
    assert_int_equal(cmaf_writer_end(w, 2, 3000, &second, &a, &start), 0);
    cmaf_test_add(again, 1000, 20, true);
    cmaf_test_add(again, 2000, 21, false);
    assert_int_equal(cmaf_writer_end(again, 2, 3000, &anew, &b, &start), 0);
    assert_true(str_eq(buf_str(&second), buf_str(&anew)));
    assert_true(digest_eq(&a.digest, &b.digest));
}

static void cmaf_test_refused(void **state)
{
    (void)state;
    CLEAN(cmaf_writer_free) struct cmaf_writer *w = NULL;
    CLEAN_BUF struct buf out = BUF_EMPTY;
    struct segment ret;
    uint64_t start = 0;
    uint8_t byte = 0;
    assert_int_equal(cmaf_writer_new(0, true, &w), -EINVAL);
    assert_int_equal(cmaf_writer_new(1000, true, &w), 0);
    assert_int_equal(cmaf_writer_end(w, 1, 5, &out, &ret, &start), -EINVAL); /* empty */
    struct cmaf_sample s = {&byte, 0, 0, 1, true};
    assert_int_equal(cmaf_writer_add(w, &s), -EINVAL); /* no bytes */
    s = (struct cmaf_sample){&byte, 1, -1, 1, true};
    assert_int_equal(cmaf_writer_add(w, &s), -EINVAL); /* tfdt has no sign */
    cmaf_test_add(w, 2000, 5, true);
    assert_int_equal(cmaf_writer_end(w, 1, 2000, &out, &ret, &start), -EINVAL); /* no time left */
    assert_int_equal(cmaf_writer_end(w, 1, 3000, &out, &ret, &start), 0);       /* still usable */
    s = (struct cmaf_sample){&byte, 1, 2000, 1, true};
    assert_int_equal(cmaf_writer_add(w, &s), -EINVAL); /* lies in the segment before */
    cmaf_test_add(w, 4000, 5, true);
    cmaf_test_add(w, 4000, 5, false);
    size_t before = out.size;
    assert_int_equal(cmaf_writer_end(w, 2, 9000, &out, &ret, &start), -EINVAL); /* same time */
    assert_int_equal(out.size, before);
    CLEAN(cmaf_writer_free) struct cmaf_writer *audio = NULL;
    assert_int_equal(cmaf_writer_new(1000, false, &audio), 0);
    cmaf_test_add(audio, 2000, 5, true);
    s = (struct cmaf_sample){&byte, 1, 1000, 1, true};
    assert_int_equal(cmaf_writer_add(audio, &s), -EINVAL);
}

static void cmaf_test_too_large(void **state)
{
    (void)state;
    CLEAN(cmaf_writer_free) struct cmaf_writer *w = NULL;
    CLEAN_BUF struct buf out = BUF_EMPTY;
    struct segment ret;
    uint64_t start = 0;
    assert_int_equal(cmaf_writer_new(1000, true, &w), 0);
    uint8_t *bytes = calloc(1, 64 << 20);
    assert_non_null(bytes);
    struct cmaf_sample s = {bytes, 64 << 20, 0, 1, true};
    assert_int_equal(cmaf_writer_add(w, &s),
                     0); /* the payload alone fits, with boxes it does not */
    assert_int_equal(cmaf_writer_end(w, 1, 9, &out, &ret, &start), -EFBIG);
    s = (struct cmaf_sample){bytes, 1, 1, 1, true};
    assert_int_equal(cmaf_writer_add(w, &s), -EFBIG);
    free(bytes);
}

static void cmaf_test_boxes(void **state)
{
    (void)state;
    char type[5];
    struct str body;
    struct str rest;
    assert_int_equal(cmaf_box(STR_NONE, type, &body, &rest), -ENOENT);
    static const struct {
        struct str bytes;
        int r;
        size_t body, rest;
    } cases[] = {
        {STR("\0\0\0\x09"), -EBADMSG, 0, 0},
        {STR("\0\0\0\x08 fre"), 0, 0, 0},
        {STR("\0\0\0\x09 freX!"), 0, 1, 1},
        {STR("\0\0\0\x09 fre"), -EBADMSG, 0, 0},
        {STR("\0\0\0\x07 freX"), -EBADMSG, 0, 0},
        {STR("\xff\xff\xff\xff freX"), -EBADMSG, 0, 0},
        {STR("\0\0\0\0 freXY"), 0, 2, 0}, /* to the end */
        {STR("\0\0\0\x01 fre\0\0\0\0\0\0\0\x11Xtail"), 0, 1, 4},
        {STR("\0\0\0\x01 fre\0\0\0\0\0\0\0\x0fX"), -EBADMSG, 0, 0},
        {STR("\0\0\0\x01 fre\xff\xff\xff\xff\xff\xff\xff\xff"), -EBADMSG, 0, 0},
        {STR("\0\0\0\x01 fre\0\0\0"), -EBADMSG, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(cmaf_box(cases[i].bytes, type, &body, &rest), cases[i].r);
        if (cases[i].r < 0)
            continue;
        assert_string_equal(type, " fre");
        assert_int_equal(body.size, cases[i].body);
        assert_int_equal(rest.size, cases[i].rest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cmaf_test_b_frames), cmocka_unit_test(cmaf_test_uneven),
        cmocka_unit_test(cmaf_test_audio),    cmocka_unit_test(cmaf_test_restart),
        cmocka_unit_test(cmaf_test_refused),  cmocka_unit_test(cmaf_test_too_large),
        cmocka_unit_test(cmaf_test_boxes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
