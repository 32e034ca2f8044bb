/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include "http_test_util.h"

#define BODY_SIZE 300000
#define HUGE_SIZE (UINT64_C(1) << 30) /* far more than the kernel's buffers take */
#define ETAG      "\"v1\""
#define MODIFIED  784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */

static uint8_t body_byte(uint64_t offset)
{
    return (uint8_t)('a' + offset * 7 % 26);
}

/* A source as a slow disk would be one: short pieces, -EAGAIN first, woken by a timer. */
struct slow {
    struct loop_timer timer;
    struct http_req *req;
    uint8_t bytes[10000];
    uint64_t size;
    uint64_t fail_at; /* from here on: fail_with */
    int fail_with;
    bool is_ready;
    bool wakes_at_once;
};

static atomic_int sources_open;
static atomic_int sources_read;

static void slow_wake(void *arg)
{
    struct slow *s = arg;
    s->is_ready = true;
    http_req_wake(s->req);
}

static int slow_read(void *source, uint64_t offset, uint32_t size_max, const uint8_t **ret_data,
                     uint32_t *ret_size)
{
    struct slow *s = source;
    atomic_fetch_add(&sources_read, 1);
    if (offset >= s->fail_at)
        return s->fail_with;
    if (!s->is_ready) {
        if (s->wakes_at_once) {
            slow_wake(s); /* from within the read */
            return -EAGAIN;
        }
        if (s->timer.loop == NULL)
            loop_timer_start(http_req_loop(s->req), &s->timer, 1, slow_wake, s);
        return -EAGAIN;
    }
    s->is_ready = false;
    if (offset >= s->size)
        return -ENODATA;
    uint64_t n = MIN(MIN((uint64_t)size_max, sizeof s->bytes), s->size - offset);
    for (uint64_t i = 0; i < n; i++)
        s->bytes[i] = body_byte(offset + i);
    *ret_data = s->bytes;
    *ret_size = (uint32_t)n;
    return 0;
}

static void slow_close(void *source)
{
    struct slow *s = source;
    loop_timer_stop(&s->timer);
    (void)http_req_unref(s->req);
    free(s);
    atomic_fetch_sub(&sources_open, 1);
}

static const struct http_source_ops slow_ops = {slow_read, slow_close};

static void reply_slow(struct http_req *req, uint64_t size, uint64_t fail_at, int fail_with,
                       bool wakes_at_once)
{
    struct slow *s = calloc(1, sizeof *s);
    s->req = http_req_ref(req);
    s->size = size == HUGE_SIZE ? HUGE_SIZE : BODY_SIZE;
    s->fail_at = fail_at;
    s->fail_with = fail_with;
    s->wakes_at_once = wakes_at_once;
    atomic_fetch_add(&sources_open, 1);
    http_reply_entity(req, &(struct http_entity){.type = "video/mp4",
                                                 .etag = ETAG,
                                                 .cache_control = "public, max-age=1",
                                                 .modified_s = MODIFIED,
                                                 .source_ops = &slow_ops,
                                                 .source = s,
                                                 .size = size});
}

static void on_rbuf(struct http_req *req, void *arg)
{
    (void)arg;
    struct rbuf *b = NULL;
    assert_int_equal(rbuf_new(BODY_SIZE, &b), 0);
    uint32_t cap;
    uint8_t *space = rbuf_space(b, &cap);
    for (uint64_t i = 0; i < BODY_SIZE; i++)
        space[i] = body_byte(i);
    rbuf_window(b, 0, BODY_SIZE);
    http_reply_entity(req, &(struct http_entity){.type = "video/mp4",
                                                 .etag = ETAG,
                                                 .cache_control = "public, max-age=1",
                                                 .modified_s = MODIFIED,
                                                 .body = b});
    (void)rbuf_unref(b);
}

static void on_empty(struct http_req *req, void *arg)
{
    (void)arg;
    struct rbuf *b = NULL;
    assert_int_equal(rbuf_copy("", 0, &b), 0);
    http_reply_entity(req, &(struct http_entity){.type = "video/mp4", .body = b});
    (void)rbuf_unref(b);
}

/* What an upstream said, passed on: its status, a field by a name of its own. */
static void on_missing(struct http_req *req, void *arg)
{
    (void)arg;
    struct rbuf *b = NULL;
    assert_int_equal(rbuf_copy("none", 4, &b), 0);
    const struct fields fields = http_req_fields(req);
    http_res_field(req, STR("x-echo"), fields_get(&fields, STR("x-sent")));
    http_reply_entity(req, &(struct http_entity){.status = 404, .etag = ETAG, .body = b});
    (void)rbuf_unref(b);
}

