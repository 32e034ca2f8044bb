/* SPDX-License-Identifier: Apache-2.0 */
#include "store/hot.h"
#include "../unit.h"

#define SIZE 10000u

static struct digest name(uint32_t i)
{
    return digest_of(&i, sizeof i);
}

static void put(struct hot *h, uint32_t i, uint32_t size)
{
    struct rbuf *b = NULL;
    struct digest d = name(i);
    assert_int_equal(rbuf_new(size, &b), 0);
    hot_insert(h, &d, b);
    rbuf_unref(b);
}

static bool has(struct hot *h, uint32_t i)
{
    struct digest d = name(i);
    struct rbuf *b = hot_look(h, &d);
    rbuf_unref(b);
    return b != NULL;
}

static bool use(struct hot *h, uint32_t i)
{
    struct digest d = name(i);
    struct rbuf *b = hot_get(h, &d);
    rbuf_unref(b);
    return b != NULL;
}

static void hot_test_bounds(void **state)
{
    (void)state;
    struct hot *h = NULL;
    assert_int_equal(hot_new(20 * SIZE, &h), 0);
    for (uint32_t i = 0; i < 1000; i++) {
        put(h, i, SIZE);
        assert_true(has(h, i)); /* worth more than what nobody has asked for since */
        assert_true(hot_bytes(h) <= 20 * SIZE);
        assert_true(hot_bytes(h) >= MIN(i + 1, 18) * SIZE);
    }
    put(h, 5000, 21 * SIZE); /* larger than all */
    assert_false(has(h, 5000));
    for (uint32_t i = 0; i < 1000; i++) {
        struct digest d = name(i);
        hot_remove(h, &d);
    }
    assert_int_equal(hot_bytes(h), 0);
    put(h, 5001, 15 * SIZE);
    assert_true(has(h, 5001));
    struct digest d = name(5001);
    uint64_t before = hot_bytes(h);
    hot_remove(h, &d);
    hot_remove(h, &d);
    assert_false(has(h, 5001));
    assert_true(hot_bytes(h) <= before - 15 * SIZE);
    hot_free(h);
}

/* Blobs in use survive any number of blobs asked for once. */
static void hot_test_scan(void **state)
{
    (void)state;
    struct hot *h = NULL;
    assert_int_equal(hot_new(50 * SIZE, &h), 0);
    for (uint32_t i = 0; i < 10; i++) {
        put(h, i, SIZE);
        assert_true(use(h, i));
    }
    for (uint32_t i = 1000; i < 3000; i++) {
        put(h, i, SIZE);
        assert_true(use(h, i % 10));
    }
    for (uint32_t i = 0; i < 10; i++)
        assert_true(has(h, i));
    hot_free(h);
}

/* Twenty that are asked for every 300 requests, among others that are asked for once: they are gone
 * before they are asked for again, so only what is known of the past can tell that they return. */
static void hot_test_past(void **state)
{
    (void)state;
    struct hot *h = NULL;
    unsigned hits = 0;
    assert_int_equal(hot_new(50 * SIZE, &h), 0);
    for (uint32_t n = 0; n < 30000; n++) {
        uint32_t i = n % 15 == 0 ? n / 15 % 20 : 1000 + n;
        bool hit = use(h, i);
        if (!hit)
            put(h, i, SIZE);
        hits += hit && n >= 15000;
    }
    assert_true(hits > 900); /* of 1000 */
    hot_free(h);
}

static void hot_test_keeps_first(void **state)
{
    (void)state;
    struct hot *h = NULL;
    struct rbuf *a = NULL, *b = NULL;
    struct digest d = name(1);
    assert_int_equal(hot_new(50 * SIZE, &h), 0);
    assert_int_equal(rbuf_copy("a", 1, &a), 0);
    assert_int_equal(rbuf_copy("b", 1, &b), 0);
    hot_insert(h, &d, a);
    hot_insert(h, &d, b);
    struct rbuf *got = hot_get(h, &d);
    assert_ptr_equal(got, a);
    hot_free(h); /* a reader's reference outlives the tier */
    uint32_t size;
    assert_memory_equal(rbuf_data(got, &size), "a", 1);
    rbuf_unref(got);
    rbuf_unref(a);
    rbuf_unref(b);
}

static void hot_test_none(void **state)
{
    (void)state;
    struct hot *h = NULL;
    struct digest d = name(1);
    assert_int_equal(hot_new(0, &h), 0);
    put(h, 1, SIZE);
    assert_false(use(h, 1));
    hot_remove(h, &d);
    assert_int_equal(hot_bytes(h), 0);
    hot_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hot_test_bounds), cmocka_unit_test(hot_test_scan),
        cmocka_unit_test(hot_test_past),   cmocka_unit_test(hot_test_keeps_first),
        cmocka_unit_test(hot_test_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
