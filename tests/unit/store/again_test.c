/* SPDX-License-Identifier: Apache-2.0 */
#include "store/again.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include "../unit.h"

#define WINDOW  (UINT64_C(64) << 20)
#define SMALL   3000u
#define MIDDLE  100000u
#define LARGE   700000u
#define THREADS 4u

static struct digest name(uint32_t i)
{
    return digest_of(&i, sizeof i);
}

static struct again *make(uint64_t window)
{
    struct again *a = NULL;
    assert_int_equal(again_new(window, &a), 0);
    return a;
}

static void came(struct again *a, uint32_t i, uint32_t size)
{
    struct digest d = name(i);
    again_came(a, &d, size);
}

static void used(struct again *a, uint32_t i)
{
    struct digest d = name(i);
    again_used(a, &d);
}

/* Newcomers of that size, of which `percent` are asked for again after `later` others came. */
static void stream(struct again *a, uint32_t first, uint32_t count, uint32_t size, unsigned percent,
                   uint32_t later)
{
    for (uint32_t i = 0; i < count + later; i++) {
        if (i < count)
            came(a, first + i, size);
        if (i >= later && (i - later) % 100 < percent)
            used(a, first + i - later);
    }
}

static unsigned share(const struct again *a, unsigned size)
{
    uint8_t shares[AGAIN_SIZES];
    again_export(a, shares);
    return shares[size];
}

static void again_test_nothing_known(void **state)
{
    (void)state;
    struct again *a = NULL;
    assert_int_equal(again_new(0, &a), -EINVAL);
    assert_null(again_free(NULL));
    a = make(1); /* the least there is */
    used(a, 1);
    came(a, 1, SMALL);
    used(a, 1);
    came(a, 1, SMALL);
    a = again_free(a);
    a = make(WINDOW);
    assert_false(again_pays(a, 1));
    assert_false(again_pays(a, LARGE));
    /* Within the first window nobody can say that one will not be asked for again. */
    stream(a, 0, WINDOW / 2 / LARGE, LARGE, 100, 2);
    assert_false(again_pays(a, LARGE));
    again_free(a);
}

static void again_test_learns_by_size(void **state)
{
    (void)state;
    struct again *a = make(WINDOW);
    stream(a, 0, 4000, LARGE, 50, 10);
    stream(a, 10000, 4000, MIDDLE, 5, 10);
    assert_true(again_pays(a, LARGE));
    assert_false(again_pays(a, MIDDLE));
    assert_false(again_pays(a, SMALL)); /* none came */
    assert_in_range(share(a, 4), 110, 140);
    assert_in_range(share(a, 3), 5, 20);
    /* A request saved counts, too: of small ones a tenth will do. */
    stream(a, 1000000, 400000, SMALL, 10, 10);
    assert_in_range(share(a, 0), 15, 36);
    assert_true(again_pays(a, SMALL));
    /* It changes its mind. */
    stream(a, 2000000, 4000, LARGE, 2, 10);
    stream(a, 2100000, 4000, MIDDLE, 60, 10);
    assert_false(again_pays(a, LARGE));
    assert_true(again_pays(a, MIDDLE));
    again_free(a);
}

/* What comes back when the cache would not have it any more is as if it had not. */
static void again_test_too_late(void **state)
{
    (void)state;
    struct again *a = make(WINDOW);
    uint32_t window = (uint32_t)(WINDOW / LARGE);
    stream(a, 0, 4000, LARGE, 90, window * 5 / 4);
    assert_in_range(share(a, 4), 0, 12);
    stream(a, 10000, 4000, LARGE, 90, window * 3 / 4);
    assert_in_range(share(a, 4), 210, 235);
    again_free(a);
}

/* A window of half a million newcomers: a sample small enough for the table tells as much. */
static void again_test_many(void **state)
{
    (void)state;
    struct again *a = make(UINT64_C(500000) * SMALL);
    stream(a, 0, 4000000, SMALL, 80, 100000);
    assert_in_range(share(a, 0), 204 - 30, 204 + 30);
    stream(a, 10000000, 4000000, SMALL, 20, 100000);
    assert_in_range(share(a, 0), 51 - 30, 51 + 30);
    /* Fewer and larger ones: the sample grows again, or it would take for ever to learn. */
    stream(a, 2000000000, 200000, LARGE, 60, 10);
    assert_in_range(share(a, 4), 153 - 30, 153 + 30);
    again_free(a);
}

static void again_test_saved(void **state)
{
    (void)state;
    struct again *a = make(WINDOW), *b = make(2 * WINDOW);
    uint8_t before[AGAIN_SIZES], after[AGAIN_SIZES];
    stream(a, 0, 4000, LARGE, 50, 10);
    again_export(a, before);
    again_import(b, before);
    again_export(b, after);
    assert_memory_equal(before, after, sizeof before);
    assert_true(again_pays(b, LARGE));
    stream(b, 10000, 4000, LARGE, 1, 10); /* and learns on */
    assert_false(again_pays(b, LARGE));
    again_free(a);
    again_free(b);
}

static struct again *shared;

static void *work(void *arg)
{
    stream(shared, *(uint32_t *)arg, 100000, SMALL, 50, 10);
    return NULL;
}

static void again_test_threads(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    uint32_t firsts[THREADS];
    shared = make(WINDOW);
    for (uint32_t i = 0; i < THREADS; i++) {
        firsts[i] = i * 1000000;
        assert_int_equal(pthread_create(&threads[i], NULL, work, &firsts[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_in_range(share(shared, 0), 95, 160);
    again_free(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(again_test_nothing_known), cmocka_unit_test(again_test_learns_by_size),
        cmocka_unit_test(again_test_too_late),      cmocka_unit_test(again_test_many),
        cmocka_unit_test(again_test_saved),         cmocka_unit_test(again_test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
