/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include "http_test_util.h"

static void on_echo(struct http_req *req, void *arg)
{
    (void)arg;
    http_res_header(req, "x-path", STR_FMT, STR_ARG(http_req_path(req)));
    http_res_header(req, "x-query", STR_FMT, STR_ARG(http_req_query(req)));
    http_res_header(req, "x-peer", STR_FMT, STR_ARG(http_req_peer(req)));
    http_res_header(req, "x-id", STR_FMT, STR_ARG(http_req_id(req)));
    http_res_header(req, "x-bearer", STR_FMT, STR_ARG(http_req_bearer(req)));
    http_res_header(req, "x-authority", STR_FMT, STR_ARG(http_req_authority(req)));
    http_res_header(req, "x-method", "%u", http_req_method(req));
    http_res_header(req, "x-list", STR_FMT, STR_ARG(http_req_header(req, "x-list")));
    http_res_header(req, "x-cookie", STR_FMT, STR_ARG(http_req_header(req, "cookie")));
    http_reply(req, 200, "text/plain", http_req_body(req));
}

struct later {
    struct loop_timer timer;
    struct http_req *req;
};

static void later_cb(void *arg)
{
    struct later *l = arg;
    http_reply(l->req, 202, "text/plain", STR("later"));
    assert_true(http_req_gone(l->req));
    http_reply(l->req, 500, NULL, STR("never: it is answered"));
    (void)http_req_unref(l->req);
    free(l);
}

static void on_later(struct http_req *req, void *arg)
{
    (void)arg;
    struct later *l = calloc(1, sizeof *l);
    l->req = http_req_ref(req);
    loop_timer_start(http_req_loop(req), &l->timer, 20, later_cb, l);
}

static void on_json(struct http_req *req, void *arg)
{
    (void)arg;
    http_reply_json(req, 200, json_pack("{s:i}", "a", 1));
}

static void on_big(struct http_req *req, void *arg)
{
    (void)arg;
    struct buf b = BUF_EMPTY;
    for (int i = 0; i < 100000; i++)
        buf_printf(&b, "%06d\n", i);
    http_reply(req, 200, "text/plain", buf_str(&b));
    buf_free(&b);
}

static void on_inject(struct http_req *req, void *arg)
{
    (void)arg;
    http_res_header(req, "x-a", "1\r\nx-evil: 2");
    http_reply(req, 204, NULL, STR_NONE);
}

static bool always_not(void *arg)
{
    (void)arg;
    return false;
}

static struct http_server *echo_server(struct http_options o, uint16_t *ret_port)
{
    struct http_server *s = server_new(o);
    unsigned all = HTTP_GET | HTTP_POST | HTTP_PUT;
    assert_int_equal(http_route(s, all, "/echo/", on_echo, NULL), 0);
    assert_int_equal(http_route(s, HTTP_GET, "/later", on_later, NULL), 0);
    assert_int_equal(http_route(s, HTTP_GET, "/json", on_json, NULL), 0);
    assert_int_equal(http_route(s, HTTP_GET, "/big", on_big, NULL), 0);
    assert_int_equal(http_route(s, HTTP_GET, "/inject", on_inject, NULL), 0);
    assert_int_equal(http_route(s, HTTP_GET, "/json", on_json, NULL), -EEXIST);
    assert_int_equal(http_route(s, HTTP_GET, "json", on_json, NULL), -EINVAL);
    *ret_port = server_start(s);
    return s;
}

static void a_handler_sees_the_request(void **state)
{
    (void)state;
    uint16_t port;
    struct http_server *s = echo_server((struct http_options){.server_name = "weir-test"}, &port);
    struct raw_answer a = raw_ask(
        port, "POST /echo/a%20b?x=1&y HTTP/1.1\r\nHost: h:1\r\nContent-Length: 5\r\n"
              "Authorization: bearer s3cret\r\nX-List: a\r\nX-List: b\r\n"
              "Cookie: a=1\r\nCookie: b=2\r\n"
              "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\nhello");
    assert_int_equal(a.status, 200);
    assert_true(raw_header_is(&a, "x-path", "/echo/a%20b"));
    assert_true(raw_header_is(&a, "x-query", "x=1&y"));
    assert_true(raw_header_is(&a, "x-peer", "127.0.0.1"));
    assert_true(raw_header_is(&a, "x-id", "0af7651916cd43dd8448eb211c80319c"));
    assert_true(raw_header_is(&a, "x-bearer", "s3cret"));
    assert_true(raw_header_is(&a, "x-authority", "h:1"));
    assert_true(raw_header_is(&a, "x-method", "2"));
    assert_true(raw_header_is(&a, "x-list", "a, b"));
    assert_true(raw_header_is(&a, "x-cookie", "a=1; b=2"));
    assert_true(raw_header_is(&a, "server", "weir-test"));
    assert_true(raw_header_is(&a, "content-type", "text/plain"));
    assert_true(raw_header(&a, "date").size > 0);
    assert_string_equal(a.body.data, "hello");
    raw_answer_free(&a);
    a = raw_ask(port, "GET http://other:7/echo/abs HTTP/1.1\r\nHost: other:7\r\n\r\n");
    assert_true(raw_header_is(&a, "x-path", "/echo/abs"));
    assert_true(raw_header_is(&a, "x-authority", "other:7"));
    assert_int_equal(raw_header(&a, "x-id").size, 32);
    raw_answer_free(&a);
    (void)http_server_free(s);
}

