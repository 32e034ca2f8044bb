/* SPDX-License-Identifier: Apache-2.0 */
#include "http_fields.h"

static void keys_are_normalised(void **state)
{
    (void)state;
    static const char *const names[] = {"v", "t~k"};
    static const struct http_key_options all = {HTTP_KEY_QUERY_ALL, NULL, 0, false};
    static const struct http_key_options sorted = {HTTP_KEY_QUERY_ALL, NULL, 0, true};
    static const struct http_key_options none = {HTTP_KEY_QUERY_NONE, NULL, 0, false};
    static const struct http_key_options some = {HTTP_KEY_QUERY_SOME, names, 2, false};
    static const struct http_key_options some_sorted = {HTTP_KEY_QUERY_SOME, names, 2, true};
    static const struct http_key_options others = {HTTP_KEY_QUERY_ALL, names, 2, false};
    static const struct {
        const struct http_key_options *o;
        const char *scheme, *authority, *path, *query, *key;
    } cases[] = {
        /* RFC 3986 section 6.2.2.1: case; 6.2.3: the scheme's port. */
        {&all, "HTTPS", "Example.ORG", "/A", NULL, "https://example.org/A"},
        {&all, "https", "a.example:443", "/", NULL, "https://a.example/"},
        {&all, "http", "a.example:443", "/", NULL, "http://a.example:443/"},
        {&all, "http", "a.example:80", "/", NULL, "http://a.example/"},
        {&all, "http", "a.example:", "/", NULL, "http://a.example/"},
        {&all, "http", "[::A]:8080", "/", NULL, "http://[::a]:8080/"},
        {&all, "http", "[::A]", "/", NULL, "http://[::a]/"},
        {&all, "http", "a", NULL, NULL, "http://a/"},
        /* 6.2.2.2: percent coding. */
        {&all, "http", "a", "/%7euser/%2f%c3%a4%41", NULL, "http://a/~user/%2F%C3%A4A"},
        {&all, "http", "a", "/100%", NULL, "http://a/100%"},
        {&all, "http", "a", "/%4", NULL, "http://a/%4"},
        {&all, "http", "a", "/%zz%3g%00", NULL, "http://a/%zz%3g%00"},
        /* 6.2.2.3 and 5.2.4: dot segments, also coded ones. */
        {&all, "http", "a", "/a/b/c/./../../g", NULL, "http://a/a/g"},
        {&all, "http", "a", "/./a/.", NULL, "http://a/a/"},
        {&all, "http", "a", "/a/..", NULL, "http://a/"},
        {&all, "http", "a", "/../../x", NULL, "http://a/x"},
        {&all, "http", "a", "/a/%2e%2E/x", NULL, "http://a/x"},
        {&all, "http", "a", "/a%2f../x", NULL, "http://a/a%2F../x"},
        {&all, "http", "a", "/a//b/../c", NULL, "http://a/a//c"},
        {&all, "http", "a", "/a/...", NULL, "http://a/a/..."},
        {&all, "http", "a", "/..", NULL, "http://a/"},
        /* The query. */
        {&all, "http", "a", "/", "b=1&a=%7e", "http://a/?b=1&a=~"},
        {&all, "http", "a", "/", "&&b&", "http://a/?b"},
        {&all, "http", "a", "/", "", "http://a/"},
        {&all, "http", "a", "/", "x=../%2e.", "http://a/?x=../.."},
        {&none, "http", "a", "/", "b=1", "http://a/"},
        {&sorted, "http", "a", "/", "b=2&a=2&a=1&ab=0&b", "http://a/?a=2&a=1&ab=0&b=2&b"},
        {&some, "http", "a", "/", "x=1&v=2&w&V=3&v", "http://a/?v=2&v"},
        {&some, "http", "a", "/", "x=1", "http://a/"},
        {&some, "http", "a", "/", "t%7Ek=%2f", "http://a/?t~k=%2F"},
        {&some_sorted, "http", "a", "/", "v=1&x=1&t~k=2", "http://a/?t~k=2&v=1"},
        {&others, "http", "a", "/", "x=1&v=2&vv=1&t~k", "http://a/?x=1&vv=1"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEAN_BUF struct buf key = BUF_EMPTY;
        http_cache_key(str_of(cases[i].scheme), str_of(cases[i].authority), str_of(cases[i].path),
                       str_of(cases[i].query), cases[i].o, &key);
        assert_int_equal(buf_error(&key), 0);
        assert_string_equal(key.data, cases[i].key);
    }
}

static void a_long_query_stays_in_its_order(void **state)
{
    (void)state;
    static const struct http_key_options sorted = {HTTP_KEY_QUERY_ALL, NULL, 0, true};
    CLEAN_BUF struct buf query = BUF_EMPTY;
    CLEAN_BUF struct buf key = BUF_EMPTY;
    for (int i = 300; i > 0; i--)
        buf_printf(&query, "%sp%d", i == 300 ? "" : "&", i);
    http_cache_key(STR("http"), STR("a"), STR("/"), buf_str(&query), &sorted, &key);
    assert_int_equal(key.size, strlen("http://a/?") + query.size);
    assert_memory_equal(key.data + strlen("http://a/?"), query.data, query.size);
}

static void cache_status_is_a_list_member(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct http_cache_status s;
        const char *text;
    } cases[] = {
        /* RFC 9211 section 2 */
        {"weir-edge", {NULL, 376, 0, false, false, NULL}, "weir-edge; hit; ttl=376"},
        {"weir-edge", {NULL, -12, 0, false, false, NULL}, "weir-edge; hit; ttl=-12"},
        {"weir-edge",
         {"uri-miss", HTTP_CACHE_NONE, 200, true, true, NULL},
         "weir-edge; fwd=uri-miss; fwd-status=200; stored; collapsed"},
        {"weir-edge",
         {"stale", 10, 304, false, false, "no-store"},
         "weir-edge; fwd=stale; fwd-status=304; ttl=10; detail=no-store"},
        {"weir-edge", {NULL, HTTP_CACHE_NONE, 0, true, true, "hot"}, "weir-edge; hit; detail=hot"},
        {"edge.example:443",
         {NULL, HTTP_CACHE_NONE, 0, false, false, NULL},
         "edge.example:443; hit"},
        {"1st \"edge\"",
         {NULL, HTTP_CACHE_NONE, 0, false, false, "a b\\"},
         "\"1st \\\"edge\\\"\"; hit; detail=\"a b\\\\\""},
        {"", {NULL, HTTP_CACHE_NONE, 0, false, false, NULL}, "\"\"; hit"},
        {"k\xc3\xa4", {NULL, HTTP_CACHE_NONE, 0, false, false, NULL}, "\"k??\"; hit"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEAN_BUF struct buf out = BUF_EMPTY;
        http_cache_status_write(str_of(cases[i].name), &cases[i].s, &out);
        assert_string_equal(out.data, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_normalised),
        cmocka_unit_test(a_long_query_stays_in_its_order),
        cmocka_unit_test(cache_status_is_a_list_member),
    };
    return cmocka_run_group_tests_name("http_cache_key", tests, NULL, NULL);
}
