/* SPDX-License-Identifier: Apache-2.0 */
/* lib/fetch against lib/http: HTTP/1.1 in clear, HTTP/2 over TLS. */
#include "fetch/fetch.h"
#include "fetch_test_util.h"

#define BODY_SIZE 200000

static uint8_t body_byte(uint64_t offset)
{
    return (uint8_t)('A' + offset * 11 % 26);
}

static atomic_int sources_open;   /* now */
static atomic_int sources_opened; /* ever */

struct source {
    struct loop_timer timer;
    struct http_req *req;
    uint8_t bytes[7000];
    uint64_t fail_at;
    bool is_ready;
    bool never;
};

static void source_wake(void *arg)
{
    struct source *s = arg;
    s->is_ready = true;
    http_req_wake(s->req);
}

static int source_read(void *source, uint64_t offset, uint32_t size_max, const uint8_t **ret_data,
                       uint32_t *ret_size)
{
    struct source *s = source;
    if (offset >= s->fail_at)
        return s->never ? -EAGAIN : -EIO;
    if (!s->is_ready) {
        if (s->timer.loop == NULL)
            loop_timer_start(http_req_loop(s->req), &s->timer, 0, source_wake, s);
        return -EAGAIN;
    }
    s->is_ready = false;
    uint32_t n = MIN(size_max, (uint32_t)sizeof s->bytes);
    n = (uint32_t)MIN((uint64_t)n, s->fail_at - offset);
    for (uint32_t i = 0; i < n; i++)
        s->bytes[i] = body_byte(offset + i);
    *ret_data = s->bytes;
    *ret_size = n;
    return 0;
}

static void source_close(void *source)
{
    struct source *s = source;
    loop_timer_stop(&s->timer);
    (void)http_req_unref(s->req);
    free(s);
    atomic_fetch_sub(&sources_open, 1);
}

static void reply_source(struct http_req *req, uint64_t fail_at, bool never)
{
    static const struct http_source_ops ops = {source_read, source_close};
    struct source *s = calloc(1, sizeof *s);
    s->req = http_req_ref(req);
    s->fail_at = fail_at;
    s->never = never;
    atomic_fetch_add(&sources_open, 1);
    atomic_fetch_add(&sources_opened, 1);
    http_reply_entity(req,
                      &(struct http_entity){
                          .type = "video/mp4", .source_ops = &ops, .source = s, .size = BODY_SIZE});
}

static void on_slow(struct http_req *req, void *arg)
{
    (void)arg;
    reply_source(req, UINT64_MAX, false);
}

static void on_broken(struct http_req *req, void *arg)
{
    (void)arg;
    reply_source(req, 100000, false);
}

static void on_stuck(struct http_req *req, void *arg)
{
    (void)arg;
    reply_source(req, 10000, true);
}

static void on_hold(struct http_req *req, void *arg)
{
    (void)arg;
    reply_source(req, 0, true); /* no byte, ever */
}

static void on_rbuf(struct http_req *req, void *arg)
{
    http_reply_entity(req,
                      &(struct http_entity){.type = "video/mp4", .etag = "\"e\"", .body = arg});
}

static void on_echo(struct http_req *req, void *arg)
{
    (void)arg;
    char text[256];
    (void)snprintf(text, sizeof text, "%u " STR_FMT " " STR_FMT " " STR_FMT " " STR_FMT " %zu",
                   http_req_method(req), STR_ARG(http_req_scheme(req)),
                   STR_ARG(http_req_bearer(req)), STR_ARG(http_req_id(req)),
                   STR_ARG(http_req_header(req, "content-type")), http_req_body(req).size);
    http_reply(req, 200, "text/plain", str_of(text));
}

struct rig {
    struct folder folder;
    struct metrics *metrics;
    struct http_server *server;
    uint16_t plain, tls;
    struct rbuf *body;
    struct loop *loop;
    struct fetch *fetch;
};

