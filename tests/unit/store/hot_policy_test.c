/* SPDX-License-Identifier: Apache-2.0 */
#include "store/hot_policy.h"
#include <errno.h>
#include <stdlib.h>
#include "../unit.h"

static uint8_t values[4096]; /* their addresses are the values */
static unsigned outs;

static struct digest name(uint32_t i)
{
    return digest_of(&i, sizeof i);
}

static void count_out(void *arg, void *value)
{
    assert_ptr_equal(arg, values);
    assert_true((uint8_t *)value >= values && (uint8_t *)value < values + sizeof values);
    outs++;
}

static struct hot_policy *policy_new(uint64_t size_max)
{
    struct hot_policy *p = NULL;
    outs = 0;
    assert_int_equal(hot_policy_new(size_max, &p), 0);
    return p;
}

static int insert(struct hot_policy *p, uint32_t i, uint32_t cost)
{
    struct digest d = name(i);
    return hot_policy_insert(p, &d, cost, &values[i % sizeof values], count_out, values);
}

static int insert_only(struct hot_policy *p, uint32_t i, uint32_t cost)
{
    struct digest d = name(i);
    return hot_policy_insert_only(p, &d, cost, &values[i % sizeof values], count_out, values);
}

static bool holds(const struct hot_policy *p, uint32_t i)
{
    struct digest d = name(i);
    return hot_policy_look(p, &d) != NULL;
}

/* As a cache does: asks, and brings what is not there. */
static bool request(struct hot_policy *p, uint32_t i, uint32_t cost)
{
    struct digest d = name(i);
    if (hot_policy_get(p, &d) != NULL)
        return true;
    int r = insert(p, i, cost);
    assert_true(r == 0 || r == -ENOSPC);
    return false;
}

static void policy_test_holds(void **state)
{
    (void)state;
    struct hot_policy *p = policy_new(100);
    struct digest d = name(7), other = name(8);
    assert_null(hot_policy_get(p, &d));
    assert_int_equal(insert(p, 7, 101), -E2BIG);
    assert_int_equal(insert(p, 7, 60), 0);
    assert_int_equal(insert(p, 7, 60), -EEXIST);
    assert_int_equal(hot_policy_bytes(p), 60);
    assert_ptr_equal(hot_policy_get(p, &d), &values[7]);
    assert_ptr_equal(hot_policy_look(p, &d), &values[7]);
    assert_null(hot_policy_look(p, &other));
    assert_null(hot_policy_remove(p, &other));
    assert_ptr_equal(hot_policy_remove(p, &d), &values[7]);
    assert_null(hot_policy_remove(p, &d));
    assert_int_equal(hot_policy_bytes(p), 0);
    assert_int_equal(outs, 0);
    assert_int_equal(insert(p, 7, 60), 0);
    assert_int_equal(insert(p, 8, 40), 0);
    hot_policy_free(p, count_out, values);
    assert_int_equal(outs, 2);
}

/* Values are given out once each, whatever happens: many sizes, requests, puts and removals. */
static void policy_test_balance(void **state)
{
    (void)state;
    const uint64_t size_max = 3000000;
    struct hot_policy *p = policy_new(size_max);
    uint64_t random = 1;
    unsigned in = 0, removed = 0;
    for (unsigned n = 0; n < 200000; n++) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        uint32_t i = (uint32_t)(random >> 40) % 6000;
        i = i * i / 6000; /* low numbers more often */
        struct digest d = name(i);
        if (random >> 60 == 0)
            removed += hot_policy_remove(p, &d) != NULL;
        else if (random >> 60 < 5)
            in += insert_only(p, i, 1 + i * 7919 % 20000) == 0;
        else if (random >> 60 == 5 || hot_policy_get(p, &d) == NULL)
            in += insert(p, i, 1 + i * 7919 % 20000) == 0;
        assert_true(hot_policy_bytes(p) <= size_max);
    }
    assert_true(hot_policy_bytes(p) > size_max * 9 / 10);
    hot_policy_free(p, count_out, values);
    assert_true(removed > 100);
    assert_int_equal(in, outs + removed);
}

