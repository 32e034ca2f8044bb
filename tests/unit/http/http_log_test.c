/* SPDX-License-Identifier: Apache-2.0 */
/* The access log as it is on stderr, and what the server tells its user of a request's end. */
#include <stdatomic.h>
#include <sys/stat.h>
#include "http_test_util.h"

struct ended {
    atomic_uint count;
    atomic_uint status;
    atomic_ullong bytes, first_byte_us, duration_us;
    atomic_int room;
};

static void on_done(void *arg, struct http_req *req, const struct http_done *done)
{
    struct ended *e = arg;
    atomic_store(&e->status, done->status);
    atomic_store(&e->bytes, done->bytes);
    atomic_store(&e->first_byte_us, done->first_byte_us);
    atomic_store(&e->duration_us, done->duration_us);
    atomic_store(&e->room, *(int *)http_req_room(req));
    atomic_fetch_add(&e->count, 1);
}

static void on_get(struct http_req *req, void *arg)
{
    (void)arg;
    int *room = http_req_room(req);
    assert_int_equal(*room, 0);
    *room = 42;
    http_res_header(req, "cache-status", "first; hit");
    http_res_header(req, "cache-status", "second; fwd=uri-miss");
    http_reply(req, 200, "text/plain", STR("hello"));
}

/* What the requests on one connection leave on stderr. */
static void log_of(enum http_access_log form, const char *const *requests, unsigned count,
                   struct ended *ended, struct buf *out)
{
    char path[] = "/tmp/weir-log-XXXXXX";
    int file = mkstemp(path);
    int kept = dup(STDERR_FILENO);
    assert_true(file >= 0 && kept >= 0);
    assert_int_equal(unlink(path), 0);
    struct http_server *s = server_new((struct http_options){
        .workers = 1, .access_log = form, .request_done = on_done, .arg = ended});
    struct err err = {{0}};
    assert_int_equal(http_route(s, HTTP_GET, "/", on_get, NULL), 0);
    assert_true(dup2(file, STDERR_FILENO) >= 0);
    int r = http_server_start(s, &err);
    int fd = raw_open(http_server_port(s, 0));
    for (unsigned i = 0; r == 0 && i < count; i++) {
        raw_send(fd, requests[i]);
        struct raw_answer a = raw_read(fd, false);
        raw_answer_free(&a);
    }
    (void)close(fd);
    http_server_free(s);
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    (void)close(kept);
    assert_int_equal(r, 0);
    struct stat st;
    assert_int_equal(fstat(file, &st), 0);
    char *text = calloc(1, (size_t)st.st_size + 1);
    assert_non_null(text);
    assert_int_equal(pread(file, text, (size_t)st.st_size, 0), st.st_size);
    buf_puts(out, text);
    free(text);
    (void)close(file);
}

static const char *const requests[] = {
    "GET /a?x=1&URISigningPackage=secret HTTP/1.1\r\nhost: edge.example:8080\r\n"
    "user-agent: \"player\\1\"\r\nreferer: https://p.example/;URISigningPackage=secret/\r\n"
    "range: bytes=0-1\r\ncmcd-object: br=3200,ot=v\r\ncmcd-status: bs\r\n\r\n",
    "GET /b HTTP/1.1\r\nhost: edge.example\r\n\r\n",
};

/* The one request line whose path begins so; the caller drops the reference. */
static json_t *line_of(struct str text, const char *path)
{
    json_t *found = NULL;
    while (text.size > 0) {
        struct str line = str_cut(text, '\n', &text);
        json_t *one = json_loadb(line.data, line.size, 0, NULL);
        assert_non_null(one);
        const char *at = json_string_value(json_object_get(one, "path"));
        if (at != NULL && str_starts(str_of(at), str_of(path)) && found == NULL)
            found = json_incref(one);
        json_decref(one);
    }
    assert_non_null(found);
    return found;
}

static void is_text(const json_t *line, const char *key, const char *value)
{
    const char *got = json_string_value(json_object_get(line, key));
    assert_string_equal(got != NULL ? got : "(absent)", value);
}

