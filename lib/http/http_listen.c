/* SPDX-License-Identifier: Apache-2.0 */
/* Each worker has a socket of its own on the same port (SO_REUSEPORT): the kernel spreads the
 * connections, and no worker wakes for another's. Sockets that another server has left (a process
 * that is taken over) are taken first, all of them: connections may wait on each. */
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include "http/http_inherit.h"
#include "http/http_priv.h"

#define HTTP_KEEPALIVE_S 60 /* a peer that has vanished while we owe it nothing */

static int http_listen_set(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) == 0 ? 0 : -errno;
}

/* What accepted sockets inherit. No TCP_USER_TIMEOUT: http_watch.c ends those who take nothing, and
 * the kernel's also ends who takes little, but steadily. */
static int http_listen_configure(int fd)
{
    int r = http_listen_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    return r < 0 ? r : http_listen_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, HTTP_KEEPALIVE_S);
}

static int http_listen_open(const struct addrinfo *a, bool shared, int *ret_fd)
{
    CLEAN(base_close) int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int r = http_listen_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (r == 0 && shared)
        r = http_listen_set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (r == 0 && a->ai_family == AF_INET6)
        r = http_listen_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0); /* "::" takes both families */
    if (r == 0)
        r = http_listen_configure(fd);
    if (r < 0)
        return r;
    if (bind(fd, a->ai_addr, a->ai_addrlen) < 0)
        return -errno;
    *ret_fd = fd;
    fd = -1;
    return 0;
}

/* SO_REUSEPORT would let a second daemon of the same user join a port that is taken, silently. */
static int http_listen_probe(const struct addrinfo *a)
{
    CLEAN(base_close) int fd = -1;
    return http_listen_open(a, false, &fd);
}

static int http_listen_port_of(int fd, uint16_t *ret)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        return -errno;
    struct sockaddr_in in = {0};
    struct sockaddr_in6 in6 = {0};
    memcpy(&in, &address, sizeof in);
    memcpy(&in6, &address, sizeof in6);
    *ret = ntohs(address.ss_family == AF_INET6 ? in6.sin6_port : in.sin_port);
    return 0;
}

static void http_listen_set_port(struct addrinfo *a, uint16_t port)
{
    if (a->ai_family == AF_INET6)
        ((struct sockaddr_in6 *)(void *)a->ai_addr)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)(void *)a->ai_addr)->sin_port = htons(port);
}

/* fds: *ret_count of them are inherited already; up to count are opened beside them. */
static int http_listen_bind_all(struct http_listener *l, struct addrinfo *a, unsigned count,
                                int *fds, unsigned *ret_count)
{
    unsigned n = *ret_count;
    int r = 0;
    for (unsigned i = 0; r == 0 && i < n; i++)
        r = http_listen_configure(fds[i]);
    if (n == 0 && l->options.port != 0)
        r = http_listen_probe(a);
    while (r == 0) {
        if (n > 0) {
            r = http_listen_port_of(fds[0], &l->port);
            http_listen_set_port(a, l->port); /* the rest join the first one's */
        }
        if (r < 0 || n >= count)
            break;
        r = http_listen_open(a, true, &fds[n]);
        if (r == 0)
            n++;
    }
    *ret_count = n;
    return r;
}

int http__listen_bind(struct http_listener *l, unsigned count, int *fds, unsigned *ret_count,
                      struct err *err)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
    struct addrinfo *a = NULL;
    const struct http_listen *o = &l->options;
    char port_text[8];
    (void)snprintf(port_text, sizeof port_text, "%u", (unsigned)o->port);
    int gai = getaddrinfo(o->address, port_text, &hints, &a);
    if (gai != 0)
        return err_set(err, -EINVAL, "listening on %s: %s", o->address, gai_strerror(gai));
    l->place = http_inherit_place(o->address, o->port);
    unsigned n = http_inherit_take(o->address, o->port, l->place, fds, HTTP_SOCKETS_MAX);
    int r = http_listen_bind_all(l, a, count, fds, &n);
    freeaddrinfo(a);
    if (r == 0) {
        *ret_count = n;
        return 0;
    }
    while (n > 0)
        (void)base_close(fds[--n]);
    return err_errno(err, r, "listening on %s port %u", o->address, (unsigned)o->port);
}
