/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's life, all on its own thread:
 *
 *   STARTING -> loop, library context, worker_start -> READY -> (go) -> serving -> drain -> stop
 *            -> connections gone -> worker_stop -> references gone -> ENDED
 *   A failure at the start: FAILED; the main thread then lets all others give up. */
#include "http/http_priv.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/log.h"
#include "http/loop_priv.h"

#define HTTP_STOP_TURN_MS  10
#define HTTP_STOP_WAIT_MS  2000 /* sockets are shut down by then: this is for the stack below us */
#define HTTP_DRAIN_TURN_MS 10
#define HTTP_DRAIN_IDLE_MS 1500 /* longer than the library waits between its two GOAWAYs */
#define HTTP_FLUSH_TURN_MS 5
#define HTTP_FLUSH_WAIT_MS 1000 /* for the last answers to leave */

/* --- accepting -------------------------------------------------------------------------------- */

static void http_accept_on_readable(h2o_socket_t *listener, const char *error);

static void http_worker_listen(struct http_worker *w, bool on)
{
    for (unsigned i = 0; i < w->accepts_count; i++) {
        h2o_socket_t *sock = w->accepts[i].sock;
        if (sock == NULL)
            continue;
        if (on)
            h2o_socket_read_start(sock, http_accept_on_readable);
        else
            h2o_socket_read_stop(sock);
    }
}

static void http_accept_again(void *arg)
{
    http_worker_listen(arg, true);
}

static void http_accept_some(struct http_accept *a, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        errno = 0;
        h2o_socket_t *sock = h2o_evloop_socket_accept(a->sock);
        if (sock != NULL) {
            http__conn_open(a, sock);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            /* It stays readable: without a pause we would turn in circles. */
            (void)http__conn_make_room(a->worker); /* there may be none to be had */
            http_worker_listen(a->worker, false);
            loop_timer_start(a->worker->loop, &a->worker->accept_retry, HTTP_ACCEPT_RETRY,
                             http_accept_again, a->worker);
        }
        return;
    }
}

static void http_accept_on_readable(h2o_socket_t *listener, const char *error)
{
    if (error == NULL)
        http_accept_some(listener->data, HTTP_ACCEPTS_MAX);
}

static void http_worker_open_listeners(struct http_worker *w)
{
    for (unsigned i = 0; i < w->accepts_count; i++) {
        struct http_accept *a = &w->accepts[i];
        a->ctx.ctx = &w->ctx;
        a->ctx.hosts = w->server->conf.hosts;
        a->sock = h2o_evloop_socket_create(loop__h2o(w->loop), a->fd, H2O_SOCKET_FLAG_DONT_READ);
        a->sock->data = a;
        a->fd = -1;
    }
    http__worker_tls(w);
    http_worker_listen(w, true);
    http__tls_watch(w);
}

static void http_worker_close_listeners(struct http_worker *w)
{
    loop_timer_stop(&w->accept_retry);
    for (unsigned i = 0; i < w->accepts_count; i++) {
        struct http_accept *a = &w->accepts[i];
        if (a->sock == NULL)
            continue;
        http_accept_some(a, 1024); /* the kernel has accepted these already: closing resets them */
        loop_timer_stop(&w->accept_retry);
        h2o_socket_close(a->sock);
        a->sock = NULL;
    }
}

void http__worker_tls(void *arg)
{
    struct http_worker *w = arg;
    (void)pthread_mutex_lock(&w->server->lock);
    for (unsigned i = 0; i < w->accepts_count; i++) {
        struct http_accept *a = &w->accepts[i];
        a->tls = w->server->listeners[a->listener].tls;
        a->ctx.ssl_ctx = http__tls_ctx(a->tls);
    }
    (void)pthread_mutex_unlock(&w->server->lock);
}

/* --- draining --------------------------------------------------------------------------------- */

static int http_worker_count_busy(h2o_req_t *h2o, void *arg)
{
    unsigned *busy = arg;
    if (h2o->timestamps.request_begin_at.tv_sec != 0)
        (*busy)++; /* at least its first byte is here */
    return 0;
}

