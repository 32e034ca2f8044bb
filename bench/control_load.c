/* SPDX-License-Identifier: Apache-2.0 */
/* control-load port=N requests=FILE [connections=N] [rate=N] [seconds=N] [warm=N]: HTTP/1.1
 * requests of many users against a server on 127.0.0.1, and how long they took, as JSON. A line of
 * FILE is METHOD TAB PATH TAB BEARER TAB BODY (the last two may be empty); they are sent in turn.
 *
 * rate > 0: so many a second, each at its time whatever became of those before; the time of a
 * request counts from when it was due, so a server that stalls is not spared. rate 0: each
 * connection sends its next request as soon as it has an answer. warm: seconds that come before
 * and do not count. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"

#define LOAD_CONNECTIONS_MAX 1024
#define LOAD_ANSWER_SIZE     (256 << 10)
#define LOAD_FILE_MAX        ((size_t)200 << 20)
#define LOAD_STATUS_MAX      600

struct load_request {
    char *text;
    size_t size;
};

struct load_conn {
    int fd;
    bool busy;
    uint64_t due_us;
    const struct load_request *request;
    size_t sent;
    size_t got;
    char answer[LOAD_ANSWER_SIZE + 1];
};

struct load {
    uint16_t port;
    unsigned connections, rate, seconds, warm;
    struct load_request *requests;
    size_t requests_count, next;
    struct load_conn *conns;
    unsigned idle[LOAD_CONNECTIONS_MAX];
    unsigned idle_count;
    int epoll;
    uint64_t begin_us, count_from_us, end_us;
    uint64_t statuses[LOAD_STATUS_MAX];
    uint32_t *times; /* microseconds */
    size_t times_count, times_room;
    uint64_t late; /* were due and found no connection */
};

static _Noreturn void load_fail(const char *what)
{
    (void)fprintf(stderr, "control-load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int load_connect(const struct load *l)
{
    const struct sockaddr_in addr = {
        .sin_family = AF_INET, .sin_port = htons(l->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof addr) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0 ||
        fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        load_fail("connecting");
    return fd;
}

static void load_open(struct load *l, unsigned i)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.u32 = i}};
    l->conns[i].fd = load_connect(l);
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->conns[i].fd, &event) < 0)
        load_fail("epoll");
}

static void load_push(struct load *l, unsigned i)
{
    struct load_conn *c = &l->conns[i];
    while (c->sent < c->request->size) {
        ssize_t n =
            send(c->fd, c->request->text + c->sent, c->request->size - c->sent, MSG_NOSIGNAL);
        if (n < 0)
            load_fail("sending"); /* requests are far smaller than a socket's buffer */
        c->sent += (size_t)n;
    }
}

static void load_send(struct load *l, unsigned i, uint64_t due_us)
{
    struct load_conn *c = &l->conns[i];
    c->busy = true;
    c->due_us = due_us;
    c->request = &l->requests[l->next];
    l->next = (l->next + 1) % l->requests_count;
    c->sent = 0;
    c->got = 0;
    load_push(l, i);
}

static void load_note(struct load *l, const struct load_conn *c, unsigned status)
{
    uint64_t now_us = clock_mono_us();
    if (c->due_us < l->count_from_us || c->due_us >= l->end_us)
        return;
    l->statuses[status < LOAD_STATUS_MAX ? status : 0]++;
    if (l->times_count == l->times_room) {
        l->times_room = l->times_room == 0 ? 65536 : 2 * l->times_room;
        l->times = realloc(l->times, l->times_room * sizeof *l->times);
        if (l->times == NULL)
            load_fail("memory");
    }
    l->times[l->times_count++] = (uint32_t)MIN(now_us - c->due_us, (uint64_t)UINT32_MAX);
}

