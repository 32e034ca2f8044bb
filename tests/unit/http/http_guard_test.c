/* SPDX-License-Identifier: Apache-2.0 */
/* What is refused before a handler sees it, and what is owed to clients when the server stops. */
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include "base/secret.h"
#include "http/http_strict.h"
#include "http_test_util.h"

#define SECRET "a secret of some length"

static atomic_uint calls;

static void on_count(struct http_req *req, void *arg)
{
    (void)arg;
    atomic_fetch_add(&calls, 1);
    http_reply(req, 200, NULL, STR("counted"));
}

static void on_away(struct http_req *req, void *arg)
{
    (void)arg;
    http_reply_error(req, 502, "UPSTREAM_FAILED", "nobody is there");
}

static struct http_server *guard_server(struct http_options o, uint16_t *ret_port)
{
    struct http_server *s = server_new(o);
    assert_int_equal(http_route(s, HTTP_GET | HTTP_PUT, "/count", on_count, NULL), 0);
    assert_int_equal(http_route(s, HTTP_GET, "/away", on_away, NULL), 0);
    *ret_port = server_start(s);
    atomic_store(&calls, 0);
    return s;
}

/* --- heads ------------------------------------------------------------------------------------ */

static void test_strict_heads(void **state)
{
    (void)state;
    static const char *const good[] = {
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\nHost: b\r\n fold\r\n",
        "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n",
        "PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: Chunked\r\n\r\n",
        "GET http://A:80/x HTTP/1.1\r\nHost: a:80\r\n\r\n",
    };
    static const char *const bad[] = {
        "",
        "GET / HTTP/1.1\r\nHost: a\r\nhOST: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        "PUT / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "PUT / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n",
        "PUT / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
        "PUT / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "PUT / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\rZ: z\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost\t: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n",
        "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET HTTPS://b?x HTTP/1.1\r\nHost: a\r\n\r\n",
    };
    const char *why = NULL;
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_int_equal(http_strict_check(str_of(good[i]), &why), 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(http_strict_check(str_of(bad[i]), &why), -EBADMSG);
    assert_true(str_eq(http_strict_find(str_of(good[2]), STR("Content-Length")), STR("10")));
    assert_int_equal(http_strict_find(str_of(good[1]), STR("fold")).size, 0);
}

static void test_strict_server(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "GET /count HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /count HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
        ("PUT /count HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
         "5\r\nhello\r\n0\r\n\r\n"),
        "PUT /count HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "GET http://b/count HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /count HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
    };
    uint16_t port;
    struct http_server *s = guard_server((struct http_options){0}, &port);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int fd = raw_open(port);
        raw_send(fd, bad[i]);
        struct raw_answer a = raw_read(fd, false);
        assert_int_equal(a.status, 400);
        struct buf rest = BUF_EMPTY;
        while (raw_more(fd, &rest)) /* closed behind it: what follows is nobody's */
            continue;
        assert_int_equal(rest.size, 0);
        raw_answer_free(&a);
        (void)close(fd);
    }
    assert_int_equal(atomic_load(&calls), 0);
    /* Two behind each other on one connection, a body in between, are fine. */
    int fd = raw_open(port);
    raw_send(fd, "GET /count HTTP/1.1\r\nHost: a\r\n\r\nPUT /count HTTP/1.1\r\nHost: b\r\n"
                 "Content-Length: 3\r\n\r\nabcGET /count HTTP/1.1\r\nHost: c\r\n\r\n");
    struct buf all = BUF_EMPTY;
    while (atomic_load(&calls) < 3)
        assert_true(raw_more(fd, &all));
    (void)close(fd);
    buf_free(&all);
    (void)http_server_free(s);
}

static void test_retry_after(void **state)
{
    (void)state;
    uint16_t port;
    struct http_server *s = guard_server((struct http_options){0}, &port);
    struct raw_answer a = raw_ask(port, "GET /away HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(a.status, 502);
    assert_true(raw_header_is(&a, "retry-after", "1"));
    raw_answer_free(&a);
    (void)http_server_free(s);
}

/* --- bodies ----------------------------------------------------------------------------------- */

/* Sends a head and then a's as long as the server takes them; how many went. */
static size_t send_body(int fd, const char *head, size_t size)
{
    static char bytes[65536];
    memset(bytes, 'a', sizeof bytes);
    raw_send(fd, head);
    size_t sent = 0;
    while (sent < size) {
        struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};
        assert_true(poll(&p, 1, 20000) > 0);
        if ((p.revents & (POLLIN | POLLERR | POLLHUP)) != 0)
            break; /* an answer before the end */
        ssize_t n = send(fd, bytes, MIN(sizeof bytes, size - sent), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0)
            break;
        sent += (size_t)n;
        struct timespec pause = {0, 200000};
        (void)nanosleep(&pause, NULL); /* slower than the server looks */
    }
    return sent;
}