/* A client that has a connection at hand may have sent a request on it while we look. So those that
 * were used a moment ago stay: the next answer on them tells the client to go. The library says
 * GOAWAY to those of HTTP/2 that are open when the drain begins, we to those that came later. */
static unsigned http_worker_dismiss(struct http_worker *w)
{
    unsigned left = 0;
    uint64_t now_ms = clock_mono_ms();
    for (struct http_conn *c = w->conns, *next; c != NULL; c = next) {
        next = c->next;
        bool is_idle = c->state == HTTP_CONN_OPEN && c->requests == 0 &&
                       now_ms - c->idle_ms > HTTP_DRAIN_IDLE_MS;
        if (is_idle && c->h2 == NULL && c->sock->input->size == 0) {
            http__conn_cut(c);
            continue;
        }
        if (is_idle && c->h2 != NULL && !http__h2_is_receiving(c) && !c->is_told) {
            c->is_told = true;
            (void)http__h2_bye(c); /* false: it is on its way out already */
        }
        left++;
    }
    return left;
}

static void http_worker_on_drain_timer(void *arg)
{
    struct http_worker *w = arg;
    unsigned busy = http_worker_dismiss(w);
    (void)w->server->conf.http1.callbacks.foreach_request(&w->ctx, http_worker_count_busy, &busy);
    (void)w->server->conf.http2.callbacks.foreach_request(&w->ctx, http_worker_count_busy, &busy);
    atomic_store(&w->busy, busy);
    loop_timer_start(w->loop, &w->drain_timer, HTTP_DRAIN_TURN_MS, http_worker_on_drain_timer, w);
}

void http__worker_drain(void *arg)
{
    struct http_worker *w = arg;
    http_worker_close_listeners(w);
    h2o_context_request_shutdown(&w->ctx); /* GOAWAY, Connection: close */
    /* Not counted before the next turn: what the kernel already holds has been read by then. */
    loop_timer_start(w->loop, &w->drain_timer, HTTP_DRAIN_TURN_MS, http_worker_on_drain_timer, w);
}

/* --- stopping --------------------------------------------------------------------------------- */

static struct http_req *http_worker_next_unfinished(struct http_worker *w)
{
    for (struct http_req *req = w->active; req != NULL; req = req->next)
        if (!req->answered || (req->body.waiting && !req->body.ended))
            return req;
    return NULL;
}

/* Whether the library still has an answer, or a part of one, that is not with the kernel. */
static bool http_worker_is_sending(const struct http_worker *w)
{
    for (const struct http_req *req = w->active; req != NULL; req = req->next)
        if (req->answered)
            return true;
    for (const struct http_conn *c = w->conns; c != NULL; c = c->next)
        if (h2o_socket_is_writing(c->sock))
            return true;
    return false;
}

static void http_worker_on_flush_timer(void *arg)
{
    struct http_worker *w = arg;
    if (http_worker_is_sending(w) && clock_mono_ms() < w->flush_until_ms) {
        loop_timer_start(w->loop, &w->drain_timer, HTTP_FLUSH_TURN_MS, http_worker_on_flush_timer,
                         w);
        return;
    }
    for (struct http_conn *c = w->conns; c != NULL; c = c->next)
        http__conn_cut(c);
    http__lingers_free(w);
    loop_stop(w->loop);
}

void http__worker_stop(void *arg)
{
    struct http_worker *w = arg;
    w->stopping = true;
    http__guard_stop(w);
    http__tls_unwatch(w);
    http__watch_stop(w);
    loop_timer_stop(&w->drain_timer);
    http_worker_close_listeners(w);
    for (struct http_req *req; (req = http_worker_next_unfinished(w)) != NULL;) {
        if (!req->answered)
            http_reply_error(req, 503, "STOPPING", "The server is stopping");
        else
            http__body_abort(req);
    }
    w->flush_until_ms = clock_mono_ms() + HTTP_FLUSH_WAIT_MS;
    /* Not before the next turns: HTTP/2 writes its frames from a timer. */
    loop_timer_start(w->loop, &w->drain_timer, HTTP_FLUSH_TURN_MS, http_worker_on_flush_timer, w);
}

