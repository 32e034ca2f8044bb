/* SPDX-License-Identifier: Apache-2.0 */
#include "media/codec.h"
#include <errno.h>
#include "fuzz.h"

/* The lengths must walk exactly to the end, and no unit may be empty. */
static void codec_check_lengths(struct str s)
{
    while (s.size > 0) {
        const uint8_t *p = (const uint8_t *)s.data;
        ASSERT(s.size > 4);
        size_t length = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
        ASSERT(length > 0);
        ASSERT(length <= s.size - 4);
        s = str_skip(s, 4 + length);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct str in = fuzz_str(data + 1, size - 1);
    CLEAN_BUF struct buf out = BUF_EMPTY;
    int r = 0;
    switch (data[0] & 7) {
    case 0:
        r = codec_avc(in, &out);
        break;
    case 1:
        r = codec_hevc(in, &out);
        break;
    case 2:
        r = codec_aac(in, &out);
        break;
    default:
        r = codec_annexb_to_lengths(in, (data[0] & 8) != 0 ? CODEC_NAL_HEVC : CODEC_NAL_AVC,
                                    (data[0] & 16) != 0, &out);
        codec_check_lengths(buf_str(&out));
    }
    ASSERT(r == 0 || r == -EBADMSG);
    if (r < 0)
        ASSERT(out.size == 0);
    return 0;
}
