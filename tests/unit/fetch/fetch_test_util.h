/* SPDX-License-Identifier: Apache-2.0 */
/* fetch_test_util: upstreams: a real server of lib/http, and a scripted one for what no good server
 * does.
 *
 * Life:    script_start -> script_stop.
 * Owner:   the test.
 * Threads: a scripted upstream has a thread of its own.
 * Errors:  a failed system call fails the test.
 * Units:   bytes. */
#pragma once
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "../unit.h"
#include "base/file.h"
#include "base/id.h"
#include "fetch/fetch.h"
#include "http/http.h"
#include "cert.h"

struct folder {
    char path[64];
    char cert[96], key[96];
};

static inline struct folder folder_new(void)
{
    struct folder d = {.path = "/tmp/weir-fetch-XXXXXX"};
    assert_non_null(mkdtemp(d.path));
    (void)snprintf(d.cert, sizeof d.cert, "%s/cert.pem", d.path);
    (void)snprintf(d.key, sizeof d.key, "%s/key.pem", d.path);
    return d;
}

static inline void folder_remove(const struct folder *d)
{
    assert_int_equal(file_remove_all(d->path), 0);
}

/* --- a scripted upstream ---------------------------------------------------------------------- */

#define SCRIPT_HEAD_SIZE 16384

struct script {
    int fd;
    uint16_t port;
    pthread_t thread;
    atomic_int connections;
    char head[SCRIPT_HEAD_SIZE]; /* of the last request; the script's thread writes it */
    /* What to do with connection number index (from 0); the request's head has been read. */
    void (*serve)(int fd, int index, void *arg);
    void *arg;
    bool reads_itself; /* serve has the connection from its first byte */
};

static inline bool script_read_head(int fd, char bytes[SCRIPT_HEAD_SIZE])
{
    size_t used = 0;
    bytes[0] = '\0';
    while (used < SCRIPT_HEAD_SIZE - 1) {
        ssize_t n = recv(fd, bytes + used, SCRIPT_HEAD_SIZE - 1 - used, 0);
        if (n <= 0)
            return false;
        used += (size_t)n;
        bytes[used] = '\0';
        if (strstr(bytes, "\r\n\r\n") != NULL)
            return true;
    }
    return false;
}

static inline void script_say(int fd, const char *text)
{
    (void)!send(fd, text, strlen(text), MSG_NOSIGNAL); /* the client may have left: its right */
}

static inline void *script_main(void *arg)
{
    struct script *s = arg;
    for (;;) {
        int fd = accept(s->fd, NULL, NULL);
        if (fd < 0)
            return NULL; /* shut down */
        int index = atomic_fetch_add(&s->connections, 1);
        if (!s->reads_itself)
            (void)script_read_head(fd, s->head);
        s->serve(fd, index, s->arg);
        (void)close(fd);
    }
}

static inline void script_listen(struct script *s, int family, const struct sockaddr *a,
                                 socklen_t size)
{
    s->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(s->fd >= 0);
    int on = 1;
    assert_int_equal(setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    assert_int_equal(bind(s->fd, a, size), 0);
    assert_int_equal(listen(s->fd, 64), 0);
    atomic_store(&s->connections, 0);
    assert_int_equal(pthread_create(&s->thread, NULL, script_main, s), 0);
}

static inline void script_start(struct script *s)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(s->port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    script_listen(s, AF_INET, (struct sockaddr *)(void *)&a, sizeof a);
    socklen_t size = sizeof a;
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)(void *)&a, &size), 0);
    s->port = ntohs(a.sin_port);
}

static inline void script_start_unix(struct script *s, const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    (void)snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    script_listen(s, AF_UNIX, (struct sockaddr *)(void *)&a, sizeof a);
}

static inline void script_stop(struct script *s)
{
    (void)shutdown(s->fd, SHUT_RDWR);
    assert_int_equal(pthread_join(s->thread, NULL), 0);
    (void)close(s->fd);
}

/* --- a request on a loop ---------------------------------------------------------------------- */

struct got {
    struct fetch_op *op;
    struct buf body;
    unsigned head_status;
    uint64_t head_size;
    char head_type[64];
    int heads, dones;
    int res;
    unsigned status;
    size_t fail_after; /* on_data answers -ECANCELED past so many bytes; 0: never */
};

static inline int got_on_head(void *arg, const struct fetch_head *head)
{
    struct got *g = arg;
    g->heads++;
    g->head_status = head->status;
    g->head_size = head->size;
    (void)snprintf(g->head_type, sizeof g->head_type, STR_FMT, STR_ARG(head->type));
    return 0;
}

static inline int got_on_data(void *arg, const uint8_t *data, size_t size)
{
    struct got *g = arg;
    buf_put(&g->body, data, size);
    return g->fail_after > 0 && g->body.size > g->fail_after ? -ECANCELED : 0;
}

static inline void got_on_done(void *arg, int res, unsigned status)
{
    struct got *g = arg;
    g->dones++;
    g->res = res;
    g->status = status;
}

static inline struct fetch_request got_request(struct got *g, const char *url)
{
    return (struct fetch_request){.method = "GET",
                                  .url = url,
                                  .shared = true,
                                  .on_head = got_on_head,
                                  .on_data = got_on_data,
                                  .on_done = got_on_done,
                                  .arg = g};
}

static inline void got_wait(struct loop *l, struct got *g)
{
    while (g->dones == 0)
        loop_run_once(l, 1000);
    assert_int_equal(g->dones, 1);
}

static inline struct got got_get(struct loop *l, struct fetch *f, const char *url)
{
    struct got g = {.body = BUF_EMPTY};
    struct fetch_request q = got_request(&g, url);
    assert_int_equal(fetch_start(f, &q, &g.op), 0);
    got_wait(l, &g);
    return g;
}

static inline const char *url_of(const char *scheme, uint16_t port, const char *path)
{
    static char url[8][256];
    static unsigned next;
    char *out = url[next++ % 8];
    (void)snprintf(out, sizeof url[0], "%s://127.0.0.1:%u%s", scheme, (unsigned)port, path);
    return out;
}