static void http_worker_wait_conns(struct http_worker *w)
{
    uint64_t until = clock_mono_ms() + HTTP_STOP_WAIT_MS;
    while (w->conns != NULL && clock_mono_ms() < until)
        loop_run_once(w->loop, HTTP_STOP_TURN_MS);
    if (w->conns != NULL)
        log_debug("worker %u: connections left behind at the stop", w->index);
}

/* Work that was under way for requests ends by a message, which drops the reference. */
static void http_worker_wait_references(struct http_worker *w)
{
    uint64_t until = clock_mono_ms() + HTTP_STOP_WAIT_MS;
    while ((w->live > 0 || loop__has_messages(w->loop)) && clock_mono_ms() < until)
        loop_run_once(w->loop, HTTP_STOP_TURN_MS);
}

static void http_worker_dispose_context(struct http_worker *w)
{
    if (!w->ctx_made || w->conns != NULL)
        return; /* with connections left the library would assert; their memory is lost at the end
                 */
    h2o_timeout_unlink(&w->ctx.http2._graceful_shutdown_timeout);
    h2o_multithread_queue_t *queue = w->ctx.queue;
    h2o_context_dispose(&w->ctx);
    free(queue); /* libh2o 2.2.5 disposes of what is in it, and forgets it */
}

static void http_worker_close(struct http_worker *w)
{
    for (unsigned i = 0; i < w->accepts_count; i++)
        w->accepts[i].fd = base_close(w->accepts[i].fd);
    if (w->loop == NULL)
        return;
    http_worker_dispose_context(w);
    http__seal_end(w);
    http__recycle_free(w);
    http__req_free_all(w);
    if (w->live > 0) /* their holders may come back at any time: loop and worker stay for them */
        log_error("worker %u: %u requests are still with their handlers at the stop: left behind",
                  w->index, w->live);
    else if (w->conns == NULL)
        w->loop = loop_free(w->loop);
}

/* --- the thread ------------------------------------------------------------------------------- */

static int http_worker_open(struct http_worker *w)
{
    const struct http_options *o = &w->server->options;
    int r = loop_new(&w->loop);
    if (r < 0)
        return r;
    h2o_context_init(&w->ctx, loop__h2o(w->loop), &w->server->conf);
    w->ctx_made = true;
    loop__before_poll(w->loop, http__conn_rehook_all, w);
    if (o->worker_start == NULL)
        return 0;
    r = 0;
    w->user = o->worker_start(o->arg, w->loop, w->index, &r);
    return w->user == NULL && r < 0 ? r : 0;
}

/* Tells the main thread, and waits for its word: all workers start, or none. */
static bool http_worker_report(struct http_worker *w, int r)
{
    struct http_server *s = w->server;
    (void)pthread_mutex_lock(&s->lock);
    w->start_result = r;
    w->state = r < 0 ? HTTP_WORKER_FAILED : HTTP_WORKER_READY;
    (void)pthread_cond_broadcast(&s->changed);
    while (r == 0 && !w->go && !w->give_up)
        (void)pthread_cond_wait(&s->changed, &s->lock);
    bool go = w->go;
    (void)pthread_mutex_unlock(&s->lock);
    return r == 0 && go;
}

void *http__worker_main(void *arg)
{
    struct http_worker *w = arg;
    const struct http_options *o = &w->server->options;
    int r = http_worker_open(w);
    if (http_worker_report(w, r)) {
        http_worker_open_listeners(w);
        loop_run(w->loop);
        http_worker_wait_conns(w);
    }
    if (r == 0 && o->worker_stop != NULL)
        o->worker_stop(o->arg, w->user);
    if (w->loop != NULL)
        http_worker_wait_references(w);
    http_worker_close(w);
    (void)pthread_mutex_lock(&w->server->lock);
    w->state = HTTP_WORKER_ENDED;
    (void)pthread_cond_broadcast(&w->server->changed);
    (void)pthread_mutex_unlock(&w->server->lock);
    return NULL;
}