static struct rig rig_new(struct fetch_options o)
{
    struct rig r = {.folder = folder_new()};
    cert_make(r.folder.cert, r.folder.key);
    assert_int_equal(metrics_new(&r.metrics), 0);
    assert_int_equal(rbuf_new(BODY_SIZE, &r.body), 0);
    uint32_t cap;
    uint8_t *space = rbuf_space(r.body, &cap);
    for (uint32_t i = 0; i < BODY_SIZE; i++)
        space[i] = body_byte(i);
    rbuf_window(r.body, 0, BODY_SIZE);
    const struct http_listen listens[2] = {
        {.address = "127.0.0.1"},
        {.address = "127.0.0.1", .cert_file = r.folder.cert, .key_file = r.folder.key}};
    const struct http_options options = {.listens = listens,
                                         .listens_count = 2,
                                         .workers = 1,
                                         .body_size_max = 8 << 20,
                                         .metrics = r.metrics,
                                         .metric_prefix = "t"};
    struct err err = {{0}};
    if (http_server_new(&options, &err, &r.server) < 0)
        fail_msg("%s", err.text);
    unsigned all = HTTP_GET | HTTP_PUT | HTTP_POST | HTTP_DELETE;
    assert_int_equal(http_route(r.server, all, "/echo", on_echo, NULL), 0);
    assert_int_equal(http_route(r.server, HTTP_GET, "/rbuf", on_rbuf, r.body), 0);
    assert_int_equal(http_route(r.server, HTTP_GET, "/slow", on_slow, NULL), 0);
    assert_int_equal(http_route(r.server, HTTP_GET, "/broken", on_broken, NULL), 0);
    assert_int_equal(http_route(r.server, HTTP_GET, "/stuck", on_stuck, NULL), 0);
    assert_int_equal(http_route(r.server, HTTP_GET, "/hold", on_hold, NULL), 0);
    if (http_server_start(r.server, &err) < 0)
        fail_msg("%s", err.text);
    r.plain = http_server_port(r.server, 0);
    r.tls = http_server_port(r.server, 1);
    o.ca_file = r.folder.cert;
    o.http2 = true;
    o.streams_max = 40;
    assert_int_equal(loop_new(&r.loop), 0);
    assert_int_equal(fetch_new(r.loop, &o, &r.fetch), 0);
    return r;
}

static void rig_free(struct rig *r)
{
    r->fetch = fetch_free(r->fetch);
    r->server = http_server_free(r->server);
    assert_int_equal(atomic_load(&sources_open), 0);
    r->loop = loop_free(r->loop);
    r->body = rbuf_unref(r->body);
    r->metrics = metrics_free(r->metrics);
    folder_remove(&r->folder);
}

/* The value of one metric, as the page shows it. */
static uint64_t rig_metric(const struct rig *r, const char *line)
{
    CLEAN_BUF struct buf page = BUF_EMPTY;
    metrics_render(r->metrics, &page);
    const char *at = page.size > 0 ? strstr(page.data, line) : NULL;
    assert_non_null(at);
    return strtoull(at + strlen(line), NULL, 10);
}

static void a_request_arrives_as_it_was_sent(void **state)
{
    (void)state;
    struct rig r = rig_new((struct fetch_options){0});
    struct rbuf *body = NULL;
    assert_int_equal(rbuf_new(3 << 20, &body), 0);
    rbuf_window(body, 0, 3 << 20);
    static const char *const schemes[] = {"http", "https"};
    for (int i = 0; i < 2; i++) {
        uint16_t port = i == 0 ? r.plain : r.tls;
        static const struct {
            const char *method;
            unsigned bit;
            bool body;
        } cases[] = {{"GET", HTTP_GET, false},       {"PUT", HTTP_PUT, true},
                     {"POST", HTTP_POST, false},     {"POST", HTTP_POST, true},
                     {"DELETE", HTTP_DELETE, false}, {"HEAD", HTTP_GET, false}};
        for (size_t n = 0; n < ARRAY_LEN(cases); n++) {
            struct got g = {.body = BUF_EMPTY};
            struct fetch_request q = got_request(&g, url_of(schemes[i], port, "/echo"));
            q.method = cases[n].method;
            q.bearer = "s3cret";
            q.trace_id = "0af7651916cd43dd8448eb211c80319c";
            q.type = cases[n].body ? "video/mp4" : NULL;
            q.body = cases[n].body ? body : NULL;
            assert_int_equal(fetch_start(r.fetch, &q, &g.op), 0);
            got_wait(r.loop, &g);
            assert_int_equal(g.res, 0);
            assert_int_equal(g.status, 200);
            char expected[256];
            (void)snprintf(expected, sizeof expected,
                           "%u %s s3cret 0af7651916cd43dd8448eb211c80319c %s %d", cases[n].bit,
                           schemes[i], cases[n].body ? "video/mp4" : "",
                           cases[n].body ? 3 << 20 : 0);
            if (strcmp(cases[n].method, "HEAD") == 0) {
                assert_int_equal(g.head_size, strlen(expected));
                assert_int_equal(g.body.size, 0);
            } else {
                assert_string_equal(g.body.data, expected);
            }
            buf_free(&g.body);
        }
    }
    /* One connection each: they were kept alive. */
    assert_int_equal(rig_metric(&r, "\nt_http_connections_total "), 2);
    (void)rbuf_unref(body);
    rig_free(&r);
}

