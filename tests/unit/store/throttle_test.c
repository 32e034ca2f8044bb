/* SPDX-License-Identifier: Apache-2.0 */
#include "store/throttle.h"
#include "../unit.h"

#define MB     UINT64_C(1000000)
#define SECOND UINT64_C(1000000)

static uint64_t random_next(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 33;
}

static struct throttle begin(uint64_t rate, uint64_t burst, uint64_t now_us)
{
    struct throttle t;
    struct throttle_options o = {.rate = rate, .burst = burst};
    throttle_init(&t, &o, now_us);
    return t;
}

/* Takes pieces as fast as it is let until `end`, sleeping as it is told; returns the bytes. */
static uint64_t run(struct throttle *t, uint64_t piece, uint64_t *now_us, uint64_t end)
{
    uint64_t taken = 0;
    while (*now_us < end) {
        uint64_t wait = throttle_take(t, piece, *now_us);
        assert_true(wait <= THROTTLE_WAIT_MAX_US);
        if (wait == 0)
            taken += piece;
        *now_us += wait;
    }
    return taken;
}

static void throttle_test_rate(void **state)
{
    (void)state;
    static const uint64_t pieces[] = {1000, 65536, MB, 7 * MB}; /* the last is above the burst */
    for (unsigned i = 0; i < ARRAY_LEN(pieces); i++) {
        uint64_t now = 5;
        struct throttle t = begin(10 * MB, MB, now);
        uint64_t taken = run(&t, pieces[i], &now, 100 * SECOND);
        assert_true(taken <= 1000 * MB + MB + pieces[i]);
        assert_true(taken >= 1000 * MB - MB - pieces[i]);
    }
}

/* A wait that is kept is enough: the second ask succeeds. */
static void throttle_test_wait(void **state)
{
    (void)state;
    uint64_t seed = 3, now = 0;
    struct throttle t = begin(MB, 100000, now);
    for (unsigned i = 0; i < 10000; i++) {
        uint64_t bytes = 1 + random_next(&seed) % 90000;
        uint64_t wait = throttle_take(&t, bytes, now);
        if (wait > 0) {
            assert_int_not_equal(throttle_take(&t, bytes, now + wait - 1), 0);
            now += wait;
            assert_int_equal(throttle_take(&t, bytes, now), 0);
        }
    }
    assert_true(now > 10000 * 40000 / MB * SECOND);
}

static void throttle_test_unlimited(void **state)
{
    (void)state;
    struct throttle t = begin(0, 0, 0);
    throttle_foreground(&t, 1000, UINT64_MAX, 0);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(throttle_take(&t, UINT64_MAX, i % 2), 0);
}

/* However long it was idle, and however often asked in between: one burst, then the rate. */
static void throttle_test_idle(void **state)
{
    (void)state;
    static const uint64_t idles[] = {SECOND, 3600 * SECOND, UINT64_MAX / 2};
    for (unsigned i = 0; i < ARRAY_LEN(idles); i++) {
        uint64_t now = idles[i], taken = 0;
        struct throttle t = begin(MB, MB / 2, 0);
        while (throttle_take(&t, 1000, now) == 0)
            taken += 1000;
        assert_int_equal(taken, MB / 2);
    }
}

static void throttle_test_backwards(void **state)
{
    (void)state;
    uint64_t now = 1000 * SECOND;
    struct throttle t = begin(MB, MB, now);
    assert_int_equal(throttle_take(&t, MB, now), 0);
    /* Nothing comes in for going back, and no time is lost: it counts on from there. */
    uint64_t wait = throttle_take(&t, MB / 2, 5);
    assert_int_equal(wait, SECOND / 2);
    assert_int_equal(throttle_take(&t, MB / 2, 5 + wait), 0);
    assert_int_not_equal(throttle_take(&t, 1, 0), 0);
    assert_int_not_equal(throttle_take(&t, 1, 0), 0);
}

/* The rule, and that it holds at once downwards. */
static void throttle_test_foreground(void **state)
{
    (void)state;
    uint64_t now = 0;
    struct throttle t = begin(16 * MB, MB, now);
    throttle_foreground(&t, 1, 0, now);
    assert_int_equal(throttle_allowed(&t), 8 * MB);
    throttle_foreground(&t, 3, 0, now);
    assert_int_equal(throttle_allowed(&t), 4 * MB);
    throttle_foreground(&t, 0, 14 * MB, now);
    assert_int_equal(throttle_allowed(&t), 2 * MB);
    throttle_foreground(&t, UINT64_MAX, UINT64_MAX, now);
    assert_int_equal(throttle_allowed(&t), MB); /* a sixteenth */
    /* Under a steady load it keeps to the floor, and never stands still. */
    uint64_t taken = run(&t, 10000, &now, 60 * SECOND);
    assert_true(taken <= 61 * MB);
    assert_true(taken >= 59 * MB);
}

