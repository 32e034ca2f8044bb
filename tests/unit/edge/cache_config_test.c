/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/cache_config.h"
#include <errno.h>
#include "../unit.h"

#define T(text) ((char *)(uintptr_t)(text)) /* as the YAML reader gives it */

static void nothing_said_is_the_default(void **state)
{
    (void)state;
    struct err err = {0};
    struct cache_config c = {0};
    struct cache_rules r;
    assert_int_equal(cache_rules_of(&c, &r, &err), 0);
    assert_int_equal(r.block_size, 1 << 20);
    assert_true(r.object_max == UINT64_MAX);
    assert_true(r.honour_client);
    assert_int_equal(r.options.ttl_s, HTTP_CACHE_NONE);
    assert_int_equal(r.options.heuristic_max_s, 86400);
    assert_int_equal(r.pass_s, 10);
    assert_int_equal(r.key.query, HTTP_KEY_QUERY_ALL);
}

static void what_is_said_counts(void **state)
{
    (void)state;
    struct err err = {0};
    bool honour = false;
    char *names[] = {T("a")};
    struct cache_config c = {.block_size = T("64K"),
                             .ttl = T("5m"),
                             .negative_ttl = T("1s"),
                             .ttl_max = T("1h"),
                             .pass_ttl = T("0s"),
                             .object_max = T("1G"),
                             .query = HTTP_KEY_QUERY_SOME,
                             .query_names = names,
                             .query_names_count = 1,
                             .honour_client_no_cache = &honour};
    struct cache_rules r;
    assert_int_equal(cache_rules_of(&c, &r, &err), 0);
    assert_int_equal(r.block_size, 64 << 10);
    assert_int_equal(r.options.ttl_s, 300);
    assert_int_equal(r.options.negative_ttl_s, 1);
    assert_int_equal(r.options.ttl_max_s, 3600);
    assert_int_equal(r.pass_s, 0);
    assert_true(r.object_max == UINT64_C(1) << 30);
    assert_false(r.honour_client);
}

static void check_bad(const struct cache_config *c, const char *key)
{
    struct err err = {0};
    struct cache_rules r;
    assert_int_equal(cache_rules_of(c, &r, &err), -EINVAL);
    assert_non_null(strstr(err.text, key));
}

static void mistakes_are_named(void **state)
{
    (void)state;
    char *names[] = {T("a")};
    check_bad(&(struct cache_config){.block_size = T("1000")}, "cache: block_size");
    check_bad(&(struct cache_config){.block_size = T("64M")}, "cache: block_size");
    check_bad(&(struct cache_config){.block_size = T("big")}, "cache: block_size");
    check_bad(&(struct cache_config){.ttl = T("soon")}, "cache: ttl");
    check_bad(&(struct cache_config){.negative_ttl = T("x")}, "cache: negative_ttl");
    check_bad(&(struct cache_config){.ttl_max = T("x")}, "cache: ttl_max");
    check_bad(&(struct cache_config){.heuristic_max = T("x")}, "cache: heuristic_max");
    check_bad(&(struct cache_config){.pass_ttl = T("x")}, "cache: pass_ttl");
    check_bad(&(struct cache_config){.object_max = T("x")}, "cache: object_max");
    check_bad(&(struct cache_config){.fill_ahead = T("x")}, "cache: fill_ahead");
    check_bad(&(struct cache_config){.query = HTTP_KEY_QUERY_SOME}, "cache: query_names");
    check_bad(&(struct cache_config){.query = HTTP_KEY_QUERY_NONE,
                                     .query_names = names,
                                     .query_names_count = 1},
              "cache: query_names");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_said_is_the_default),
        cmocka_unit_test(what_is_said_counts),
        cmocka_unit_test(mistakes_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