static void errors_are_json(void **state)
{
    (void)state;
    uint16_t port;
    struct http_server *s = echo_server((struct http_options){.body_size_max = 10}, &port);
    static const struct {
        const char *request;
        unsigned status;
        const char *code;
    } cases[] = {
        {"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n", 404, "NOT_FOUND"},
        {"DELETE /echo/x HTTP/1.1\r\nHost: h\r\n\r\n", 405, "METHOD_NOT_ALLOWED"},
        {"OPTIONS /json HTTP/1.1\r\nHost: h\r\n\r\n", 405, "METHOD_NOT_ALLOWED"},
        {"BREW /json HTTP/1.1\r\nHost: h\r\n\r\n", 405, "METHOD_NOT_ALLOWED"},
        {"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 400, "BAD_REQUEST"},
        {"GET /json HTTP/1.1\r\n\r\n", 400, "BAD_REQUEST"},
        {"PUT /echo/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
         "b\r\nhello world\r\n0\r\n\r\n",
         413, "BODY_TOO_LARGE"},
        {"PUT /echo/x HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\nhello world", 413,
         "BODY_TOO_LARGE"},
        {"PUT /echo/x HTTP/1.1\r\nHost: h\r\nContent-Length: 4000\r\n\r\n", 413, "BODY_TOO_LARGE"},
        {"PUT /echo/x HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n", 400, "BAD_REQUEST"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct raw_answer a = raw_ask(port, cases[i].request);
        assert_int_equal(a.status, cases[i].status);
        assert_true(raw_header_is(&a, "content-type", "application/json"));
        json_t *body = json_loads(a.body.data, 0, NULL);
        assert_non_null(body);
        const char *code = NULL;
        const char *message = NULL;
        json_t *details = NULL;
        assert_int_equal(json_unpack(body, "{s:{s:s,s:s,s:o}}", "error", "code", &code, "message",
                                     &message, "details", &details),
                         0);
        assert_string_equal(code, cases[i].code);
        assert_true(json_is_object(details));
        json_decref(body);
        if (a.status == 405 && strstr(cases[i].request, "/echo/") != NULL)
            assert_true(raw_header_is(&a, "allow", "GET, HEAD, POST, PUT"));
        raw_answer_free(&a);
    }
    struct raw_answer a = raw_ask(port, "PUT /echo/x HTTP/1.1\r\nHost: h\r\n"
                                        "Transfer-Encoding: chunked\r\n\r\n"
                                        "a\r\n0123456789\r\n0\r\n\r\n");
    assert_int_equal(a.status, 200); /* the limit itself is allowed */
    assert_string_equal(a.body.data, "0123456789");
    raw_answer_free(&a);
    (void)http_server_free(s);
}

static void a_connection_serves_one_request_after_the_other(void **state)
{
    (void)state;
    uint16_t port;
    struct http_server *s = echo_server((struct http_options){0}, &port);
    int fd = raw_open(port);
    for (int i = 0; i < 3; i++) {
        raw_send(fd, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
        struct raw_answer a = raw_read(fd, false);
        assert_int_equal(a.status, 202);
        assert_string_equal(a.body.data, "later");
        raw_answer_free(&a);
        raw_send(fd, "HEAD /json HTTP/1.1\r\nHost: h\r\n\r\n");
        a = raw_read(fd, true);
        assert_int_equal(a.status, 200);
        assert_true(raw_header_is(&a, "content-length", "7"));
        raw_answer_free(&a);
        raw_send(fd, "GET /inject HTTP/1.1\r\nHost: h\r\n\r\n");
        a = raw_read(fd, true);
        assert_int_equal(a.status, 204);
        assert_true(raw_header_is(&a, "x-a", "1  x-evil: 2"));
        assert_int_equal(raw_header(&a, "content-length").size, 0);
        assert_int_equal(raw_header(&a, "transfer-encoding").size, 0);
        raw_answer_free(&a);
        raw_send(fd, "GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
        a = raw_read(fd, false);
        assert_int_equal(a.body.size, 700000);
        assert_memory_equal(a.body.data + 699993, "099999\n", 7);
        raw_answer_free(&a);
    }
    raw_send(fd, "GET /json HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    struct raw_answer a = raw_read(fd, false);
    assert_string_equal(a.body.data, "{\"a\":1}");
    struct buf rest = BUF_EMPTY;
    assert_false(raw_more(fd, &rest));
    raw_answer_free(&a);
    (void)close(fd);
    (void)http_server_free(s);
}

static void a_client_that_leaves_makes_replies_harmless(void **state)
{
    (void)state;
    uint16_t port;
    struct http_server *s = echo_server((struct http_options){.workers = 1}, &port);
    for (int i = 0; i < 5; i++) {
        int fd = raw_open(port);
        raw_send(fd, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
        struct linger reset = {.l_onoff = 1, .l_linger = 0};
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
        (void)close(fd);
    }
    struct raw_answer a = raw_ask(port, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(a.status, 202);
    raw_answer_free(&a);
    (void)http_server_free(s);
}

static void status_pages_answer(void **state)
{
    (void)state;
    struct metrics *m = NULL;
    assert_int_equal(metrics_new(&m), 0);
    struct http_server *s =
        server_new((struct http_options){.metrics = m, .metric_prefix = "weir_test", .workers = 1});
    assert_int_equal(http_route_status(s, m, always_not, NULL), 0);
    uint16_t port = server_start(s);
    struct raw_answer a = raw_ask(port, "GET /health/live HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(a.status, 200);
    raw_answer_free(&a);
    a = raw_ask(port, "GET /health/ready HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(a.status, 503);
    assert_true(raw_body_has(&a, "NOT_READY"));
    raw_answer_free(&a);
    a = raw_ask(port, "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(a.status, 200);
    assert_true(raw_header_is(&a, "content-type", "text/plain; version=0.0.4; charset=utf-8"));
    assert_true(raw_body_has(&a, "weir_test_http_requests_total{class=\"2xx\"} 1"));
    assert_true(raw_body_has(&a, "weir_test_http_requests_total{class=\"5xx\"} 1"));
    assert_true(raw_body_has(&a, "weir_test_http_connections_total 3"));
    assert_true(raw_body_has(&a, "weir_test_http_request_duration_seconds_count 2"));
    raw_answer_free(&a);
    (void)http_server_free(s);
    (void)metrics_free(m);
}

struct drained {
    struct http_server *server;
    atomic_int done;
};

static void *drain_main(void *arg)
{
    struct drained *d = arg;
    http_server_drain(d->server, 20000);
    atomic_store(&d->done, 1);
    return NULL;
}

struct held {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct http_req *req;
};

static void on_hold(struct http_req *req, void *arg)
{
    struct held *h = arg;
    (void)pthread_mutex_lock(&h->lock);
    h->req = http_req_ref(req);
    (void)pthread_cond_broadcast(&h->changed);
    (void)pthread_mutex_unlock(&h->lock);
}

static struct http_req *held_wait(struct held *h)
{
    (void)pthread_mutex_lock(&h->lock);
    while (h->req == NULL)
        (void)pthread_cond_wait(&h->changed, &h->lock);
    struct http_req *req = h->req;
    h->req = NULL;
    (void)pthread_mutex_unlock(&h->lock);
    return req;
}

static void release_cb(void *arg)
{
    struct http_req *req = arg;
    http_reply(req, 200, NULL, STR("held"));
    (void)http_req_unref(req);
}

static void draining_lets_what_is_under_way_finish(void **state)
{
    (void)state;
    struct held h = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL};
    struct http_server *s = server_new((struct http_options){0});
    assert_int_equal(http_route(s, HTTP_GET, "/hold", on_hold, &h), 0);
    uint16_t port = server_start(s);
    int idle = raw_open(port);
    int fd = raw_open(port);
    raw_send(fd, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    struct http_req *req = held_wait(&h);
    struct loop *loop = http_req_loop(req);
    struct drained d = {.server = s};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, drain_main, &d), 0);
    /* The listeners close first; then a connection is refused. */
    for (;;) {
        int probe = socket(AF_INET, SOCK_STREAM, 0);
        struct sockaddr_in a = {.sin_family = AF_INET,
                                .sin_port = htons(port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int r = connect(probe, (struct sockaddr *)(void *)&a, sizeof a);
        (void)close(probe);
        if (r < 0)
            break;
    }
    assert_int_equal(atomic_load(&d.done), 0);
    assert_int_equal(loop_post(loop, release_cb, req), 0);
    struct raw_answer a = raw_read(fd, false);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body.data, "held");
    raw_answer_free(&a);
    assert_int_equal(pthread_join(thread, NULL), 0);
    struct buf rest = BUF_EMPTY;
    assert_false(raw_more(idle, &rest));
    assert_false(raw_more(fd, &rest));
    (void)close(fd);
    (void)close(idle);
    (void)http_server_free(s);
}

struct service {
    atomic_int started, stopped;
    int fail_at;
    struct held *held;
};

static void *service_start(void *arg, struct loop *loop, unsigned index, int *ret_r)
{
    struct service *v = arg;
    assert_non_null(loop);
    if ((int)index == v->fail_at) {
        *ret_r = -ENOSPC;
        return NULL;
    }
    atomic_fetch_add(&v->started, 1);
    return v;
}

static void service_stop(void *arg, void *worker)
{
    struct service *v = arg;
    assert_ptr_equal(worker, v);
    if (v->held != NULL && v->held->req != NULL)
        v->held->req = http_req_unref(v->held->req); /* what a worker gives up at its end */
    atomic_fetch_add(&v->stopped, 1);
}

static void a_stop_answers_what_is_left_with_503(void **state)
{
    (void)state;
    struct held h = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL};
    struct service v = {.fail_at = -1, .held = &h};
    struct http_server *s = server_new((struct http_options){
        .workers = 1, .worker_start = service_start, .worker_stop = service_stop, .arg = &v});
    assert_int_equal(http_route(s, HTTP_GET, "/hold", on_hold, &h), 0);
    int fd = raw_open(server_start(s));
    raw_send(fd, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    struct http_req *req = held_wait(&h);
    assert_ptr_equal(http_req_worker(req), &v);
    h.req = req;
    http_server_drain(s, 0);
    struct raw_answer a = raw_read(fd, false);
    assert_int_equal(a.status, 503);
    assert_true(raw_body_has(&a, "STOPPING"));
    raw_answer_free(&a);
    (void)close(fd);
    (void)http_server_free(s);
    assert_int_equal(atomic_load(&v.stopped), 1);
}

static void a_worker_that_cannot_start_stops_the_start(void **state)
{
    (void)state;
    struct service v = {.fail_at = 2};
    struct http_server *s = server_new((struct http_options){
        .workers = 3, .worker_start = service_start, .worker_stop = service_stop, .arg = &v});
    struct err err = {{0}};
    assert_int_equal(http_server_start(s, &err), -ENOSPC);
    assert_non_null(strstr(err.text, "No space left"));
    (void)http_server_free(s);
    assert_int_equal(atomic_load(&v.started), atomic_load(&v.stopped));
}

static void a_port_that_is_taken_is_an_error_with_its_address(void **state)
{
    (void)state;
    struct http_server *first = server_new((struct http_options){0});
    uint16_t port = server_start(first);
    struct http_listen listen = {.address = "127.0.0.1", .port = port};
    struct http_server *second =
        server_new((struct http_options){.listens = &listen, .listens_count = 1});
    struct err err = {{0}};
    assert_int_equal(http_server_start(second, &err), -EADDRINUSE);
    assert_non_null(strstr(err.text, "127.0.0.1"));
    (void)http_server_free(second);
    (void)http_server_free(first);
    struct http_server *bad = NULL;
    listen.address = "not an address";
    struct http_options o = {.listens = &listen, .listens_count = 1, .workers = 1};
    assert_int_equal(http_server_new(&o, &err, &bad), 0);
    assert_int_equal(http_server_start(bad, &err), -EINVAL);
    (void)http_server_free(bad);
    listen = (struct http_listen){
        .address = "::1", .cert_file = "/nonexistent/a.pem", .key_file = "/nonexistent/b.pem"};
    bad = NULL;
    assert_int_equal(http_server_new(&o, &err, &bad), -ENOENT);
    assert_non_null(strstr(err.text, "/nonexistent/a.pem"));
    assert_null(bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handler_sees_the_request),
        cmocka_unit_test(errors_are_json),
        cmocka_unit_test(a_connection_serves_one_request_after_the_other),
        cmocka_unit_test(a_client_that_leaves_makes_replies_harmless),
        cmocka_unit_test(status_pages_answer),
        cmocka_unit_test(draining_lets_what_is_under_way_finish),
        cmocka_unit_test(a_stop_answers_what_is_left_with_503),
        cmocka_unit_test(a_worker_that_cannot_start_stops_the_start),
        cmocka_unit_test(a_port_that_is_taken_is_an_error_with_its_address),
    };
    return cmocka_run_group_tests_name("http_server", tests, NULL, NULL);
}