static void on_slow(struct http_req *req, void *arg)
{
    (void)arg;
    reply_slow(req, BODY_SIZE, UINT64_MAX, 0, false);
}

static void on_eager(struct http_req *req, void *arg)
{
    (void)arg;
    reply_slow(req, BODY_SIZE, UINT64_MAX, 0, true);
}

static void on_huge(struct http_req *req, void *arg)
{
    (void)arg;
    atomic_store(&sources_read, 0);
    reply_slow(req, HUGE_SIZE, UINT64_MAX, 0, true);
}

static void on_unknown(struct http_req *req, void *arg)
{
    (void)arg;
    reply_slow(req, HTTP_SIZE_UNKNOWN, UINT64_MAX, 0, false);
}

static void on_broken(struct http_req *req, void *arg)
{
    (void)arg;
    reply_slow(req, BODY_SIZE, 100000, -EIO, false);
}

static void on_broken_unknown(struct http_req *req, void *arg)
{
    (void)arg;
    reply_slow(req, HTTP_SIZE_UNKNOWN, 100000, -EIO, false);
}

static void on_short(struct http_req *req, void *arg)
{
    (void)arg;
    reply_slow(req, BODY_SIZE, 100000, -ENODATA, false); /* ends before the size it promised */
}

static void on_stuck(struct http_req *req, void *arg)
{
    (void)arg;
    reply_slow(req, BODY_SIZE, 20000, -EAGAIN, false); /* never woken again */
}

static void on_twice(struct http_req *req, void *arg)
{
    http_reply(req, 200, NULL, STR("first"));
    on_slow(req, arg); /* too late: nothing is sent, the source is closed */
}

static struct http_server *entity_server(unsigned workers, uint16_t *ret_port)
{
    struct http_server *s = server_new((struct http_options){.workers = workers});
    static const struct {
        const char *path;
        http_handler *handler;
    } routes[] = {
        {"/rbuf", on_rbuf},     {"/slow", on_slow},   {"/unknown", on_unknown},
        {"/broken", on_broken}, {"/short", on_short}, {"/broken-unknown", on_broken_unknown},
        {"/stuck", on_stuck},   {"/empty", on_empty}, {"/twice", on_twice},
        {"/eager", on_eager},   {"/huge", on_huge},   {"/missing", on_missing},
    };
    for (size_t i = 0; i < ARRAY_LEN(routes); i++)
        assert_int_equal(
            http_route(s, HTTP_GET | HTTP_PUT, routes[i].path, routes[i].handler, NULL), 0);
    *ret_port = server_start(s);
    return s;
}

static struct raw_answer get(uint16_t port, const char *method, const char *path,
                             const char *headers)
{
    char request[1024];
    (void)snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: h\r\n%s\r\n", method, path,
                   headers);
    int fd = raw_open(port);
    raw_send(fd, request);
    struct raw_answer a = raw_read(fd, strcmp(method, "HEAD") == 0 || strstr(headers, "SAME"));
    (void)close(fd);
    return a;
}

static void check_bytes(const struct buf *b, size_t at, uint64_t offset, size_t size)
{
    assert_true(at + size <= b->size);
    for (size_t i = 0; i < size; i++)
        assert_int_equal((uint8_t)b->data[at + i], body_byte(offset + i));
}

static void a_whole_entity_has_its_headers(void **state)
{
    (void)state;
    uint16_t port;
    struct http_server *s = entity_server(2, &port);
    static const char *const paths[] = {"/rbuf", "/slow", "/eager"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct raw_answer a = get(port, "GET", paths[i], "");
        assert_int_equal(a.status, 200);
        assert_true(raw_header_is(&a, "content-type", "video/mp4"));
        assert_true(raw_header_is(&a, "content-length", "300000"));
        assert_true(raw_header_is(&a, "etag", ETAG));
        assert_true(raw_header_is(&a, "cache-control", "public, max-age=1"));
        assert_true(raw_header_is(&a, "last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"));
        assert_true(raw_header_is(&a, "accept-ranges", "bytes"));
        assert_int_equal(a.body.size, BODY_SIZE);
        check_bytes(&a.body, 0, 0, BODY_SIZE);
        raw_answer_free(&a);
        a = get(port, "HEAD", paths[i], "Range: bytes=0-1\r\n");
        assert_int_equal(a.status, 200);
        assert_true(raw_header_is(&a, "content-length", "300000"));
        assert_int_equal(a.body.size, 0);
        raw_answer_free(&a);
    }
    struct raw_answer a = get(port, "GET", "/empty", "Range: bytes=0-1\r\n");
    assert_int_equal(a.status, 200);
    assert_true(raw_header_is(&a, "content-length", "0"));
    raw_answer_free(&a);
    a = get(port, "GET", "/twice", "");
    assert_string_equal(a.body.data, "first");
    raw_answer_free(&a);
    (void)http_server_free(s);
    assert_int_equal(atomic_load(&sources_open), 0);
}

