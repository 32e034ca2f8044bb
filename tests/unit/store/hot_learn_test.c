/* SPDX-License-Identifier: Apache-2.0 */
#include "store/hot_learn.h"
#include <stdlib.h>
#include "../unit.h"

static void learn_test_ages(void **state)
{
    (void)state;
    for (unsigned age = 0; age < HOT_AGES; age++) {
        uint32_t first = hot_learn_age_first(age);
        assert_int_equal(hot_learn_age(first), age);
        assert_true(hot_learn_age_first(age + 1) > first);
        assert_int_equal(hot_learn_age(hot_learn_age_first(age + 1) - 1), age);
    }
    assert_int_equal(hot_learn_age(UINT32_MAX), HOT_AGES - 1);
}

static struct hot_learn *learn_new(void)
{
    struct hot_learn *l = malloc(sizeof *l);
    assert_non_null(l);
    hot_learn_init(l);
    return l;
}

static void rank_all(struct hot_learn *l)
{
    hot_learn_rank_all(l);
    for (unsigned i = 0; i < HOT_CLASSES; i++)
        hot_learn_rank(l, i);
}

/* Nothing seen: the younger the better, in every class the same: LRU. */
static void learn_test_begins_as_lru(void **state)
{
    (void)state;
    struct hot_learn *l = learn_new();
    for (uint32_t age = 1; age < 100000; age = age * 3 / 2 + 1) {
        assert_true(hot_learn_value(l, 0, age) > hot_learn_value(l, 0, age * 3 / 2 + 1));
        assert_true(hot_learn_value(l, 0, age) == hot_learn_value(l, HOT_CLASSES - 1, age));
    }
    free(l);
}

/* One in two of class 3 is asked for again at age 10; of class 4 none ever is. */
static void learn_test_classes(void **state)
{
    (void)state;
    struct hot_learn *l = learn_new();
    for (unsigned i = 0; i < 1000; i++) {
        if (i % 2 == 0)
            hot_learn_used(l, 3, 0, hot_learn_age(10));
        else
            hot_learn_lived(l, 3, 0, hot_learn_age(1000));
        hot_learn_lived(l, 4, 0, hot_learn_age(1000));
    }
    rank_all(l);
    /* A blob of class 3 waits 10 to 12 requests for a chance of a half. */
    float value = hot_learn_value(l, 3, 0);
    assert_true(value > 0.04f && value < 0.05f);
    assert_true(hot_learn_value(l, 4, 0) < value / 10);
    /* Worth more just before than at first, and next to nothing after. */
    assert_true(hot_learn_value(l, 3, 8) > value * 2);
    assert_true(hot_learn_value(l, 3, 20) < value / 10);
    free(l);
}

/* What a class never showed is taken from the others. */
static void learn_test_borrows(void **state)
{
    (void)state;
    struct hot_learn *l = learn_new();
    float before = hot_learn_value(l, 7, 3);
    for (unsigned i = 0; i < 10000; i++)
        hot_learn_used(l, 3, 0, hot_learn_age(4));
    rank_all(l);
    assert_true(hot_learn_value(l, 7, 3) > 2 * before);
    free(l);
}

/* Ranked by the reports themselves as they come. */
static void learn_test_due(void **state)
{
    (void)state;
    struct hot_learn *l = learn_new();
    float before = hot_learn_value(l, 3, 3);
    for (unsigned i = 0; i < 100; i++)
        hot_learn_used(l, 3, 0, hot_learn_age(4));
    assert_true(hot_learn_value(l, 3, 3) > 2 * before);
    free(l);
}

static void learn_test_forgets(void **state)
{
    (void)state;
    struct hot_learn *l = learn_new();
    for (unsigned i = 0; i < 1000; i++)
        hot_learn_used(l, 3, 0, hot_learn_age(4));
    rank_all(l);
    float high = hot_learn_value(l, 3, 0);
    for (unsigned i = 0; i < 100000; i++)
        hot_learn_lived(l, 3, 0, hot_learn_age(1000));
    rank_all(l);
    assert_true(hot_learn_value(l, 3, 0) < high / 50);
    free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learn_test_ages),    cmocka_unit_test(learn_test_begins_as_lru),
        cmocka_unit_test(learn_test_classes), cmocka_unit_test(learn_test_borrows),
        cmocka_unit_test(learn_test_forgets), cmocka_unit_test(learn_test_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
