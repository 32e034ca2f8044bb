/* SPDX-License-Identifier: Apache-2.0 */
#include "edge_client.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/str.h"

#define CLIENT_HEAD_MAX 8192
#define CLIENT_PATH_MAX 4096
#define CLIENT_EVENTS   256
#define CLIENT_SCRATCH  (256 << 10)
#define CLIENT_OPENING  64 /* at a time: a full backlog would drop the rest */
#define CLIENT_WAIT_S   120

enum client_state {
    CLIENT_CLOSED,
    CLIENT_CONNECTING,
    CLIENT_SHAKING,
    CLIENT_IDLE,
    CLIENT_SENDING,
    CLIENT_HEAD,
    CLIENT_BODY,
};

struct client_conn {
    enum client_state state;
    int fd;
    SSL *ssl;
    uint64_t began_us;
    uint64_t body_left;
    bool failed; /* the answer is no 200 or 206 */
    bool wanted; /* a request waits for the connection to stand */
    uint32_t out_size, out_sent;
    uint32_t head_size;
    char *out;  /* the request */
    char *head; /* of the answer, while it comes */
};

struct client {
    uint32_t magic;
#define CLIENT_MAGIC UINT32_C(0xc11e47b3)
    struct client_options options;
    SSL_CTX *tls;
    int epoll_fd;
    unsigned standing;
    struct client_conn *conns;
    struct client_stat stat;
    uint8_t *scratch;
};

int client_new(const struct client_options *options, struct client **ret)
{
    struct client *c = calloc(1, sizeof *c);
    if (c == NULL)
        return -ENOMEM;
    c->magic = CLIENT_MAGIC;
    c->options = *options;
    c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    c->conns = calloc(options->connections, sizeof *c->conns);
    c->scratch = malloc(CLIENT_SCRATCH);
    if (options->tls)
        c->tls = SSL_CTX_new(TLS_client_method());
    if (c->epoll_fd < 0 || c->conns == NULL || c->scratch == NULL ||
        (options->tls && c->tls == NULL)) {
        client_free(c);
        return -ENOMEM;
    }
    if (c->tls != NULL) {
        (void)SSL_CTX_set_min_proto_version(c->tls, TLS1_3_VERSION);
        (void)SSL_CTX_set_ciphersuites(c->tls, "TLS_AES_128_GCM_SHA256");
        (void)SSL_CTX_set_mode(c->tls, SSL_MODE_RELEASE_BUFFERS);
        SSL_CTX_set_verify(c->tls, SSL_VERIFY_NONE, NULL);
    }
    for (unsigned i = 0; i < options->connections; i++)
        c->conns[i].fd = -1;
    *ret = c;
    return 0;
}

static void client_close(struct client *c, struct client_conn *n)
{
    if (n->state > CLIENT_SHAKING)
        c->standing--;
    SSL_free(n->ssl);
    n->ssl = NULL;
    n->fd = base_close(n->fd);
    n->state = CLIENT_CLOSED;
}

struct client *client_free(struct client *c)
{
    if (c == NULL)
        return NULL;
    ASSERT(c->magic == CLIENT_MAGIC);
    for (unsigned i = 0; c->conns != NULL && i < c->options.connections; i++) {
        client_close(c, &c->conns[i]);
        free(c->conns[i].out);
        free(c->conns[i].head);
    }
    (void)base_close(c->epoll_fd);
    SSL_CTX_free(c->tls);
    free(c->conns);
    free(c->scratch);
    MAGIC_CLEAR(c);
    free(c);
    return NULL;
}

static void client_watch(struct client *c, struct client_conn *n, int how, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = n};
    (void)epoll_ctl(c->epoll_fd, how, n->fd, &event); /* fails only for a descriptor that is gone */
}

static void client_end(struct client *c, struct client_conn *n, bool error)
{
    bool was_asked = n->wanted || n->state > CLIENT_IDLE;
    n->wanted = false;
    if (error)
        client_close(c, n);
    else
        n->state = CLIENT_IDLE;
    free(n->head);
    n->head = NULL;
    if (!was_asked)
        return;
    c->stat.requests++;
    c->stat.errors += error || n->failed;
    if (c->options.on_done != NULL)
        c->options.on_done(c->options.arg, (unsigned)(n - c->conns), clock_mono_us() - n->began_us,
                           error || n->failed);
}

