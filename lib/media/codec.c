/* SPDX-License-Identifier: Apache-2.0 */
#include "media/codec.h"
#include <errno.h>

enum {
    CODEC_AVC_SPS = 7,
    CODEC_AVC_PPS = 8,
    CODEC_AVC_AUD = 9,
    CODEC_AVC_SPS_EXT = 13,
    CODEC_HEVC_VPS = 32,
    CODEC_HEVC_SPS = 33,
    CODEC_HEVC_PPS = 34,
    CODEC_HEVC_AUD = 35,
};

static uint8_t codec_byte(struct str s, size_t i)
{
    ASSERT(i < s.size);
    return (uint8_t)s.data[i];
}

/* The place of the next 00 00 01 at or behind `from`, or s.size. */
static size_t codec_start_code(struct str s, size_t from)
{
    const uint8_t *p = (const uint8_t *)s.data;
    size_t i = from;
    while (s.size >= 3 && i <= s.size - 3) {
        if (p[i + 2] > 1)
            i += 3; /* none of these three can begin a start code */
        else if (p[i] == 0 && p[i + 1] == 0 && p[i + 2] == 1)
            return i;
        else
            i++;
    }
    return s.size;
}

/* Cuts the next unit off an Annex B stream: -ENOENT at the end, -EBADMSG when it does not begin
 * with a start code. Empty units come out as such. */
static int codec_next_nal(struct str *stream, struct str *ret)
{
    if (stream->size == 0)
        return -ENOENT;
    size_t at = codec_start_code(*stream, 0);
    for (size_t i = 0; i < at; i++) {
        if (stream->data[i] != 0) /* only zeros may lead a start code */
            return -EBADMSG;
    }
    if (at == stream->size)
        return -ENOENT; /* zeros at the end */
    size_t begin = at + 3;
    size_t end = codec_start_code(*stream, begin);
    struct str nal = {stream->data + begin, end - begin};
    while (nal.size > 0 && nal.data[nal.size - 1] == 0)
        nal.size--; /* trailing_zero_8bits; a unit itself never ends in zero */
    *stream = str_skip(*stream, end);
    *ret = nal;
    return 0;
}

static int codec_nal_type(struct str nal, enum codec_nal kind)
{
    uint8_t first = codec_byte(nal, 0);
    return kind == CODEC_NAL_AVC ? first & 31 : first >> 1 & 63;
}

static bool codec_is_annexb(struct str s)
{
    return str_starts(s, STR("\0\0\1")) || str_starts(s, STR("\0\0\0\1"));
}

/* The first unit of a type in an Annex B stream. */
static int codec_find_nal(struct str stream, enum codec_nal kind, int type, struct str *ret)
{
    struct str nal;
    while (codec_next_nal(&stream, &nal) == 0) {
        if (nal.size > 0 && codec_nal_type(nal, kind) == type) {
            *ret = nal;
            return 0;
        }
    }
    return -EBADMSG;
}

/* Skips `count` units with 16-bit lengths. */
static int codec_skip_units(struct str *s, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (s->size < 2)
            return -EBADMSG;
        size_t size = (size_t)codec_byte(*s, 0) << 8 | codec_byte(*s, 1);
        if (size > s->size - 2)
            return -EBADMSG;
        *s = str_skip(*s, 2 + size);
    }
    return 0;
}

/* avcC: version, profile, compatibility, level, length size, SPS count and SPS, PPS count and PPS;
 * what high profiles add behind is not needed here. */
static int codec_check_avcc(struct str s)
{
    if (s.size < 7 || codec_byte(s, 0) != 1)
        return -EBADMSG;
    unsigned sps = codec_byte(s, 5) & 31;
    struct str rest = str_skip(s, 6);
    int r = codec_skip_units(&rest, sps);
    if (r < 0)
        return r;
    if (rest.size < 1)
        return -EBADMSG;
    unsigned pps = codec_byte(rest, 0);
    rest = str_skip(rest, 1);
    return codec_skip_units(&rest, pps);
}

int codec_avc(struct str avcc_or_annexb, struct buf *out)
{
    ASSERT(out != NULL);
    struct str three; /* profile_idc, constraint flags, level_idc: in the SPS as in avcC */
    if (codec_is_annexb(avcc_or_annexb)) {
        struct str sps;
        int r = codec_find_nal(avcc_or_annexb, CODEC_NAL_AVC, CODEC_AVC_SPS, &sps);
        if (r < 0)
            return r;
        three = str_skip(sps, 1);
    } else {
        int r = codec_check_avcc(avcc_or_annexb);
        if (r < 0)
            return r;
        three = str_skip(avcc_or_annexb, 1);
    }
    if (three.size < 3)
        return -EBADMSG;
    /* The emulation prevention byte cannot fall inside: profile_idc is never 0. */
    if (codec_byte(three, 0) == 0)
        return -EBADMSG;
    buf_printf(out, "avc1.%02x%02x%02x", codec_byte(three, 0), codec_byte(three, 1),
               codec_byte(three, 2));
    return buf_error(out);
}

