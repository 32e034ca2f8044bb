/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/fetch.h"
#include "fetch_test_util.h"
#include <sched.h>

static struct loop *loop_make(void)
{
    struct loop *l = NULL;
    assert_int_equal(loop_new(&l), 0);
    return l;
}

static struct fetch *fetch_make(struct loop *l, struct fetch_options o)
{
    struct fetch *f = NULL;
    assert_int_equal(fetch_new(l, &o, &f), 0);
    return f;
}

/* --- against scripted upstreams --------------------------------------------------------------- */

#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello"

static void serve_ok(int fd, int index, void *arg)
{
    (void)index, (void)arg;
    script_say(fd, OK_ANSWER);
}

/* Closes without a byte until connection number *arg. */
static void serve_late(int fd, int index, void *arg)
{
    if (index >= *(int *)arg)
        script_say(fd, OK_ANSWER);
}

static void serve_half(int fd, int index, void *arg)
{
    (void)index, (void)arg;
    script_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
}

static void serve_half_chunked(int fd, int index, void *arg)
{
    (void)index, (void)arg;
    script_say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
}

static void serve_garbage(int fd, int index, void *arg)
{
    (void)index, (void)arg;
    script_say(fd, "this is not HTTP at all\r\n\r\n");
}

static void serve_redirect(int fd, int index, void *arg)
{
    (void)index, (void)arg;
    script_say(fd, "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n");
}

static void serve_interim(int fd, int index, void *arg)
{
    (void)index, (void)arg;
    script_say(fd, "HTTP/1.1 103 Early Hints\r\nContent-Length: 77\r\n\r\n" OK_ANSWER);
}

/* Says no more until the client leaves. */
static void serve_stall(int fd, int index, void *arg)
{
    (void)index;
    script_say(fd, arg);
    char c;
    while (recv(fd, &c, 1, 0) > 0)
        ;
}

static void an_answer_comes_whole(void **state)
{
    (void)state;
    struct loop *l = loop_make();
    struct fetch *f = fetch_make(l, (struct fetch_options){0});
    struct script s = {.serve = serve_ok};
    script_start(&s);
    struct got g = got_get(l, f, url_of("http", s.port, "/x"));
    assert_int_equal(g.res, 0);
    assert_int_equal(g.status, 200);
    assert_int_equal(g.heads, 1);
    assert_int_equal(g.head_status, 200);
    assert_int_equal(g.head_size, 5);
    assert_string_equal(g.head_type, "text/plain");
    assert_string_equal(g.body.data, "hello");
    buf_free(&g.body);
    script_stop(&s);
    s = (struct script){.serve = serve_interim};
    script_start(&s);
    g = got_get(l, f, url_of("http", s.port, "/x"));
    assert_int_equal(g.res, 0);
    assert_int_equal(g.heads, 1); /* the interim one is not told */
    assert_int_equal(g.head_size, 5);
    buf_free(&g.body);
    script_stop(&s);
    s = (struct script){.serve = serve_redirect};
    script_start(&s);
    g = got_get(l, f, url_of("http", s.port, "/x"));
    assert_int_equal(g.status, 302); /* told, not followed */
    assert_int_equal(atomic_load(&s.connections), 1);
    script_stop(&s);
    (void)fetch_free(f);
    (void)loop_free(l);
}

