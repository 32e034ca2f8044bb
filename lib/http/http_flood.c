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
    *ret = f;
    return 0;
}

static void http_flood_window(struct http_flood *f, uint64_t now_ms)
{
    if (f->since_ms != 0 && now_ms - f->since_ms < HTTP_FLOOD_MS)
        return;
    f->since_ms = now_ms;
    f->requests = 0;
    memset(f->counts, 0, sizeof f->counts);
}

static enum http_flood_kind http_flood_count(struct http_flood *f, enum http_flood_kind kind,
                                             uint32_t max)
{
    return ++f->counts[kind] > max ? kind : HTTP_FLOOD_NONE;
}

/* A header block in pieces is kept until its last one is here. */
static enum http_flood_kind http_flood_block(struct http_flood *f, const struct http_frame *frame)
{
    if (frame->type == HTTP_FRAME_HEADERS)
        f->block_size = f->block_frames = 0;
    f->block_frames++;
    f->block_size += MIN(frame->length, UINT32_MAX - f->block_size);
    bool too_much = f->block_frames > HTTP_CONTINUES_MAX || f->block_size > f->header_size_max;
    if ((frame->flags & HTTP_FRAME_END_HEADERS) != 0)
        f->block_size = f->block_frames = 0;
    return too_much ? HTTP_FLOOD_HEADERS : HTTP_FLOOD_NONE;
}

static enum http_flood_kind http_flood_update(struct http_flood *f, const struct http_frame *frame)
{
    if (frame->amount == 0) /* an error, which the library answers with a reset */
        return http_flood_count(f, HTTP_FLOOD_RESETS, HTTP_RESETS_MAX);
    if (frame->amount >= HTTP_WINDOW_SMALL)
        return HTTP_FLOOD_NONE;
    return http_flood_count(f, HTTP_FLOOD_WINDOWS,
                            HTTP_WINDOWS_MAX + MIN(f->requests, 1u << 24) * HTTP_WINDOWS_EACH);
}

enum http_flood_kind http_flood_frame(struct http_flood *f, const struct http_frame *frame,
                                      uint64_t now_ms)
{
    http_flood_window(f, now_ms);
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
        return http_flood_update(f, frame);
    case HTTP_FRAME_PUSH_PROMISE:
    case HTTP_FRAME_GOAWAY:
    case HTTP_FRAME_OTHER:
        break;
    }
    return http_flood_count(f, HTTP_FLOOD_OTHERS, HTTP_OTHERS_MAX);
}

bool http_flood_reset(struct http_flood *f, uint64_t now_ms)
{
    http_flood_window(f, now_ms);
    return http_flood_count(f, HTTP_FLOOD_RESETS, HTTP_RESETS_MAX) != HTTP_FLOOD_NONE;
}
