/* SPDX-License-Identifier: Apache-2.0 */
/* What we see and do inside the library's HTTP/2. Its connection calls _read_expect with the
 * decrypted input for each frame; we put a function of ours there, which counts the frame, hands it
 * on to the library's, and takes its place again. libh2o 2.2.5 lacks, and so has from here:
 *
 *   - a count of frames that cost the server more than the client (http_flood.h);
 *   - a limit of a header block that is told in pieces;
 *   - silence about frames that it does not know: it prints a line for each;
 *   - an end of its loop when a CONTINUATION comes behind a GOAWAY of ours: it consumes nothing;
 *   - bodies that a handler takes as they come (http_intake_h2.c). */
#include <h2o.h>
#include <h2o/http2.h>
#include <h2o/http2_internal.h>
#include "base/clock.h"
#include "http/http_priv.h"

#define H2_CANCEL 8 /* RFC 9113 section 7 */

static enum http_cut http_h2_cut_of(enum http_flood_kind kind)
{
    static const enum http_cut cuts[HTTP_FLOOD_KINDS] = {
        [HTTP_FLOOD_RESETS] = HTTP_CUT_RESETS,   [HTTP_FLOOD_SETTINGS] = HTTP_CUT_SETTINGS,
        [HTTP_FLOOD_PINGS] = HTTP_CUT_PINGS,     [HTTP_FLOOD_PRIORITY] = HTTP_CUT_PRIORITY,
        [HTTP_FLOOD_DATA] = HTTP_CUT_DATA,       [HTTP_FLOOD_HEADERS] = HTTP_CUT_HEADERS,
        [HTTP_FLOOD_WINDOWS] = HTTP_CUT_WINDOWS, [HTTP_FLOOD_OTHERS] = HTTP_CUT_OTHERS,
        [HTTP_FLOOD_KEYS] = HTTP_CUT_KEYS,
    };
    return cuts[kind];
}

/* The library's turn. It may set what comes next, which then is called through us again. */
static ssize_t http_h2_hand_on(struct http_conn *c, h2o_http2_conn_t *conn, const uint8_t *src,
                               size_t size, const char **why)
{
    ssize_t (*ours)(h2o_http2_conn_t *, const uint8_t *, size_t, const char **) =
        conn->_read_expect;
    conn->_read_expect = c->h2_expect;
    ssize_t used = conn->_read_expect(conn, src, size, why);
    c->h2_expect = conn->_read_expect;
    conn->_read_expect = ours;
    if (used != 0)
        return used;
    *why = "a frame behind the end";
    return H2O_HTTP2_ERROR_PROTOCOL;
}

static ssize_t http_h2_expect(h2o_http2_conn_t *conn, const uint8_t *src, size_t size,
                              const char **why)
{
    struct http_conn *c = http__conn_of_socket(conn->sock);
    ASSERT(c != NULL);
    ASSERT(c->h2 == conn);
    struct http_frame frame;
    http__watch_conn(c);
    if (!c->h2_prefaced) { /* the connection preface is no frame */
        ssize_t used = http_h2_hand_on(c, conn, src, size, why);
        c->h2_prefaced = used > 0;
        return used;
    }
    if (http_frame_read(src, size, &frame) < 0)
        return http_h2_hand_on(c, conn, src, size, why); /* finds out if it is too large */
    enum http_flood_kind kind =
        http_flood_frame(&c->flood, &frame, clock_mono_ms(), c->sock->bytes_written);
    if (kind != HTTP_FLOOD_NONE) {
        http__conn_count_cut(c, http_h2_cut_of(kind));
        *why = "too much of it";
        return H2O_HTTP2_ERROR_ENHANCE_YOUR_CALM;
    }
    if (frame.type == HTTP_FRAME_OTHER && c->flood.block_frames == 0 &&
        frame.length <= H2O_HTTP2_SETTINGS_HOST.max_frame_size)
        return (ssize_t)(HTTP_FRAME_HEAD + frame.length);
    if (http__intake_frame(c, &frame, src + HTTP_FRAME_HEAD))
        return (ssize_t)(HTTP_FRAME_HEAD + frame.length);
    bool is_head = frame.type == HTTP_FRAME_HEADERS || frame.type == HTTP_FRAME_CONTINUATION;
    c->in_reset = frame.type == HTTP_FRAME_RST_STREAM;
    ssize_t used = http_h2_hand_on(c, conn, src, size, why);
    if (c->in_reset)
        http__intake_forget(c, frame.stream);
    c->in_reset = false;
    if (used < 0 || !is_head || (frame.flags & HTTP_FRAME_END_HEADERS) == 0 ||
        !c->worker->server->router.streams)
        return used;
    uint8_t end[HTTP_FRAME_HEAD];
    if (!http__intake_begin(c, frame.stream, end))
        return used;
    ssize_t r = http_h2_hand_on(c, conn, end, sizeof end, why);
    return r < 0 ? r : used;
}

