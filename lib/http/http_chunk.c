/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http_chunk.h"
#include <errno.h>

#define HTTP_CHUNK_DIGITS_MAX 15 /* so that no sum overflows */

enum {
    CHUNK_SIZE,      /* its digits */
    CHUNK_EXTENSION, /* behind a ';': ignored */
    CHUNK_SIZE_LF,   /* behind the size's carriage return */
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER,
    CHUNK_TRAILER_LF,
};

static int http_chunk_digit(uint8_t b)
{
    if (b >= '0' && b <= '9')
        return b - '0';
    b |= 0x20;
    return b >= 'a' && b <= 'f' ? b - 'a' + 10 : -1;
}

static int http_chunk_size(struct http_chunk *c, uint8_t b)
{
    int digit = http_chunk_digit(b);
    if (digit >= 0 && c->digits < HTTP_CHUNK_DIGITS_MAX) {
        c->left = c->left * 16 + (unsigned)digit;
        c->digits++;
        return 0;
    }
    if (c->digits == 0 || digit >= 0)
        return -EBADMSG;
    if (b == '\r')
        c->state = CHUNK_SIZE_LF;
    else if (b == ';')
        c->state = CHUNK_EXTENSION;
    else
        return -EBADMSG; /* also spaces: what they mean is told differently */
    return 0;
}

static int http_chunk_trailer(struct http_chunk *c, uint8_t b)
{
    if (b == '\r') {
        c->state = CHUNK_TRAILER_LF;
        return 0;
    }
    c->line_empty = false;
    return (b < ' ' && b != '\t') || b == 0x7f ? -EBADMSG : 0;
}

/* One byte of framing. */
static int http_chunk_byte(struct http_chunk *c, uint8_t b)
{
    switch (c->state) {
    case CHUNK_SIZE:
        return http_chunk_size(c, b);
    case CHUNK_EXTENSION:
        if (b == '\r')
            c->state = CHUNK_SIZE_LF;
        return b != '\r' && ((b < ' ' && b != '\t') || b == 0x7f) ? -EBADMSG : 0;
    case CHUNK_SIZE_LF:
        c->state = c->left > 0 ? CHUNK_DATA : CHUNK_TRAILER;
        c->line = 0;
        c->digits = 0;
        c->line_empty = true;
        return b == '\n' ? 0 : -EBADMSG;
    case CHUNK_DATA_CR:
        c->state = CHUNK_DATA_LF;
        return b == '\r' ? 0 : -EBADMSG;
    case CHUNK_DATA_LF:
        c->state = CHUNK_SIZE;
        c->line = 0;
        return b == '\n' ? 0 : -EBADMSG;
    case CHUNK_TRAILER:
        return http_chunk_trailer(c, b);
    default:
        ASSERT(c->state == CHUNK_TRAILER_LF);
        c->is_end = c->line_empty;
        c->state = CHUNK_TRAILER;
        c->line_empty = true;
        return b == '\n' ? 0 : -EBADMSG;
    }
}

int http_chunk_next(struct http_chunk *c, const uint8_t *data, size_t size, size_t *ret_used,
                    size_t *ret_size)
{
    size_t used = 0;
    int r = 0;
    while (r == 0 && used < size && !c->is_end && c->state != CHUNK_DATA) {
        bool is_trailer = c->state == CHUNK_TRAILER || c->state == CHUNK_TRAILER_LF;
        c->line++;
        r = c->line > (is_trailer ? HTTP_CHUNK_TRAILERS_MAX : HTTP_CHUNK_LINE_MAX)
                ? -EBADMSG
                : http_chunk_byte(c, data[used]);
        used++;
    }
    *ret_used = used;
    *ret_size = 0;
    if (r < 0 || c->is_end)
        return r;
    if (c->state != CHUNK_DATA || used == size)
        return -EAGAIN;
    *ret_size = (size_t)MIN((uint64_t)(size - used), c->left);
    return 0;
}

void http_chunk_taken(struct http_chunk *c, size_t size)
{
    ASSERT(c->state == CHUNK_DATA || size == 0);
    ASSERT(size <= c->left);
    c->left -= size;
    if (c->state == CHUNK_DATA && c->left == 0)
        c->state = CHUNK_DATA_CR;
}
