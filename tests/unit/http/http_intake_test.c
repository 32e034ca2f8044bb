/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies that a handler takes as they come: http_route_stream and what belongs to it. */
#include <errno.h>
#include <stdatomic.h>
#include "http/http_chunk.h"
#include "http/http_strict.h"
#include "http_test_util.h"

#define SIZE_MAX_HERE 1000000u

/* What the handler has seen of the last request. Read by the test once `ended` has moved. */
static struct {
    atomic_uint called, ended;
    atomic_int res;
    _Atomic uint64_t bytes, sum, calls, announced, largest;
    atomic_uint step;    /* bytes to take at once; 0: all */
    atomic_bool is_slow; /* asks for more from a timer */
} seen;

struct take {
    struct http_req *req;
    struct loop_timer timer;
};

static void on_more(void *arg)
{
    struct take *t = arg;
    http_req_more(t->req);
}

static size_t on_bytes(void *arg, const uint8_t *data, size_t size)
{
    struct take *t = arg;
    unsigned step = atomic_load(&seen.step);
    size_t taken = step == 0 ? size : MIN(size, (size_t)step);
    for (size_t i = 0; i < taken; i++)
        atomic_store(&seen.sum, atomic_load(&seen.sum) * 31 + data[i]);
    atomic_fetch_add(&seen.bytes, taken);
    atomic_fetch_add(&seen.calls, 1);
    if (size > atomic_load(&seen.largest))
        atomic_store(&seen.largest, size);
    if (taken < size && atomic_load(&seen.is_slow))
        loop_timer_start(http_req_loop(t->req), &t->timer, 1, on_more, t);
    else if (taken < size)
        http_req_more(t->req);
    return taken;
}

static void on_end(void *arg, int res)
{
    struct take *t = arg;
    atomic_store(&seen.res, res);
    loop_timer_stop(&t->timer);
    if (res == 0)
        http_reply(t->req, 200, NULL, STR("taken"));
    else
        http_reply_error(t->req,
                         res == -EFBIG       ? 413
                         : res == -ETIMEDOUT ? 408
                                             : 400,
                         "BROKEN", "%d", res);
    (void)http_req_unref(t->req);
    free(t);
    atomic_fetch_add(&seen.ended, 1);
}

static void on_take(struct http_req *req, void *arg)
{
    static const struct http_intake_ops ops = {on_bytes, on_end};
    (void)arg;
    struct take *t = calloc(1, sizeof *t);
    assert_non_null(t);
    t->req = http_req_ref(req);
    atomic_store(&seen.announced, http_req_body_size(req));
    atomic_fetch_add(&seen.called, 1);
    assert_int_equal(http_req_header(req, "content-length").size, 0);
    assert_true(str_eq(http_req_header(req, "x-mark"), STR("here")));
    http_req_receive(req, &ops, t);
}

static void on_refuse(struct http_req *req, void *arg)
{
    (void)arg;
    atomic_fetch_add(&seen.called, 1);
    http_reply_error(req, 403, "NO", "not you");
}

static size_t on_first(void *arg, const uint8_t *data, size_t size)
{
    (void)data;
    http_reply_error(arg, 422, "ENOUGH", "%zu", size);
    return size;
}

static void on_first_end(void *arg, int res)
{
    atomic_store(&seen.res, res);
    (void)http_req_unref(arg);
    atomic_fetch_add(&seen.ended, 1);
}

/* Answers in the middle of the body. */
static void on_enough(struct http_req *req, void *arg)
{
    static const struct http_intake_ops ops = {on_first, on_first_end};
    (void)arg;
    http_req_receive(req, &ops, http_req_ref(req));
}

static void on_plain(struct http_req *req, void *arg)
{
    (void)arg;
    http_reply(req, 200, NULL, http_req_body(req));
}