/* Evenly up again, in recover_us for the whole rate; a blip in between starts from the bottom. */
static void throttle_test_recovers(void **state)
{
    (void)state;
    uint64_t now = 0, before = 0;
    struct throttle t = begin(16 * MB, MB, now);
    throttle_foreground(&t, 1000, 0, now);
    for (unsigned i = 0; i < 20; i++) {
        throttle_foreground(&t, 0, 0, now);
        assert_true(throttle_allowed(&t) > before);
        assert_true(throttle_allowed(&t) <= MB + 16 * MB * now / THROTTLE_RECOVER_US);
        before = throttle_allowed(&t);
        now += THROTTLE_RECOVER_US / 20;
    }
    throttle_foreground(&t, 0, 0, now);
    assert_int_equal(throttle_allowed(&t), 16 * MB);
    throttle_foreground(&t, 1000, 0, now);
    throttle_foreground(&t, 0, 0, now + 1);
    assert_true(throttle_allowed(&t) < MB + 16);
    /* Asked every microsecond, of a rate so low that it rises by less than a byte in that time. */
    t = begin(1600, 100, 0);
    throttle_foreground(&t, 1000, 0, 0);
    throttle_foreground(&t, 0, 0, 0);
    for (now = 0; now <= THROTTLE_RECOVER_US + 100; now++)
        assert_true(throttle_take(&t, 100, now) <= THROTTLE_WAIT_MAX_US);
    assert_true(throttle_allowed(&t) >= 1550);
}

/* Nothing overflows at the ends of the ranges, and the bound holds for whatever is asked whenever:
 * what is let go in any time is at most burst + rate * time + the last piece. */
static void throttle_test_property(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        uint64_t r = seed, now = random_next(&r);
        struct throttle_options o = {.rate = 1 + (random_next(&r) << (random_next(&r) % 33)),
                                     .burst = 1 + (random_next(&r) << (random_next(&r) % 33)),
                                     .floor = random_next(&r) % 100000,
                                     .recover_us = random_next(&r) % 10000000};
        struct throttle t;
        throttle_init(&t, &o, now);
        assert_true(throttle_allowed(&t) <= THROTTLE_RATE_MAX);
        double rate = (double)t.rate, start = (double)now, bound, taken = 0, largest = 0;
        for (unsigned i = 0; i < 1000; i++) {
            uint64_t bytes = random_next(&r) << (random_next(&r) % 33);
            if (random_next(&r) % 4 == 0)
                throttle_foreground(&t, random_next(&r) % 9, random_next(&r), now);
            assert_true(throttle_allowed(&t) >= t.floor);
            assert_true(throttle_allowed(&t) <= t.rate);
            if (throttle_take(&t, bytes, now) == 0) {
                bytes = MIN(bytes, THROTTLE_RATE_MAX);
                taken += (double)bytes;
                largest = (double)bytes > largest ? (double)bytes : largest;
            }
            bound = (double)t.burst + rate * ((double)now - start) / 1e6 + largest;
            if (taken > bound * 1.000001 + 1)
                fail_msg("seed %u: %.0f bytes, %.0f allowed", (unsigned)seed, taken, bound);
            now += random_next(&r) >> (random_next(&r) % 31);
        }
    }
    struct throttle t = begin(UINT64_MAX, UINT64_MAX, 0);
    assert_int_equal(throttle_take(&t, UINT64_MAX, 0), 0);
    assert_int_equal(throttle_take(&t, UINT64_MAX, 0), THROTTLE_WAIT_MAX_US);
    assert_int_equal(throttle_take(&t, UINT64_MAX, UINT64_MAX), 0);
    t = begin(1, 1, 0);
    assert_int_equal(throttle_take(&t, UINT64_MAX, 0), 0);
    assert_int_equal(throttle_take(&t, 1, 0), THROTTLE_WAIT_MAX_US);
    throttle_foreground(&t, 5, 5, 1);
    assert_int_equal(throttle_allowed(&t), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(throttle_test_rate),      cmocka_unit_test(throttle_test_wait),
        cmocka_unit_test(throttle_test_unlimited), cmocka_unit_test(throttle_test_idle),
        cmocka_unit_test(throttle_test_backwards), cmocka_unit_test(throttle_test_foreground),
        cmocka_unit_test(throttle_test_recovers),  cmocka_unit_test(throttle_test_property),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
