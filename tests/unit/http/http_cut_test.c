/* SPDX-License-Identifier: Apache-2.0 */
/* Responses that are ended by their mark, while others of the same worker go on. */
#include <errno.h>
#include <stdatomic.h>
#include "http/http.h"
#include "http_test_util.h"

#define BODY_SIZE (UINT32_C(48) << 20) /* more than sockets hold */

struct fixture {
    struct http_server *server;
    uint16_t port;
    struct rbuf *body;
    _Atomic(struct loop *) loop;
    atomic_uint cut;
    atomic_uint closed; /* sources */
    atomic_uint late;   /* requests that wait for their answer */
};

static uint64_t mark_of(struct http_req *req)
{
    uint64_t mark = 0;
    return str_to_u64(http_req_query(req), &mark) < 0 ? 0 : mark;
}

static void on_large(struct http_req *req, void *arg)
{
    struct fixture *f = arg;
    atomic_store(&f->loop, http_req_loop(req));
    http_req_mark(req, mark_of(req));
    const struct http_entity e = {.type = "text/plain", .body = f->body};
    http_reply_entity(req, &e);
}

static int source_read(void *source, uint64_t offset, uint32_t size_max, const uint8_t **ret_data,
                       uint32_t *ret_size)
{
    (void)source, (void)size_max;
    if (offset > 0)
        return -EAGAIN; /* for ever: only a cut ends it */
    *ret_data = (const uint8_t *)"x";
    *ret_size = 1;
    return 0;
}

static void source_close(void *source)
{
    struct fixture *f = source;
    (void)atomic_fetch_add(&f->closed, 1);
}

static void on_waiting(struct http_req *req, void *arg)
{
    static const struct http_source_ops ops = {source_read, source_close};
    struct fixture *f = arg;
    atomic_store(&f->loop, http_req_loop(req));
    http_req_mark(req, mark_of(req));
    const struct http_entity e = {
        .type = "text/plain", .source_ops = &ops, .source = f, .size = HTTP_SIZE_UNKNOWN};
    http_reply_entity(req, &e);
}

struct late {
    struct loop_timer timer;
    struct http_req *req;
    struct fixture *fixture;
};

static void late_cb(void *arg)
{
    struct late *l = arg;
    if (atomic_load(&l->fixture->cut) == 0) {
        loop_timer_start(http_req_loop(l->req), &l->timer, 5, late_cb, l);
        return;
    }
    http_reply(l->req, 200, "text/plain", STR("never seen"));
    http_req_unref(l->req);
    (void)atomic_fetch_sub(&l->fixture->late, 1);
    free(l);
}

static void on_late(struct http_req *req, void *arg)
{
    struct late *l = calloc(1, sizeof *l);
    assert_non_null(l);
    l->fixture = arg;
    l->req = http_req_ref(req);
    atomic_store(&l->fixture->loop, http_req_loop(req));
    http_req_mark(req, mark_of(req));
    (void)atomic_fetch_add(&l->fixture->late, 1);
    loop_timer_start(http_req_loop(req), &l->timer, 5, late_cb, l);
}

static void cut_seven(void *arg)
{
    struct fixture *f = arg;
    atomic_store(&f->cut, 100 + http_cut_marked(f->server, atomic_load(&f->loop), 7));
}

static void fixture_open(struct fixture *f)
{
    *f = (struct fixture){.server = server_new((struct http_options){.workers = 1})};
    uint8_t *space;
    uint32_t size;
    assert_int_equal(rbuf_new(BODY_SIZE, &f->body), 0);
    space = rbuf_space(f->body, &size);
    memset(space, 'b', BODY_SIZE);
    rbuf_window(f->body, 0, BODY_SIZE);
    assert_int_equal(http_route(f->server, HTTP_GET, "/large", on_large, f), 0);
    assert_int_equal(http_route(f->server, HTTP_GET, "/waiting", on_waiting, f), 0);
    assert_int_equal(http_route(f->server, HTTP_GET, "/late", on_late, f), 0);
    f->port = server_start(f->server);
}

static void fixture_close(struct fixture *f)
{
    http_server_free(f->server);
    rbuf_unref(f->body);
}

/* Cuts what is marked 7; how many there were. */
static unsigned cut(struct fixture *f)
{
    atomic_store(&f->cut, 0);
    assert_int_equal(loop_post(atomic_load(&f->loop), cut_seven, f), 0);
    while (atomic_load(&f->cut) == 0)
        (void)usleep(1000);
    return atomic_load(&f->cut) - 100;
}

static int begin(const struct fixture *f, const char *request, struct buf *head)
{
    int fd = raw_open(f->port);
    raw_send(fd, request);
    assert_true(raw_more(fd, head));
    return fd;
}

static size_t rest_of(int fd, struct buf *b)
{
    while (raw_more(fd, b))
        ;
    assert_int_equal(close(fd), 0);
    return b->size;
}

static void a_large_body_ends(void **state)
{
    (void)state;
    struct fixture f;
    CLEAN_BUF struct buf marked = BUF_EMPTY;
    CLEAN_BUF struct buf other = BUF_EMPTY;
    fixture_open(&f);
    int a = begin(&f, "GET /large?7 HTTP/1.1\r\nHost: x\r\n\r\n", &marked);
    int b = begin(&f, "GET /large?8 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", &other);
    assert_int_equal(cut(&f), 1);
    assert_true(rest_of(a, &marked) < BODY_SIZE);
    assert_true(rest_of(b, &other) > BODY_SIZE);
    fixture_close(&f);
}

static void a_waiting_body_ends(void **state)
{
    (void)state;
    struct fixture f;
    struct buf marked[3] = {BUF_EMPTY, BUF_EMPTY, BUF_EMPTY};
    int fds[3];
    fixture_open(&f);
    for (unsigned i = 0; i < 3; i++)
        fds[i] = begin(&f, "GET /waiting?7 HTTP/1.1\r\nHost: x\r\n\r\n", &marked[i]);
    assert_int_equal(cut(&f), 3);
    for (unsigned i = 0; i < 3; i++) {
        (void)rest_of(fds[i], &marked[i]);
        assert_null(strstr(marked[i].data, "0\r\n\r\n")); /* not as if it were whole */
        buf_free(&marked[i]);
    }
    while (atomic_load(&f.closed) < 3)
        (void)usleep(1000);
    fixture_close(&f);
    assert_int_equal(atomic_load(&f.closed), 3);
}

static void a_request_without_an_answer_ends(void **state)
{
    (void)state;
    struct fixture f;
    CLEAN_BUF struct buf none = BUF_EMPTY;
    fixture_open(&f);
    int fd = raw_open(f.port);
    raw_send(fd, "GET /late?7 HTTP/1.1\r\nHost: x\r\n\r\n");
    while (atomic_load(&f.late) == 0)
        (void)usleep(1000);
    assert_int_equal(cut(&f), 1);
    assert_int_equal(rest_of(fd, &none), 0);
    while (atomic_load(&f.late) > 0)
        (void)usleep(1000);
    fixture_close(&f);
}

static void others_are_left_alone(void **state)
{
    (void)state;
    struct fixture f;
    CLEAN_BUF struct buf unmarked = BUF_EMPTY;
    fixture_open(&f);
    int fd = begin(&f, "GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", &unmarked);
    assert_int_equal(cut(&f), 0);
    assert_true(rest_of(fd, &unmarked) > BODY_SIZE);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_body_ends),
        cmocka_unit_test(a_waiting_body_ends),
        cmocka_unit_test(a_request_without_an_answer_ends),
        cmocka_unit_test(others_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