/* Copies a unit's first bytes without emulation prevention (00 00 03); -EBADMSG when too short. */
static int codec_unescape(struct str nal, uint8_t *out, size_t size)
{
    size_t at = 0;
    unsigned zeros = 0;
    for (size_t i = 0; i < nal.size && at < size; i++) {
        uint8_t b = codec_byte(nal, i);
        if (zeros >= 2 && b == 3) {
            zeros = 0;
            continue;
        }
        zeros = b == 0 ? zeros + 1 : 0;
        out[at++] = b;
    }
    return at == size ? 0 : -EBADMSG;
}

static uint32_t codec_reverse_bits(uint32_t v)
{
    uint32_t out = 0;
    for (unsigned i = 0; i < 32; i++)
        out |= (v >> i & 1) << (31 - i);
    return out;
}

/* general_profile_space .. general_level_idc: 12 bytes, alike in hvcC and in the SPS. */
static void codec_put_hevc(const uint8_t *ptl, struct buf *out)
{
    unsigned space = ptl[0] >> 6;
    buf_puts(out, "hvc1.");
    if (space > 0)
        buf_putc(out, (char)('A' + (int)space - 1));
    uint32_t compatibility =
        (uint32_t)ptl[1] << 24 | (uint32_t)ptl[2] << 16 | (uint32_t)ptl[3] << 8 | ptl[4];
    buf_printf(out, "%u.%X.%c%u", ptl[0] & 31u, codec_reverse_bits(compatibility),
               (ptl[0] & 0x20) != 0 ? 'H' : 'L', ptl[11]);
    unsigned constraints = 6;
    while (constraints > 0 && ptl[5 + constraints - 1] == 0)
        constraints--; /* trailing zero bytes may be left out */
    for (unsigned i = 0; i < constraints; i++)
        buf_printf(out, ".%X", ptl[5 + i]);
}

int codec_hevc(struct str hvcc_or_annexb, struct buf *out)
{
    ASSERT(out != NULL);
    uint8_t head[15]; /* SPS: 2 bytes of unit header, 1 of ids, then the 12 */
    if (codec_is_annexb(hvcc_or_annexb)) {
        struct str sps;
        int r = codec_find_nal(hvcc_or_annexb, CODEC_NAL_HEVC, CODEC_HEVC_SPS, &sps);
        if (r < 0)
            return r;
        r = codec_unescape(sps, head, sizeof head);
        if (r < 0)
            return r;
    } else {
        /* Version 0 is what encoders wrote before the format was final; the fields are the same. */
        if (hvcc_or_annexb.size < 23 || codec_byte(hvcc_or_annexb, 0) > 1)
            return -EBADMSG;
        memcpy(head + 3, hvcc_or_annexb.data + 1, 12);
    }
    if ((head[3] & 31) == 0 || head[14] == 0)
        return -EBADMSG;
    codec_put_hevc(head + 3, out);
    return buf_error(out);
}

int codec_aac(struct str asc, struct buf *out)
{
    ASSERT(out != NULL);
    if (asc.size < 2)
        return -EBADMSG;
    unsigned bits = (unsigned)codec_byte(asc, 0) << 8 | codec_byte(asc, 1);
    unsigned type = bits >> 11;
    unsigned rate = bits >> 7 & 15;
    if (type == 31) { /* escape: 32 + the next 6 bits */
        if (asc.size < 3)
            return -EBADMSG;
        type = 32 + (bits >> 5 & 63);
        rate = (bits << 8 | codec_byte(asc, 2)) >> 9 & 15;
    }
    if (type == 0 || rate == 13 || rate == 14) /* reserved */
        return -EBADMSG;
    buf_printf(out, "mp4a.40.%u", type);
    return buf_error(out);
}

static bool codec_is_dropped(struct str nal, enum codec_nal kind, bool drop_parameter_sets)
{
    int type = codec_nal_type(nal, kind);
    if (kind == CODEC_NAL_AVC) {
        bool set = type == CODEC_AVC_SPS || type == CODEC_AVC_PPS || type == CODEC_AVC_SPS_EXT;
        return type == CODEC_AVC_AUD || (drop_parameter_sets && set);
    }
    bool set = type == CODEC_HEVC_VPS || type == CODEC_HEVC_SPS || type == CODEC_HEVC_PPS;
    return type == CODEC_HEVC_AUD || (drop_parameter_sets && set);
}

int codec_annexb_to_lengths(struct str annexb, enum codec_nal kind, bool drop_parameter_sets,
                            struct buf *out)
{
    ASSERT(out != NULL);
    size_t before = out->size;
    struct str nal;
    int r;
    while ((r = codec_next_nal(&annexb, &nal)) == 0) {
        if (nal.size == 0)
            continue;
        bool too_short = kind == CODEC_NAL_HEVC && nal.size < 2;
        if (too_short || (codec_byte(nal, 0) & 0x80) != 0 || nal.size > UINT32_MAX) {
            r = -EBADMSG; /* forbidden_zero_bit */
            break;
        }
        if (codec_is_dropped(nal, kind, drop_parameter_sets))
            continue;
        uint32_t size = (uint32_t)nal.size;
        uint8_t length[4] = {(uint8_t)(size >> 24), (uint8_t)(size >> 16), (uint8_t)(size >> 8),
                             (uint8_t)size};
        buf_put(out, length, sizeof length);
        buf_put_str(out, nal);
    }
    if (r == -ENOENT)
        return buf_error(out);
    if (buf_error(out) == 0 && out->data != NULL) { /* nothing half done is left behind */
        out->size = before;
        out->data[before] = 0;
    }
    return r;
}
