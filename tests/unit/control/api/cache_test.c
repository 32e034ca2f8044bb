/* SPDX-License-Identifier: Apache-2.0 */
#include "control/api/cache.h"
#include <stdio.h>
#include <stdlib.h>
#include "../../unit.h"

static struct cache_changes changes;

static struct cache *make(void)
{
    struct cache *c = NULL;
    assert_int_equal(cache_new(&changes, &c), 0);
    return c;
}

static void put(struct cache *c, const char *path, const char *bytes, uint64_t due)
{
    const struct cached answer = {str_of(bytes), STR("tag"), 0, false};
    cache_put(c, str_of(path), STR("a=1"), 0, 3, atomic_load(&changes.counts[3]), due, &answer);
}

static bool has(struct cache *c, const char *path, const char *bytes, uint64_t now)
{
    struct cached found;
    if (!cache_find(c, str_of(path), STR("a=1"), 0, now, &found))
        return false;
    assert_true(str_eq(found.bytes, str_of(bytes)));
    assert_true(str_eq(found.etag, STR("tag")));
    return true;
}

static void test_life(void **state)
{
    struct cache *c = make();
    struct cached found;
    (void)state;
    assert_false(has(c, "/x", "", 0));
    put(c, "/x", "one", 1000);
    assert_true(has(c, "/x", "one", 0));
    assert_true(has(c, "/x", "one", 999));
    assert_false(cache_find(c, STR("/x"), STR("a=2"), 0, 0, &found));
    assert_false(cache_find(c, STR("/x"), STR_NONE, 0, 0, &found));
    assert_false(cache_find(c, STR("/x"), STR("a=1"), 1, 0, &found));
    assert_false(cache_find(c, STR("/x"), STR("a=1\0"), 0, 0, &found));
    put(c, "/x", "two", 1000);
    assert_true(has(c, "/x", "two", 0));
    assert_false(has(c, "/x", "two", 1000)); /* too old */
    assert_false(has(c, "/x", "two", 0));    /* and gone */
    cache_free(c);
}

static void test_changes(void **state)
{
    struct cache *c = make();
    const struct cached answer = {STR("old"), STR_NONE, 0, false};
    struct cached found;
    (void)state;
    put(c, "/x", "one", 1000);
    (void)atomic_fetch_add(&changes.counts[4], 1); /* something else */
    assert_true(has(c, "/x", "one", 0));
    uint64_t before = atomic_load(&changes.counts[3]);
    (void)atomic_fetch_add(&changes.counts[3], 1);
    assert_false(has(c, "/x", "one", 0));
    /* Made before the change, put after it: not to be given. */
    cache_put(c, STR("/y"), STR_NONE, 0, 3, before, 1000, &answer);
    assert_false(cache_find(c, STR("/y"), STR_NONE, 0, 0, &found));
    cache_free(c);
}

static void test_bounds(void **state)
{
    struct cache *c = make();
    char path[32];
    const size_t size = 100000;
    char *big = malloc(size + 1);
    (void)state;
    assert_non_null(big);
    memset(big, 'x', size);
    big[size] = '\0';
    for (unsigned i = 0; i < 2000; i++) { /* more as it may keep */
        (void)snprintf(path, sizeof path, "/%u", i);
        put(c, path, big, 1000);
        assert_true(has(c, path, big, 0));
    }
    unsigned kept = 0;
    for (unsigned i = 0; i < 2000; i++) {
        (void)snprintf(path, sizeof path, "/%u", i);
        kept += has(c, path, big, 0);
    }
    assert_in_range(kept, 200, CACHE_SIZE_MAX / size);
    free(big);
    big = calloc(1, CACHE_ENTRY_MAX + 2);
    assert_non_null(big);
    memset(big, 'y', CACHE_ENTRY_MAX + 1);
    put(c, "/huge", big, 1000);
    assert_false(has(c, "/huge", big, 0));
    free(big);
    cache_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