static void another_status_is_sent_whole(void **state)
{
    (void)state;
    uint16_t port;
    struct http_server *s = entity_server(1, &port);
    struct raw_answer a = get(port, "GET", "/missing",
                              "X-Sent: yes\r\nRange: bytes=0-1\r\nIf-None-Match: " ETAG "\r\n");
    assert_int_equal(a.status, 404);
    assert_true(raw_header_is(&a, "x-echo", "yes"));
    assert_true(raw_header_is(&a, "content-length", "4"));
    assert_false(raw_header_is(&a, "accept-ranges", "bytes"));
    assert_string_equal(a.body.data, "none");
    raw_answer_free(&a);
    (void)http_server_free(s);
}

static void one_range_is_answered_206(void **state)
{
    (void)state;
    uint16_t port;
    struct http_server *s = entity_server(1, &port);
    static const struct {
        const char *range;
        uint64_t first;
        size_t size;
        const char *content_range;
    } cases[] = {
        {"bytes=0-0", 0, 1, "bytes 0-0/300000"},
        {"bytes=100-199", 100, 100, "bytes 100-199/300000"},
        {"bytes=1000-", 1000, 299000, "bytes 1000-299999/300000"},
        {"bytes=-70000", 230000, 70000, "bytes 230000-299999/300000"},
        {"bytes=5-10,900000-", 5, 6, "bytes 5-10/300000"},
    };
    static const char *const paths[] = {"/rbuf", "/slow"};
    for (size_t i = 0; i < ARRAY_LEN(cases) * 2; i++) {
        char header[128];
        (void)snprintf(header, sizeof header, "Range: %s\r\n", cases[i / 2].range);
        struct raw_answer a = get(port, "GET", paths[i % 2], header);
        assert_int_equal(a.status, 206);
        assert_true(raw_header_is(&a, "content-range", cases[i / 2].content_range));
        assert_true(raw_header_is(&a, "etag", ETAG));
        assert_int_equal(a.body.size, cases[i / 2].size);
        check_bytes(&a.body, 0, cases[i / 2].first, cases[i / 2].size);
        raw_answer_free(&a);
    }
    struct raw_answer a = get(port, "GET", "/slow", "Range: bytes=300000-\r\n");
    assert_int_equal(a.status, 416);
    assert_true(raw_header_is(&a, "content-range", "bytes */300000"));
    assert_int_equal(raw_header(&a, "cache-control").size, 0);
    assert_true(raw_body_has(&a, "RANGE_NOT_SATISFIABLE"));
    raw_answer_free(&a);
    a = get(port, "GET", "/slow", "Range: bytes=0-1\r\nIf-Range: \"v0\"\r\n");
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body.size, BODY_SIZE);
    raw_answer_free(&a);
    a = get(port, "GET", "/slow", "Range: bytes=0-1\r\nIf-Range: " ETAG "\r\n");
    assert_int_equal(a.status, 206);
    raw_answer_free(&a);
    a = get(port, "PUT", "/slow", "Range: bytes=0-1\r\nContent-Length: 0\r\n");
    assert_int_equal(a.status, 200);
    raw_answer_free(&a);
    (void)http_server_free(s);
    assert_int_equal(atomic_load(&sources_open), 0);
}