static struct http_server *take_server(uint16_t *ret_port, struct http_options o)
{
    o.workers = 1;
    struct http_server *s = server_new(o);
    memset(&seen, 0, sizeof seen);
    assert_int_equal(http_route_stream(s, HTTP_POST, "/take", on_take, NULL, SIZE_MAX_HERE), 0);
    assert_int_equal(http_route_stream(s, HTTP_PUT, "/in/", on_take, NULL, SIZE_MAX_HERE), 0);
    assert_int_equal(http_route_stream(s, HTTP_POST, "/refuse", on_refuse, NULL, SIZE_MAX_HERE), 0);
    assert_int_equal(http_route_stream(s, HTTP_POST, "/enough", on_enough, NULL, SIZE_MAX_HERE), 0);
    assert_int_equal(http_route(s, HTTP_GET | HTTP_POST, "/plain", on_plain, NULL), 0);
    *ret_port = server_start(s);
    return s;
}

static void wait_ended(unsigned count)
{
    while (atomic_load(&seen.ended) < count)
        (void)poll(NULL, 0, 1);
}

static uint64_t sum_of(const char *bytes, size_t size)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < size; i++)
        sum = sum * 31 + (uint8_t)bytes[i];
    return sum;
}

static void send_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        assert_true(n > 0);
        data += n;
        size -= (size_t)n;
    }
}

static void expect_answer(int fd, unsigned status, bool closes)
{
    struct raw_answer a = raw_read(fd, false);
    assert_int_equal(a.status, status);
    if (closes) {
        assert_true(raw_header_is(&a, "connection", "close"));
        struct buf rest = BUF_EMPTY;
        while (raw_more(fd, &rest))
            continue;
        assert_int_equal(rest.size, 0); /* nothing behind it was taken for a request */
    }
    raw_answer_free(&a);
}

/* --- good ones -------------------------------------------------------------------------------- */

static void test_sizes(void **state)
{
    (void)state;
    static char body[900000];
    uint16_t port;
    struct http_server *s = take_server(&port, (struct http_options){.body_size_max = 1000});
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (char)(i * 7 + i / 251);
    static const size_t sizes[] = {1, 2, 4095, 65536, 70001, sizeof body};
    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        char head[200];
        atomic_store(&seen.sum, 0);
        atomic_store(&seen.bytes, 0);
        atomic_store(&seen.step, i % 2 == 0 ? 0 : 1000 + i);
        (void)snprintf(head, sizeof head,
                       "POST /take?x=y HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\nX-Mark: here"
                       "\r\n\r\n",
                       sizes[i]);
        int fd = raw_open(port);
        raw_send(fd, head);
        send_all(fd, body, sizes[i]);
        expect_answer(fd, 200, true);
        assert_int_equal(atomic_load(&seen.res), 0);
        assert_int_equal(atomic_load(&seen.bytes), sizes[i]);
        assert_int_equal(atomic_load(&seen.announced), sizes[i]);
        assert_true(atomic_load(&seen.sum) == sum_of(body, sizes[i]));
        (void)close(fd);
    }
    (void)http_server_free(s);
}

/* However the bytes are cut on their way. */
static void test_chunks(void **state)
{
    (void)state;
    static const char text[] =
        "PUT /in/a%20b HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\nx-mark: here\r\n\r\n"
        "5\r\nhello\r\n1;a=b\r\n \r\n05\r\nworld\r\n0\r\nTrailer: x\r\n\r\n";
    uint16_t port;
    struct http_server *s = take_server(&port, (struct http_options){0});
    for (size_t cut = 1; cut < sizeof text - 1; cut += 3) {
        int fd = raw_open(port);
        atomic_store(&seen.sum, 0);
        send_all(fd, text, cut);
        (void)poll(NULL, 0, 2); /* so that both parts are read apart, mostly */
        send_all(fd, text + cut, sizeof text - 1 - cut);
        expect_answer(fd, 200, true);
        assert_true(atomic_load(&seen.sum) == sum_of("hello world", 11));
        assert_true(atomic_load(&seen.announced) == HTTP_SIZE_UNKNOWN);
        (void)close(fd);
    }
    (void)http_server_free(s);
}