static void client_open(struct client *c, struct client_conn *n)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(c->options.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    n->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    (void)setsockopt(n->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (n->fd < 0 ||
        (connect(n->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS)) {
        client_end(c, n, true);
        return;
    }
    c->stat.opened++;
    n->state = CLIENT_CONNECTING;
    client_watch(c, n, EPOLL_CTL_ADD, EPOLLOUT);
}

/* Bytes, 0: none now, < 0: over. data NULL: they are thrown away unseen. */
static ssize_t client_take(struct client_conn *n, void *data, size_t size, bool discard)
{
    if (n->ssl != NULL) {
        int got = SSL_read(n->ssl, data, (int)size);
        return got > 0 ? got : SSL_get_error(n->ssl, got) == SSL_ERROR_WANT_READ ? 0 : -1;
    }
    ssize_t got = recv(n->fd, data, size, discard ? MSG_TRUNC : 0);
    return got > 0 ? got : got < 0 && errno == EAGAIN ? 0 : -1;
}

static void client_send(struct client *c, struct client_conn *n)
{
    while (n->out_sent < n->out_size) {
        size_t left = n->out_size - n->out_sent;
        ssize_t sent = n->ssl != NULL ? SSL_write(n->ssl, n->out + n->out_sent, (int)left)
                                      : send(n->fd, n->out + n->out_sent, left, MSG_NOSIGNAL);
        if (sent <= 0) { /* a request of some hundred bytes always has room */
            client_end(c, n, true);
            return;
        }
        n->out_sent += (uint32_t)sent;
    }
    n->state = CLIENT_HEAD;
    n->head_size = 0;
}

static void client_stands(struct client *c, struct client_conn *n)
{
    n->state = CLIENT_IDLE;
    c->standing++;
    client_watch(c, n, EPOLL_CTL_MOD, EPOLLIN);
    if (n->wanted) {
        n->wanted = false;
        n->state = CLIENT_SENDING;
        client_send(c, n);
    }
}

static void client_shake(struct client *c, struct client_conn *n)
{
    int r = SSL_connect(n->ssl);
    if (r == 1) {
        client_stands(c, n);
        return;
    }
    int error = SSL_get_error(n->ssl, r);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        client_watch(c, n, EPOLL_CTL_MOD, error == SSL_ERROR_WANT_READ ? EPOLLIN : EPOLLOUT);
    else
        client_end(c, n, true);
}

static void client_connected(struct client *c, struct client_conn *n)
{
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(n->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error != 0) {
        client_end(c, n, true);
        return;
    }
    if (c->tls == NULL) {
        client_stands(c, n);
        return;
    }
    n->ssl = SSL_new(c->tls);
    if (n->ssl == NULL || SSL_set_fd(n->ssl, n->fd) != 1) {
        client_end(c, n, true);
        return;
    }
    (void)SSL_set_tlsext_host_name(n->ssl, c->options.host);
    n->state = CLIENT_SHAKING;
    client_shake(c, n);
}

/* The head is whole: how much is to come. False: it cannot be told. */
static bool client_read_head(struct client_conn *n, struct str head)
{
    struct str rest;
    struct str line = str_cut(head, '\n', &rest);
    n->failed = !str_starts(line, STR("HTTP/1.1 200")) && !str_starts(line, STR("HTTP/1.1 206"));
    while (rest.size > 0) {
        struct str value;
        struct str after;
        line = str_cut(str_cut(rest, '\n', &rest), '\r', &after);
        struct str name = str_cut(line, ':', &value);
        if (str_eq_nocase(name, STR("content-length")))
            return str_to_u64(str_trim(value), &n->body_left) == 0;
    }
    return false;
}

static void client_head(struct client *c, struct client_conn *n)
{
    if (n->head == NULL)
        n->head = malloc(CLIENT_HEAD_MAX);
    ssize_t got = n->head == NULL ? -1
                                  : client_take(n, n->head + n->head_size,
                                                CLIENT_HEAD_MAX - n->head_size, false);
    if (got == 0)
        return;
    if (got < 0) {
        client_end(c, n, true);
        return;
    }
    n->head_size += (uint32_t)got;
    const char *end = memmem(n->head, n->head_size, "\r\n\r\n", 4);
    if (end == NULL && n->head_size < CLIENT_HEAD_MAX)
        return;
    size_t size = end == NULL ? 0 : (size_t)(end - n->head) + 4;
    size_t over = n->head_size - size;
    if (end == NULL || !client_read_head(n, (struct str){n->head, size}) || over > n->body_left) {
        client_end(c, n, true);
        return;
    }
    n->body_left -= over;
    c->stat.bytes += over;
    free(n->head);
    n->head = NULL;
    n->state = CLIENT_BODY;
}

static void client_body(struct client *c, struct client_conn *n)
{
    while (n->body_left > 0) {
        ssize_t got =
            client_take(n, c->scratch, (size_t)MIN(n->body_left, (uint64_t)CLIENT_SCRATCH), true);
        if (got == 0)
            return;
        if (got < 0) {
            client_end(c, n, true);
            return;
        }
        n->body_left -= (uint64_t)got;
        c->stat.bytes += (uint64_t)got;
    }
    client_end(c, n, false);
}

static void client_event(struct client *c, struct client_conn *n)
{
    switch (n->state) {
    case CLIENT_CLOSED:
    case CLIENT_SENDING:
        return;
    case CLIENT_CONNECTING:
        client_connected(c, n);
        return;
    case CLIENT_SHAKING:
        client_shake(c, n);
        return;
    case CLIENT_IDLE: { /* session tickets, or the server's end */
        char byte;
        if (client_take(n, &byte, 1, false) != 0)
            client_end(c, n, true);
        return;
    }
    case CLIENT_HEAD:
        client_head(c, n);
        if (n->state == CLIENT_BODY)
            client_body(c, n); /* what TLS has decrypted already raises no event */
        return;
    case CLIENT_BODY:
        client_body(c, n);
        return;
    }
}

void client_poll(struct client *c, uint32_t wait_ms)
{
    ASSERT(c->magic == CLIENT_MAGIC);
    struct epoll_event events[CLIENT_EVENTS];
    int count = epoll_wait(c->epoll_fd, events, CLIENT_EVENTS, (int)wait_ms);
    for (int i = 0; i < count; i++)
        client_event(c, events[i].data.ptr);
}

int client_connect(struct client *c)
{
    ASSERT(c->magic == CLIENT_MAGIC);
    uint64_t until_us = clock_mono_us() + CLIENT_WAIT_S * UINT64_C(1000000);
    for (unsigned opened = 0; c->standing < c->options.connections;) {
        while (opened < c->options.connections && opened < c->standing + CLIENT_OPENING)
            client_open(c, &c->conns[opened++]);
        client_poll(c, 100);
        if (clock_mono_us() > until_us || c->stat.errors > 0)
            return -ETIMEDOUT;
        for (unsigned i = 0; i < opened; i++)
            if (c->conns[i].state == CLIENT_CLOSED)
                client_open(c, &c->conns[i]);
    }
    return 0;
}

void client_get(struct client *c, unsigned connection, const char *path)
{
    ASSERT(c->magic == CLIENT_MAGIC);
    struct client_conn *n = &c->conns[connection];
    ASSERT(!client_is_busy(c, connection));
    if (n->out == NULL)
        n->out = malloc(CLIENT_PATH_MAX);
    int size = n->out == NULL
                   ? -1
                   : snprintf(n->out, CLIENT_PATH_MAX, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path,
                              c->options.host);
    n->began_us = clock_mono_us();
    n->wanted = true;
    n->failed = false;
    if (size < 0 || size >= CLIENT_PATH_MAX) {
        client_end(c, n, true);
        return;
    }
    n->out_size = (uint32_t)size;
    n->out_sent = 0;
    if (n->state == CLIENT_CLOSED) {
        client_open(c, n);
    } else if (n->state == CLIENT_IDLE) {
        n->wanted = false;
        n->state = CLIENT_SENDING;
        client_send(c, n);
    }
}

bool client_is_busy(const struct client *c, unsigned connection)
{
    const struct client_conn *n = &c->conns[connection];
    return n->wanted || n->state > CLIENT_IDLE;
}

void client_stat(const struct client *c, struct client_stat *ret)
{
    *ret = c->stat;
}
