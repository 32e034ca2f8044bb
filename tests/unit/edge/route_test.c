/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/route.h"
#include <errno.h>
#include "../unit.h"

static char *route_test_servers[] = {(char *)(uintptr_t) "http://127.0.0.1:1"};
static const struct upstream_config route_test_upstreams[] = {
    {.name = (char *)(uintptr_t) "one", .servers = route_test_servers, .servers_count = 1},
    {.name = (char *)(uintptr_t) "two", .servers = route_test_servers, .servers_count = 1},
};

#define ROUTE(h, p, u)                                                                             \
    {                                                                                              \
        .host = (char *)(uintptr_t)(h), .prefix = (char *)(uintptr_t)(p),                          \
        .upstream = (char *)(uintptr_t)(u)                                                         \
    }

static void route_test_find(void **state)
{
    (void)state;
    static const struct route_config config[] = {
        ROUTE(NULL, NULL, "one"),
        ROUTE(NULL, "/live", "two"),
        ROUTE("*.example.org", "/", "two"),
        ROUTE("*.deep.example.org", "/", "one"),
        ROUTE("a.example.org", "/x/", "one"),
        ROUTE("b.example.org", "/x/y/", "one"),
        ROUTE("b.example.org", "/x/", "two"),
    };
    static const struct {
        const char *authority, *path;
        int route; /* -1: none */
    } cases[] = {
        {"any", "/", 0},
        {"any:8080", "/live", 1},
        {"any", "/live/a", 1},
        {"any", "/lives", 0},
        {"example.org", "/", 0}, /* the star stands for a label at least */
        {"c.example.org", "/live/a", 2},
        {"C.Example.ORG:443", "/", 2},
        {"c.deep.example.org", "/", 3},
        {"a.example.org", "/x/1", 4},
        {"a.example.org", "/z", -1}, /* its host has routes, none for this path */
        {"b.example.org", "/x/y/1", 5},
        {"b.example.org", "/x/1", 6},
        {"[::1]:80", "/", 0},
        {"", "/", 0},
    };
    struct err err = {.text = ""};
    struct upstreams *upstreams = NULL;
    struct routes *routes = NULL;
    assert_int_equal(upstreams_open(route_test_upstreams, 2, &err, &upstreams), 0);
    assert_int_equal(route_check(config, ARRAY_LEN(config), &err), 0);
    assert_int_equal(routes_open(config, ARRAY_LEN(config), upstreams, &err, &routes), 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct route *r =
            route_find(routes, str_of(cases[i].authority), str_of(cases[i].path));
        int found = r == NULL ? -1 : (int)(r->config - config);
        if (found != cases[i].route)
            fail_msg("case %zu: route %d", i, found);
    }
    routes_free(routes);
    upstreams_free(upstreams);
}

static void route_test_refuses(void **state)
{
    (void)state;
    static const struct {
        struct route_config config[2];
        const char *says;
    } cases[] = {
        {{ROUTE(NULL, "live", "one"), ROUTE("x", NULL, "one")}, "begin with '/'"},
        {{ROUTE("a:80", NULL, "one"), ROUTE("x", NULL, "one")}, "has a port"},
        {{ROUTE("a.*.org", NULL, "one"), ROUTE("x", NULL, "one")}, "'*'"},
        {{ROUTE("*a.org", NULL, "one"), ROUTE("x", NULL, "one")}, "'*'"},
        {{ROUTE("a.org", NULL, "one"), ROUTE("A.org", "/", "one")}, "two are for"},
        {{{.name = (char *)(uintptr_t) "x/live", .upstream = (char *)(uintptr_t) "one"},
          ROUTE("x", "/live", "one")},
         "metrics would call two of them x/live"},
    };
    struct err err = {.text = ""};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(route_check(cases[i].config, 2, &err), -EINVAL);
        if (strstr(err.text, cases[i].says) == NULL)
            fail_msg("case %zu: %s", i, err.text);
    }
    struct upstreams *upstreams = NULL;
    struct routes *routes = NULL;
    static const struct route_config lost[] = {ROUTE(NULL, NULL, "three")};
    assert_int_equal(upstreams_open(route_test_upstreams, 2, &err, &upstreams), 0);
    assert_int_equal(routes_open(lost, 1, upstreams, &err, &routes), -EINVAL);
    assert_non_null(strstr(err.text, "three"));
    upstreams_free(upstreams);
}

static void route_test_labels(void **state)
{
    (void)state;
    static const struct {
        struct route_config config;
        const char *label;
    } cases[] = {
        {ROUTE(NULL, NULL, "one"), "/"},
        {ROUTE(NULL, "/live", "one"), "/live"},
        {ROUTE("*.example.org", NULL, "one"), "*.example.org/"},
        {{.name = (char *)(uintptr_t) "films", .host = (char *)(uintptr_t) "h"}, "films"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char label[ROUTE_LABEL_SIZE];
        route_label(&cases[i].config, label);
        assert_string_equal(label, cases[i].label);
    }
}

static void route_test_upstreams_refused(void **state)
{
    (void)state;
    static char *bad[] = {(char *)(uintptr_t) "http://h/path", (char *)(uintptr_t) "ftp://h",
                          (char *)(uintptr_t) "https://"};
    struct err err = {.text = ""};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct upstream_config c = {
            .name = (char *)(uintptr_t) "x", .servers = &bad[i], .servers_count = 1};
        assert_int_equal(upstream_check(&c, 1, &err), -EINVAL);
        assert_non_null(strstr(err.text, bad[i]));
    }
    struct upstream_config twice[2] = {route_test_upstreams[0], route_test_upstreams[0]};
    assert_int_equal(upstream_check(twice, 2, &err), -EINVAL);
}

static void route_test_asset_keys(void **state)
{
    (void)state;
    struct err err = {.text = ""};
    struct upstreams *u = NULL;
    assert_int_equal(upstreams_open(route_test_upstreams, 2, &err, &u), 0);
    struct digest a = upstream_asset_key(upstreams_at(u, 0), STR("film"));
    struct digest b = upstream_asset_key(upstreams_at(u, 1), STR("film"));
    struct digest c = upstream_asset_key(upstreams_at(u, 0), STR("film"));
    assert_false(digest_eq(&a, &b));
    assert_true(digest_eq(&a, &c));
    upstreams_free(u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(route_test_find),       cmocka_unit_test(route_test_refuses),
        cmocka_unit_test(route_test_labels),     cmocka_unit_test(route_test_upstreams_refused),
        cmocka_unit_test(route_test_asset_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
