/* SPDX-License-Identifier: Apache-2.0 */
/* What is the same for bodies over HTTP/1 and HTTP/2: they wait in a buffer until the handler takes
 * them, and no more is let in than that buffer should have:
 *
 *   bytes come -> turn: next run of the body -> ops->data -> the rest waits for http_req_more
 *                  |-> nothing here: the socket is read, the window is opened; a timer runs
 *                  |-> the body's end, or what broke it: ops->end, once */
#include "http/http_intake.h"
#include <errno.h>
#include <stdlib.h>

static void http_intake_check(const struct http_intake *x)
{
    ASSERT(x != NULL);
    ASSERT(x->magic == HTTP_INTAKE_MAGIC);
}

struct http_intake *http__intake_new(struct http_conn *c, enum http_intake_kind kind, uint64_t size,
                                     uint64_t size_max)
{
    struct http_intake *x = calloc(1, sizeof *x);
    if (x == NULL)
        return NULL;
    x->magic = HTTP_INTAKE_MAGIC;
    x->kind = kind;
    x->worker = c->worker;
    x->conn = c;
    x->size = size;
    x->size_max = size_max;
    h2o_buffer_init(&x->input, &h2o_socket_buffer_prototype);
    x->next = c->intakes;
    c->intakes = x;
    return x;
}

static void http_intake_stop_timers(struct http_intake *x)
{
    loop_timer_stop(&x->turn_timer);
    loop_timer_stop(&x->stall_timer);
}

void http__intake_free(struct http_intake *x)
{
    http_intake_check(x);
    ASSERT(x->kind != HTTP_INTAKE_WHOLE);
    struct http_intake **at = &x->conn->intakes;
    while (*at != x)
        at = &(*at)->next;
    *at = x->next;
    http_intake_stop_timers(x);
    if (x->req != NULL)
        x->req->intake = NULL;
    if (!x->is_swapped)
        h2o_buffer_dispose(&x->input);
    if (x->head != NULL)
        h2o_buffer_dispose(&x->head);
    MAGIC_CLEAR(x);
    free(x);
}

/* --- what is here ----------------------------------------------------------------------------- */

static h2o_buffer_t **http_intake_buffer(struct http_intake *x)
{
    return x->is_swapped ? &x->conn->sock->input : &x->input;
}

bool http__intake_is_whole(const struct http_intake *x)
{
    switch (x->kind) {
    case HTTP_INTAKE_SIZED:
        return x->taken == x->size;
    case HTTP_INTAKE_CHUNKED:
        return x->chunk.is_end;
    case HTTP_INTAKE_FRAMES:
        return x->is_ended && x->input->size == 0;
    default:
        return x->taken == x->size;
    }
}

static void http_intake_consume(struct http_intake *x, size_t size)
{
    h2o_buffer_t **buffer = http_intake_buffer(x);
    h2o_buffer_consume(buffer, size);
    if ((*buffer)->size > 0 || (*buffer)->capacity <= HTTP_INTAKE_KEPT)
        return;
    h2o_buffer_dispose(buffer);
    h2o_buffer_init(buffer, &h2o_socket_buffer_prototype);
}

/* The next bytes of the body: 0, -EAGAIN, or what is wrong with it. */
static int http_intake_next(struct http_intake *x, struct str *ret)
{
    if (x->kind == HTTP_INTAKE_WHOLE) {
        const h2o_iovec_t *all = &x->req->h2o->entity;
        *ret = (struct str){all->base + x->offset, all->len - x->offset};
        return ret->size > 0 ? 0 : -EAGAIN;
    }
    h2o_buffer_t *b = *http_intake_buffer(x);
    size_t size = b->size;
    if (x->kind == HTTP_INTAKE_SIZED)
        size = (size_t)MIN((uint64_t)size, x->size - x->taken);
    if (x->kind == HTTP_INTAKE_CHUNKED) {
        size_t used = 0;
        int r = http_chunk_next(&x->chunk, (const uint8_t *)b->bytes, b->size, &used, &size);
        if (used > 0)
            http_intake_consume(x, used);
        if (r < 0)
            return r;
        b = *http_intake_buffer(x);
    }
    if (size == 0)
        return -EAGAIN;
    if (size > x->size_max - x->taken)
        return -EFBIG;
    *ret = (struct str){b->bytes, size};
    return 0;
}

static void http_intake_take(struct http_intake *x, size_t size)
{
    x->taken += size;
    if (x->kind == HTTP_INTAKE_WHOLE) {
        x->offset += size;
        return;
    }
    if (x->kind == HTTP_INTAKE_CHUNKED)
        http_chunk_taken(&x->chunk, size);
    http_intake_consume(x, size);
    if (x->kind == HTTP_INTAKE_FRAMES)
        http__intake_credit(x);
}

/* --- the handler's side ----------------------------------------------------------------------- */

static void http_intake_tell(struct http_intake *x, int res)
{
    if (x->is_over || x->ops == NULL)
        return;
    x->is_over = true;
    loop_timer_stop(&x->stall_timer);
    x->ops->end(x->arg, res);
}

static void http_intake_on_stall(void *arg)
{
    struct http_intake *x = arg;
    http_intake_check(x);
    if (x->came - x->seen >= HTTP_INTAKE_LEAST) {
        x->seen = x->came;
        loop_timer_start(x->worker->loop, &x->stall_timer, x->worker->server->options.idle_ms,
                         http_intake_on_stall, x);
        return;
    }
    metric_add(x->worker->server->figures.cut[HTTP_CUT_SLOW_BODY], 1);
    http__intake_break(x, -ETIMEDOUT);
}