static void test_continue(void **state)
{
    (void)state;
    uint16_t port;
    struct http_server *s = take_server(&port, (struct http_options){0});
    int fd = raw_open(port);
    raw_send(fd, "POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n"
                 "X-Mark: here\r\n\r\n");
    struct buf b = BUF_EMPTY;
    while (b.size < 25)
        assert_true(raw_more(fd, &b));
    assert_string_equal(b.data, "HTTP/1.1 100 Continue\r\n\r\n");
    buf_free(&b);
    raw_send(fd, "hello");
    expect_answer(fd, 200, true);
    (void)close(fd);
    fd = raw_open(port); /* gone before the 100 or behind it */
    raw_send(fd, "POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n"
                 "X-Mark: here\r\n\r\n");
    (void)close(fd);
    wait_ended(2);
    assert_int_equal(atomic_load(&seen.res), -ECONNRESET);
    fd = raw_open(port);
    raw_send(fd, "POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: cake\r\n\r\n");
    expect_answer(fd, 417, true);
    (void)close(fd);
    (void)http_server_free(s);
}

/* Without a body, or with one that the library reads: the handler sees no difference. */
static void test_whole(void **state)
{
    (void)state;
    uint16_t port;
    struct http_server *s = take_server(&port, (struct http_options){0});
    struct raw_answer a = raw_ask(port, "POST /take HTTP/1.1\r\nHost: a\r\nx-mark: here\r\n\r\n");
    assert_int_equal(a.status, 200);
    assert_int_equal(atomic_load(&seen.bytes), 0);
    raw_answer_free(&a);
    /* Behind another on the same connection it comes past us; a second one then as usual. */
    int fd = raw_open(port);
    raw_send(fd, "GET /plain HTTP/1.1\r\nHost: a\r\n\r\nPOST /plain HTTP/1.1\r\nHost: a\r\n"
                 "Content-Length: 2\r\n\r\nhi");
    struct buf both = BUF_EMPTY;
    while (both.size < 2 || memcmp(both.data + both.size - 2, "hi", 2) != 0)
        assert_true(raw_more(fd, &both));
    buf_free(&both);
    raw_send(fd,
             "POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nX-Mark: here\r\n\r\nhello");
    expect_answer(fd, 200, true);
    assert_int_equal(atomic_load(&seen.bytes), 5);
    (void)close(fd);
    (void)http_server_free(s);
}

static void test_pipelined(void **state)
{
    (void)state;
    uint16_t port;
    struct http_server *s = take_server(&port, (struct http_options){0});
    int fd = raw_open(port);
    raw_send(fd, "GET /plain HTTP/1.1\r\nHost: a\r\n\r\nPOST /take HTTP/1.1\r\nHost: a\r\n"
                 "Content-Length: 5\r\nX-Mark: here\r\n\r\nhello");
    wait_ended(1);
    (void)close(fd);
    assert_int_equal(atomic_load(&seen.bytes), 5);
    fd = raw_open(port); /* behind a body nothing is a request */
    raw_send(fd, "POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nX-Mark: here\r\n\r\nhello"
                 "GET /plain HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_answer(fd, 200, true);
    (void)close(fd);
    (void)http_server_free(s);
}

/* --- bad ones --------------------------------------------------------------------------------- */

static void test_too_large(void **state)
{
    (void)state;
    static char body[SIZE_MAX_HERE];
    uint16_t port;
    struct http_server *s = take_server(&port, (struct http_options){0});
    struct raw_answer a =
        raw_ask(port, "POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 1000001\r\n\r\n");
    assert_int_equal(a.status, 413);
    assert_int_equal(atomic_load(&seen.called), 0);
    raw_answer_free(&a);
    int fd = raw_open(port);
    raw_send(fd,
             "POST /take HTTP/1.1\r\nHost: a\r\nX-Mark: here\r\ntransfer-encoding: chunked\r\n\r\n"
             "F4241\r\n");
    send_all(fd, body, sizeof body);
    raw_send(fd, "x\r\n0\r\n\r\n");
    expect_answer(fd, 413, true);
    assert_int_equal(atomic_load(&seen.res), -EFBIG);
    (void)close(fd);
    (void)http_server_free(s);
}

static void test_broken_off(void **state)
{
    (void)state;
    static const char *const parts[] = {
        "POST /take HTTP/1.1\r\nHost: a\r\nX-Mark: here\r\nContent-Length: 5\r\n\r\n",
        "POST /take HTTP/1.1\r\nHost: a\r\nX-Mark: here\r\nContent-Length: 5\r\n\r\nhell",
        ("PUT /in/ HTTP/1.1\r\nHost: a\r\nX-Mark: here\r\nTransfer-Encoding: "
         "chunked\r\n\r\n5\r\nhello"),
        "PUT /in/ HTTP/1.1\r\nHost: a\r\nX-Mark: here\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    };
    uint16_t port;
    struct http_server *s = take_server(&port, (struct http_options){0});
    for (unsigned i = 0; i < ARRAY_LEN(parts); i++) {
        int fd = raw_open(port);
        raw_send(fd, parts[i]);
        (void)shutdown(fd, SHUT_WR);
        wait_ended(i + 1);
        assert_int_equal(atomic_load(&seen.res), -ECONNRESET);
        (void)close(fd);
    }
    (void)http_server_free(s);
}

static void test_chunks_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"5\nhello\r\n0\r\n\r\n",
                                      "5 \r\nhello\r\n0\r\n\r\n",
                                      "\r\n",
                                      "-1\r\n",
                                      "5\r\nhello0\r\n\r\n",
                                      "5\r\nhelloX\n0\r\n\r\n",
                                      "0x5\r\nhello",
                                      "5\r\nhello\r\n0\r\n\n",
                                      "1000000000000000\r\n",
                                      "5;\x01\r\nhello\r\n0\r\n\r\n",
                                      "5\r\nhello\n0\r\n\r\n"};
    uint16_t port;
    struct http_server *s = take_server(&port, (struct http_options){0});
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        int fd = raw_open(port);
        raw_send(fd, "PUT /in/ HTTP/1.1\r\nHost: a\r\nX-Mark: here\r\n"
                     "Transfer-Encoding: chunked\r\n\r\n");
        raw_send(fd, bad[i]);
        expect_answer(fd, 400, true);
        wait_ended(i + 1);
        assert_int_equal(atomic_load(&seen.res), -EBADMSG);
        (void)close(fd);
    }
    (void)http_server_free(s);
}