static void check_body(const struct got *g)
{
    assert_int_equal(g->res, 0);
    assert_int_equal(g->status, 200);
    assert_int_equal(g->body.size, BODY_SIZE);
    for (size_t i = 0; i < BODY_SIZE; i++)
        if ((uint8_t)g->body.data[i] != body_byte(i))
            fail_msg("byte %zu differs", i);
}

static void many_answers_share_one_http2_connection(void **state)
{
    (void)state;
    struct rig r = rig_new((struct fetch_options){0});
    static const char *const paths[] = {"/rbuf", "/slow"};
    struct got g[40];
    for (int i = 0; i < 40; i++) {
        g[i] = (struct got){.body = BUF_EMPTY};
        struct fetch_request q = got_request(&g[i], url_of("https", r.tls, paths[i % 2]));
        assert_int_equal(fetch_start(r.fetch, &q, &g[i].op), 0);
    }
    for (int i = 0; i < 40; i++) {
        got_wait(r.loop, &g[i]);
        check_body(&g[i]);
        buf_free(&g[i].body);
    }
    assert_int_equal(rig_metric(&r, "\nt_http_connections_total "), 1);
    for (int i = 0; i < 40; i++) { /* in clear each needs its own, up to the limit */
        g[i] = (struct got){.body = BUF_EMPTY};
        struct fetch_request q = got_request(&g[i], url_of("http", r.plain, paths[i % 2]));
        assert_int_equal(fetch_start(r.fetch, &q, &g[i].op), 0);
    }
    for (int i = 0; i < 40; i++) {
        got_wait(r.loop, &g[i]);
        check_body(&g[i]);
        buf_free(&g[i].body);
    }
    rig_free(&r);
}

struct pausing {
    struct got got;
    struct loop *loop;
    struct loop_timer timer;
    bool was_paused, is_paused;
};

static void pausing_go_on(void *arg)
{
    struct pausing *p = arg;
    p->is_paused = false;
    fetch_pause(p->got.op, false);
}

static int pausing_on_data(void *arg, const uint8_t *data, size_t size)
{
    struct pausing *p = arg;
    assert_false(p->is_paused);
    if (!p->was_paused) {
        p->was_paused = p->is_paused = true;
        fetch_pause(p->got.op, true);
        loop_timer_start(p->loop, &p->timer, 20, pausing_go_on, p);
    }
    return got_on_data(&p->got, data, size);
}

static void pausing_on_done(void *arg, int res, unsigned status)
{
    struct pausing *p = arg;
    got_on_done(&p->got, res, status);
}

/* Over HTTP/2 too: those that may be paused have a connection each, which is used again. */
static void one_that_pauses_holds_up_nobody(void **state)
{
    (void)state;
    struct rig r = rig_new((struct fetch_options){0});
    struct pausing p[4] = {0};
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < ARRAY_LEN(p); i++) {
            p[i] = (struct pausing){.loop = r.loop};
            struct fetch_request q = got_request(&p[i].got, url_of("https", r.tls, "/rbuf"));
            q.shared = false;
            q.on_head = NULL;
            q.on_data = pausing_on_data;
            q.on_done = pausing_on_done;
            q.arg = &p[i];
            assert_int_equal(fetch_start(r.fetch, &q, &p[i].got.op), 0);
        }
        struct got g = got_get(r.loop, r.fetch, url_of("https", r.tls, "/rbuf"));
        check_body(&g);
        buf_free(&g.body);
        for (size_t i = 0; i < ARRAY_LEN(p); i++) {
            got_wait(r.loop, &p[i].got);
            loop_timer_stop(&p[i].timer);
            assert_true(p[i].was_paused);
            check_body(&p[i].got);
            buf_free(&p[i].got.body);
        }
    }
    assert_int_equal(rig_metric(&r, "\nt_http_connections_total "), ARRAY_LEN(p) + 1);
    rig_free(&r);
}

