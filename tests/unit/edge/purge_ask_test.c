/* SPDX-License-Identifier: Apache-2.0 */
/* What a call of POST /purge asks for, as marks of all that it may mean. */
#include "edge/purge_ask.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "edge/purge.h"
#include "../unit.h"

static char *server[] = {(char *)(uintptr_t) "http://127.0.0.1:1"};
static char *names[] = {(char *)(uintptr_t) "v"};

struct fixture {
    struct upstream_config upstream_configs[2];
    struct route_config route_configs[3];
    struct upstreams *upstreams;
    struct routes *routes;
    const struct upstream *weir, *http;
    struct purge_ask ask;
    struct err err;
};

static void fixture_new(struct fixture *f)
{
    *f = (struct fixture){0};
    f->upstream_configs[0] = (struct upstream_config){
        .name = (char *)(uintptr_t) "films", .servers = server, .servers_count = 1};
    f->upstream_configs[1] = (struct upstream_config){
        .name = (char *)(uintptr_t) "other", .kind = 1, .servers = server, .servers_count = 1};
    f->route_configs[0] = (struct route_config){.host = (char *)(uintptr_t) "weir.example.org",
                                                .upstream = (char *)(uintptr_t) "films"};
    f->route_configs[1] = (struct route_config){.host = (char *)(uintptr_t) "http.example.org",
                                                .upstream = (char *)(uintptr_t) "other"};
    f->route_configs[2] = (struct route_config){
        .host = (char *)(uintptr_t) "http.example.org",
        .prefix = (char *)(uintptr_t) "/one",
        .upstream = (char *)(uintptr_t) "other",
        .cache = {.query = HTTP_KEY_QUERY_SOME, .query_names = names, .query_names_count = 1}};
    assert_int_equal(upstreams_open(f->upstream_configs, 2, &f->err, &f->upstreams), 0);
    if (routes_open(f->route_configs, 3, f->upstreams, &f->err, &f->routes) < 0)
        fail_msg("%s", f->err.text);
    f->weir = upstreams_at(f->upstreams, 0);
    f->http = upstreams_at(f->upstreams, 1);
    assert_true(upstream_is_http(f->http) && !upstream_is_http(f->weir));
}

static void fixture_free(struct fixture *f)
{
    purge_ask_clear(&f->ask);
    routes_free(f->routes);
    upstreams_free(f->upstreams);
}

static int ask(struct fixture *f, const char *body)
{
    purge_ask_clear(&f->ask);
    return purge_ask_read(str_of(body), f->routes, f->upstreams, &f->ask, &f->err);
}

static bool asks_for(const struct fixture *f, struct digest tag)
{
    for (unsigned i = 0; i < f->ask.count; i++)
        if (digest_eq(&f->ask.tags[i], &tag))
            return true;
    return false;
}

static void purge_test_names(void **state)
{
    (void)state;
    struct fixture f;
    fixture_new(&f);
    assert_int_equal(ask(&f, "{\"asset\":\"film\"}"), 0);
    assert_int_equal(f.ask.count, 2); /* of either upstream */
    assert_true(asks_for(&f, purge_asset_tag(f.weir, STR("film"))));
    assert_true(asks_for(&f, purge_asset_tag(f.http, STR("film"))));
    assert_true(f.ask.is_spread && !f.ask.soft && !f.ask.everything && !f.ask.has_from);
    assert_int_equal(f.ask.assets, 1);
    /* As a folder it is what the keys of its URLs have; it is no asset of a Weir origin. */
    assert_int_equal(ask(&f, "{\"asset\":[\"/a/%62/../c//\"],\"soft\":true}"), 0);
    assert_int_equal(f.ask.count, 1);
    assert_true(asks_for(&f, purge_asset_tag(f.http, STR("a/c"))));
    assert_true(f.ask.soft);
    assert_int_equal(ask(&f, "{\"asset\":\"x\",\"upstream\":\"films\",\"spread\":false}"), 0);
    assert_int_equal(f.ask.count, 1);
    assert_true(asks_for(&f, purge_asset_tag(f.weir, STR("x"))));
    assert_false(f.ask.is_spread);
    assert_int_equal(ask(&f, "{\"tags\":[\"one\",\"two\"],\"upstream\":\"other\"}"), 0);
    assert_int_equal(f.ask.count, 2);
    assert_true(asks_for(&f, purge_surrogate_tag(f.http, STR("two"))));
    assert_int_equal(ask(&f, "{\"everything\":true}"), 0);
    assert_true(f.ask.everything);
    assert_int_equal(ask(&f, "{\"everything\":true,\"upstream\":\"other\"}"), 0);
    assert_false(f.ask.everything);
    assert_true(asks_for(&f, purge_asset_tag(f.http, STR_NONE)));
    fixture_free(&f);
}

