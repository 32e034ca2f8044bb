/* SPDX-License-Identifier: Apache-2.0 */
/* Each worker has a socket of its own on the same port (SO_REUSEPORT): the kernel spreads the
 * connections, and no worker wakes for another's. */
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include "http/http_priv.h"

#define HTTP_KEEPALIVE_S 60 /* a peer that has vanished while we owe it nothing */

static int http_listen_set(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) == 0 ? 0 : -errno;
}

static int http_listen_open(const struct addrinfo *a, bool shared, uint32_t idle_ms, int *ret_fd)
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
        r = http_listen_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    if (r == 0)
        r = http_listen_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, HTTP_KEEPALIVE_S);
    /* A client that takes nothing of its answer: the library has no timeout for writing, the kernel
     * has. Accepted sockets inherit all of these. */
    if (r == 0)
        r = http_listen_set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)MIN(idle_ms, 1u << 30));
    if (r < 0)
        return r;
    if (bind(fd, a->ai_addr, a->ai_addrlen) < 0)
        return -errno;
    *ret_fd = fd;
    fd = -1;
    return 0;
}

/* SO_REUSEPORT would let a second daemon of the same user join a port that is taken, silently. */
static int http_listen_probe(const struct addrinfo *a, uint32_t idle_ms)
{
    CLEAN(base_close) int fd = -1;
    return http_listen_open(a, false, idle_ms, &fd);
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

static int http_listen_bind_all(struct http_listener *l, struct addrinfo *a, uint32_t idle_ms,
                                int *fds, unsigned count)
{
    int r = l->options.port == 0 ? 0 : http_listen_probe(a, idle_ms);
    for (unsigned i = 0; r == 0 && i < count; i++) {
        r = http_listen_open(a, true, idle_ms, &fds[i]);
        if (r == 0 && i == 0) {
            r = http_listen_port_of(fds[0], &l->port);
            http_listen_set_port(a, l->port); /* the rest join the first one's */
        }
    }
    return r;
}

int http__listen_bind(struct http_listener *l, uint32_t idle_ms, int *fds, unsigned count,
                      struct err *err)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
    struct addrinfo *a = NULL;
    char port_text[8];
    (void)snprintf(port_text, sizeof port_text, "%u", (unsigned)l->options.port);
    int gai = getaddrinfo(l->options.address, port_text, &hints, &a);
    if (gai != 0)
        return err_set(err, -EINVAL, "listening on %s: %s", l->options.address, gai_strerror(gai));
    for (unsigned i = 0; i < count; i++)
        fds[i] = -1;
    int r = http_listen_bind_all(l, a, idle_ms, fds, count);
    freeaddrinfo(a);
    if (r == 0)
        return 0;
    for (unsigned i = 0; i < count; i++)
        fds[i] = base_close(fds[i]);
    return err_errno(err, r, "listening on %s port %u", l->options.address,
                     (unsigned)l->options.port);
}
