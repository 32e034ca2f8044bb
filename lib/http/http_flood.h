/* SPDX-License-Identifier: Apache-2.0 */
/* http_flood: whether what a client sends on a connection is use or attack: frames of HTTP/2 are
 * counted by kind within windows of time, header blocks by size, new keys of TLS 1.3.
 *
 * Life:    a zeroed struct http_flood per connection; http_frame_read, then http_flood_frame for
 *          each frame in its order.
 * Owner:   the connection.
 * Threads: its worker's.
 * Errors:  http_frame_read: -EAGAIN the bytes are not all here.
 * Units:   bytes, milliseconds.
 * Source:  RFC 9113 sections 4.1, 6.2 and 10.5; RFC 7541 section 6 (fields);
 *          CVE-2023-44487 (rapid reset), CVE-2019-9512 to 9518, CVE-2024-27316 (CONTINUATION),
 *          CVE-2025-8671 (resets that the server is made to send);
 *          RFC 8446 section 4.6.3 (KeyUpdate). */
#pragma once
#include "base/base.h"

#define HTTP_FRAME_HEAD 9

enum http_frame_type {
    HTTP_FRAME_DATA = 0,
    HTTP_FRAME_HEADERS = 1,
    HTTP_FRAME_PRIORITY = 2,
    HTTP_FRAME_RST_STREAM = 3,
    HTTP_FRAME_SETTINGS = 4,
    HTTP_FRAME_PUSH_PROMISE = 5,
    HTTP_FRAME_PING = 6,
    HTTP_FRAME_GOAWAY = 7,
    HTTP_FRAME_WINDOW_UPDATE = 8,
    HTTP_FRAME_CONTINUATION = 9,
    HTTP_FRAME_OTHER = 10, /* all that are not known */
};

#define HTTP_FRAME_END_STREAM  0x1u
#define HTTP_FRAME_END_HEADERS 0x4u
#define HTTP_FRAME_PADDED      0x8u
#define HTTP_FRAME_PRIORITIES  0x20u

struct http_frame {
    enum http_frame_type type;
    uint8_t flags;
    uint32_t length; /* of the payload */
    uint32_t stream;
    uint32_t amount;       /* DATA: without its padding; WINDOW_UPDATE: the increment */
    const uint8_t *fields; /* HEADERS, CONTINUATION: of the header block, in data */
    uint32_t fields_size;
};

/* A whole frame at the front of data; what it takes there is HTTP_FRAME_HEAD + length. */
MUST_USE int http_frame_read(const uint8_t *data, size_t size, struct http_frame *ret);

/* How many of a kind a client may send within HTTP_FLOOD_MS. */
#define HTTP_FLOOD_MS      10000u
#define HTTP_RESETS_MAX    200u  /* a player that seeks takes back a few; a flood thousands */
#define HTTP_SETTINGS_MAX  40u   /* each is answered */
#define HTTP_PINGS_MAX     400u  /* each is answered; some clients measure their path with them */
#define HTTP_PRIORITY_MAX  1000u /* each moves a node of the scheduler's tree */
#define HTTP_EMPTY_MAX     200u  /* DATA with next to nothing in it */
#define HTTP_WINDOWS_MAX   4000u /* small WINDOW_UPDATEs, beside those that are explained: */
#define HTTP_WINDOWS_EACH  8u    /* ... so many by each request */
#define HTTP_WINDOWS_BYTES 128u  /* ... one by so many bytes that were sent */
#define HTTP_OTHERS_MAX    1000u /* unknown ones are ignored; some clients send a few to test it */
#define HTTP_KEYS_MAX      100u  /* a KeyUpdate of 27 bytes costs us 10 to 20 us; a key lasts GBs */
#define HTTP_WINDOW_SMALL  1024u /* an increment below this */
#define HTTP_DATA_SMALL    16u   /* a DATA frame with less than this and more to come */
#define HTTP_CONTINUES_MAX 16u   /* frames of one header block */
#define HTTP_FIELDS_MAX    256u  /* of one header block: a byte can name one of 4 KB (a bomb) */

enum http_flood_kind {
    HTTP_FLOOD_NONE,
    HTTP_FLOOD_RESETS,
    HTTP_FLOOD_SETTINGS,
    HTTP_FLOOD_PINGS,
    HTTP_FLOOD_PRIORITY,
    HTTP_FLOOD_DATA,
    HTTP_FLOOD_HEADERS,
    HTTP_FLOOD_WINDOWS,
    HTTP_FLOOD_OTHERS,
    HTTP_FLOOD_KEYS,
    HTTP_FLOOD_KINDS
};

/* Counts the fields of a header block as its bytes come, by their lengths: nothing is decoded. */
struct http_fields {
    uint32_t count;
    uint32_t left;   /* bytes of a string to skip; the length while it is read */
    uint8_t state;   /* of http_flood.c; 0: a field begins */
    uint8_t strings; /* of this field, to come */
    uint8_t shift;
};

/* False: too many, or a length that no frame has. */
bool http_fields_walk(struct http_fields *f, const uint8_t *data, size_t size);

struct http_flood {
    uint64_t since_ms;
    uint64_t sent;     /* at since_ms */
    uint64_t frames;   /* since the connection's start */
    uint32_t requests; /* HEADERS, within the window; so all that follow */
    uint32_t counts[HTTP_FLOOD_KINDS];
    uint32_t block_size;   /* of the header block that is open */
    uint32_t block_frames; /* 0: none is open */
    uint32_t header_size_max;
    struct http_fields fields; /* of that block */
};

/* Counts a frame: what kind of flood it is part of, if the client has gone too far. sent: bytes to
 * the client since the connection's start. */
enum http_flood_kind http_flood_frame(struct http_flood *f, const struct http_frame *frame,
                                      uint64_t now_ms, uint64_t sent);

/* A stream ended before its time for another reason than the client's RST_STREAM. */
bool http_flood_reset(struct http_flood *f, uint64_t now_ms); /* true: too many */

/* The client has a new key. */
bool http_flood_key(struct http_flood *f, uint64_t now_ms); /* true: too many */