/* The size of the whole answer, or 0 while its head is not there. */
static size_t load_answer_size(struct load_conn *c, unsigned *ret_status, bool *ret_close)
{
    c->answer[c->got] = '\0';
    char *head = strstr(c->answer, "\r\n\r\n");
    if (head == NULL)
        return 0;
    size_t body = 0;
    *ret_status = (unsigned)strtoul(c->answer + 9, NULL, 10);
    *ret_close = false;
    for (char *line = strstr(c->answer, "\r\n"); line != NULL && line < head;
         line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, "content-length:", 15) == 0)
            body = strtoul(line + 17, NULL, 10);
        if (strncasecmp(line + 2, "connection: close", 17) == 0)
            *ret_close = true;
    }
    return (size_t)(head - c->answer) + 4 + body;
}

static void load_done(struct load *l, unsigned i, unsigned status, bool closes)
{
    struct load_conn *c = &l->conns[i];
    load_note(l, c, status);
    c->busy = false;
    if (closes) {
        (void)close(c->fd);
        load_open(l, i);
    }
    if (l->rate == 0 && clock_mono_us() < l->end_us)
        load_send(l, i, clock_mono_us());
    else
        l->idle[l->idle_count++] = i;
}

static void load_read(struct load *l, unsigned i)
{
    struct load_conn *c = &l->conns[i];
    unsigned status = 0;
    bool closes = false;
    ssize_t n = recv(c->fd, c->answer + c->got, LOAD_ANSWER_SIZE - c->got, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) { /* closed: of a request under way that is an error, status 0 */
        bool busy = c->busy;
        (void)close(c->fd);
        load_open(l, i);
        if (busy)
            load_done(l, i, 0, false);
        return;
    }
    c->got += (size_t)n;
    size_t size = load_answer_size(c, &status, &closes);
    if (size > LOAD_ANSWER_SIZE) {
        (void)fprintf(stderr, "control-load: an answer of %zu bytes\n", size);
        exit(1);
    }
    if (size > 0 && c->got >= size)
        load_done(l, i, status, closes);
}

static void load_add(struct load *l, struct str line)
{
    struct str path, bearer, body;
    struct str method = str_cut(line, '\t', &path);
    CLEAN_BUF struct buf b = BUF_EMPTY;
    path = str_cut(path, '\t', &bearer);
    bearer = str_cut(bearer, '\t', &body);
    buf_printf(&b, STR_FMT " " STR_FMT " HTTP/1.1\r\nhost: 127.0.0.1:%u\r\n", STR_ARG(method),
               STR_ARG(path), l->port);
    if (bearer.size > 0)
        buf_printf(&b, "authorization: Bearer " STR_FMT "\r\n", STR_ARG(bearer));
    if (body.size > 0)
        buf_printf(&b, "content-type: application/json\r\ncontent-length: %zu\r\n", body.size);
    buf_puts(&b, "\r\n");
    buf_put_str(&b, body);
    size_t size = b.size;
    char *text = buf_take(&b);
    if (l->requests_count % 4096 == 0)
        l->requests = realloc(l->requests, (l->requests_count + 4096) * sizeof *l->requests);
    if (text == NULL || l->requests == NULL)
        load_fail("memory");
    l->requests[l->requests_count++] = (struct load_request){text, size};
}

static void load_requests(struct load *l, const char *path)
{
    struct buf all = BUF_EMPTY;
    int r = file_read(path, LOAD_FILE_MAX, &all);
    if (r < 0) {
        errno = -r;
        load_fail(path);
    }
    struct str rest = buf_str(&all);
    while (rest.size > 0) {
        struct str line = str_cut(rest, '\n', &rest);
        if (line.size > 0)
            load_add(l, line);
    }
    buf_free(&all);
    if (l->requests_count == 0) {
        errno = ENODATA;
        load_fail(path);
    }
}

/* What is due now goes to idle connections; what finds none is due still. Returns how long until
 * the next one, in milliseconds. */
