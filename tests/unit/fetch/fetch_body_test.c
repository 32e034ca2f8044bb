/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies that are sent as they come. */
#include "fetch/fetch.h"
#include "fetch_test_util.h"

#define BODY_SIZE 3000000u

static uint8_t body_byte(size_t offset)
{
    return (uint8_t)(offset * 7 + offset / 255);
}

/* --- the upstream ----------------------------------------------------------------------------- */

struct upstream {
    struct http_req *req;
    size_t size;
    bool is_wrong;
};

static atomic_int ended; /* how the last body ended, + 1000 */

static size_t upstream_on_data(void *arg, const uint8_t *data, size_t size)
{
    struct upstream *u = arg;
    for (size_t i = 0; i < size; i++)
        if (data[i] != body_byte(u->size + i))
            u->is_wrong = true;
    u->size += size;
    return size;
}

static void upstream_on_end(void *arg, int res)
{
    struct upstream *u = arg;
    char text[32];
    (void)snprintf(text, sizeof text, "%zu", u->size);
    http_reply(u->req, res == 0 && !u->is_wrong ? 200 : 400, NULL, str_of(text));
    (void)http_req_unref(u->req);
    free(u);
    atomic_store(&ended, res + 1000);
}

static void upstream_on_put(struct http_req *req, void *arg)
{
    static const struct http_intake_ops ops = {upstream_on_data, upstream_on_end};
    (void)arg;
    struct upstream *u = calloc(1, sizeof *u);
    assert_non_null(u);
    u->req = http_req_ref(req);
    http_req_receive(req, &ops, u);
}

static void upstream_on_refuse(struct http_req *req, void *arg)
{
    (void)arg;
    http_reply_error(req, 403, "NO", "not here");
}

static struct http_server *upstream_start(uint16_t *ret_port)
{
    static const struct http_listen listen = {.address = "127.0.0.1"};
    const struct http_options o = {.listens = &listen, .listens_count = 1, .workers = 1};
    struct http_server *s = NULL;
    struct err err;
    assert_int_equal(http_server_new(&o, &err, &s), 0);
    assert_int_equal(http_route_stream(s, HTTP_PUT, "/in", upstream_on_put, NULL, 1 << 30), 0);
    assert_int_equal(http_route_stream(s, HTTP_PUT, "/no", upstream_on_refuse, NULL, 1 << 30), 0);
    assert_int_equal(http_server_start(s, &err), 0);
    *ret_port = http_server_port(s, 0);
    atomic_store(&ended, 0);
    return s;
}

/* --- the source ------------------------------------------------------------------------------- */

struct source {
    struct loop *loop;
    struct fetch_op *op;
    struct loop_timer timer;
    size_t at, ready, size;
    int failure; /* at the end, in place of it */
    unsigned waits;
    int dones, res;
    unsigned status;
    struct buf answer;
};

static void source_on_timer(void *arg)
{
    struct source *s = arg;
    s->ready = MIN(s->size, s->ready + 100001);
    fetch_body_more(s->op);
}

static int source_on_body(void *arg, uint8_t *out, size_t size_max, size_t *ret_size)
{
    struct source *s = arg;
    if (s->at == s->size)
        return s->failure < 0 ? s->failure : -ENODATA;
    if (s->at == s->ready) {
        s->waits++;
        loop_timer_start(s->loop, &s->timer, 1, source_on_timer, s);
        return -EAGAIN;
    }
    size_t size = MIN(size_max, s->ready - s->at);
    for (size_t i = 0; i < size; i++)
        out[i] = body_byte(s->at + i);
    s->at += size;
    *ret_size = size;
    return 0;
}

static int source_on_data(void *arg, const uint8_t *data, size_t size)
{
    struct source *s = arg;
    buf_put(&s->answer, data, size);
    return 0;
}

static void source_on_done(void *arg, int res, unsigned status)
{
    struct source *s = arg;
    s->dones++;
    s->res = res;
    s->status = status;
    loop_timer_stop(&s->timer);
}

static void source_run(struct source *s, const char *path, uint16_t port)
{
    char url[64];
    struct fetch *f = NULL;
    assert_int_equal(loop_new(&s->loop), 0);
    assert_int_equal(fetch_new(s->loop, &(struct fetch_options){.retries = 2}, &f), 0);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u%s", port, path);
    const struct fetch_request q = {.method = "PUT",
                                    .url = url,
                                    .on_body = source_on_body,
                                    .on_data = source_on_data,
                                    .on_done = source_on_done,
                                    .arg = s};
    assert_int_equal(fetch_start(f, &q, &s->op), 0);
    while (s->dones == 0)
        loop_run_once(s->loop, 100);
    fetch_free(f);
    loop_free(s->loop);
}

/* --- tests ------------------------------------------------------------------------------------ */

static void a_body_comes_whole(void **state)
{
    (void)state;
    uint16_t port;
    struct http_server *upstream = upstream_start(&port);
    struct source s = {.size = BODY_SIZE};
    source_run(&s, "/in", port);
    assert_int_equal(s.res, 0);
    assert_int_equal(s.status, 200);
    assert_string_equal(s.answer.data, "3000000");
    assert_true(s.waits > 10);
    struct source none = {.size = 0};
    source_run(&none, "/in", port);
    assert_int_equal(none.status, 200);
    buf_free(&s.answer);
    buf_free(&none.answer);
    http_server_free(upstream);
}

/* The upstream must not take it for whole, and it is not sent again. */
static void a_body_that_fails_breaks_off(void **state)
{
    (void)state;
    uint16_t port;
    struct http_server *upstream = upstream_start(&port);
    struct source s = {.size = 200000, .failure = -ENOSPC};
    source_run(&s, "/in", port);
    assert_int_equal(s.res, -ENOSPC);
    assert_int_equal(s.dones, 1);
    while (atomic_load(&ended) == 0)
        usleep(1000);
    assert_int_equal(atomic_load(&ended), 1000 - ECONNRESET);
    buf_free(&s.answer);
    http_server_free(upstream);
}

static void an_answer_may_come_before_the_end(void **state)
{
    (void)state;
    uint16_t port;
    struct http_server *upstream = upstream_start(&port);
    struct source s = {.size = SIZE_MAX};
    source_run(&s, "/no", port);
    assert_int_equal(s.res, 0);
    assert_int_equal(s.status, 403);
    buf_free(&s.answer);
    http_server_free(upstream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_comes_whole),
        cmocka_unit_test(a_body_that_fails_breaks_off),
        cmocka_unit_test(an_answer_may_come_before_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