/* Heads that two servers may read in two ways are refused before the handler, also here. */
static void test_smuggling(void **state)
{
    (void)state;
    static const char *const bad[] = {
        ("POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
         "0\r\n\r\n"),
        "POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "POST /take HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 5\r\n\r\nhello",
        "POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nX: y\r\n z\r\n\r\nhello",
        "POST /take HTTP/1.1\r\nHost: a\nContent-Length: 5\r\n\r\nhello",
        "POST /take HTTP/1.1\nHost: a\nContent-Length: 5\n\nhello",
        "POST /take HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello",
        "POST http://b/take HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "POST /take HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
    };
    uint16_t port;
    struct http_server *s = take_server(&port, (struct http_options){0});
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        int fd = raw_open(port);
        raw_send(fd, bad[i]);
        struct raw_answer a = raw_read(fd, false);
        assert_int_equal(a.status, 400);
        raw_answer_free(&a);
        (void)close(fd);
    }
    assert_int_equal(atomic_load(&seen.called), 0);
    (void)http_server_free(s);
}

static void test_slow(void **state)
{
    (void)state;
    uint16_t port;
    struct http_server *s = take_server(&port, (struct http_options){.idle_ms = 200});
    int fd = raw_open(port);
    raw_send(fd, "POST /take HTTP/1.1\r\nHost: a\r\nX-Mark: here\r\nContent-Length: 5\r\n\r\nh");
    expect_answer(fd, 408, true);
    assert_int_equal(atomic_load(&seen.res), -ETIMEDOUT);
    (void)close(fd);
    /* A handler that waits is not the client's fault: 40 ms of bytes take longer than idle_ms. */
    atomic_store(&seen.step, 1);
    atomic_store(&seen.is_slow, true);
    static char request[400]; /* in one piece: no client that is late */
    int head = snprintf(request, sizeof request,
                        "POST /take HTTP/1.1\r\nHost: a\r\nX-Mark: here\r\n"
                        "Content-Length: 300\r\n\r\n");
    fd = raw_open(port);
    send_all(fd, request, (size_t)head + 300);
    expect_answer(fd, 200, true);
    (void)close(fd);
    (void)http_server_free(s);
}

