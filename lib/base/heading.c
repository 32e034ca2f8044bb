/* SPDX-License-Identifier: Apache-2.0 */
#include "base/heading.h"
#include <errno.h>
#include <stdint.h>

/* The bytes of the character at the start of s by RFC 3629; 0: none. */
static size_t heading_character(struct str s, uint32_t *ret)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t first = (uint8_t)s.data[0];
    size_t size = first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (size == 0 || first > 0xf4 || size > s.size)
        return 0;
    uint32_t c = size == 1 ? first : first & (0x7fU >> size);
    for (size_t i = 1; i < size; i++) {
        uint8_t next = (uint8_t)s.data[i];
        if ((next & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (next & 0x3fU);
    }
    if (c < least[size] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    *ret = c;
    return size;
}

int heading_check(struct str title, struct err *err)
{
    size_t count = 0, size = 0;
    for (struct str rest = title; rest.size > 0; rest = str_skip(rest, size)) {
        uint32_t c = 0;
        size = heading_character(rest, &c);
        if (size == 0 || c < 0x20 || (c >= 0x7f && c < 0xa0))
            count = HEADING_MAX;
        if (++count > HEADING_MAX)
            break;
    }
    if (count >= 1 && count <= HEADING_MAX)
        return 0;
    return err_set(err, -EINVAL,
                   "the title must have 1 to %d characters of UTF-8, none of them a control "
                   "character",
                   HEADING_MAX);
}
