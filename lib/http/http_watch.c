/* SPDX-License-Identifier: Apache-2.0 */
/* What takes too long is ended. A few times a second each worker walks over its connections, but
 * for those that rest: nothing is under way and nothing has come for a while. What comes from its
 * client brings a connection back.
 *
 *   a TLS handshake, or a request's head, that is not whole within head_ms     cut (HTTP/1: 408)
 *   a body over HTTP/2 that is not whole within idle_ms                        cut
 *   an answer of which the client takes less than HTTP_STALL_BYTES in idle_ms  cut, or its stream
 *   an HTTP/2 connection that sends this and that, but asks for nothing        cut after idle_ms
 *   one that was told to go, and does not                                      cut after a second
 *   a TLS connection that is closed and whose client does not take the end     cut after idle_ms
 *
 * The rest is the library's: a connection of HTTP/1 without a request, a body over HTTP/1. */
#include <linux/tcp.h> /* newer than the one of libc: bytes_acked */
#include <netinet/in.h>
#include <sys/socket.h>
#include "base/clock.h"
#include "http/http_priv.h"
#include "http/http_strict.h"

#define WATCH_TURN_MAX_MS 250
#define WATCH_TURN_MIN_MS 20
#define WATCH_GO_MS       1000
#define WATCH_REST_MS     1000 /* without a request, until it rests */
#define HTTP_STALL_BYTES  4096

static void http_watch_on_timer(void *arg);

static uint32_t http_watch_turn(const struct http_options *o)
{
    uint32_t least = MIN(o->idle_ms, o->head_ms) / 4;
    return MIN(MAX(least, (uint32_t)WATCH_TURN_MIN_MS), (uint32_t)WATCH_TURN_MAX_MS);
}

/* --- who is watched --------------------------------------------------------------------------- */

static void http_watch_start(struct http_worker *w)
{
    if (w->watch_runs || w->stopping)
        return;
    w->watch_runs = true;
    loop_timer_start(w->loop, &w->watch_timer, http_watch_turn(&w->server->options),
                     http_watch_on_timer, w);
}

void http__watch_conn(struct http_conn *c)
{
    struct http_worker *w = c->worker;
    if (c->is_watched)
        return;
    c->is_watched = true;
    c->watch_prev = NULL;
    c->watch_next = w->watched;
    if (w->watched != NULL)
        w->watched->watch_prev = c;
    w->watched = c;
    http_watch_start(w);
}

void http__unwatch_conn(struct http_conn *c)
{
    if (!c->is_watched)
        return;
    c->is_watched = false;
    if (c->watch_prev != NULL)
        c->watch_prev->watch_next = c->watch_next;
    else
        c->worker->watched = c->watch_next;
    if (c->watch_next != NULL)
        c->watch_next->watch_prev = c->watch_prev;
    c->watch_next = c->watch_prev = NULL;
}

/* The library has a time for a connection that is silent; the others have to be watched. */
static bool http_watch_rests(const struct http_conn *c, uint64_t now_ms)
{
    if (c->state != HTTP_CONN_OPEN || c->is_refused || c->cut_ms != 0 || c->requests > 0 ||
        c->sock->input->size > 0 || now_ms - c->idle_ms <= WATCH_REST_MS)
        return false;
    return c->h2 == NULL || (c->flood.block_frames == 0 && !http__h2_is_receiving(c));
}

/* --- requests on their way in ----------------------------------------------------------------- */

static bool http_watch_is_partial(struct http_conn *c, uint64_t *ret_mark)
{
    if (c->h2 != NULL)
        return http__h2_is_partial(c, ret_mark);
    const h2o_buffer_t *input = c->sock->input;
    *ret_mark = 0;
    if (c->requests > 0 || input->size == 0)
        return false;
    /* A whole head with a body behind it: the library has a time for that. */
    size_t max = c->worker->server->options.header_size_max;
    return !http_strict_has_end((struct str){input->bytes, MIN(input->size, max)});
}

static void http_watch_head(struct http_conn *c, uint64_t now_ms)
{
    uint64_t mark;
    if (!http_watch_is_partial(c, &mark)) {
        c->partial_ms = 0;
        return;
    }
    if (c->partial_ms == 0 || mark != c->partial_mark) {
        c->partial_ms = now_ms;
        c->partial_mark = mark;
        return;
    }
    if (now_ms - c->partial_ms < c->worker->server->options.head_ms)
        return;
    if (c->h2 == NULL)
        http__guard_refuse(c, 408, HTTP_CUT_SLOW_HEAD);
    else
        http__conn_cut_for(c, HTTP_CUT_SLOW_HEAD);
}

/* The library counts any byte as a sign of use. */
static void http_watch_idle(struct http_conn *c, uint64_t now_ms)
{
    if (c->requests > 0 || http__h2_is_receiving(c) ||
        now_ms - c->idle_ms <= c->worker->server->options.idle_ms)
        return;
    http__conn_count_cut(c, HTTP_CUT_IDLE);
    if (!http__h2_bye(c))
        http__conn_cut(c);
}