static void failures_have_their_names(void **state)
{
    (void)state;
    struct loop *l = loop_make();
    struct fetch *f = fetch_make(l, (struct fetch_options){0});
    struct fetch *hasty = fetch_make(l, (struct fetch_options){.stall_ms = 50});
    static const struct {
        void (*serve)(int, int, void *);
        const char *arg;
        int res;
        int heads;
    } cases[] = {
        {serve_half, NULL, -ECONNRESET, 1},
        {serve_half_chunked, NULL, -ECONNRESET, 1},
        {serve_garbage, NULL, -EBADMSG, 0},
        {serve_stall, "", -ETIMEDOUT, 0},
        {serve_stall, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", -ETIMEDOUT, 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct script s = {.serve = cases[i].serve, .arg = (void *)(uintptr_t)cases[i].arg};
        script_start(&s);
        bool is_stall = cases[i].serve == serve_stall;
        struct got g = got_get(l, is_stall ? hasty : f, url_of("http", s.port, "/x"));
        assert_int_equal(g.res, cases[i].res);
        if (!is_stall) /* there the head may come too late as well */
            assert_int_equal(g.heads, cases[i].heads);
        buf_free(&g.body);
        script_stop(&s);
        g = got_get(l, f, url_of("http", s.port, "/x")); /* nobody listens any more */
        assert_int_equal(g.res, -ECONNREFUSED);
    }
    struct got g = {.body = BUF_EMPTY};
    static const char *const bad[] = {"",
                                      "nothing",
                                      "ftp://127.0.0.1/",
                                      "http://",
                                      "file:///etc/passwd",
                                      "http://127.0.0.1/a\r\nX: y"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct fetch_request q = got_request(&g, bad[i]);
        struct fetch_op *op = NULL;
        assert_int_equal(fetch_start(f, &q, &op), -EINVAL);
        assert_null(op);
    }
    struct fetch_request q = got_request(&g, "http://127.0.0.1/");
    q.bearer = "a\r\nX-Evil: b";
    assert_int_equal(fetch_start(f, &q, &g.op), -EINVAL);
    assert_int_equal(g.dones, 0);
    (void)fetch_free(hasty);
    (void)fetch_free(f);
    (void)loop_free(l);
}

static void what_may_be_repeated_is_tried_again(void **state)
{
    (void)state;
    struct loop *l = loop_make();
    struct fetch *f = fetch_make(l, (struct fetch_options){.retries = 3, .breaker_failures = 100});
    int late = 3;
    struct script s = {.serve = serve_late, .arg = &late};
    script_start(&s);
    struct got g = got_get(l, f, url_of("http", s.port, "/x"));
    assert_int_equal(g.res, 0);
    assert_string_equal(g.body.data, "hello");
    assert_int_equal(atomic_load(&s.connections), 4);
    buf_free(&g.body);
    late = 100;
    g = got_get(l, f, url_of("http", s.port, "/x"));
    assert_int_equal(g.res, -ECONNRESET);
    assert_int_equal(atomic_load(&s.connections), 8); /* one try and three more */
    g = (struct got){.body = BUF_EMPTY};
    struct fetch_request q = got_request(&g, url_of("http", s.port, "/x"));
    q.method = "POST";
    assert_int_equal(fetch_start(f, &q, &g.op), 0);
    got_wait(l, &g);
    assert_int_equal(g.res, -ECONNRESET);
    assert_int_equal(atomic_load(&s.connections), 9); /* not idempotent: once */
    script_stop(&s);
    s = (struct script){.serve = serve_half};
    script_start(&s);
    g = got_get(l, f, url_of("http", s.port, "/x"));
    assert_int_equal(g.res, -ECONNRESET);
    assert_int_equal(atomic_load(&s.connections), 1); /* its first bytes are with us already */
    buf_free(&g.body);
    script_stop(&s);
    (void)fetch_free(f);
    (void)loop_free(l);
}

static void a_circuit_opens_for_a_host_that_fails(void **state)
{
    (void)state;
    struct loop *l = loop_make();
    struct fetch *f =
        fetch_make(l, (struct fetch_options){.breaker_failures = 3, .breaker_ms = 3600000});
    int late = 100;
    struct script s = {.serve = serve_late, .arg = &late};
    struct script other = {.serve = serve_ok};
    script_start(&s);
    script_start(&other);
    const char *url = url_of("http", s.port, "/x");
    struct got g;
    for (int i = 0; i < 3; i++) {
        g = got_get(l, f, url);
        assert_int_equal(g.res, -ECONNRESET);
    }
    g = got_get(l, f, url);
    assert_int_equal(g.res, -EHOSTDOWN);
    assert_int_equal(g.heads, 0);
    assert_int_equal(atomic_load(&s.connections), 3); /* not tried */
    g = got_get(l, f, url_of("http", other.port, "/x"));
    assert_int_equal(g.res, 0); /* each host has its own */
    buf_free(&g.body);
    script_stop(&s);
    script_stop(&other);
    (void)fetch_free(f);
    (void)loop_free(l);
}

static void a_circuit_closes_by_a_probe(void **state)
{
    (void)state;
    struct loop *l = loop_make();
    struct fetch *f =
        fetch_make(l, (struct fetch_options){.breaker_failures = 2, .breaker_ms = 30});
    int late = 3;
    struct script s = {.serve = serve_late, .arg = &late};
    script_start(&s);
    const char *url = url_of("http", s.port, "/x");
    struct got g;
    for (int failures = 0; failures < 3;) { /* two open it, one is a probe in vain */
        g = got_get(l, f, url);
        if (g.res == -ECONNRESET)
            failures++;
        else
            assert_int_equal(g.res, -EHOSTDOWN);
    }
    assert_int_equal(atomic_load(&s.connections), 3);
    do
        g = got_get(l, f, url);
    while (g.res == -EHOSTDOWN);
    assert_int_equal(g.res, 0);
    buf_free(&g.body);
    /* Closed: a failure in between does not open it, for the count is from zero again. */
    late = 5;
    g = got_get(l, f, url);
    assert_int_equal(g.res, -ECONNRESET);
    g = got_get(l, f, url);
    assert_int_equal(g.res, 0);
    buf_free(&g.body);
    script_stop(&s);
    (void)fetch_free(f);
    (void)loop_free(l);
}

/* Two connections fail, the third waits for *arg before it answers as all later ones do. */
struct slow {
    atomic_bool go;
};

static void serve_slowly_back(int fd, int index, void *arg)
{
    struct slow *slow = arg;
    while (index == 2 && !atomic_load(&slow->go))
        (void)sched_yield();
    if (index >= 2)
        script_say(fd, OK_ANSWER);
}

/* While one request finds out whether the host is back the others wait with it. */
static void a_probe_is_waited_for(void **state)
{
    (void)state;
    struct loop *l = loop_make();
    struct fetch *f =
        fetch_make(l, (struct fetch_options){.breaker_failures = 2, .breaker_ms = 20});
    struct slow slow = {false};
    struct script s = {.serve = serve_slowly_back, .arg = &slow};
    script_start(&s);
    const char *url = url_of("http", s.port, "/x");
    struct got g[6] = {{0}};
    for (int i = 0; i < 2; i++)
        assert_int_equal(got_get(l, f, url).res, -ECONNRESET);
    do { /* refused until the time of a probe has come */
        g[0] = (struct got){0};
        struct fetch_request q = got_request(&g[0], url);
        assert_int_equal(fetch_start(f, &q, &g[0].op), 0);
        while (g[0].dones == 0 && atomic_load(&s.connections) < 3)
            loop_run_once(l, 10);
    } while (g[0].dones > 0);
    for (int i = 1; i < 6; i++) {
        struct fetch_request q = got_request(&g[i], url);
        assert_int_equal(fetch_start(f, &q, &g[i].op), 0);
    }
    for (int i = 0; i < 20; i++)
        loop_run_once(l, 5);
    for (int i = 0; i < 6; i++)
        assert_int_equal(g[i].dones, 0);
    assert_int_equal(atomic_load(&s.connections), 3); /* none of them has tried */
    atomic_store(&slow.go, true);
    for (int i = 0; i < 6; i++) {
        got_wait(l, &g[i]);
        assert_int_equal(g[i].res, 0);
        buf_free(&g[i].body);
    }
    script_stop(&s);
    (void)fetch_free(f);
    (void)loop_free(l);
}

static void a_unix_socket_is_an_upstream_too(void **state)
{
    (void)state;
    struct folder d = folder_new();
    char path[96];
    (void)snprintf(path, sizeof path, "%s/socket", d.path);
    struct loop *l = loop_make();
    struct fetch *f = fetch_make(l, (struct fetch_options){0});
    struct script s = {.serve = serve_ok};
    script_start_unix(&s, path);
    struct got g = {.body = BUF_EMPTY};
    struct fetch_request q = got_request(&g, "http://control/x");
    q.unix_socket = path;
    assert_int_equal(fetch_start(f, &q, &g.op), 0);
    got_wait(l, &g);
    assert_int_equal(g.res, 0);
    assert_string_equal(g.body.data, "hello");
    buf_free(&g.body);
    script_stop(&s);
    (void)fetch_free(f);
    (void)loop_free(l);
    folder_remove(&d);
}

/* --- callbacks that end it -------------------------------------------------------------------- */

struct canceller {
    struct got got;
    struct fetch *fetch;
    struct canceller *victim; /* whom it cancels; may be itself */
    int where;                /* 1: on_head, 2: on_data, 3: on_done */
    struct got started;       /* another, started from within */
    const char *start_url;
};

static void cancel_at(struct canceller *c, int where)
{
    if (c->where != where)
        return;
    fetch_cancel(c->victim->got.op);
    if (where != 3)
        fetch_cancel(c->victim->got.op); /* a second time is harmless there */
    struct fetch_request q = got_request(&c->started, c->start_url);
    assert_int_equal(fetch_start(c->fetch, &q, &c->started.op), 0);
}

static int cancel_on_head(void *arg, const struct fetch_head *head)
{
    struct canceller *c = arg;
    int r = got_on_head(&c->got, head);
    cancel_at(c, 1);
    return r;
}

static int cancel_on_data(void *arg, const uint8_t *data, size_t size)
{
    struct canceller *c = arg;
    int r = got_on_data(&c->got, data, size);
    cancel_at(c, 2);
    return r;
}

static void cancel_on_done(void *arg, int res, unsigned status)
{
    struct canceller *c = arg;
    got_on_done(&c->got, res, status);
    cancel_at(c, 3);
}

static void cancelling_from_callbacks_is_safe(void **state)
{
    (void)state;
    struct loop *l = loop_make();
    struct fetch *f = fetch_make(l, (struct fetch_options){0});
    struct script ok = {.serve = serve_ok};
    struct script stall = {.serve = serve_stall, .arg = (void *)(uintptr_t) ""};
    script_start(&ok);
    script_start(&stall);
    const char *url = url_of("http", ok.port, "/x");
    for (int where = 1; where <= 3; where++) {
        for (int self = 0; self <= 1; self++) {
            struct canceller victim = {.got = {.body = BUF_EMPTY}};
            struct canceller c = {.got = {.body = BUF_EMPTY}, .fetch = f, .where = where};
            c.victim = self ? &c : &victim;
            c.start_url = url;
            c.started.body = BUF_EMPTY;
            struct fetch_request q = got_request(&c.got, url);
            q.on_head = cancel_on_head;
            q.on_data = cancel_on_data;
            q.on_done = cancel_on_done;
            q.arg = &c;
            struct fetch_request v = got_request(&victim.got, url_of("http", stall.port, "/x"));
            if (!self)
                assert_int_equal(fetch_start(f, &v, &victim.got.op), 0);
            assert_int_equal(fetch_start(f, &q, &c.got.op), 0);
            got_wait(l, &c.started);
            assert_int_equal(c.started.res, 0);
            if (!self || where == 3)
                got_wait(l, &c.got);
            assert_int_equal(c.got.dones, self && where != 3 ? 0 : 1);
            assert_int_equal(victim.got.dones, 0);
            buf_free(&c.got.body);
            buf_free(&c.started.body);
        }
    }
    struct got g = {.body = BUF_EMPTY}; /* cancelled before it ever began */
    struct fetch_request q = got_request(&g, url);
    assert_int_equal(fetch_start(f, &q, &g.op), 0);
    fetch_cancel(g.op);
    struct got h = {.body = BUF_EMPTY}; /* and one left to fetch_free */
    q = got_request(&h, url_of("http", stall.port, "/x"));
    assert_int_equal(fetch_start(f, &q, &h.op), 0);
    for (int i = 0; i < 5; i++)
        loop_run_once(l, 1);
    (void)fetch_free(f);
    assert_int_equal(g.dones, 0);
    assert_int_equal(h.dones, 0);
    (void)loop_free(l);
    script_stop(&ok);
    script_stop(&stall);
}

static void on_data_ends_it_with_its_own_error(void **state)
{
    (void)state;
    struct loop *l = loop_make();
    struct fetch *f = fetch_make(l, (struct fetch_options){.retries = 2});
    struct script s = {.serve = serve_ok};
    script_start(&s);
    struct got g = {.body = BUF_EMPTY, .fail_after = 3};
    struct fetch_request q = got_request(&g, url_of("http", s.port, "/x"));
    assert_int_equal(fetch_start(f, &q, &g.op), 0);
    got_wait(l, &g);
    assert_int_equal(g.res, -ECANCELED);
    assert_int_equal(g.status, 200);
    assert_int_equal(atomic_load(&s.connections), 1);
    buf_free(&g.body);
    script_stop(&s);
    (void)fetch_free(f);
    (void)loop_free(l);
}

static void a_client_without_a_loop(void **state)
{
    (void)state;
    struct fetch_client *c = NULL;
    assert_int_equal(fetch_client_new(NULL, &c), 0);
    struct script s = {.serve = serve_ok};
    script_start(&s);
    struct buf out = BUF_EMPTY;
    struct err err = {{0}};
    unsigned status = 0;
    buf_puts(&out, "> ");
    struct fetch_request q = {.method = "GET", .url = url_of("http", s.port, "/x?token=secret")};
    assert_int_equal(fetch_client_run(c, &q, 5, &status, &out, &err), 0);
    assert_int_equal(status, 200);
    assert_string_equal(out.data, "> hello");
    status = 0;
    assert_int_equal(fetch_client_run(c, &q, 4, &status, &out, &err), -EFBIG);
    assert_int_equal(status, 0);
    assert_string_equal(out.data, "> hello"); /* as it was */
    assert_non_null(strstr(err.text, "larger than 4 bytes"));
    assert_null(strstr(err.text, "secret"));
    script_stop(&s);
    assert_int_equal(fetch_client_run(c, &q, 5, &status, &out, &err), -ECONNREFUSED);
    assert_non_null(strstr(err.text, "GET http://127.0.0.1:"));
    q.url = "nonsense";
    assert_int_equal(fetch_client_run(c, &q, 5, &status, &out, &err), -EINVAL);
    buf_free(&out);
    (void)fetch_client_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_comes_whole),
        cmocka_unit_test(failures_have_their_names),
        cmocka_unit_test(what_may_be_repeated_is_tried_again),
        cmocka_unit_test(a_circuit_opens_for_a_host_that_fails),
        cmocka_unit_test(a_circuit_closes_by_a_probe),
        cmocka_unit_test(a_probe_is_waited_for),
        cmocka_unit_test(a_unix_socket_is_an_upstream_too),
        cmocka_unit_test(cancelling_from_callbacks_is_safe),
        cmocka_unit_test(on_data_ends_it_with_its_own_error),
        cmocka_unit_test(a_client_without_a_loop),
    };
    return cmocka_run_group_tests_name("fetch", tests, NULL, NULL);
}