static void a_json_line_has_all_that_is_known(void **state)
{
    (void)state;
    CLEAN_BUF struct buf text = BUF_EMPTY;
    struct ended ended = {0};
    log_of(HTTP_LOG_JSON, requests, 2, &ended, &text);
    assert_null(strstr(text.data, "secret"));
    json_t *a = line_of(buf_str(&text), "/a");
    is_text(a, "path", "/a?x=1&URISigningPackage=redacted");
    is_text(a, "host", "edge.example:8080");
    is_text(a, "referer", "https://p.example/;URISigningPackage=redacted/");
    is_text(a, "range", "bytes=0-1");
    is_text(a, "user_agent", "\"player\\1\"");
    is_text(a, "cache_status", "second; fwd=uri-miss");
    is_text(a, "peer", "127.0.0.1");
    is_text(a, "protocol", "HTTP/1.1");
    assert_int_equal(json_integer_value(json_object_get(a, "status")), 200);
    assert_int_equal(json_integer_value(json_object_get(a, "bytes")), 5);
    double first = json_real_value(json_object_get(a, "ttfb_ms"));
    assert_true(first > 0 && first <= json_real_value(json_object_get(a, "duration_ms")));
    const json_t *cmcd = json_object_get(a, "cmcd");
    assert_int_equal(json_integer_value(json_object_get(cmcd, "br")), 3200);
    assert_true(json_is_true(json_object_get(cmcd, "bs")));
    is_text(cmcd, "ot", "v");
    assert_null(json_object_get(a, "reused"));
    assert_null(json_object_get(a, "tls"));
    assert_null(json_object_get(a, "cut_short"));
    json_decref(a);
    json_t *b = line_of(buf_str(&text), "/b");
    assert_true(json_is_true(json_object_get(b, "reused")));
    static const char *const absent[] = {"referer", "range", "cmcd"};
    for (size_t i = 0; i < ARRAY_LEN(absent); i++)
        assert_null(json_object_get(b, absent[i]));
    json_decref(b);
}

static void a_combined_line_is_as_web_servers_write_it(void **state)
{
    (void)state;
    CLEAN_BUF struct buf text = BUF_EMPTY;
    struct ended ended = {0};
    log_of(HTTP_LOG_COMBINED, requests, 2, &ended, &text);
    struct str rest;
    struct str line = str_cut(buf_str(&text), '\n', &rest);
    assert_true(str_starts(line, STR("127.0.0.1 - - [")));
    (void)str_cut(line, ']', &line);
    assert_true(str_eq(line, STR(" \"GET /a?x=1&URISigningPackage=redacted HTTP/1.1\" 200 5 "
                                 "\"https://p.example/;URISigningPackage=redacted/\" "
                                 "\"\\x22player\\x5C1\\x22\"")));
    (void)str_cut(str_cut(rest, '\n', &rest), ']', &line);
    assert_true(str_eq(line, STR(" \"GET /b HTTP/1.1\" 200 5 \"-\" \"-\"")));
}

static void without_a_log_there_is_no_line(void **state)
{
    (void)state;
    CLEAN_BUF struct buf text = BUF_EMPTY;
    struct ended ended = {0};
    log_of(HTTP_LOG_OFF, requests, 2, &ended, &text);
    assert_int_equal(text.size, 0);
    /* What the server's user is told does not depend on the log. */
    assert_int_equal(atomic_load(&ended.count), 2);
    assert_int_equal(atomic_load(&ended.status), 200);
    assert_int_equal(atomic_load(&ended.bytes), 5);
    assert_int_equal(atomic_load(&ended.room), 42);
    assert_true(atomic_load(&ended.first_byte_us) > 0);
    assert_true(atomic_load(&ended.duration_us) >= atomic_load(&ended.first_byte_us));
}

static void a_long_value_is_cut(void **state)
{
    (void)state;
    CLEAN_BUF struct buf ask = BUF_EMPTY;
    CLEAN_BUF struct buf text = BUF_EMPTY;
    struct ended ended = {0};
    buf_puts(&ask, "GET /long HTTP/1.1\r\nhost: a\r\nreferer: ");
    for (int i = 0; i < 5000; i++)
        buf_putc(&ask, 'r');
    buf_puts(&ask, "\r\n\r\n");
    log_of(HTTP_LOG_JSON, (const char *const *)&ask.data, 1, &ended, &text);
    json_t *line = line_of(buf_str(&text), "/long");
    assert_int_equal(json_string_length(json_object_get(line, "referer")), 1024);
    json_decref(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_json_line_has_all_that_is_known),
        cmocka_unit_test(a_combined_line_is_as_web_servers_write_it),
        cmocka_unit_test(without_a_log_there_is_no_line),
        cmocka_unit_test(a_long_value_is_cut),
    };
    return cmocka_run_group_tests_name("http_log", tests, NULL, NULL);
}
