/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http_inherit.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define INHERIT_ADDRESS_SIZE 64 /* a numeric address with its zone */

struct inherit_socket {
    int fd;
    const void *owner; /* NULL: waits to be taken */
    char address[INHERIT_ADDRESS_SIZE];
    uint16_t port;
    unsigned place;
};

static pthread_mutex_t inherit_lock = PTHREAD_MUTEX_INITIALIZER;
static struct inherit_socket inherit_sockets[HTTP_INHERIT_MAX]; /* under inherit_lock */
static unsigned inherit_count;
static bool inherit_keeps;

static void inherit_remove(unsigned i)
{
    inherit_sockets[i] = inherit_sockets[--inherit_count];
}

static bool inherit_is(const struct inherit_socket *s, const char *address, uint16_t port)
{
    return s->port == port && strcmp(s->address, address) == 0;
}

/* --- from the environment --------------------------------------------------------------------- */

static int inherit_number(struct str text, uint64_t max, uint64_t *ret)
{
    uint64_t n;
    if (str_to_u64(text, &n) < 0 || n > max)
        return -EINVAL;
    *ret = n;
    return 0;
}

static int inherit_parse_one(struct str item, struct inherit_socket *ret)
{
    struct inherit_socket s = {0};
    struct str rest, place;
    uint64_t fd, port, n;
    struct str fd_text = str_cut(item, '=', &rest);
    struct str address = str_cut(rest, '|', &rest);
    struct str port_text = str_cut(rest, '|', &place);
    int r = inherit_number(fd_text, INT32_MAX, &fd);
    if (r == 0)
        r = inherit_number(port_text, UINT16_MAX, &port);
    if (r == 0)
        r = inherit_number(place, HTTP_INHERIT_MAX, &n);
    if (r == 0)
        r = str_copy(address, s.address, sizeof s.address);
    if (r < 0)
        return r;
    s.fd = (int)fd;
    s.port = (uint16_t)port;
    s.place = (unsigned)n;
    *ret = s;
    return 0;
}

/* A number in the environment is not a socket yet: it may be anything that this process has. */
static int inherit_check_fd(int fd)
{
    int listens = 0;
    socklen_t size = sizeof listens;
    if (fd <= STDERR_FILENO)
        return -EBADF;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0)
        return -errno;
    if (listens == 0)
        return -EINVAL;
    return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

int http_inherit_parse(struct str text, struct err *err)
{
    int r = 0;
    (void)pthread_mutex_lock(&inherit_lock);
    while (r == 0 && text.size > 0) {
        struct str item = str_cut(text, ' ', &text);
        struct inherit_socket s;
        r = inherit_count < HTTP_INHERIT_MAX ? inherit_parse_one(item, &s) : -E2BIG;
        if (r == 0)
            r = inherit_check_fd(s.fd);
        if (r == 0)
            inherit_sockets[inherit_count++] = s;
        else
            (void)err_errno(err, r, "%s: '" STR_FMT "'", HTTP_INHERIT_NAME, STR_ARG(item));
    }
    (void)pthread_mutex_unlock(&inherit_lock);
    return r;
}

int http_inherit_read(struct err *err)
{
    const char *value = getenv(HTTP_INHERIT_NAME);
    if (value == NULL)
        return 0;
    int r = http_inherit_parse(str_of(value), err);
    (void)unsetenv(HTTP_INHERIT_NAME); /* no child of ours has them */
    return r;
}

/* --- to and from servers ---------------------------------------------------------------------- */

unsigned http_inherit_place(const char *address, uint16_t port)
{
    unsigned place = 0;
    (void)pthread_mutex_lock(&inherit_lock);
    for (unsigned i = 0; i < inherit_count;) {
        const struct inherit_socket *s = &inherit_sockets[i++];
        if (s->owner != NULL && inherit_is(s, address, port) && s->place == place) {
            place++;
            i = 0; /* through all of them again */
        }
    }
    (void)pthread_mutex_unlock(&inherit_lock);
    return place;
}

unsigned http_inherit_take(const char *address, uint16_t port, unsigned place, int *ret_fds,
                           unsigned max)
{
    unsigned count = 0;
    (void)pthread_mutex_lock(&inherit_lock);
    for (unsigned i = 0; i < inherit_count && count < max;) {
        const struct inherit_socket *s = &inherit_sockets[i];
        if (s->owner != NULL || s->place != place || !inherit_is(s, address, port)) {
            i++;
            continue;
        }
        ret_fds[count++] = s->fd;
        inherit_remove(i);
    }
    (void)pthread_mutex_unlock(&inherit_lock);
    return count;
}

int http_inherit_add(const void *owner, const char *address, uint16_t port, unsigned place, int fd)
{
    ASSERT(owner != NULL);
    struct inherit_socket s = {.owner = owner, .port = port, .place = place};
    int r = str_copy(str_of(address), s.address, sizeof s.address);
    if (r < 0)
        return r;
    s.fd = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (s.fd < 0)
        return -errno;
    (void)pthread_mutex_lock(&inherit_lock);
    r = inherit_count < HTTP_INHERIT_MAX ? 0 : -E2BIG;
    if (r == 0)
        inherit_sockets[inherit_count++] = s;
    (void)pthread_mutex_unlock(&inherit_lock);
    if (r < 0)
        (void)base_close(s.fd);
    return r;
}

void http_inherit_drop(const void *owner)
{
    (void)pthread_mutex_lock(&inherit_lock);
    for (unsigned i = 0; i < inherit_count;) {
        struct inherit_socket *s = &inherit_sockets[i];
        if (s->owner != owner) {
            i++;
        } else if (inherit_keeps) {
            s->owner = NULL;
            i++;
        } else {
            (void)base_close(s->fd);
            inherit_remove(i);
        }
    }
    (void)pthread_mutex_unlock(&inherit_lock);
}

void http_inherit_keep(bool keep)
{
    (void)pthread_mutex_lock(&inherit_lock);
    inherit_keeps = keep;
    (void)pthread_mutex_unlock(&inherit_lock);
}

void http_inherit_discard(void)
{
    (void)pthread_mutex_lock(&inherit_lock);
    for (unsigned i = 0; i < inherit_count;) {
        if (inherit_sockets[i].owner != NULL) {
            i++;
        } else {
            (void)base_close(inherit_sockets[i].fd);
            inherit_remove(i);
        }
    }
    (void)pthread_mutex_unlock(&inherit_lock);
}

unsigned http_inherit_list(struct buf *out, int *ret_fds, unsigned max)
{
    (void)pthread_mutex_lock(&inherit_lock);
    unsigned count = MIN(inherit_count, max);
    for (unsigned i = 0; i < count; i++) {
        const struct inherit_socket *s = &inherit_sockets[i];
        buf_printf(out, "%s%d=%s|%u|%u", i > 0 ? " " : "", s->fd, s->address, (unsigned)s->port,
                   s->place);
        ret_fds[i] = s->fd;
    }
    (void)pthread_mutex_unlock(&inherit_lock);
    return count;
}