static void http_watch_conn(struct http_conn *c, uint64_t now_ms)
{
    const struct http_options *o = &c->worker->server->options;
    if (c->is_refused)
        return;
    if (c->cut_ms != 0) {
        if (now_ms - c->cut_ms > WATCH_GO_MS)
            http__conn_cut(c);
        return;
    }
    if (c->state == HTTP_CONN_HANDSHAKE) {
        if (now_ms - c->idle_ms > o->head_ms)
            http__conn_cut_for(c, HTTP_CUT_HANDSHAKE);
        return;
    }
    if (c->state == HTTP_CONN_CLOSING) {
        if (now_ms - c->idle_ms > o->idle_ms)
            http__conn_cut(c);
        return;
    }
    http__guard_see(c); /* behind a 100 (Continue) the library reads past us */
    http_watch_head(c, now_ms);
    if (c->h2 != NULL && c->cut_ms == 0)
        http_watch_idle(c, now_ms);
}

/* --- bodies over HTTP/2 ----------------------------------------------------------------------- */

struct http_receiving {
    struct http_worker *worker;
    uint64_t bytes;
    struct http_conn *largest; /* the connection of the largest body */
    size_t largest_size;
};

static int http_watch_receiving(h2o_req_t *h2o, void *arg)
{
    struct http_receiving *all = arg;
    struct http_worker *w = all->worker;
    size_t size;
    struct http_conn *c = http__h2_receiving(h2o, &size);
    const struct timeval *at = &h2o->timestamps.request_begin_at;
    const struct timeval *now = &w->ctx._timestamp_cache.tv_at;
    if (c == NULL || at->tv_sec == 0 || c->cut_ms != 0)
        return 0;
    all->bytes += size;
    if (size > all->largest_size) {
        all->largest_size = size;
        all->largest = c;
    }
    int64_t age_ms = (now->tv_sec - at->tv_sec) * 1000 + (now->tv_usec - at->tv_usec) / 1000;
    if (age_ms > (int64_t)w->server->options.idle_ms)
        http__conn_cut_for(c, HTTP_CUT_SLOW_BODY);
    return 0;
}

/* Bodies over HTTP/2 are in the library's streams: all of them count with those over HTTP/1. */
static void http_watch_bodies(struct http_worker *w, bool any)
{
    struct http_receiving all = {.worker = w};
    if (any) {
        (void)h2o_get_timestamp(&w->ctx, NULL, NULL); /* the time of now */
        (void)w->server->conf.http2.callbacks.foreach_request(&w->ctx, http_watch_receiving, &all);
    }
    atomic_store_explicit(&w->h2_body_bytes, all.bytes, memory_order_relaxed);
    if (all.largest != NULL && http__guard_is_full(w->server))
        http__conn_cut_for(all.largest, HTTP_CUT_BODIES);
}

/* --- answers on their way out ----------------------------------------------------------------- */

/* What the client's kernel has taken of all that was sent on the connection. */
static uint64_t http_watch_acked(const struct http_conn *c)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    if (getsockopt(h2o_socket_get_fd(c->sock), IPPROTO_TCP, TCP_INFO, &info, &size) < 0)
        return 0; /* no longer connected: no progress either */
    return info.tcpi_bytes_acked;
}

/* Whether the library has bytes of the answer that the client has not taken. */
static bool http_watch_is_sending(const struct http_req *req)
{
    return req->answered && (!req->body.started || !req->body.waiting || req->body.ended);
}

static void http_watch_req(struct http_req *req, uint64_t now_ms)
{
    struct http_conn *c = req->conn;
    struct http_stall *s = &req->stall;
    if (c == NULL || c->cut_ms != 0 || c->is_refused)
        return;
    if (!http_watch_is_sending(req)) {
        s->since_ms = 0;
        return;
    }
    if (s->since_ms != 0 && now_ms - s->since_ms < req->worker->server->options.idle_ms)
        return;
    uint64_t acked = http_watch_acked(c);
    uint64_t sent = req->h2o->bytes_sent;
    bool was_watched = s->since_ms != 0;
    bool acks = acked - s->acked >= HTTP_STALL_BYTES;
    bool sends = sent - s->sent >= HTTP_STALL_BYTES;
    *s = (struct http_stall){.since_ms = now_ms, .acked = acked, .sent = sent};
    if (!was_watched)
        return;
    if (c->h2 != NULL && !sends && acks && http__h2_is_blocked(req->h2o)) {
        /* The others on this connection go on: a player that is paused holds one stream back. */
        metric_add(c->worker->server->figures.cut[HTTP_CUT_STALLED], 1);
        http__h2_reset(req->h2o);
    } else if (!acks) {
        http__conn_cut_for(c, HTTP_CUT_STALLED);
    }
}

/* --- the round -------------------------------------------------------------------------------- */

static void http_watch_on_timer(void *arg)
{
    struct http_worker *w = arg;
    uint64_t now_ms = clock_mono_ms();
    bool receiving = false;
    for (struct http_conn *c = w->watched, *next; c != NULL; c = next) {
        next = c->watch_next;
        http_watch_conn(c, now_ms);
        receiving = receiving || (c->h2 != NULL && http__h2_is_receiving(c));
        if (http_watch_rests(c, now_ms))
            http__unwatch_conn(c);
    }
    http_watch_bodies(w, receiving);
    for (struct http_req *req = w->active, *next; req != NULL; req = next) {
        next = req->next;
        if (next != NULL)
            (void)http_req_ref(next); /* a reset may end more than its own request */
        http_watch_req(req, now_ms);
        if (next != NULL && next->h2o == NULL) { /* it went: begin anew at the next round */
            (void)http_req_unref(next);
            break;
        }
        (void)http_req_unref(next);
    }
    w->watch_runs = false;
    if (w->watched != NULL)
        http_watch_start(w);
}

void http__watch_stop(struct http_worker *w)
{
    loop_timer_stop(&w->watch_timer);
    w->watch_runs = false;
}