void http__h2_hook(struct http_conn *c)
{
    h2o_http2_conn_t *conn = c->sock->data;
    ASSERT(conn != NULL);
    ASSERT(conn->sock == c->sock);
    c->h2 = conn;
    http__recycle_learn(c->worker, conn);
    c->h2_expect = conn->_read_expect;
    conn->_read_expect = http_h2_expect;
}

bool http__h2_bye(struct http_conn *c)
{
    h2o_http2_conn_t *conn = c->h2;
    if (conn->state != H2O_HTTP2_CONN_STATE_OPEN || h2o_socket_is_writing(c->sock))
        return false;
    h2o_http2_encode_goaway_frame(&conn->_write.buf, conn->pull_stream_ids.max_open, 0,
                                  (h2o_iovec_t){NULL, 0});
    h2o_http2_conn_request_write(conn);
    conn->state = H2O_HTTP2_CONN_STATE_HALF_CLOSED; /* closed once this is written */
    return true;
}

/* Whether the library writes on once the kernel takes more: its buffer had no room for all that
 * streams have. A stream that waits for the connection's window is active, too: what is behind it
 * waits for the client, and the client perhaps for the last bytes of what it has granted. */
bool http__h2_has_more(const struct http_conn *c)
{
    h2o_http2_conn_t *conn = c->h2;
    return conn->state == H2O_HTTP2_CONN_STATE_OPEN && conn->_write.window._avail > 0 &&
           h2o_http2_scheduler_is_active(&conn->scheduler) != 0;
}

/* A frame, or a header block, of which a part is here; *ret_mark changes as frames are completed.
 */
bool http__h2_is_partial(const struct http_conn *c, uint64_t *ret_mark)
{
    const h2o_http2_conn_t *conn = c->h2;
    if (c->flood.block_frames > 0) {
        *ret_mark = 0; /* the pieces of one block are no progress */
        return true;
    }
    *ret_mark = c->flood.frames + 1;
    return conn->sock->input->size > 0;
}

bool http__h2_is_receiving(const struct http_conn *c)
{
    const h2o_http2_conn_t *conn = c->h2;
    return conn->num_streams.pull.open > conn->num_streams.pull.half_closed;
}

/* --- streams ---------------------------------------------------------------------------------- */

static h2o_http2_stream_t *http_h2_stream(h2o_req_t *h2o)
{
    return CONTAINER_OF(h2o, h2o_http2_stream_t, req);
}

struct http_conn *http__h2_receiving(h2o_req_t *h2o, size_t *ret_size)
{
    const h2o_http2_stream_t *stream = http_h2_stream(h2o);
    if (stream->state != H2O_HTTP2_STREAM_STATE_RECV_HEADERS &&
        stream->state != H2O_HTTP2_STREAM_STATE_RECV_BODY)
        return NULL;
    *ret_size = stream->_req_body != NULL ? stream->_req_body->size : 0;
    return http__conn_of(h2o);
}

bool http__h2_is_blocked(h2o_req_t *h2o)
{
    const h2o_http2_stream_t *stream = http_h2_stream(h2o);
    const h2o_http2_conn_t *conn = (const h2o_http2_conn_t *)(const void *)h2o->conn;
    return stream->output_window._avail <= 0 || conn->_write.window._avail <= 0;
}

/* As if the client had sent it, and told to the client. */
void http__h2_reset(h2o_req_t *h2o)
{
    h2o_http2_stream_t *stream = http_h2_stream(h2o);
    h2o_http2_conn_t *conn = (h2o_http2_conn_t *)(void *)h2o->conn;
    if (conn->state >= H2O_HTTP2_CONN_STATE_IS_CLOSING)
        return;
    h2o_http2__encode_rst_stream_frame(&conn->_write.buf, stream->stream_id, H2_CANCEL);
    h2o_http2_stream_reset(conn, stream);
    h2o_http2_conn_request_write(conn);
}