static void many_ranges_are_a_multipart(void **state)
{
    (void)state;
    uint16_t port;
    struct http_server *s = entity_server(1, &port);
    static const char *const paths[] = {"/rbuf", "/slow"};
    for (size_t i = 0; i < 2; i++) {
        struct raw_answer a = get(port, "GET", paths[i], "Range: bytes=0-9,100000-219999,-5\r\n");
        assert_int_equal(a.status, 206);
        struct str type = raw_header(&a, "content-type");
        struct str rest = type;
        assert_true(str_eq(str_cut(type, '=', &rest), STR("multipart/byteranges; boundary")));
        assert_int_equal(raw_header(&a, "content-range").size, 0);
        struct buf expected = BUF_EMPTY;
        static const struct {
            uint64_t first, size;
        } ranges[] = {{0, 10}, {100000, 120000}, {299995, 5}};
        for (size_t n = 0; n < 3; n++) {
            buf_printf(&expected,
                       "%s--" STR_FMT "\r\nContent-Type: video/mp4\r\n"
                       "Content-Range: bytes %llu-%llu/300000\r\n\r\n",
                       n > 0 ? "\r\n" : "", STR_ARG(rest), (unsigned long long)ranges[n].first,
                       (unsigned long long)(ranges[n].first + ranges[n].size - 1));
            for (uint64_t k = 0; k < ranges[n].size; k++)
                buf_putc(&expected, (char)body_byte(ranges[n].first + k));
        }
        buf_printf(&expected, "\r\n--" STR_FMT "--\r\n", STR_ARG(rest));
        assert_int_equal(a.body.size, expected.size);
        assert_memory_equal(a.body.data, expected.data, expected.size);
        buf_free(&expected);
        raw_answer_free(&a);
    }
    (void)http_server_free(s);
}

