/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the library's own calls of h2o_socket_write and h2o_socket_close come to ours. That the
 * dynamic linker would find ours first is not enough: a library that was linked with
 * -Bsymbolic-functions, as distributions do by default, calls its own all the same; its bytes would
 * go to OpenSSL's sink. So it is made to call both, once: its tunnel writes what one end has
 * received to the other, and closes both. */
#include <h2o.h>
#include <h2o/tunnel.h>
#include <sys/socket.h>
#include "http/http_priv.h"
#include "http/loop_priv.h"

#define HTTP_PROBE_MS 1000 /* no time passes */

static __thread struct {
    const h2o_socket_t *sock;
    bool is_written, is_closed;
} http_probe;

void http__seal_probe_written(const h2o_socket_t *sock)
{
    http_probe.is_written = http_probe.is_written || sock == http_probe.sock;
}

void http__seal_probe_closed(const h2o_socket_t *sock)
{
    http_probe.is_closed = http_probe.is_closed || sock == http_probe.sock;
}

static void http_probe_tunnel(struct loop *l, int from_fd, int to_fd)
{
    h2o_context_t ctx = {.loop = loop__h2o(l)}; /* all that a tunnel takes of it */
    h2o_timeout_t timeout;
    h2o_timeout_init(ctx.loop, &timeout, HTTP_PROBE_MS);
    h2o_socket_t *from = h2o_evloop_socket_create(ctx.loop, from_fd, 0);
    h2o_socket_t *to = h2o_evloop_socket_create(ctx.loop, to_fd, 0);
    h2o_buffer_reserve(&from->input, 1).base[0] = 'x';
    from->input->size = 1;
    from->bytes_read = 1;
    http_probe.sock = to;
    h2o_tunnel_t *tunnel = h2o_tunnel_establish(&ctx, from, to, &timeout);
    loop_run_once(l, 0); /* it hears that this is written */
    h2o_tunnel_break(tunnel);
    http_probe.sock = NULL;
    h2o_timeout_dispose(ctx.loop, &timeout);
}

bool http__seal_probe(void)
{
    struct loop *l = NULL;
    int from[2] = {-1, -1};
    int to[2] = {-1, -1};
    bool ok = loop_new(&l) == 0 &&
              socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, from) == 0 &&
              socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, to) == 0;
    if (ok) {
        http_probe_tunnel(l, from[0], to[0]);
        from[0] = to[0] = -1; /* closed by it */
    }
    for (unsigned i = 0; i < 2; i++) {
        (void)base_close(from[i]);
        (void)base_close(to[i]);
    }
    (void)loop_free(l);
    return ok && http_probe.is_written && http_probe.is_closed;
}
