/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http_flood.h"
#include <errno.h>
#include <string.h>

static uint32_t http_frame_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* What a DATA frame brings: its padding counts for nothing. Padding longer than the frame is an
 * error that the library finds. */
static uint32_t http_frame_data(const uint8_t *payload, const struct http_frame *f)
{
    if ((f->flags & HTTP_FRAME_PADDED) == 0)
        return f->length;
    uint32_t padding = f->length > 0 ? 1u + payload[0] : 0;
    return padding < f->length ? f->length - padding : 0;
}

/* HEADERS: what is left between the priority and the padding. */
static void http_frame_fields(const uint8_t *payload, struct http_frame *f)
{
    uint32_t before = 0, behind = 0;
    if (f->type == HTTP_FRAME_HEADERS && (f->flags & HTTP_FRAME_PADDED) != 0 && f->length > 0) {
        before = 1;
        behind = payload[0];
    }
    if (f->type == HTTP_FRAME_HEADERS && (f->flags & HTTP_FRAME_PRIORITIES) != 0)
        before += 5;
    if (before + behind > f->length)
        return; /* an error, which the library finds */
    f->fields = payload + before;
    f->fields_size = f->length - before - behind;
}

int http_frame_read(const uint8_t *data, size_t size, struct http_frame *ret)
{
    if (size < HTTP_FRAME_HEAD)
        return -EAGAIN;
    struct http_frame f = {
        .type = data[3] < HTTP_FRAME_OTHER ? (enum http_frame_type)data[3] : HTTP_FRAME_OTHER,
        .flags = data[4],
        .length = (uint32_t)data[0] << 16 | (uint32_t)data[1] << 8 | data[2],
        .stream = http_frame_u32(data + 5) & 0x7fffffffu,
    };
    if (size - HTTP_FRAME_HEAD < f.length)
        return -EAGAIN;
    const uint8_t *payload = data + HTTP_FRAME_HEAD;
    if (f.type == HTTP_FRAME_DATA)
        f.amount = http_frame_data(payload, &f);
    else if (f.type == HTTP_FRAME_WINDOW_UPDATE && f.length == 4)
        f.amount = http_frame_u32(payload) & 0x7fffffffu;
    else if (f.type == HTTP_FRAME_HEADERS || f.type == HTTP_FRAME_CONTINUATION)
        http_frame_fields(payload, &f);
    *ret = f;
    return 0;
}

/* --- fields ----------------------------------------------------------------------------------- */

enum {
    FIELDS_BEGIN,  /* a field's first byte */
    FIELDS_INDEX,  /* more bytes of an index or a size; nothing behind it */
    FIELDS_NAMED,  /* ... of an index that stands for the name: a string behind it */
    FIELDS_LENGTH, /* a string's first byte */
    FIELDS_MORE,   /* more bytes of its length */
    FIELDS_STRING, /* its bytes */
};

static void http_fields_begin(struct http_fields *f, uint8_t b)
{
    bool is_size = (b & 0xe0) == 0x20;
    if ((b & 0x80) != 0 || is_size) { /* a field of a table; a new size of it */
        uint8_t mask = is_size ? 0x1f : 0x7f;
        f->count += is_size ? 0 : 1;
        f->state = (b & mask) == mask ? FIELDS_INDEX : FIELDS_BEGIN;
        return;
    }
    uint8_t mask = (b & 0x40) != 0 ? 0x3f : 0x0f;
    f->count++;
    f->strings = (b & mask) == 0 ? 2 : 1;
    f->state = (b & mask) == mask ? FIELDS_NAMED : FIELDS_LENGTH;
}

static void http_fields_string_done(struct http_fields *f)
{
    f->strings--;
    f->state = f->strings > 0 ? FIELDS_LENGTH : FIELDS_BEGIN;
}

static void http_fields_length(struct http_fields *f, uint32_t length)
{
    f->left = length;
    f->state = FIELDS_STRING;
    if (length == 0)
        http_fields_string_done(f);
}

static bool http_fields_byte(struct http_fields *f, uint8_t b)
{
    switch (f->state) {
    case FIELDS_BEGIN:
        http_fields_begin(f, b);
        break;
    case FIELDS_INDEX:
    case FIELDS_NAMED:
        if ((b & 0x80) == 0)
            f->state = f->state == FIELDS_NAMED ? FIELDS_LENGTH : FIELDS_BEGIN;
        break;
    case FIELDS_LENGTH:
        f->shift = 0;
        f->left = 0x7f;
        if ((b & 0x7f) == 0x7f)
            f->state = FIELDS_MORE;
        else
            http_fields_length(f, b & 0x7f);
        break;
    default: /* FIELDS_MORE */
        if (f->shift > 21)
            return false; /* above 2^28 */
        f->left += (uint32_t)(b & 0x7f) << f->shift;
        f->shift = (uint8_t)(f->shift + 7);
        if ((b & 0x80) == 0)
            http_fields_length(f, f->left);
        break;
    }
    return f->count <= HTTP_FIELDS_MAX;
}

