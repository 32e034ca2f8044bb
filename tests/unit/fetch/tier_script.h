/* SPDX-License-Identifier: Apache-2.0 */
/* tier_script: an HTTP server that does what no good server does, when the test says so.
 *
 * Life:    script_start -> requests, each given to `serve` -> script_stop.
 * Owner:   the test.
 * Threads: serve runs on a thread for each connection; a connection has one request.
 * Errors:  a failed system call fails the test.
 * Units:   bytes. */
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include "tier_test_util.h"

#define SCRIPT_THREADS_MAX 512

struct script;

struct script_request {
    struct script *script;
    int fd;
    int index; /* of the request, from 0 */
    char method[16];
    char target[1024];
    char head[8192];
    size_t body_size;
    char body[4096]; /* its begin */
};

struct script {
    int fd;
    uint16_t port;
    char url[64];
    pthread_t thread;
    pthread_t threads[SCRIPT_THREADS_MAX];
    int fds[SCRIPT_THREADS_MAX];
    unsigned threads_count;
    atomic_int requests;
    atomic_bool stopping;
    void (*serve)(struct script_request *q);
    void *arg;
};

static inline void script_say(struct script_request *q, const char *text)
{
    /* The client may have left: its right. */
    (void)!send(q->fd, text, strlen(text), MSG_NOSIGNAL);
}

static inline void script_answer(struct script_request *q, const char *status, const char *headers,
                                 const char *body)
{
    char head[1024];
    (void)snprintf(head, sizeof head,
                   "HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n", status,
                   strlen(body), headers);
    script_say(q, head);
    script_say(q, body);
}

static inline void script_error(struct script_request *q, const char *status, const char *code)
{
    char body[512];
    (void)snprintf(body, sizeof body,
                   "<?xml version=\"1.0\"?>\n<Error><Code>%s</Code><Message>as the test says"
                   "</Message><RequestId>1</RequestId></Error>",
                   code);
    script_answer(q, status, "", body);
}

/* Nothing more, until the client leaves. */
static inline void script_stall(struct script_request *q)
{
    char c;
    while (recv(q->fd, &c, 1, 0) > 0)
        ;
}

/* The head, and what stands behind it is counted as body. False: the client has left. */
static inline bool script_read(struct script_request *q)
{
    size_t used = 0;
    char *end = NULL;
    while (end == NULL) {
        ssize_t n = recv(q->fd, q->head + used, sizeof q->head - 1 - used, 0);
        if (n <= 0)
            return false;
        used += (size_t)n;
        q->head[used] = '\0';
        end = strstr(q->head, "\r\n\r\n");
    }
    size_t rest = used - (size_t)(end + 4 - q->head);
    memcpy(q->body, end + 4, MIN(rest, sizeof q->body - 1));
    const char *length = strcasestr(q->head, "\r\nContent-Length:");
    size_t size = length != NULL ? strtoul(length + 17, NULL, 10) : 0;
    if (strcasestr(q->head, "\r\nExpect: 100-continue") != NULL)
        script_say(q, "HTTP/1.1 100 Continue\r\n\r\n");
    for (q->body_size = rest; q->body_size < size;) {
        char bytes[65536];
        ssize_t n = recv(q->fd, bytes, sizeof bytes, 0);
        if (n <= 0)
            return false;
        if (q->body_size < sizeof q->body - 1)
            memcpy(q->body + q->body_size, bytes,
                   MIN((size_t)n, sizeof q->body - 1 - q->body_size));
        q->body_size += (size_t)n;
    }
    return sscanf(q->head, "%15s %1023s", q->method, q->target) == 2;
}

static inline void *script_connection(void *arg)
{
    struct script_request *q = arg;
    if (script_read(q)) {
        q->index = atomic_fetch_add(&q->script->requests, 1);
        q->script->serve(q);
    }
    (void)shutdown(q->fd, SHUT_RDWR); /* closed by script_stop, which may want to cut it */
    free(q);
    return NULL;
}

static inline void *script_main(void *arg)
{
    struct script *s = arg;
    for (;;) {
        int fd = accept(s->fd, NULL, NULL);
        if (fd < 0)
            return NULL; /* shut down */
        assert_true(s->threads_count < SCRIPT_THREADS_MAX);
        struct script_request *q = calloc(1, sizeof *q);
        assert_non_null(q);
        q->script = s;
        q->fd = fd;
        unsigned i = s->threads_count;
        s->fds[i] = fd;
        assert_int_equal(pthread_create(&s->threads[i], NULL, script_connection, q), 0);
        s->threads_count++;
    }
}

static inline void script_start(struct script *s, void (*serve)(struct script_request *q),
                                void *arg)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    *s = (struct script){.serve = serve, .arg = arg};
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(s->fd >= 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)(void *)&a, size), 0);
    assert_int_equal(listen(s->fd, 128), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)(void *)&a, &size), 0);
    s->port = ntohs(a.sin_port);
    (void)snprintf(s->url, sizeof s->url, "http://127.0.0.1:%u", (unsigned)s->port);
    assert_int_equal(pthread_create(&s->thread, NULL, script_main, s), 0);
}

static inline void script_stop(struct script *s)
{
    (void)shutdown(s->fd, SHUT_RDWR);
    assert_int_equal(pthread_join(s->thread, NULL), 0);
    (void)close(s->fd);
    for (unsigned i = 0; i < s->threads_count; i++) {
        (void)shutdown(s->fds[i], SHUT_RDWR);
        assert_int_equal(pthread_join(s->threads[i], NULL), 0);
        (void)close(s->fds[i]);
    }
}
