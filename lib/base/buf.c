/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Makes room for size more bytes and the zero behind them. */
static bool buf_reserve(struct buf *b, size_t size)
{
    ASSERT(b != NULL);
    if (b->error != 0)
        return false;
    if (size > BUF_SIZE_MAX - b->size) {
        b->error = -EFBIG;
        return false;
    }
    size_t need = b->size + size + 1;
    if (need <= b->cap_size)
        return true;
    size_t cap = MAX(b->cap_size * 2, (size_t)256);
    cap = MAX(cap, need);
    char *data = realloc(b->data, cap);
    if (data == NULL) {
        b->error = -ENOMEM;
        return false;
    }
    b->data = data;
    b->cap_size = cap;
    return true;
}

void buf_put(struct buf *b, const void *data, size_t size)
{
    if (!buf_reserve(b, size))
        return;
    ASSERT(b->data != NULL);
    if (size > 0)
        memcpy(b->data + b->size, data, size);
    b->size += size;
    b->data[b->size] = 0;
}

void buf_puts(struct buf *b, const char *text)
{
    buf_put(b, text, strlen(text));
}

void buf_putc(struct buf *b, char c)
{
    buf_put(b, &c, 1);
}

void buf_put_str(struct buf *b, struct str s)
{
    buf_put(b, s.data, s.size);
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list list;
    va_list again;
    va_start(list, format);
    va_copy(again, list);
    int size = vsnprintf(NULL, 0, format, list);
    va_end(list);
    ASSERT(size >= 0);
    if (buf_reserve(b, (size_t)size)) {
        (void)vsnprintf(b->data + b->size, (size_t)size + 1, format, again); /* measured above */
        b->size += (size_t)size;
    }
    va_end(again);
}

/* The length of the UTF-8 sequence at s (RFC 3629: no overlongs, surrogates or > U+10FFFF), or 0.
 */
static size_t buf_utf8_length(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.data;
    if (p[0] < 0x80)
        return 1;
    size_t length = p[0] >= 0xc2 && p[0] <= 0xdf ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : 0;
    if (p[0] >= 0xf0 && p[0] <= 0xf4)
        length = 4;
    if (length == 0 || s.size < length)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return length;
}

void buf_put_json_string(struct buf *b, struct str s)
{
    buf_putc(b, '"');
    while (s.size > 0) {
        size_t length = buf_utf8_length(s);
        unsigned char c = (unsigned char)s.data[0];
        if (length == 0) {
            buf_puts(b, "\\ufffd");
            length = 1;
        } else if (c == '"' || c == '\\') {
            buf_putc(b, '\\');
            buf_putc(b, (char)c);
        } else if (c < 0x20 || c == 0x7f) {
            buf_printf(b, "\\u%04x", c);
        } else {
            buf_put(b, s.data, length);
        }
        s = str_skip(s, length);
    }
    buf_putc(b, '"');
}

void buf_put_xml(struct buf *b, struct str s)
{
    for (size_t i = 0; i < s.size; i++) {
        char c = s.data[i];
        switch (c) {
        case '&':
            buf_puts(b, "&amp;");
            break;
        case '<':
            buf_puts(b, "&lt;");
            break;
        case '>':
            buf_puts(b, "&gt;");
            break;
        case '"':
            buf_puts(b, "&quot;");
            break;
        case '\'':
            buf_puts(b, "&apos;");
            break;
        default:
            if ((unsigned char)c >= 0x20 || c == '\t' || c == '\n')
                buf_putc(b, c);
        }
    }
}

struct str buf_str(const struct buf *b)
{
    return (struct str){b->data, b->size};
}

int buf_error(const struct buf *b)
{
    return b->error;
}

void buf_clear(struct buf *b)
{
    b->size = 0;
    b->error = 0;
    if (b->data != NULL)
        b->data[0] = 0;
}

char *buf_take(struct buf *b)
{
    if (b->data == NULL)
        buf_put(b, "", 0);
    char *data = b->data;
    if (b->error != 0) {
        free(data);
        data = NULL;
    }
    *b = BUF_EMPTY;
    return data;
}

void buf_free(struct buf *b)
{
    free(b->data);
    *b = BUF_EMPTY;
}
