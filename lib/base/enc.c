/* SPDX-License-Identifier: Apache-2.0 */
#include "base/enc.h"
#include <errno.h>

void enc_hex(const uint8_t *data, size_t size, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        out[2 * i] = digits[data[i] >> 4];
        out[2 * i + 1] = digits[data[i] & 15];
    }
    out[2 * size] = 0;
}

/* 0..15, or -1; capitals only where the caller's format has them. */
static int enc_nibble(char c, bool capitals)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (capitals && c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int enc_unhex(struct str text, uint8_t *out, size_t size)
{
    if (text.size != 2 * size)
        return -EINVAL;
    for (size_t i = 0; i < size; i++) {
        int high = enc_nibble(text.data[2 * i], false);
        int low = enc_nibble(text.data[2 * i + 1], false);
        if (high < 0 || low < 0)
            return -EINVAL;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

static const char enc_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void enc_base64url(const void *data, size_t size, struct buf *out)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < size; i += 3) {
        size_t left = MIN(size - i, (size_t)3);
        uint32_t group = (uint32_t)p[i] << 16;
        if (left > 1)
            group |= (uint32_t)p[i + 1] << 8;
        if (left > 2)
            group |= p[i + 2];
        char four[4];
        for (unsigned k = 0; k < 4; k++)
            four[k] = enc_alphabet[group >> (18 - 6 * k) & 63];
        buf_put(out, four, left + 1);
    }
}

int enc_unbase64url(struct str text, struct buf *out)
{
    if (text.size % 4 == 1)
        return -EINVAL;
    uint32_t group = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < text.size; i++) {
        const char *at = text.data[i] == 0 ? NULL : strchr(enc_alphabet, text.data[i]);
        if (at == NULL)
            return -EINVAL;
        group = group << 6 | (uint32_t)(at - enc_alphabet);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            buf_putc(out, (char)(group >> bits & 255));
        }
        group &= (UINT32_C(1) << bits) - 1;
    }
    if (group != 0) /* bits left over must be zero, else two texts mean the same bytes */
        return -EINVAL;
    return buf_error(out);
}

void enc_percent(struct str text, struct buf *out)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_' || c == '~';
        if (plain)
            buf_putc(out, c);
        else
            buf_printf(out, "%%%02X", (unsigned)(unsigned char)c);
    }
}

int enc_unpercent(struct str text, struct buf *out)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] != '%') {
            buf_putc(out, text.data[i]);
            continue;
        }
        if (text.size - i < 3)
            return -EINVAL;
        int high = enc_nibble(text.data[i + 1], true);
        int low = enc_nibble(text.data[i + 2], true);
        if (high < 0 || low < 0 || (high == 0 && low == 0))
            return -EINVAL;
        buf_putc(out, (char)(high << 4 | low));
        i += 2;
    }
    return buf_error(out);
}

bool enc_query_find(struct str query, struct str key, struct str *ret)
{
    while (query.size > 0) {
        struct str value;
        struct str name = str_cut(str_cut(query, '&', &query), '=', &value);
        if (str_eq(name, key)) {
            *ret = value;
            return true;
        }
    }
    return false;
}