/* A URL finds what a response to it falls under, whichever way it is written. */
static void purge_test_urls(void **state)
{
    (void)state;
    struct fixture f;
    fixture_new(&f);
    assert_int_equal(ask(&f, "{\"url\":\"HTTP://http.example.org/a/../b%7e.ts?x=1&y=2#z\"}"),
                     -EINVAL); /* schemes are as we write them */
    assert_int_equal(ask(&f, "{\"url\":\"http://HTTP.example.org:80/a/../b%7e.ts?x=1&y=2#z\"}"), 0);
    assert_true(asks_for(&f, purge_url_tag(STR("http://http.example.org/b~.ts?x=1&y=2"))));
    assert_int_equal(f.ask.urls, 1);
    /* By the rules of its route; and whichever scheme its viewers use. */
    assert_int_equal(ask(&f, "{\"url\":[\"https://http.example.org/one/a?v=1&w=2\"]}"), 0);
    assert_true(asks_for(&f, purge_url_tag(STR("https://http.example.org/one/a?v=1"))));
    assert_true(asks_for(&f, purge_url_tag(STR("http://http.example.org/one/a?v=1"))));
    assert_int_equal(ask(&f, "{\"url\":\"https://weir.example.org/v/film/master.m3u8\"}"), 0);
    assert_int_equal(f.ask.count, 1);
    assert_true(asks_for(&f, purge_asset_tag(f.weir, STR("film"))));
    fixture_free(&f);
}

static void purge_test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *body, *sentence;
    } rows[] = {
        {"", "no JSON"},
        {"[1]", "no JSON object"},
        {"{}", "nothing is named"},
        {"{\"everything\":false}", "nothing is named"},
        {"{\"asset\":[]}", "nothing is named"},
        {"{\"asset\":\"\"}", "asset: is a text"},
        {"{\"asset\":\"//\"}", "names none"},
        {"{\"asset\":\"a b\",\"upstream\":\"films\"}", "cannot be the name"},
        {"{\"asset\":{\"a\":1}}", "asset: is a text"},
        {"{\"asset\":\"a\\u0000b\"}", "a NUL in it"},
        {"{\"tags\":\"a,b\"}", "a space or a comma"},
        {"{\"tags\":[[\"a\"]]}", "tags: is a text"},
        {"{\"url\":\"/a\"}", "is no URL"},
        {"{\"url\":\"http:///a\"}", "is no URL"},
        {"{\"url\":\"http://u@http.example.org/a\"}", "is no URL"},
        {"{\"url\":\"http://http.example.org/a b\"}", "is no URL"},
        {"{\"url\":\"http://elsewhere.example.org/a\"}", "no route"},
        {"{\"url\":\"http://http.example.org/a\",\"upstream\":\"films\"}", "no route"},
        {"{\"url\":\"http://weir.example.org/b/0123.m4s\"}", "blobs never change"},
        {"{\"asset\":\"a\",\"asset\":\"b\"}", "no JSON"},
        {"{\"asset\":\"a\",\"soft\":\"yes\"}", "soft: is true or false"},
        {"{\"asset\":\"a\",\"spread\":0}", "spread: is true or false"},
        {"{\"asset\":\"a\",\"upstream\":\"no\"}", "upstream: there is none"},
        {"{\"asset\":\"a\",\"from\":{}}", "from: is of another form"},
        {"{\"asset\":\"a\",\"from\":{\"id\":\"00112233445566778899aabbccddeeff\",\"before\":-1,"
         "\"sequence\":2}}",
         "from: is of another form"},
        {"{\"tag\":\"a\"}", "tag: there is no such key"},
    };
    struct fixture f;
    fixture_new(&f);
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(ask(&f, rows[i].body), -EINVAL);
        if (strstr(f.err.text, rows[i].sentence) == NULL)
            fail_msg("%s: %s", rows[i].body, f.err.text);
        assert_null(f.ask.tags);
    }
    fixture_free(&f);
}

static void purge_test_many(void **state)
{
    (void)state;
    struct fixture f;
    fixture_new(&f);
    CLEAN_BUF struct buf b = BUF_EMPTY;
    buf_puts(&b, "{\"tags\":[\"first\"");
    for (unsigned i = 1; i < PURGE_NAMES_MAX; i++)
        buf_printf(&b, ",\"tag-%u\"", i);
    size_t size = b.size;
    buf_puts(&b, "]}");
    assert_int_equal(ask(&f, b.data), 0);
    assert_int_equal(f.ask.names, PURGE_NAMES_MAX);
    assert_int_equal(f.ask.count, 2 * PURGE_NAMES_MAX);
    b.size = size;
    buf_puts(&b, ",\"last\"]}");
    assert_int_equal(ask(&f, b.data), -EINVAL);
    assert_non_null(strstr(f.err.text, "more than 10000"));
    fixture_free(&f);
}

static void purge_test_check(void **state)
{
    (void)state;
    static const struct {
        const char *url, *catch_up, *credential, *sentence;
    } rows[] = {
        {"edge-2:9000", NULL, NULL, "edges: urls: 'edge-2:9000' is not a URL"},
        {"http://edge-2:9000/x", NULL, NULL, "without a path"},
        {"http://edge-2:9000", "soon", NULL, "edges: catch_up"},
        {"http://edge-2:9000", NULL, "/nonexistent/credential", "/nonexistent/credential"},
    };
    struct err err = {.text = ""};
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        char *url = (char *)(uintptr_t)rows[i].url;
        struct purge_config c = {.urls = &url,
                                 .urls_count = 1,
                                 .catch_up = (char *)(uintptr_t)rows[i].catch_up,
                                 .credential_file = (char *)(uintptr_t)rows[i].credential};
        assert_true(purge_check(&c, &err) < 0);
        if (strstr(err.text, rows[i].sentence) == NULL)
            fail_msg("%s", err.text);
    }
    struct purge_config none = {0};
    assert_int_equal(purge_check(&none, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(purge_test_names),   cmocka_unit_test(purge_test_urls),
        cmocka_unit_test(purge_test_refused), cmocka_unit_test(purge_test_many),
        cmocka_unit_test(purge_test_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
