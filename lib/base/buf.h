/* SPDX-License-Identifier: Apache-2.0 */
/* buf: a growing byte buffer for text that we write: playlists, JSON, metrics, log lines.
 *
 * Life:    = {0} or BUF_EMPTY -> buf_put* -> buf_free (or buf_take: the bytes change hands).
 * Owner:   whoever holds the struct.
 * Threads: one at a time.
 * Errors:  sticky: a failed append (-ENOMEM, or -EFBIG past BUF_SIZE_MAX) is kept, later appends do
 *          nothing, buf_error() tells; so writers need one check at the end.
 * Units:   bytes; data is kept zero-terminated (the zero is not counted in size). */
#pragma once
#include "base/str.h"

#define BUF_SIZE_MAX ((size_t)256 << 20) /* 256 MiB: more is a runaway writer */

struct buf {
    char *data;
    size_t size;
    size_t cap_size;
    int error;
};

#define BUF_EMPTY ((struct buf){NULL, 0, 0, 0})

void buf_put(struct buf *b, const void *data, size_t size);
void buf_puts(struct buf *b, const char *text);
void buf_putc(struct buf *b, char c);
void buf_put_str(struct buf *b, struct str s);
void buf_printf(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);

/* Appends s as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void buf_put_json_string(struct buf *b, struct str s);

/* Appends s with & < > " ' as XML entities; control characters that XML 1.0 forbids are dropped. */
void buf_put_xml(struct buf *b, struct str s);

struct str buf_str(const struct buf *b);
MUST_USE int buf_error(const struct buf *b); /* 0, -ENOMEM or -EFBIG */
void buf_clear(struct buf *b);               /* keeps the memory, forgets the error */
char *buf_take(struct buf *b); /* caller frees; NULL after an error; b is empty then */
void buf_free(struct buf *b);

static inline void buf_free_p(struct buf *b)
{
    buf_free(b);
}
#define CLEAN_BUF __attribute__((cleanup(buf_free_p)))