static void preconditions_answer_304_and_412(void **state)
{
    (void)state;
    uint16_t port;
    struct http_server *s = entity_server(1, &port);
    struct raw_answer a =
        get(port, "GET", "/slow", "If-None-Match: \"x\", W/\"v1\"\r\nX: SAME\r\n");
    assert_int_equal(a.status, 304);
    assert_true(raw_header_is(&a, "etag", ETAG));
    assert_true(raw_header_is(&a, "cache-control", "public, max-age=1"));
    assert_int_equal(raw_header(&a, "content-length").size, 0);
    assert_int_equal(raw_header(&a, "content-type").size, 0);
    assert_int_equal(a.body.size, 0);
    raw_answer_free(&a);
    a = get(port, "HEAD", "/rbuf", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
    assert_int_equal(a.status, 304);
    raw_answer_free(&a);
    a = get(port, "GET", "/slow", "If-Match: \"v2\"\r\n");
    assert_int_equal(a.status, 412);
    assert_true(raw_body_has(&a, "PRECONDITION_FAILED"));
    raw_answer_free(&a);
    a = get(port, "GET", "/rbuf", "If-Match: \"v1\"\r\nRange: bytes=1-2\r\n");
    assert_int_equal(a.status, 206);
    raw_answer_free(&a);
    (void)http_server_free(s);
    assert_int_equal(atomic_load(&sources_open), 0);
}

static void an_unknown_size_is_sent_in_chunks(void **state)
{
    (void)state;
    uint16_t port;
    struct http_server *s = entity_server(1, &port);
    struct raw_answer a = get(port, "GET", "/unknown", "Range: bytes=0-1\r\n");
    assert_int_equal(a.status, 200);
    assert_true(raw_header_is(&a, "transfer-encoding", "chunked"));
    assert_int_equal(raw_header(&a, "accept-ranges").size, 0);
    size_t at = 0;
    uint64_t offset = 0;
    for (;;) {
        char *end = NULL;
        size_t size = strtoul(a.body.data + at, &end, 16);
        at = (size_t)(end - a.body.data) + 2;
        if (size == 0)
            break;
        check_bytes(&a.body, at, offset, size);
        offset += size;
        at += size + 2;
    }
    assert_int_equal(offset, BODY_SIZE);
    raw_answer_free(&a);
    (void)http_server_free(s);
    assert_int_equal(atomic_load(&sources_open), 0);
}

static void a_source_that_fails_leaves_a_truncated_answer(void **state)
{
    (void)state;
    uint16_t port;
    struct http_server *s = entity_server(1, &port);
    static const char *const paths[] = {"/broken", "/short"};
    for (size_t i = 0; i < 2; i++) {
        struct raw_answer a = get(port, "GET", paths[i], "");
        assert_int_equal(a.status, 200);
        assert_true(raw_header_is(&a, "content-length", "300000"));
        assert_true(a.closed);
        assert_int_equal(a.body.size, 100000);
        raw_answer_free(&a);
    }
    struct raw_answer a = get(port, "GET", "/broken-unknown", "");
    assert_true(a.closed);
    assert_null(strstr(a.body.data, "\r\n0\r\n"));
    raw_answer_free(&a);
    (void)http_server_free(s);
    assert_int_equal(atomic_load(&sources_open), 0);
}

/* HTTP/1.0 has no chunks: the end is the close, and so a failure must be a reset. */
static void for_http_1_0_a_failure_is_a_reset(void **state)
{
    (void)state;
    uint16_t port;
    struct http_server *s = entity_server(1, &port);
    int fd = raw_open(port);
    raw_send(fd, "GET /broken-unknown HTTP/1.0\r\n\r\n");
    char bytes[4096];
    ssize_t n;
    while ((n = recv(fd, bytes, sizeof bytes, 0)) > 0)
        ;
    assert_int_equal(n, -1);
    assert_int_equal(errno, ECONNRESET);
    (void)close(fd);
    fd = raw_open(port);
    raw_send(fd, "GET /unknown HTTP/1.0\r\n\r\n");
    while ((n = recv(fd, bytes, sizeof bytes, 0)) > 0)
        ;
    assert_int_equal(n, 0);
    (void)close(fd);
    (void)http_server_free(s);
}

static void a_source_is_closed_when_the_client_leaves(void **state)
{
    (void)state;
    uint16_t port;
    struct http_server *s = entity_server(1, &port);
    for (int i = 0; i < 4; i++) {
        int fd = raw_open(port);
        raw_send(fd, "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
        struct buf b = BUF_EMPTY;
        assert_true(raw_more(fd, &b));
        struct linger reset = {.l_onoff = 1, .l_linger = 0};
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
        (void)close(fd);
        buf_free(&b);
    }
    while (atomic_load(&sources_open) > 0)
        (void)usleep(1000);
    (void)http_server_free(s);
}

static void a_source_that_waits_is_closed_at_the_stop(void **state)
{
    (void)state;
    uint16_t port;
    struct http_server *s = entity_server(1, &port);
    int fd = raw_open(port);
    raw_send(fd, "GET /stuck HTTP/1.1\r\nHost: h\r\n\r\n");
    struct buf b = BUF_EMPTY;
    while (b.size < 20000)
        assert_true(raw_more(fd, &b));
    http_server_drain(s, 0);
    assert_int_equal(atomic_load(&sources_open), 0);
    while (raw_more(fd, &b))
        ;
    assert_true(b.size < BODY_SIZE);
    buf_free(&b);
    (void)close(fd);
    (void)http_server_free(s);
}

/* A client that reads nothing must not make us read the whole source. */
static void a_slow_client_holds_the_source_back(void **state)
{
    (void)state;
    uint16_t port;
    struct http_server *s = entity_server(1, &port);
    int fd = raw_open(port);
    raw_send(fd, "GET /huge HTTP/1.1\r\nHost: h\r\n\r\n");
    struct buf b = BUF_EMPTY;
    while (b.size < 1000000)
        assert_true(raw_more(fd, &b));
    /* Another connection of the same worker is served meanwhile. */
    struct raw_answer a = get(port, "GET", "/rbuf", "");
    assert_int_equal(a.body.size, BODY_SIZE);
    raw_answer_free(&a);
    (void)close(fd);
    buf_free(&b);
    while (atomic_load(&sources_open) > 0)
        (void)usleep(1000);
    assert_true((uint64_t)atomic_load(&sources_read) * 10000 < HUGE_SIZE / 8);
    (void)http_server_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_entity_has_its_headers),
        cmocka_unit_test(another_status_is_sent_whole),
        cmocka_unit_test(one_range_is_answered_206),
        cmocka_unit_test(many_ranges_are_a_multipart),
        cmocka_unit_test(preconditions_answer_304_and_412),
        cmocka_unit_test(an_unknown_size_is_sent_in_chunks),
        cmocka_unit_test(a_source_that_fails_leaves_a_truncated_answer),
        cmocka_unit_test(for_http_1_0_a_failure_is_a_reset),
        cmocka_unit_test(a_source_is_closed_when_the_client_leaves),
        cmocka_unit_test(a_source_that_waits_is_closed_at_the_stop),
        cmocka_unit_test(a_slow_client_holds_the_source_back),
    };
    return cmocka_run_group_tests_name("http_entity", tests, NULL, NULL);
}
