/* SPDX-License-Identifier: Apache-2.0 */
/* A client that is answered before its body is all here goes on sending for a while. If the socket
 * were closed meanwhile its kernel would throw the answer away with the reset that comes back. So a
 * copy of the descriptor stays open, says that no more comes, and swallows what is sent: for a
 * short time, and not without limit. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "http/http_intake.h"

struct http_linger {
    uint32_t magic;
#define HTTP_LINGER_MAGIC UINT32_C(0x11a6e2b8)
    struct http_worker *worker;
    struct http_linger *next, *prev;
    int fd;             /* until sock is made */
    h2o_socket_t *sock; /* of a TLS connection it gives what is coded: nobody reads it */
    uint64_t bytes;
    struct loop_timer timer;
};

static void http_linger_free(struct http_linger *l)
{
    struct http_worker *w = l->worker;
    ASSERT(l->magic == HTTP_LINGER_MAGIC);
    loop_timer_stop(&l->timer);
    if (l->prev != NULL)
        l->prev->next = l->next;
    else
        w->lingers = l->next;
    if (l->next != NULL)
        l->next->prev = l->prev;
    ASSERT(w->lingers_count > 0);
    w->lingers_count--;
    if (l->sock != NULL)
        h2o_socket_close(l->sock);
    else
        (void)base_close(l->fd);
    MAGIC_CLEAR(l);
    free(l);
}

static void http_linger_on_late(void *arg)
{
    http_linger_free(arg);
}

static void http_linger_on_read(h2o_socket_t *sock, const char *error)
{
    struct http_linger *l = sock->data;
    l->bytes += sock->input->size;
    h2o_buffer_consume(&sock->input, sock->input->size);
    if (error != NULL || l->bytes > HTTP_LINGER_MAX)
        http_linger_free(l);
}

/* On the next turn: what the library had to say is said by now. */
static void http_linger_begin(void *arg)
{
    struct http_linger *l = arg;
    (void)shutdown(l->fd, SHUT_WR); /* -ENOTCONN: the first read tells */
    l->sock = h2o_evloop_socket_create(l->worker->ctx.loop, l->fd, 0);
    l->sock->data = l;
    h2o_socket_read_start(l->sock, http_linger_on_read);
    loop_timer_start(l->worker->loop, &l->timer, HTTP_LINGER_MS, http_linger_on_late, l);
}

void http__linger(struct http_worker *w, int fd)
{
    if (w->stopping || w->lingers_count >= HTTP_LINGERS_MAX)
        return;
    struct http_linger *l = calloc(1, sizeof *l);
    int copy = l == NULL ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) {
        free(l);
        return; /* the answer may be lost: no worse than without */
    }
    l->magic = HTTP_LINGER_MAGIC;
    l->worker = w;
    l->fd = copy;
    l->next = w->lingers;
    if (l->next != NULL)
        l->next->prev = l;
    w->lingers = l;
    w->lingers_count++;
    loop_timer_start(w->loop, &l->timer, 0, http_linger_begin, l);
}

void http__linger_behind(h2o_req_t *h2o)
{
    struct http_conn *c = http__conn_of(h2o);
    if (c != NULL && c->cut_ms == 0)
        http__linger(c->worker, h2o_socket_get_fd(c->sock));
}

void http__lingers_free(struct http_worker *w)
{
    while (w->lingers != NULL)
        http_linger_free(w->lingers);
}