static void a_body_that_breaks_off_is_an_error(void **state)
{
    (void)state;
    struct rig r = rig_new((struct fetch_options){.retries = 2});
    struct got g = got_get(r.loop, r.fetch, url_of("http", r.plain, "/broken"));
    assert_int_equal(g.res, -ECONNRESET);
    assert_int_equal(g.body.size, 100000);
    buf_free(&g.body);
    g = got_get(r.loop, r.fetch, url_of("https", r.tls, "/broken"));
    assert_int_equal(g.res, -ECONNRESET);
    assert_true(g.body.size < BODY_SIZE);
    buf_free(&g.body);
    g = got_get(r.loop, r.fetch, url_of("https", r.tls, "/rbuf")); /* others are not hurt */
    check_body(&g);
    buf_free(&g.body);
    assert_int_equal(rig_metric(&r, "\nt_http_connections_total "), 2);
    rig_free(&r);
}

static void a_client_that_leaves_closes_the_source(void **state)
{
    (void)state;
    struct rig r = rig_new((struct fetch_options){0});
    for (int i = 0; i < 6; i++) {
        struct got g = {.body = BUF_EMPTY};
        const char *url =
            i % 2 == 0 ? url_of("https", r.tls, "/stuck") : url_of("https", r.tls, "/hold");
        struct fetch_request q = got_request(&g, url);
        assert_int_equal(fetch_start(r.fetch, &q, &g.op), 0);
        while (i % 2 == 0 ? g.body.size == 0 : atomic_load(&sources_open) == 0)
            loop_run_once(r.loop, 10);
        fetch_cancel(g.op);
        while (atomic_load(&sources_open) > 0)
            loop_run_once(r.loop, 10);
        buf_free(&g.body);
    }
    rig_free(&r);
}

static void a_stall_in_the_middle_times_out(void **state)
{
    (void)state;
    struct rig r = rig_new((struct fetch_options){.stall_ms = 60});
    struct got g = got_get(r.loop, r.fetch, url_of("https", r.tls, "/stuck"));
    assert_int_equal(g.res, -ETIMEDOUT);
    buf_free(&g.body);
    g = got_get(r.loop, r.fetch, url_of("http", r.plain, "/hold"));
    assert_int_equal(g.res, -ETIMEDOUT);
    assert_int_equal(g.heads, 0);
    rig_free(&r);
}

/* CVE-2023-44487. One request stays, so that all others share its connection. */
static void a_flood_of_taken_back_requests_costs_the_connection(void **state)
{
    (void)state;
    struct rig r = rig_new((struct fetch_options){.breaker_failures = 1000000});
    struct got stays = {.body = BUF_EMPTY};
    struct fetch_request q = got_request(&stays, url_of("https", r.tls, "/hold"));
    assert_int_equal(fetch_start(r.fetch, &q, &stays.op), 0);
    while (atomic_load(&sources_open) == 0)
        loop_run_once(r.loop, 1);
    int taken_back = 0;
    while (taken_back < 1000 && stays.dones == 0) {
        struct got g = {.body = BUF_EMPTY};
        int opened = atomic_load(&sources_opened);
        q = got_request(&g, url_of("https", r.tls, "/hold"));
        assert_int_equal(fetch_start(r.fetch, &q, &g.op), 0);
        while (atomic_load(&sources_opened) == opened && g.dones == 0)
            loop_run_once(r.loop, 1);
        if (g.dones == 0)
            fetch_cancel(g.op);
        taken_back++;
    }
    assert_in_range(taken_back, 150, 300); /* the server's limit is 200 */
    assert_int_equal(stays.res, -ECONNRESET);
    assert_int_equal(rig_metric(&r, "\nt_http_connections_cut_total{reason=\"resets\"} "), 1);
    struct got g = got_get(r.loop, r.fetch, url_of("https", r.tls, "/echo"));
    assert_int_equal(g.res, 0); /* a new connection is welcome */
    buf_free(&g.body);
    rig_free(&r);
}

