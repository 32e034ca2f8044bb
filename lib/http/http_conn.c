/* SPDX-License-Identifier: Apache-2.0 */
/* The library has no list of connections that a program could walk, and no call that closes one. So
 * we keep our own list, by the socket's close callback, and end a connection by shutting its socket
 * down: the library then meets the end of the stream wherever it is, and cleans up by itself.
 *
 * We also take the library's part between accept and the first request, so that what a client sends
 * passes by us before it is parsed:
 *
 *   accept -> limits -> (TLS handshake) -> HTTP/1: the socket's read callback is ours (below)
 *                                       -> HTTP/2: the connection's frame callback is (http_h2.c)
 *
 * The list is in the order of use, the last used first: what may go when there is no room is at its
 * end. */
#include "http/http_priv.h"
#include <errno.h>
#include <h2o/http1.h>
#include <h2o/http2.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include "base/clock.h"
#include "base/log.h"
#include "http/http_strict.h"

#define HTTP_EVICT_LOOK 64 /* connections at the list's end that are looked at */
/* A TLS record is read when it is whole. So the library sends records that fit one packet until a
 * connection has written 200 KiB, though only the first flight gains by it: by default ten packets
 * (RFC 6928), less than one record of 16 KiB. Each small one costs as much as a large one. */
#define HTTP_SMALL_RECORDS_END (200u << 10) /* of h2o_socket_write */
#define HTTP_SMALL_RECORDS     (16u << 10)  /* what we send in such */

static const char http_conn_full[] =
    "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 5\r\n"
    "content-type: application/json\r\ncontent-length: 79\r\n\r\n"
    "{\"error\":{\"code\":\"FULL\",\"message\":\"there are too many connections\",\"details\":{}}}";

static const char *const http_cut_reasons[HTTP_CUT_REASONS] = {
    [HTTP_CUT_RESETS] = "resets",
    [HTTP_CUT_SETTINGS] = "settings",
    [HTTP_CUT_PINGS] = "pings",
    [HTTP_CUT_PRIORITY] = "priority",
    [HTTP_CUT_DATA] = "empty_data",
    [HTTP_CUT_HEADERS] = "header_size",
    [HTTP_CUT_WINDOWS] = "window_updates",
    [HTTP_CUT_OTHERS] = "unknown_frames",
    [HTTP_CUT_KEYS] = "key_updates",
    [HTTP_CUT_HANDSHAKE] = "slow_handshake",
    [HTTP_CUT_SLOW_HEAD] = "slow_head",
    [HTTP_CUT_SLOW_BODY] = "slow_body",
    [HTTP_CUT_STALLED] = "stalled",
    [HTTP_CUT_CREDENTIAL] = "credential",
    [HTTP_CUT_BODIES] = "bodies",
    [HTTP_CUT_IDLE] = "idle",
    [HTTP_CUT_ROOM] = "room",
};

void http__cut_figures_init(struct http_server *s)
{
    struct metrics *m = s->options.metrics;
    const char *prefix = s->options.metric_prefix != NULL ? s->options.metric_prefix : "weir";
    char name[128];
    char labels[64];
    if (m == NULL)
        return; /* every metric_* takes NULL */
    (void)snprintf(name, sizeof name, "%s_http_connections_cut_total", prefix);
    for (unsigned i = 0; i < HTTP_CUT_REASONS; i++) {
        (void)snprintf(labels, sizeof labels, "reason=\"%s\"", http_cut_reasons[i]);
        s->figures.cut[i] =
            metrics_counter(m, name, "Connections ended by the server, by why", labels);
    }
    (void)snprintf(name, sizeof name, "%s_http_connections_refused_total", prefix);
    s->figures.refused_full = metrics_counter(m, name, "Connections refused, by which limit",
                                              "limit=\"connections_max\"");
    s->figures.refused_address = metrics_counter(m, name, "", "limit=\"connections_per_address\"");
}

/* --- the list --------------------------------------------------------------------------------- */

static void http_conn_unlink(struct http_conn *c)
{
    struct http_worker *w = c->worker;
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        w->conns = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    else
        w->conns_last = c->prev;
    c->next = c->prev = NULL;
}

