/* SPDX-License-Identifier: Apache-2.0 */
/* Sends a body in pieces. The library asks for each by proceed; bytes handed to it stay where they
 * are until it asks again. So nothing is read from a source before the last piece is out, and one
 * read's bytes are lent exactly as long as struct http_source_ops promises.
 *
 *   start -> pump -> (h2o_send, proceed -> pump)* -> FINAL
 *             |-> the source gives -EAGAIN: waiting -> http_req_wake -> pump
 *             |-> the source fails, or ends early: ERROR, which the client sees as a broken answer
 *   The source is closed when the library disposes the request: only then are the last bytes out.
 */
#include "http/http_priv.h"
#include <errno.h>
#include <sys/socket.h>

#define HTTP_VECS 4 /* text, bytes, closing text */

static void http_body_on_proceed(h2o_generator_t *generator, h2o_req_t *h2o);

static void http_body_on_pace(void *arg)
{
    http_req_wake(arg);
}

static uint32_t http_body_piece_size(const struct http_req *req)
{
    const h2o_req_t *h2o = req->h2o;
    bool plain = h2o->version < 0x200 && h2o->input.scheme != &H2O_URL_SCHEME_HTTPS;
    return plain ? HTTP_PIECE_PLAIN : HTTP_PIECE_SIZE;
}

void http__body_close(struct http_req *req)
{
    struct http_body *b = &req->body;
    b->rbuf = rbuf_unref(b->rbuf);
    const struct http_source_ops *ops = b->ops;
    void *source = b->source;
    b->ops = NULL;
    b->source = NULL;
    if (ops != NULL)
        ops->close(source);
}

/* After this the request may be gone: the caller touches only what it holds by reference. */
static void http_body_fail(struct http_req *req)
{
    req->failed = true;
    req->body.ended = true;
    req->body.waiting = false;
    h2o_req_t *h2o = req->h2o;
    if (h2o->version < 0x101 && h2o->res.content_length == SIZE_MAX) {
        /* HTTP/1.0 marks the end of such a body by closing; only a reset shows that it is not. */
        struct linger reset = {.l_onoff = 1, .l_linger = 0};
        int fd = h2o_socket_get_fd(h2o->conn->callbacks->get_socket(h2o->conn));
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset); /* best effort */
    }
    h2o_send(h2o, NULL, 0, H2O_SEND_STATE_ERROR);
}

/* Bytes of the present part from what it has sent on. 0, -EAGAIN, -ENODATA or an error. */
static int http_body_bytes(struct http_req *req, const struct http_part *part, h2o_iovec_t *ret)
{
    struct http_body *b = &req->body;
    uint64_t left = b->size_known ? part->size - b->part_sent : UINT64_MAX;
    uint64_t offset = part->offset + b->part_sent;
    uint32_t want = (uint32_t)MIN(left, (uint64_t)http_body_piece_size(req));
    if (req->pace.rate > 0) {
        uint64_t wait_us = 0;
        want = (uint32_t)http__pace_ask(req, want, &wait_us);
        if (want == 0) {
            loop_timer_start(req->worker->loop, &req->pace.timer, wait_us / 1000 + 1,
                             http_body_on_pace, req);
            return -EAGAIN;
        }
    }
    if (b->rbuf != NULL) {
        uint32_t size;
        const uint8_t *data = rbuf_data(b->rbuf, &size);
        ASSERT(offset <= size);
        ASSERT(want <= size - offset);
        *ret = h2o_iovec_init(data + offset, want);
        return 0;
    }
    const uint8_t *data = NULL;
    uint32_t size = 0;
    int r = b->ops->read(b->source, offset, want, &data, &size);
    if (r < 0)
        return r;
    if (size == 0 || size > want || data == NULL)
        return -EIO; /* a source that breaks its contract breaks its own answer only */
    *ret = h2o_iovec_init(data, size);
    return 0;
}

static bool http_body_part_done(const struct http_body *b)
{
    return b->size_known && b->part_sent == b->parts[b->part].size;
}