static void test_body_without_credential(void **state)
{
    (void)state;
    struct secret secret = {.size = strlen(SECRET), .text = SECRET};
    struct http_options o = {.body_size_max = 64 << 20, .body_secret = &secret};
    uint16_t port;
    struct http_server *s = guard_server(o, &port);
    static const char *const heads[] = {
        "PUT /count HTTP/1.1\r\nHost: a\r\nContent-Length: 60000000\r\n\r\n",
        "PUT /count HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer wrong\r\n"
        "Content-Length: 60000000\r\n\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        int fd = raw_open(port);
        assert_in_range(send_body(fd, heads[i], 60000000), 0, 59999999);
        struct raw_answer a = raw_read(fd, false);
        assert_int_equal(a.status, 401);
        assert_true(raw_body_has(&a, "CREDENTIAL_WRONG"));
        assert_int_equal(a.body.data[a.body.size - 1], '}');
        raw_answer_free(&a);
        (void)close(fd);
    }
    assert_int_equal(atomic_load(&calls), 0);
    int fd = raw_open(port);
    const char *head = "PUT /count HTTP/1.1\r\nHost: a\r\nauthorization: bearer " SECRET
                       "\r\nContent-Length: 3000000\r\n\r\n";
    assert_int_equal(send_body(fd, head, 3000000), 3000000);
    struct raw_answer a = raw_read(fd, false);
    assert_int_equal(a.status, 200);
    raw_answer_free(&a);
    (void)close(fd);
    (void)http_server_free(s);
}

/* Several together: one of them has to go, the others come through. */
static void test_bodies_together(void **state)
{
    (void)state;
    struct http_options o = {.body_size_max = 8 << 20, .body_total_max = 5 << 20, .workers = 1};
    uint16_t port;
    struct http_server *s = guard_server(o, &port);
    int fds[2];
    const char *head = "PUT /count HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n";
    for (unsigned i = 0; i < 2; i++) {
        fds[i] = raw_open(port);
        (void)send_body(fds[i], head, i == 0 ? 3500000 : 3000000);
        if (i == 0)
            raw_wait_read(port); /* so that it is the larger one when they meet */
    }
    struct raw_answer a = raw_read(fds[0], false); /* the larger one */
    assert_int_equal(a.status, 503);
    assert_true(raw_header_is(&a, "retry-after", "1"));
    assert_true(raw_body_has(&a, "BUSY"));
    raw_answer_free(&a);
    assert_int_equal(send_body(fds[1], "", 1000000), 1000000);
    a = raw_read(fds[1], false);
    assert_int_equal(a.status, 200);
    raw_answer_free(&a);
    (void)close(fds[0]);
    (void)close(fds[1]);
    assert_int_equal(atomic_load(&calls), 1);
    (void)http_server_free(s);
}

/* --- the stop --------------------------------------------------------------------------------- */

static struct http_req *_Atomic held;

static void on_hold(struct http_req *req, void *arg)
{
    (void)arg;
    atomic_store(&held, http_req_ref(req));
}

static void *hold_ask(void *arg)
{
    struct raw_answer *a = arg;
    uint16_t port = (uint16_t)a->status;
    *a = raw_ask(port, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    return NULL;
}

/* A handler that has not answered when the server goes: its client gets the 503 whole, and the
 * handler may come back when it likes. */
static void test_held_request(void **state)
{
    (void)state;
    struct http_server *s = server_new((struct http_options){.workers = 1});
    assert_int_equal(http_route(s, HTTP_GET, "/hold", on_hold, NULL), 0);
    uint16_t port = server_start(s);
    struct raw_answer a = {.status = port};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, hold_ask, &a), 0);
    while (atomic_load(&held) == NULL)
        (void)sched_yield();
    http_server_drain(s, 50);
    assert_null(http_server_free(s));
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(a.status, 503);
    assert_true(raw_body_has(&a, "STOPPING"));
    assert_false(a.closed); /* all that Content-Length promised */
    raw_answer_free(&a);
    struct http_req *req = atomic_load(&held);
    assert_true(http_req_gone(req));
    http_reply(req, 200, NULL, STR("too late"));
    (void)http_req_unref(req);
}

/* An answer that is larger than what the kernel takes at once, asked for in the last moment. */
static void on_large(struct http_req *req, void *arg)
{
    struct rbuf *body = arg;
    struct http_entity e = {.type = "text/plain", .body = body};
    http_reply_entity(req, &e);
    atomic_fetch_add(&calls, 1);
}

static void *drain_main(void *arg)
{
    (void)http_server_free(arg);
    return NULL;
}

static void test_flushed_at_the_stop(void **state)
{
    (void)state;
    CLEAN(rbuf_unref) struct rbuf *body = NULL;
    CLEAN_BUF struct buf bytes = BUF_EMPTY;
    for (unsigned i = 0; i < 1000000; i++)
        buf_puts(&bytes, "0123456789");
    assert_int_equal(rbuf_copy(bytes.data, bytes.size, &body), 0);
    struct http_server *s = server_new((struct http_options){.workers = 1});
    assert_int_equal(http_route(s, HTTP_GET, "/large", on_large, body), 0);
    uint16_t port = server_start(s);
    atomic_store(&calls, 0);
    int fd = raw_open(port);
    raw_send(fd, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    while (atomic_load(&calls) == 0)
        (void)sched_yield();
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, drain_main, s), 0);
    struct raw_answer a = raw_read(fd, false);
    assert_int_equal(a.body.size, bytes.size);
    raw_answer_free(&a);
    (void)close(fd);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strict_heads),        cmocka_unit_test(test_strict_server),
        cmocka_unit_test(test_retry_after),         cmocka_unit_test(test_body_without_credential),
        cmocka_unit_test(test_bodies_together),     cmocka_unit_test(test_held_request),
        cmocka_unit_test(test_flushed_at_the_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