static void http_conn_link(struct http_conn *c)
{
    struct http_worker *w = c->worker;
    c->next = w->conns;
    if (w->conns != NULL)
        w->conns->prev = c;
    else
        w->conns_last = c;
    w->conns = c;
}

void http__conn_used(struct http_conn *c)
{
    if (c->prev == NULL)
        return;
    http_conn_unlink(c);
    http_conn_link(c);
}

static void http_conn_unhook(struct http_conn *c)
{
    struct http_conn **at = &c->worker->rehook;
    while (*at != NULL && *at != c)
        at = &(*at)->rehook_next;
    if (*at == c)
        *at = c->rehook_next;
}

static void http_conn_set_idle(struct http_conn *c, bool idle)
{
    if (c->is_idle == idle)
        return;
    c->is_idle = idle;
    (void)atomic_fetch_add_explicit(&c->worker->idle, idle ? 1u : UINT_MAX, memory_order_relaxed);
}

static void http_conn_on_close(void *arg)
{
    struct http_conn *c = arg;
    struct http_worker *w = c->worker;
    struct http_server *s = w->server;
    http_conn_set_idle(c, false);
    http_conn_unlink(c);
    http__unwatch_conn(c);
    if (c->is_rehooked)
        http_conn_unhook(c);
    if (w->reading == c)
        w->reading = NULL;
    http__intakes_free(c);
    http__seal_free(c);
    (void)http_limit_leave(s->limits, c->address);
    atomic_fetch_sub_explicit(&s->connections, 1, memory_order_relaxed);
    metric_change(s->figures.connections, -1);
    free(c);
}

/* Of a TLS connection the socket may stay a while, for close_notify: where the client takes nothing
 * its kernel has no room for that. The library's HTTP/2 is gone by then. */
void http__conn_closing(struct http_conn *c)
{
    c->state = HTTP_CONN_CLOSING;
    c->h2 = NULL;
    c->idle_ms = clock_mono_ms();
    http__watch_conn(c);
}

struct http_conn *http__conn_of_socket(const h2o_socket_t *sock)
{
    return sock != NULL && sock->on_close.cb == http_conn_on_close ? sock->on_close.data : NULL;
}

struct http_conn *http__conn_of(h2o_req_t *h2o)
{
    return http__conn_of_socket(h2o->conn->callbacks->get_socket(h2o->conn));
}

/* --- ending ----------------------------------------------------------------------------------- */

void http__conn_cut(struct http_conn *c)
{
    (void)shutdown(h2o_socket_get_fd(c->sock), SHUT_RDWR); /* -ENOTCONN: it is down already */
}

void http__conn_count_cut(struct http_conn *c, enum http_cut why)
{
    if (c->cut_ms != 0)
        return; /* counted once */
    c->cut_ms = clock_mono_ms();
    http__watch_conn(c);
    http_conn_set_idle(c, false);
    metric_add(c->worker->server->figures.cut[why], 1);
    log_debug("connection cut: %s", http_cut_reasons[why]);
}

void http__conn_cut_for(struct http_conn *c, enum http_cut why)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    http__conn_count_cut(c, why);
    if (why == HTTP_CUT_STALLED) /* else the kernel keeps what it could not send for minutes */
        (void)setsockopt(h2o_socket_get_fd(c->sock), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    http__conn_cut(c);
}

/* A stream that the client reset was counted by its frame; here come those that the server reset,
 * for something that the client did: they cost as much (CVE-2025-8671). */
void http__conn_cancelled(struct http_conn *c)
{
    if (!c->in_reset && http_flood_reset(&c->flood, clock_mono_ms()))
        http__conn_cut_for(c, HTTP_CUT_RESETS);
}

static bool http_conn_evict(struct http_worker *w)
{
    struct http_conn *c = w->conns_last;
    for (unsigned i = 0; c != NULL && i < HTTP_EVICT_LOOK; i++, c = c->prev) {
        if (!c->is_idle)
            continue;
        http__conn_count_cut(c, HTTP_CUT_ROOM);
        if (c->h2 == NULL || !http__h2_bye(c))
            http__conn_cut(c);
        return true;
    }
    return false;
}