/* What the client has to do now: send, or wait. A time for it runs only while it may. */
static void http_intake_regulate(struct http_intake *x)
{
    bool waits = x->is_wanted && !x->is_over && x->ops != NULL && x->broken == 0 && !x->is_ended &&
                 !x->req->answered;
    if (x->kind == HTTP_INTAKE_WHOLE)
        return;
    if (x->kind != HTTP_INTAKE_FRAMES)
        http__intake_read(x, waits);
    if (!waits) {
        loop_timer_stop(&x->stall_timer);
    } else if (x->stall_timer.loop == NULL) {
        x->seen = x->came;
        loop_timer_start(x->worker->loop, &x->stall_timer, x->worker->server->options.idle_ms,
                         http_intake_on_stall, x);
    }
}

static void http_intake_deliver(struct http_intake *x)
{
    struct http_req *req = x->req;
    while (x->ops != NULL && !x->is_over && x->is_wanted && !req->answered) {
        struct str run = STR_NONE;
        int r = http_intake_next(x, &run);
        if (r == 0) {
            x->is_wanted = false; /* it may ask for more at once */
            size_t size = x->ops->data(x->arg, (const uint8_t *)run.data, run.size);
            ASSERT(size <= run.size);
            if (req->h2o == NULL)
                return; /* x is gone, too */
            http_intake_take(x, size);
            if (size == run.size)
                x->is_wanted = true;
            continue;
        }
        if (r == -EAGAIN && http__intake_is_whole(x))
            r = 0;
        else if (r == -EAGAIN && x->broken < 0)
            r = x->broken;
        if (r == -EAGAIN)
            break;
        x->broken = r;
        http_intake_tell(x, r);
        if (req->h2o == NULL)
            return;
    }
    http_intake_regulate(x);
}

void http__intake_turn(struct http_intake *x)
{
    http_intake_check(x);
    if (x->req == NULL || x->req->h2o == NULL)
        return;
    struct http_req *req = http_req_ref(x->req);
    http_intake_deliver(x);
    (void)http_req_unref(req);
}

static void http_intake_on_turn(void *arg)
{
    http__intake_turn(arg);
}

static void http_intake_soon(struct http_intake *x)
{
    loop_timer_start(x->worker->loop, &x->turn_timer, 0, http_intake_on_turn, x);
}

/* What came before it is still delivered. */
void http__intake_break(struct http_intake *x, int res)
{
    http_intake_check(x);
    if (x->broken == 0)
        x->broken = res;
    if (x->kind != HTTP_INTAKE_FRAMES)
        http__intake_read(x, false);
    loop_timer_stop(&x->stall_timer);
    http_intake_soon(x);
}

void http_req_receive(struct http_req *req, const struct http_intake_ops *ops, void *arg)
{
    http__req_check(req);
    ASSERT(ops != NULL);
    ASSERT(req->h2o != NULL);
    if (req->intake == NULL) {
        struct http_intake *x = h2o_mem_alloc_pool(&req->h2o->pool, sizeof *x);
        *x = (struct http_intake){.magic = HTTP_INTAKE_MAGIC,
                                  .kind = HTTP_INTAKE_WHOLE,
                                  .worker = req->worker,
                                  .req = req,
                                  .size = req->h2o->entity.len};
        req->intake = x;
    }
    struct http_intake *x = req->intake;
    ASSERT(x->ops == NULL);
    x->ops = ops;
    x->arg = arg;
    x->is_wanted = true;
    http_intake_soon(x);
}

void http_req_more(struct http_req *req)
{
    http__req_check(req);
    struct http_intake *x = req->intake;
    if (x == NULL || x->is_over || x->is_wanted)
        return;
    x->is_wanted = true;
    http_intake_soon(x);
}

uint64_t http_req_body_size(const struct http_req *req)
{
    http__req_check(req);
    if (req->h2o == NULL)
        return HTTP_SIZE_UNKNOWN;
    return req->intake != NULL ? req->intake->size : req->h2o->entity.len;
}

/* --- with its request ------------------------------------------------------------------------- */

void http__intake_join(struct http_req *req)
{
    struct http_conn *c = req->conn;
    struct http_intake *x = c == NULL ? NULL : c->intakes;
    uint32_t stream = c == NULL || c->h2 == NULL ? 0 : http__h2_stream_id(req->h2o);
    while (x != NULL && (x->req != NULL || x->is_gone || x->stream_id != stream))
        x = x->next;
    if (x == NULL)
        return;
    x->req = req;
    req->intake = x;
    if (x->kind != HTTP_INTAKE_FRAMES)
        req->h2o->http1_is_persistent = 0; /* nothing is read behind such a body */
}

/* The library disposes the request. Over HTTP/1 it closes the socket next. */
void http__intake_leave(struct http_req *req)
{
    struct http_intake *x = req->intake;
    if (x == NULL)
        return;
    http_intake_check(x);
    bool is_whole = http__intake_is_whole(x);
    req->intake = NULL;
    x->req = NULL;
    x->is_gone = true;
    http_intake_stop_timers(x);
    http_intake_tell(x, x->broken < 0 ? x->broken : req->answered ? -ECANCELED : -ECONNRESET);
    if (x->kind == HTTP_INTAKE_WHOLE)
        return;
    struct http_conn *c = x->conn;
    if (x->kind == HTTP_INTAKE_FRAMES && !is_whole && !x->is_ended) {
        http__intake_reset(x);
        return;
    }
    if (x->kind != HTTP_INTAKE_FRAMES && !is_whole && req->answered && x->broken != -ECONNRESET &&
        c->cut_ms == 0)
        http__linger(x->worker, h2o_socket_get_fd(c->sock));
    http__intake_free(x);
}

void http__intakes_free(struct http_conn *c)
{
    while (c->intakes != NULL)
        http__intake_free(c->intakes);
}
