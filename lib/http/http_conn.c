/* SPDX-License-Identifier: Apache-2.0 */
/* The library has no list of connections that a program could walk, and no call that closes one. So
 * we keep our own list, by the socket's close callback, and end a connection by shutting its socket
 * down: the library then meets the end of the stream wherever it is, and cleans up by itself. */
#include "http/http_priv.h"
#include <stdlib.h>
#include <sys/socket.h>
#include "base/clock.h"
#include "base/log.h"

static void http_conn_on_close(void *arg)
{
    struct http_conn *c = arg;
    struct http_worker *w = c->worker;
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        w->conns = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    metric_change(w->server->figures.connections, -1);
    free(c);
}

void http__conn_open(struct http_accept *a, h2o_socket_t *sock)
{
    struct http_worker *w = a->worker;
    struct http_conn *c = calloc(1, sizeof *c);
    if (c == NULL) {
        h2o_socket_close(sock);
        return;
    }
    c->worker = w;
    c->accept = a;
    c->sock = sock;
    c->next = w->conns;
    if (w->conns != NULL)
        w->conns->prev = c;
    w->conns = c;
    sock->on_close.cb = http_conn_on_close;
    sock->on_close.data = c;
    http__guard_start(w);
    metric_change(w->server->figures.connections, 1);
    metric_add(w->server->figures.connections_total, 1);
}

struct http_conn *http__conn_of(h2o_req_t *h2o)
{
    const h2o_socket_t *sock = h2o->conn->callbacks->get_socket(h2o->conn);
    if (sock == NULL || sock->on_close.cb != http_conn_on_close)
        return NULL;
    return sock->on_close.data;
}

void http__conn_cut(struct http_conn *c)
{
    (void)shutdown(h2o_socket_get_fd(c->sock), SHUT_RDWR); /* -ENOTCONN: it is down already */
}

/* CVE-2023-44487: streams opened and reset at once pass the limit of concurrent streams, and each
 * costs a whole request. libh2o 2.2.5 does not count them. */
void http__conn_cancelled(struct http_conn *c)
{
    uint64_t now = clock_mono_ms();
    if (now - c->cancels_since_ms > HTTP_CANCELS_MS) {
        c->cancels_since_ms = now;
        c->cancels = 0;
    }
    if (++c->cancels != HTTP_CANCELS_MAX)
        return;
    log_debug("connection cut: %d requests taken back within %d ms", HTTP_CANCELS_MAX,
              HTTP_CANCELS_MS);
    metric_add(c->worker->server->figures.cut_total, 1);
    http__conn_cut(c);
}