static void http_conn_on_evict(void *arg)
{
    (void)http_conn_evict(arg); /* there may be none any more: the next one finds out */
}

/* Where there is no room for a new connection, one that has no request goes: of this worker, or
 * else of another, which is asked to. */
bool http__conn_make_room(struct http_worker *w)
{
    const struct http_server *s = w->server;
    if (http_conn_evict(w))
        return true;
    for (unsigned i = 0; i < s->workers_count; i++) {
        struct http_worker *other = &s->workers[i];
        if (other != w && atomic_load_explicit(&other->idle, memory_order_relaxed) > 0)
            return loop_post(other->loop, http_conn_on_evict, other) == 0;
    }
    return false;
}

/* --- HTTP/1 ----------------------------------------------------------------------------------- */

static void http_conn_on_read(h2o_socket_t *sock, const char *error);

/* A head that does not end within its limit must not grow any more. */
static bool http_conn_head_too_large(const struct http_conn *c)
{
    const h2o_buffer_t *input = c->sock->input;
    size_t max = c->worker->server->options.header_size_max;
    return c->requests == 0 && input->size > max &&
           !http_strict_has_end((struct str){input->bytes, max});
}

/* The library puts its own callback back whenever it begins to wait for a request. */
static void http_conn_hook(struct http_conn *c)
{
    if (c->sock->_cb.read == c->worker->http1_read && c->sock->_cb.read != NULL)
        c->sock->_cb.read = http_conn_on_read;
    c->is_seen = c->requests == 0 && c->intakes == NULL && c->sock->input->size > 0;
}

static void http_conn_on_read(h2o_socket_t *sock, const char *error)
{
    struct http_conn *c = sock->on_close.data;
    struct http_worker *w = c->worker;
    http__watch_conn(c);
    if (error == NULL && !c->is_refused && http_conn_head_too_large(c)) {
        http__guard_refuse(c, 431, HTTP_CUT_HEADERS);
        return;
    }
    if (error == NULL && http__intake_see(c))
        return;
    http__guard_see(c);
    w->reading = c;
    w->http1_read(sock, error);
    if (w->reading == c) /* it still is */
        http_conn_hook(c);
    w->reading = NULL;
}

void http__conn_rehook_all(void *arg)
{
    struct http_worker *w = arg;
    while (w->rehook != NULL) {
        struct http_conn *c = w->rehook;
        w->rehook = c->rehook_next;
        c->rehook_next = NULL;
        c->is_rehooked = false;
        http_conn_hook(c);
    }
}

/* Behind what the library does now and before it can read more: before the next look at
 * descriptors. */
static void http_conn_rehook(struct http_conn *c)
{
    struct http_worker *w = c->worker;
    if (c->is_rehooked)
        return;
    c->is_rehooked = true;
    c->rehook_next = w->rehook;
    w->rehook = c;
}

void http__conn_begin(struct http_conn *c)
{
    c->requests++;
    http_conn_set_idle(c, false);
    c->partial_ms = 0;
    http__conn_used(c);
}

void http__conn_end(struct http_conn *c)
{
    ASSERT(c->requests > 0);
    c->requests--;
    http_conn_set_idle(c, c->requests == 0 && c->cut_ms == 0);
    c->idle_ms = clock_mono_ms();
    http__conn_used(c);
    if (c->h2 == NULL)
        http_conn_rehook(c);
}

/* --- the client's address --------------------------------------------------------------------- */

static int http_conn_enter(struct http_worker *w, h2o_socket_t *sock, unsigned max,
                           struct http_limit **ret)
{
    struct sockaddr_storage address;
    struct sockaddr *sa = (struct sockaddr *)(void *)&address;
    if (h2o_socket_getpeername(sock, sa) == 0)
        return -ENOTCONN;
    return http_limit_enter(w->server->limits, sa, max, ret);
}

struct http_limit *http__conn_address(struct http_conn *c)
{
    if (c->address == NULL && http_conn_enter(c->worker, c->sock, 0, &c->address) < 0)
        return NULL;
    return c->address;
}

/* --- opening ---------------------------------------------------------------------------------- */

