/* SPDX-License-Identifier: Apache-2.0 */
/* http_test_util: a server on a free port, and a client that speaks in raw bytes, for shapes that a
 * well-behaved client never sends.
 *
 * Life:    raw_open -> raw_send, raw_read* -> raw_close.
 * Owner:   the test.
 * Threads: the test's.
 * Errors:  a failed system call fails the test.
 * Units:   bytes. */
#pragma once
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "../unit.h"
#include "http/http.h"

struct raw_answer {
    unsigned status;
    struct buf head; /* with its blank line */
    struct buf body; /* as it came, chunks and all */
    bool closed;     /* the server closed, before or after the body */
};

static inline int raw_open(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(fd, (struct sockaddr *)(void *)&a, sizeof a), 0);
    return fd;
}

static inline void raw_send(int fd, const char *text)
{
    size_t size = strlen(text);
    assert_int_equal(send(fd, text, size, MSG_NOSIGNAL), (ssize_t)size);
}

/* Waits until the server has read all that was sent to the port, by the kernel's word. */
static inline void raw_wait_read(uint16_t port)
{
    for (bool is_read = false; !is_read;) {
        char line[512];
        FILE *f = fopen("/proc/net/tcp", "re");
        assert_non_null(f);
        is_read = true;
        while (fgets(line, sizeof line, f) != NULL) {
            unsigned local, state, waiting;
            if (sscanf(line, "%*u: %*x:%x %*x:%*x %x %*x:%x", &local, &state, &waiting) == 3 &&
                local == port && state == TCP_ESTABLISHED && waiting > 0)
                is_read = false;
        }
        (void)fclose(f);
        if (!is_read)
            (void)usleep(1000);
    }
}

/* More bytes into b; false at the end of the stream or a reset. */
static inline bool raw_more(int fd, struct buf *b)
{
    static char bytes[65536];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 20000), 1); /* far beyond any wait: only a hang gets here */
    ssize_t n = recv(fd, bytes, sizeof bytes, 0);
    if (n <= 0)
        return false;
    buf_put(b, bytes, (size_t)n);
    return true;
}

/* The value of a header in head, or an empty string; name in lower case. */
static inline struct str raw_header(const struct raw_answer *a, const char *name)
{
    struct str rest = buf_str(&a->head);
    while (rest.size > 0) {
        struct str line = str_cut(rest, '\n', &rest);
        struct str value;
        struct str key = str_cut(line, ':', &value);
        if (value.data != NULL && str_eq_nocase(key, str_of(name))) {
            value = str_trim(value);
            if (value.size > 0 && value.data[value.size - 1] == '\r')
                value.size--;
            return value;
        }
    }
    return STR_NONE;
}

static inline bool raw_header_is(const struct raw_answer *a, const char *name, const char *value)
{
    return str_eq(raw_header(a, name), str_of(value));
}

static inline void raw_answer_free(struct raw_answer *a)
{
    buf_free(&a->head);
    buf_free(&a->body);
}

/* Reads one answer. bodiless: no body follows whatever Content-Length says (HEAD, 304). */
static inline struct raw_answer raw_read(int fd, bool bodiless)
{
    struct raw_answer a = {.head = BUF_EMPTY, .body = BUF_EMPTY};
    char *end = NULL;
    while ((end = a.head.size > 0 ? strstr(a.head.data, "\r\n\r\n") : NULL) == NULL) {
        if (!raw_more(fd, &a.head)) {
            a.closed = true;
            return a;
        }
    }
    size_t head_size = (size_t)(end - a.head.data) + 4;
    buf_put(&a.body, a.head.data + head_size, a.head.size - head_size);
    a.head.data[head_size] = '\0';
    a.head.size = head_size;
    assert_int_equal(sscanf(a.head.data, "HTTP/1.1 %u", &a.status), 1);
    uint64_t size = UINT64_MAX;
    struct str length = raw_header(&a, "content-length");
    if (length.size > 0)
        assert_int_equal(str_to_u64(length, &size), 0);
    if (bodiless)
        size = 0;
    bool chunked = raw_header_is(&a, "transfer-encoding", "chunked");
    while (a.body.size < size) {
        if (chunked && !bodiless && a.body.size >= 5 &&
            memcmp(a.body.data + a.body.size - 5, "0\r\n\r\n", 5) == 0)
            break;
        if (!raw_more(fd, &a.body)) {
            a.closed = true;
            break;
        }
    }
    return a;
}

static inline struct raw_answer raw_ask(uint16_t port, const char *request)
{
    int fd = raw_open(port);
    raw_send(fd, request);
    struct raw_answer a = raw_read(fd, strncmp(request, "HEAD ", 5) == 0);
    (void)close(fd);
    return a;
}

static inline bool raw_body_has(const struct raw_answer *a, const char *text)
{
    return a->body.size > 0 && strstr(a->body.data, text) != NULL;
}

static inline struct http_server *server_new(struct http_options o)
{
    static const struct http_listen listen = {.address = "127.0.0.1"};
    if (o.listens == NULL) {
        o.listens = &listen;
        o.listens_count = 1;
    }
    if (o.workers == 0)
        o.workers = 2;
    struct http_server *s = NULL;
    struct err err = {{0}};
    if (http_server_new(&o, &err, &s) < 0)
        fail_msg("%s", err.text);
    return s;
}

static inline uint16_t server_start(struct http_server *s)
{
    struct err err = {{0}};
    if (http_server_start(s, &err) < 0)
        fail_msg("%s", err.text);
    return http_server_port(s, 0);
}