/* Gathers one send: a part's text, its next bytes, and the texts of parts without bytes. */
static int http_body_gather(struct http_req *req, h2o_iovec_t *vecs, size_t *ret_count,
                            bool *ret_last)
{
    struct http_body *b = &req->body;
    size_t count = 0;
    bool bytes_taken = false;
    int r = 0;
    while (b->part < b->parts_count && count < HTTP_VECS) {
        const struct http_part *part = &b->parts[b->part];
        if (!b->text_sent) {
            b->text_sent = true;
            if (part->text.size > 0)
                vecs[count++] = h2o_iovec_init(part->text.data, part->text.size);
            continue;
        }
        if (!http_body_part_done(b)) {
            if (bytes_taken)
                break; /* the bytes of one read are lent until the next */
            r = http_body_bytes(req, part, &vecs[count]);
            if (r == -ENODATA && !b->size_known) {
                r = 0;
                b->part = b->parts_count;
                break;
            }
            if (r < 0)
                break;
            if (req->pace.rate > 0)
                http__pace_take(req, vecs[count].len);
            b->part_sent += vecs[count++].len;
            bytes_taken = true;
            continue;
        }
        b->part++;
        b->text_sent = false;
        b->part_sent = 0;
    }
    *ret_count = count;
    *ret_last = b->part == b->parts_count;
    return r;
}

static void http_body_pump_once(struct http_req *req)
{
    struct http_body *b = &req->body;
    h2o_iovec_t vecs[HTTP_VECS];
    size_t count;
    bool last;
    int r = http_body_gather(req, vecs, &count, &last);
    if (r == -EAGAIN && count == 0 && !req->worker->stopping) {
        b->waiting = true;
        return;
    }
    if (r < 0 && count == 0) { /* also -EAGAIN at the server's end: nobody would wake us */
        http_body_fail(req);
        return; /* an error behind texts comes again on the next turn, alone */
    }
    ASSERT(count > 0 || last);
    if (last)
        b->ended = true;
    http__send(req, vecs, count, last ? H2O_SEND_STATE_FINAL : H2O_SEND_STATE_IN_PROGRESS);
}

static void http_body_pump(struct http_req *req)
{
    struct http_body *b = &req->body;
    if (b->ended || req->h2o == NULL)
        return;
    (void)http_req_ref(req);
    b->pumping = true;
    do {
        b->woken = false;
        b->waiting = false;
        if (req->is_cut)
            http_body_fail(req);
        else
            http_body_pump_once(req);
    } while (b->waiting && b->woken); /* a source may wake us from within its read */
    b->pumping = false;
    (void)http_req_unref(req);
}

static void http_body_on_proceed(h2o_generator_t *generator, h2o_req_t *h2o)
{
    struct http_req *req = CONTAINER_OF(generator, struct http_req, body.generator);
    http__req_check(req);
    ASSERT(req->h2o == h2o);
    http_body_pump(req);
}

void http__body_start(struct http_req *req)
{
    struct http_body *b = &req->body;
    ASSERT(req->h2o != NULL);
    ASSERT(b->rbuf != NULL || b->ops != NULL);
    ASSERT(!b->started);
    if (b->parts == NULL) {
        b->parts = &b->one;
        b->parts_count = 1;
    }
    if (b->rbuf != NULL)
        b->size_known = true;
    b->generator = (h2o_generator_t){.proceed = http_body_on_proceed, .stop = NULL};
    b->started = true;
    h2o_start_response(req->h2o, &b->generator);
    http_body_pump(req);
}

void http_req_wake(struct http_req *req)
{
    http__req_check(req);
    struct http_body *b = &req->body;
    if (req->h2o == NULL || !b->started || b->ended)
        return;
    if (b->pumping)
        b->woken = true;
    else if (b->waiting)
        http_body_pump(req);
}

void http__body_abort(struct http_req *req)
{
    struct http_body *b = &req->body;
    if (req->h2o != NULL && b->started && !b->ended && b->waiting)
        http_body_fail(req);
}