/* What came with the end of the handshake waits until our callbacks are in place. */
static void http_conn_serve(struct http_conn *c, bool is_h2)
{
    h2o_socket_t *sock = c->sock;
    struct http_worker *w = c->worker;
    h2o_buffer_t *early = sock->input;
    h2o_buffer_init(&sock->input, &h2o_socket_buffer_prototype);
    struct timeval now;
    (void)gettimeofday(&now, NULL); /* fails for a bad pointer only */
    c->idle_ms = clock_mono_ms();
    c->state = HTTP_CONN_OPEN;
    http_conn_set_idle(c, true);
    if (is_h2) {
        h2o_http2_accept(&c->accept->ctx, sock, now);
        http__h2_hook(c);
    } else {
        h2o_http1_accept(&c->accept->ctx, sock, now);
        if (w->http1_read == NULL)
            w->http1_read = sock->_cb.read;
        http_conn_hook(c);
    }
    h2o_buffer_dispose(&sock->input);
    sock->input = early;
    if (early->size > 0 && sock->_cb.read != NULL)
        sock->_cb.read(sock, NULL);
}

static void http_conn_on_handshake(h2o_socket_t *sock, const char *error)
{
    struct http_conn *c = sock->data;
    http__seen_handshake(c->worker->server, sock, error);
    if (error != NULL) {
        h2o_socket_close(sock);
        return;
    }
    http__seal_start(c);
    h2o_iovec_t protocol = h2o_socket_ssl_get_selected_protocol(sock);
    http_conn_serve(c, protocol.len == 2 && memcmp(protocol.base, "h2", 2) == 0);
}

/* 0, or -EBUSY where a limit is in the way. */
static int http_conn_limit(struct http_worker *w, h2o_socket_t *sock, struct http_limit **ret)
{
    struct http_server *s = w->server;
    unsigned now = atomic_load_explicit(&s->connections, memory_order_relaxed);
    if (now >= s->options.connections_max && !http__conn_make_room(w)) {
        metric_add(s->figures.refused_full, 1);
        return -EBUSY;
    }
    if (s->options.connections_per_address == 0)
        return 0;
    int r = http_conn_enter(w, sock, s->options.connections_per_address, ret);
    if (r == -EBUSY)
        metric_add(s->figures.refused_address, 1);
    return r == -EBUSY ? r : 0; /* out of memory, or gone already: not counted */
}

static void http_conn_refuse(const struct http_accept *a, h2o_socket_t *sock)
{
    if (a->ctx.ssl_ctx == NULL) /* in clear a sentence is cheap */
        (void)send(h2o_socket_get_fd(sock), http_conn_full, sizeof http_conn_full - 1,
                   MSG_DONTWAIT | MSG_NOSIGNAL); /* best effort */
    h2o_socket_close(sock);
}

void http__conn_open(struct http_accept *a, h2o_socket_t *sock)
{
    struct http_worker *w = a->worker;
    struct http_server *s = w->server;
    struct http_limit *address = NULL;
    struct http_conn *c = NULL;
    if (http_conn_limit(w, sock, &address) == 0)
        c = calloc(1, sizeof *c);
    if (c == NULL) {
        (void)http_limit_leave(s->limits, address);
        http_conn_refuse(a, sock);
        return;
    }
    c->worker = w;
    c->accept = a;
    c->sock = sock;
    c->address = address;
    c->flood.header_size_max = s->options.header_size_max;
    http_conn_link(c);
    sock->on_close.cb = http_conn_on_close;
    sock->on_close.data = c;
    atomic_fetch_add_explicit(&s->connections, 1, memory_order_relaxed);
    http__watch_conn(c);
    metric_change(s->figures.connections, 1);
    metric_add(s->figures.connections_total, 1);
    if (a->ctx.ssl_ctx == NULL) {
        http_conn_serve(c, false);
        return;
    }
    c->idle_ms = clock_mono_ms();
    sock->data = c;
    sock->bytes_written = HTTP_SMALL_RECORDS_END - HTTP_SMALL_RECORDS; /* a handshake adds none */
    c->flood.sent = sock->bytes_written;
    h2o_socket_ssl_handshake(sock, a->ctx.ssl_ctx, NULL, http_conn_on_handshake);
}