/* A large one that is worth less than what would go for it does no harm: nothing goes. */
static void policy_test_refuses(void **state)
{
    (void)state;
    struct hot_policy *p = policy_new(1000);
    for (unsigned n = 0; n < 50000; n++)
        (void)request(p, n % 10, 100);
    assert_int_equal(insert(p, 1000, 1000), -ENOSPC);
    assert_int_equal(outs, 0);
    for (unsigned i = 0; i < 10; i++) {
        struct digest d = name(i);
        assert_ptr_equal(hot_policy_look(p, &d), &values[i]);
    }
    hot_policy_free(p, count_out, values);
}

/* What is nowhere else comes in beside much better ones, and stays while its quarter has room. */
static void policy_test_only_copies(void **state)
{
    (void)state;
    struct hot_policy *p = policy_new(100 * 1000);
    for (unsigned n = 0; n < 100000; n++)
        (void)request(p, n % 100, 1000);
    assert_int_equal(insert(p, 1000, 25 * 1000), -ENOSPC);
    assert_int_equal(insert_only(p, 1000, 25 * 1000), 0);
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_equal(insert_only(p, 2000 + i, 1000), 0);
        assert_int_equal(insert_only(p, 2000 + i, 1000), -EEXIST);
        for (uint32_t before = 0; before < MIN(i + 1, 25u); before++)
            assert_true(holds(p, 2000 + i - before));
        for (uint32_t n = 0; n < 10; n++)
            (void)request(p, (i * 10 + n) % 60, 1000);
    }
    /* What is asked for all the time did not suffer. */
    for (uint32_t i = 0; i < 60; i++)
        assert_true(holds(p, i));
    /* One that is too large for the quarter is as any other; one for the whole never fits. */
    assert_int_equal(insert_only(p, 5000, 26 * 1000), -ENOSPC);
    assert_int_equal(insert_only(p, 5000, 101 * 1000), -E2BIG);
    hot_policy_free(p, count_out, values);
    p = policy_new(1000); /* nothing but young ones */
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_equal(insert_only(p, i, 250), 0);
        assert_true(holds(p, i));
    }
    hot_policy_free(p, count_out, values);
}

/* Round and round through more than fits: LRU, CLOCK and FIFO would never hit. */
static void policy_test_loop(void **state)
{
    (void)state;
    struct hot_policy *p = policy_new(100 * 1000);
    unsigned hits = 0;
    for (unsigned n = 0; n < 100000; n++)
        hits += request(p, n % 150, 1000);
    assert_true(hits > 60000); /* 66667 is the most there is */
    hot_policy_free(p, count_out, values);
}

/* New blobs that are asked for four times soon after they come, and never again, as on a live
 * channel: what follows a time of other habits is learnt. */
static void policy_test_changes(void **state)
{
    (void)state;
    struct hot_policy *p = policy_new(100 * 1000);
    unsigned hits = 0;
    for (unsigned n = 0; n < 100000; n++)
        (void)request(p, n % 50, 1000);
    for (unsigned n = 0; n < 100000; n++)
        hits += request(p, 1000 + n / 40 * 10 + n % 10, 1000);
    assert_true(hits > 74000); /* of 75000 */
    hot_policy_free(p, count_out, values);
}

/* More blobs than the table began with, and as many ghosts. */
static void policy_test_many(void **state)
{
    (void)state;
    struct hot_policy *p = policy_new(20000);
    unsigned in = 0, found = 0;
    for (uint32_t i = 0; i < 60000; i++) {
        int r = insert(p, i, 1);
        assert_true(r == 0 || (i >= 20000 && r == -ENOSPC));
        in += r == 0;
    }
    assert_int_equal(hot_policy_bytes(p), 20000);
    assert_int_equal(outs, in - 20000);
    for (uint32_t i = 0; i < 60000; i++) {
        struct digest d = name(i);
        found += hot_policy_look(p, &d) == &values[i % sizeof values];
    }
    assert_int_equal(found, 20000);
    hot_policy_free(p, count_out, values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policy_test_holds),   cmocka_unit_test(policy_test_balance),
        cmocka_unit_test(policy_test_refuses), cmocka_unit_test(policy_test_only_copies),
        cmocka_unit_test(policy_test_loop),    cmocka_unit_test(policy_test_changes),
        cmocka_unit_test(policy_test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
