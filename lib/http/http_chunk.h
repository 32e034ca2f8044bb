/* SPDX-License-Identifier: Apache-2.0 */
/* http_chunk: the chunked coding of HTTP/1.1, taken apart piece by piece where it lies; nothing is
 * copied. Stricter than many servers: what two of them may read differently is refused.
 *
 * Life:    a zeroed struct http_chunk; http_chunk_next until is_end; http_chunk_taken in between.
 * Owner:   the caller's memory.
 * Threads: any.
 * Errors:  -EBADMSG not this coding, or lines that are too long; -EAGAIN more bytes are needed.
 * Units:   bytes.
 * Source:  RFC 9112 section 7.1. */
#pragma once
#include "base/base.h"

#define HTTP_CHUNK_LINE_MAX     256u  /* a chunk's size with its extensions */
#define HTTP_CHUNK_TRAILERS_MAX 8192u /* all lines behind the last chunk; they are ignored */

struct http_chunk {
    uint64_t left;   /* of this chunk's bytes */
    uint32_t line;   /* bytes of the line that is read, or of all trailers */
    uint8_t state;   /* of http_chunk.c */
    uint8_t digits;  /* of the size */
    bool is_end;     /* behind the empty line */
    bool line_empty; /* a trailer line has nothing yet */
};

/* Skips framing at the front of data: *ret_used bytes of it are done with, in every case, and
 * behind them are *ret_size bytes of the body, which stay until http_chunk_taken. 0: there are
 * some, or is_end is set. */
MUST_USE int http_chunk_next(struct http_chunk *c, const uint8_t *data, size_t size,
                             size_t *ret_used, size_t *ret_size);
void http_chunk_taken(struct http_chunk *c, size_t size); /* of the body's bytes */
