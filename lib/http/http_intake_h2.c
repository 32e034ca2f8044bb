/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2: once the library has read the head of a request whose route takes its body piece by
 * piece, it is told that this was all of it, and calls the handler. The stream's DATA frames then
 * are ours, and so is its window: what a client may have on its way is what the handler has not
 * taken. The connection's window, which other streams need, is given back at once.
 *
 * When the request is answered before the body's end the stream is reset without blame (RFC 9113
 * section 8.1) and what still comes is thrown away. Trailers are not understood: a client that
 * sends them loses its connection. */
#include <errno.h>
#include <h2o.h>
#include <h2o/http2.h>
#include <h2o/http2_internal.h>
#include "http/http_intake.h"

#define H2_FLOW_CONTROL_ERROR 3
#define H2_PROTOCOL_ERROR     1
#define H2_PAYLOAD_PADDED     1 /* the byte that tells how much padding there is */

uint32_t http__h2_stream_id(const h2o_req_t *h2o)
{
    return CONTAINER_OF(h2o, h2o_http2_stream_t, req)->stream_id;
}

static struct http_intake *http_intake_of_stream(const struct http_conn *c, uint32_t stream_id)
{
    struct http_intake *x = c->intakes;
    while (x != NULL && x->stream_id != stream_id)
        x = x->next;
    return x;
}

static void http_intake_send_reset(struct http_intake *x, int code)
{
    h2o_http2_conn_t *conn = x->conn->h2;
    if (x->is_reset || conn->state >= H2O_HTTP2_CONN_STATE_IS_CLOSING)
        return;
    x->is_reset = true;
    h2o_http2__encode_rst_stream_frame(&conn->_write.buf, x->stream_id, code);
    h2o_http2_conn_request_write(conn);
}

/* The client does what it must not: its stream ends, and its handler hears of it. */
static void http_intake_cut(struct http_intake *x, int code)
{
    struct http_conn *c = x->conn;
    uint32_t stream_id = x->stream_id;
    h2o_http2_stream_t *stream = h2o_http2_conn_get_stream(c->h2, stream_id);
    http_intake_send_reset(x, code);
    x->broken = -EBADMSG;
    if (stream != NULL)
        h2o_http2_stream_reset(c->h2, stream);
    x = http_intake_of_stream(c, stream_id);
    if (x != NULL && x->req != NULL)
        http__intake_break(x, -EBADMSG);
    else if (x != NULL)
        x->is_gone = true;
}

/* --- windows ---------------------------------------------------------------------------------- */

static void http_intake_credit_conn(h2o_http2_conn_t *conn, uint32_t size)
{
    ssize_t full = (ssize_t)H2O_HTTP2_SETTINGS_HOST.initial_window_size;
    h2o_http2_window_consume_window(&conn->_input_window, size);
    ssize_t left = h2o_http2_window_get_window(&conn->_input_window);
    if (left * 2 >= full)
        return;
    h2o_http2_encode_window_update_frame(&conn->_write.buf, 0, (int32_t)(full - left));
    (void)h2o_http2_window_update(&conn->_input_window, full - left); /* it cannot overflow */
    h2o_http2_conn_request_write(conn);
}

/* The library grants each stream 16 MiB at its start. Once they are used up there is never more
 * than HTTP_INTAKE_WINDOW on its way and here. */
void http__intake_credit(struct http_intake *x)
{
    h2o_http2_conn_t *conn = x->conn->h2;
    size_t out = x->window + x->input->size;
    if (x->is_ended || x->is_gone || out > HTTP_INTAKE_WINDOW / 2 ||
        conn->state >= H2O_HTTP2_CONN_STATE_IS_CLOSING)
        return;
    uint32_t more = (uint32_t)(HTTP_INTAKE_WINDOW - out);
    h2o_http2_encode_window_update_frame(&conn->_write.buf, x->stream_id, (int32_t)more);
    x->window += more;
    h2o_http2_conn_request_write(conn);
}

/* --- frames ----------------------------------------------------------------------------------- */