static int load_due(struct load *l, uint64_t *done)
{
    for (;;) {
        uint64_t now_us = clock_mono_us();
        uint64_t due_us = l->begin_us + *done * 1000000 / l->rate;
        if (due_us >= l->end_us || due_us > now_us)
            return due_us > now_us ? (int)((due_us - now_us) / 1000) : 1;
        if (l->idle_count == 0) {
            l->late++;
            return 1;
        }
        load_send(l, l->idle[--l->idle_count], due_us);
        (*done)++;
    }
}

static void load_run(struct load *l)
{
    struct epoll_event events[256];
    uint64_t done = 0;
    l->begin_us = clock_mono_us();
    l->count_from_us = l->begin_us + l->warm * UINT64_C(1000000);
    l->end_us = l->count_from_us + l->seconds * UINT64_C(1000000);
    while (l->rate == 0 && l->idle_count > 0)
        load_send(l, l->idle[--l->idle_count], l->begin_us);
    while (clock_mono_us() < l->end_us ||
           (l->idle_count < l->connections && clock_mono_us() < l->end_us + 10000000)) {
        int wait_ms = l->rate > 0 ? load_due(l, &done) : 100;
        int n = epoll_wait(l->epoll, events, ARRAY_LEN(events), MIN(wait_ms, 100));
        for (int i = 0; i < n; i++)
            load_read(l, events[i].data.u32);
    }
}

static int load_by_time(const void *a, const void *b)
{
    const uint32_t *x = a;
    const uint32_t *y = b;
    return (*x > *y) - (*x < *y);
}

static double load_ms(const struct load *l, double part)
{
    if (l->times_count == 0)
        return 0;
    size_t at = (size_t)((double)l->times_count * part);
    return (double)l->times[MIN(at, l->times_count - 1)] / 1000;
}

static void load_print(struct load *l)
{
    const char *comma = "";
    if (l->times_count > 0)
        qsort(l->times, l->times_count, sizeof *l->times, load_by_time);
    printf("{\"requests\": %zu, \"seconds\": %u, \"p50\": %.3f, \"p95\": %.3f, \"p99\": %.3f, "
           "\"max\": %.3f, \"late\": %llu, \"statuses\": {",
           l->times_count, l->seconds, load_ms(l, 0.5), load_ms(l, 0.95), load_ms(l, 0.99),
           load_ms(l, 1), (unsigned long long)l->late);
    for (unsigned i = 0; i < LOAD_STATUS_MAX; i++)
        if (l->statuses[i] > 0) {
            printf("%s\"%u\": %llu", comma, i, (unsigned long long)l->statuses[i]);
            comma = ", ";
        }
    printf("}}\n");
}

static unsigned load_number(int argc, char **argv, const char *name, unsigned absent)
{
    size_t size = strlen(name);
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], name, size) == 0 && argv[i][size] == '=')
            return (unsigned)strtoul(argv[i] + size + 1, NULL, 10);
    return absent;
}

int main(int argc, char **argv)
{
    struct load l = {.port = (uint16_t)load_number(argc, argv, "port", 0),
                     .connections = load_number(argc, argv, "connections", 64),
                     .rate = load_number(argc, argv, "rate", 0),
                     .seconds = load_number(argc, argv, "seconds", 5),
                     .warm = load_number(argc, argv, "warm", 1)};
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], "requests=", 9) == 0)
            load_requests(&l, argv[i] + 9);
    if (l.port == 0 || l.requests_count == 0 || l.connections == 0 ||
        l.connections > LOAD_CONNECTIONS_MAX || l.seconds == 0) {
        (void)fprintf(stderr, "usage: control-load port=N requests=FILE [connections=N] [rate=N] "
                              "[seconds=N] [warm=N]\n");
        return 2;
    }
    l.epoll = epoll_create1(EPOLL_CLOEXEC);
    l.conns = calloc(l.connections, sizeof *l.conns);
    if (l.epoll < 0 || l.conns == NULL)
        load_fail("starting");
    for (unsigned i = 0; i < l.connections; i++) {
        load_open(&l, i);
        l.idle[l.idle_count++] = i;
    }
    load_run(&l);
    load_print(&l);
    return 0;
}