static void only_a_trusted_certificate_will_do(void **state)
{
    (void)state;
    struct rig r = rig_new((struct fetch_options){0});
    struct folder other = folder_new();
    cert_make(other.cert, other.key);
    struct fetch *f = NULL;
    struct fetch_options o = {.ca_file = other.cert, .breaker_failures = 1000};
    assert_int_equal(fetch_new(r.loop, &o, &f), 0);
    struct got g = got_get(r.loop, f, url_of("https", r.tls, "/echo"));
    assert_int_equal(g.res, -EBADMSG);
    assert_int_equal(g.heads, 0);
    /* The server takes the other certificate: now the other client trusts it. */
    struct str text;
    struct buf bytes = BUF_EMPTY;
    assert_int_equal(file_read(other.key, 65536, &bytes), 0);
    text = buf_str(&bytes);
    assert_int_equal(file_write(r.folder.key, text, 0600), 0);
    struct err err = {{0}};
    assert_int_equal(http_server_reload_tls(r.server, &err), -EINVAL); /* half swapped: refused */
    assert_non_null(strstr(err.text, "does not belong to certificate"));
    struct got again = got_get(r.loop, r.fetch, url_of("https", r.tls, "/echo"));
    assert_int_equal(again.res, 0); /* and the old one goes on */
    buf_free(&again.body);
    buf_clear(&bytes);
    assert_int_equal(file_read(other.cert, 65536, &bytes), 0);
    assert_int_equal(file_write(r.folder.cert, buf_str(&bytes), 0600), 0);
    assert_int_equal(http_server_reload_tls(r.server, &err), 0);
    do /* the worker takes it with its next message */
        g = got_get(r.loop, f, url_of("https", r.tls, "/echo"));
    while (g.res == -EBADMSG);
    assert_int_equal(g.res, 0);
    buf_free(&g.body);
    buf_free(&bytes);
    (void)fetch_free(f);
    folder_remove(&other);
    rig_free(&r);
}

/* A server that drains tells its HTTP/2 clients, who then use no dead connection. */
static void a_restart_of_the_upstream_is_survived(void **state)
{
    (void)state;
    struct rig r = rig_new((struct fetch_options){.retries = 5});
    struct got g = got_get(r.loop, r.fetch, url_of("https", r.tls, "/echo"));
    assert_int_equal(g.res, 0);
    buf_free(&g.body);
    r.server = http_server_free(r.server);
    const struct http_listen listen = {.address = "127.0.0.1",
                                       .port = r.tls,
                                       .cert_file = r.folder.cert,
                                       .key_file = r.folder.key};
    const struct http_options options = {.listens = &listen, .listens_count = 1, .workers = 2};
    struct err err = {{0}};
    if (http_server_new(&options, &err, &r.server) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(http_route(r.server, HTTP_GET, "/echo", on_echo, NULL), 0);
    if (http_server_start(r.server, &err) < 0)
        fail_msg("%s", err.text);
    g = got_get(r.loop, r.fetch, url_of("https", r.tls, "/echo"));
    assert_int_equal(g.res, 0);
    buf_free(&g.body);
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_arrives_as_it_was_sent),
        cmocka_unit_test(many_answers_share_one_http2_connection),
        cmocka_unit_test(one_that_pauses_holds_up_nobody),
        cmocka_unit_test(a_body_that_breaks_off_is_an_error),
        cmocka_unit_test(a_client_that_leaves_closes_the_source),
        cmocka_unit_test(a_stall_in_the_middle_times_out),
        cmocka_unit_test(a_flood_of_taken_back_requests_costs_the_connection),
        cmocka_unit_test(only_a_trusted_certificate_will_do),
        cmocka_unit_test(a_restart_of_the_upstream_is_survived),
    };
    return cmocka_run_group_tests_name("fetch_http", tests, NULL, NULL);
}