/* 0, or what the stream is reset with. */
static int http_intake_take_data(struct http_intake *x, const uint8_t *payload,
                                 const struct http_frame *f)
{
    size_t before = (f->flags & HTTP_FRAME_PADDED) != 0 ? H2_PAYLOAD_PADDED : 0;
    if (f->length > x->window)
        return H2_FLOW_CONTROL_ERROR;
    x->window -= f->length;
    if (f->amount > 0) {
        h2o_iovec_t room = h2o_buffer_reserve(&x->input, f->amount);
        memcpy(room.base, payload + before, f->amount);
        x->input->size += f->amount;
    }
    x->came += f->amount;
    http__intake_credit(x); /* padding alone takes of the window, too */
    x->is_ended = (f->flags & HTTP_FRAME_END_STREAM) != 0;
    if (x->size == HTTP_SIZE_UNKNOWN ||
        (x->came <= x->size && (!x->is_ended || x->came == x->size)))
        return 0;
    x->is_ended = false;
    return H2_PROTOCOL_ERROR; /* RFC 9113 section 8.1.1: malformed */
}

bool http__intake_frame(struct http_conn *c, const struct http_frame *f, const uint8_t *payload)
{
    struct http_intake *x =
        f->stream == 0 || f->type != HTTP_FRAME_DATA ? NULL : http_intake_of_stream(c, f->stream);
    bool is_padding_wrong =
        (f->flags & HTTP_FRAME_PADDED) != 0 && (f->length == 0 || payload[0] >= f->length);
    if (x == NULL || is_padding_wrong || x->is_ended)
        return false; /* the library's: it is not ours, or it is wrong */
    http_intake_credit_conn(c->h2, f->length);
    if (x->is_gone || x->broken < 0)
        return true;
    int code = http_intake_take_data(x, payload, f);
    if (code != 0)
        http_intake_cut(x, code);
    else
        http__intake_turn(x);
    return true;
}

static uint64_t http_intake_announced(h2o_http2_stream_t *stream)
{
    return stream->_expected_content_length == SIZE_MAX ? HTTP_SIZE_UNKNOWN
                                                        : stream->_expected_content_length;
}

/* The library has just read a header block. True: that stream's body is to be ours; the frame in
 * ret_end tells the library that there is none. */
bool http__intake_begin(struct http_conn *c, uint32_t stream_id, uint8_t ret_end[HTTP_FRAME_HEAD])
{
    h2o_http2_conn_t *conn = c->h2;
    h2o_http2_stream_t *stream = h2o_http2_conn_get_stream(conn, stream_id);
    if (stream == NULL || stream->state != H2O_HTTP2_STREAM_STATE_RECV_BODY ||
        conn->state != H2O_HTTP2_CONN_STATE_OPEN || http_intake_of_stream(c, stream_id) != NULL)
        return false;
    const h2o_req_t *h2o = &stream->req;
    struct str method = {h2o->input.method.base, h2o->input.method.len};
    struct str path = {h2o->input.path.base, h2o->input.path.len};
    struct str query;
    unsigned methods;
    const struct http_route_entry *e = http_router_find(
        &c->worker->server->router, str_cut(path, '?', &query), http_method_of(method), &methods);
    if (e == NULL || !e->streams)
        return false;
    struct http_intake *x =
        http__intake_new(c, HTTP_INTAKE_FRAMES, http_intake_announced(stream), e->body_max);
    if (x == NULL)
        return false; /* then the library reads it, as far as its limit */
    x->stream_id = stream_id;
    x->window = H2O_HTTP2_SETTINGS_HOST.initial_window_size;
    stream->_expected_content_length = SIZE_MAX;
    (void)h2o_http2_encode_frame_header(ret_end, 0, H2O_HTTP2_FRAME_TYPE_DATA,
                                        H2O_HTTP2_FRAME_FLAG_END_STREAM, (int32_t)stream_id);
    return true;
}

/* The client has reset the stream. The library may keep the request until it is answered. */
void http__intake_forget(struct http_conn *c, uint32_t stream_id)
{
    struct http_intake *x = http_intake_of_stream(c, stream_id);
    if (x != NULL && x->req == NULL)
        http__intake_free(x);
    else if (x != NULL)
        http__intake_break(x, -ECONNRESET);
}

/* --- what is not wanted any more -------------------------------------------------------------- */

static void http_intake_on_gone(void *arg)
{
    struct http_intake *x = arg;
    struct http_conn *c = x->conn;
    http_intake_send_reset(x, 0);
    unsigned gone = 0;
    for (struct http_intake *at = c->intakes, *next; at != NULL; at = next) {
        next = at->next;
        if (at->is_gone && ++gone > HTTP_INTAKE_GONE)
            http__intake_free(at);
    }
}

void http__intake_reset(struct http_intake *x)
{
    h2o_buffer_consume(&x->input, x->input->size);
    loop_timer_start(x->worker->loop, &x->turn_timer, 0, http_intake_on_gone, x);
}