bool http_fields_walk(struct http_fields *f, const uint8_t *data, size_t size)
{
    size_t i = 0;
    while (i < size) {
        if (f->state != FIELDS_STRING) {
            if (!http_fields_byte(f, data[i++]))
                return false;
            continue;
        }
        size_t skip = MIN((size_t)f->left, size - i);
        i += skip;
        f->left -= (uint32_t)skip;
        if (f->left == 0)
            http_fields_string_done(f);
    }
    return true;
}

/* --- frames ----------------------------------------------------------------------------------- */

static bool http_flood_window(struct http_flood *f, uint64_t now_ms)
{
    if (f->since_ms != 0 && now_ms - f->since_ms < HTTP_FLOOD_MS)
        return false;
    f->since_ms = now_ms;
    f->requests = 0;
    memset(f->counts, 0, sizeof f->counts);
    return true;
}

static enum http_flood_kind http_flood_count(struct http_flood *f, enum http_flood_kind kind,
                                             uint32_t max)
{
    return ++f->counts[kind] > max ? kind : HTTP_FLOOD_NONE;
}

/* A header block in pieces is kept until its last one is here. */
static enum http_flood_kind http_flood_block(struct http_flood *f, const struct http_frame *frame)
{
    if (frame->type == HTTP_FRAME_HEADERS) {
        f->block_size = f->block_frames = 0;
        f->fields = (struct http_fields){0};
    }
    f->block_frames++;
    f->block_size += MIN(frame->length, UINT32_MAX - f->block_size);
    bool too_much = f->block_frames > HTTP_CONTINUES_MAX || f->block_size > f->header_size_max ||
                    !http_fields_walk(&f->fields, frame->fields, frame->fields_size);
    if ((frame->flags & HTTP_FRAME_END_HEADERS) != 0)
        f->block_size = f->block_frames = 0;
    return too_much ? HTTP_FLOOD_HEADERS : HTTP_FLOOD_NONE;
}

static enum http_flood_kind http_flood_update(struct http_flood *f, const struct http_frame *frame,
                                              uint64_t sent)
{
    if (frame->amount == 0) /* an error, which the library answers with a reset */
        return http_flood_count(f, HTTP_FLOOD_RESETS, HTTP_RESETS_MAX);
    if (frame->amount >= HTTP_WINDOW_SMALL)
        return HTTP_FLOOD_NONE;
    uint64_t explained = (uint64_t)f->requests * HTTP_WINDOWS_EACH +
                         (sent > f->sent ? sent - f->sent : 0) / HTTP_WINDOWS_BYTES;
    uint32_t max = HTTP_WINDOWS_MAX + (uint32_t)MIN(explained, UINT64_C(1) << 30);
    return http_flood_count(f, HTTP_FLOOD_WINDOWS, max);
}

enum http_flood_kind http_flood_frame(struct http_flood *f, const struct http_frame *frame,
                                      uint64_t now_ms, uint64_t sent)
{
    if (http_flood_window(f, now_ms))
        f->sent = sent;
    f->frames++;
    switch (frame->type) {
    case HTTP_FRAME_DATA:
        if (frame->amount >= HTTP_DATA_SMALL || (frame->flags & HTTP_FRAME_END_STREAM) != 0)
            return HTTP_FLOOD_NONE;
        return http_flood_count(f, HTTP_FLOOD_DATA, HTTP_EMPTY_MAX);
    case HTTP_FRAME_HEADERS:
        f->requests++;
        return http_flood_block(f, frame);
    case HTTP_FRAME_CONTINUATION:
        return http_flood_block(f, frame);
    case HTTP_FRAME_PRIORITY:
        return http_flood_count(f, HTTP_FLOOD_PRIORITY, HTTP_PRIORITY_MAX);
    case HTTP_FRAME_RST_STREAM:
        return http_flood_count(f, HTTP_FLOOD_RESETS, HTTP_RESETS_MAX);
    case HTTP_FRAME_SETTINGS:
        return http_flood_count(f, HTTP_FLOOD_SETTINGS, HTTP_SETTINGS_MAX);
    case HTTP_FRAME_PING:
        return http_flood_count(f, HTTP_FLOOD_PINGS, HTTP_PINGS_MAX);
    case HTTP_FRAME_WINDOW_UPDATE:
        return http_flood_update(f, frame, sent);
    case HTTP_FRAME_PUSH_PROMISE:
    case HTTP_FRAME_GOAWAY:
    case HTTP_FRAME_OTHER:
        break;
    }
    return http_flood_count(f, HTTP_FLOOD_OTHERS, HTTP_OTHERS_MAX);
}

bool http_flood_reset(struct http_flood *f, uint64_t now_ms)
{
    (void)http_flood_window(f, now_ms); /* what was sent counts from the next frame on */
    return http_flood_count(f, HTTP_FLOOD_RESETS, HTTP_RESETS_MAX) != HTTP_FLOOD_NONE;
}

bool http_flood_key(struct http_flood *f, uint64_t now_ms)
{
    (void)http_flood_window(f, now_ms); /* as above */
    return http_flood_count(f, HTTP_FLOOD_KEYS, HTTP_KEYS_MAX) != HTTP_FLOOD_NONE;
}