/* --- answers before the end ------------------------------------------------------------------- */

/* The client sends all of its body before it looks for the answer, and still gets it. */
static void test_early(void **state)
{
    (void)state;
    static char body[SIZE_MAX_HERE];
    static const char *const paths[] = {"/refuse", "/enough", "/nowhere"};
    uint16_t port;
    struct http_server *s =
        take_server(&port, (struct http_options){.body_size_max = SIZE_MAX_HERE});
    for (unsigned i = 0; i < ARRAY_LEN(paths); i++) {
        char head[200];
        (void)snprintf(head, sizeof head,
                       "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %u\r\n\r\n", paths[i],
                       SIZE_MAX_HERE);
        int fd = raw_open(port);
        raw_send(fd, head);
        send_all(fd, body, sizeof body);
        static const unsigned statuses[] = {403, 422, 404};
        expect_answer(fd, statuses[i], i < 2);
        (void)close(fd);
    }
    wait_ended(1);
    assert_int_equal(atomic_load(&seen.res), -ECANCELED);
    (void)http_server_free(s);
}

/* The same of a body that the library itself finds too large: the answer is not lost. */
static void test_larger_than_all(void **state)
{
    (void)state;
    static char body[SIZE_MAX_HERE];
    uint16_t port;
    struct http_server *s = take_server(&port, (struct http_options){.body_size_max = 1000});
    for (unsigned i = 0; i < 10; i++) {
        char head[200];
        (void)snprintf(head, sizeof head,
                       "POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: %u\r\n\r\n",
                       SIZE_MAX_HERE);
        int fd = raw_open(port);
        raw_send(fd, head);
        send_all(fd, body, sizeof body);
        expect_answer(fd, 413, false);
        (void)close(fd);
    }
    (void)http_server_free(s);
}

/* A handler that takes nothing: the client's bytes stay with the client. */
static void test_back_pressure(void **state)
{
    (void)state;
    static char body[65536];
    uint16_t port;
    struct http_server *s = take_server(&port, (struct http_options){0});
    atomic_store(&seen.step, 1);
    atomic_store(&seen.is_slow, true);
    int fd = raw_open(port);
    int small = 16384;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    raw_send(fd,
             "POST /take HTTP/1.1\r\nHost: a\r\nX-Mark: here\r\nContent-Length: 1000000\r\n\r\n");
    size_t sent = 0;
    ssize_t n;
    while (sent < 900000 && (n = send(fd, body, sizeof body, MSG_NOSIGNAL | MSG_DONTWAIT)) > 0)
        sent += (size_t)n;
    while (atomic_load(&seen.bytes) < 20)
        (void)poll(NULL, 0, 1);
    /* What has been seen at once is one read, and not what is on its way. */
    assert_true(atomic_load(&seen.largest) <= 8u << 20);
    atomic_store(&seen.step, 0); /* what is here already comes before its end is told */
    (void)close(fd);
    wait_ended(1);
    assert_true(atomic_load(&seen.res) == -ECONNRESET);
    (void)http_server_free(s);
}

/* The server ends in the middle: the handler is told, and nothing leaks (ASan). */
static void test_stop(void **state)
{
    (void)state;
    uint16_t port;
    struct http_server *s = take_server(&port, (struct http_options){0});
    int fd = raw_open(port);
    raw_send(fd, "POST /take HTTP/1.1\r\nHost: a\r\nX-Mark: here\r\nContent-Length: 5\r\n\r\nh");
    while (atomic_load(&seen.bytes) < 1)
        (void)poll(NULL, 0, 1);
    (void)http_server_free(s);
    assert_int_equal(atomic_load(&seen.ended), 1);
    assert_int_equal(atomic_load(&seen.res), -ECANCELED);
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),      cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_continue),   cmocka_unit_test(test_whole),
        cmocka_unit_test(test_pipelined),  cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_broken_off), cmocka_unit_test(test_chunks_refused),
        cmocka_unit_test(test_smuggling),  cmocka_unit_test(test_slow),
        cmocka_unit_test(test_early),      cmocka_unit_test(test_back_pressure),
        cmocka_unit_test(test_stop),       cmocka_unit_test(test_larger_than_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
