/* SPDX-License-Identifier: Apache-2.0 */
#include "control/api/rate.h"
#include <errno.h>
#include <stdio.h>
#include "../../unit.h"
#include "http/loop.h"

#define MINUTE INT64_C(60000)
#define START  (MINUTE * 1000)

static struct rate *make(void)
{
    struct rate *r = NULL;
    assert_int_equal(rate_new(&r), 0);
    return r;
}

static unsigned take(struct rate *r, const char *key, unsigned tries, unsigned limit, int64_t now)
{
    struct rate_state state;
    unsigned taken = 0;
    for (unsigned i = 0; i < tries; i++)
        taken += rate_take(r, str_of(key), limit, now, &state);
    return taken;
}

static void test_limit(void **state)
{
    struct rate *r = make();
    struct rate_state s;
    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        assert_true(rate_take(r, STR("u"), 10, START + 1000, &s));
        assert_int_equal(s.remaining, 9 - i);
        assert_int_equal(s.limit, 10);
        assert_int_equal(s.reset_s, 59);
    }
    assert_false(rate_take(r, STR("u"), 10, START + 1000, &s));
    assert_int_equal(s.remaining, 0);
    assert_true(rate_take(r, STR("v"), 10, START + 1000, &s)); /* another's is another's */
    rate_free(r);
}

/* What is told is true: not a moment before, but then. */
static void test_retry(void **state)
{
    (void)state;
    for (unsigned limit = 1; limit <= 40; limit += 13)
        for (int64_t at = 0; at < MINUTE; at += 7919) {
            struct rate *r = make();
            struct rate_state s, early;
            assert_int_equal(take(r, "u", 2 * limit, limit, START + at), limit);
            assert_false(rate_take(r, STR("u"), limit, START + at, &s));
            assert_in_range(s.reset_s, 1, 120);
            int64_t due = START + at + (int64_t)s.reset_s * 1000;
            if (s.reset_s > 1)
                assert_false(rate_take(r, STR("u"), limit, due - 1001, &early));
            assert_true(rate_take(r, STR("u"), limit, due, &s));
            rate_free(r);
        }
}

/* In no minute, wherever it begins, much more than the limit gets through. */
static void test_slides(void **state)
{
    struct rate *r = make();
    unsigned seconds[600] = {0};
    unsigned most = 0;
    (void)state;
    for (unsigned i = 0; i < 600; i++)
        seconds[i] = take(r, "u", i % 7 == 0 ? 30 : 3, 100, START + 1000 * (int64_t)i);
    for (unsigned i = 0; i + 60 <= 600; i++) {
        unsigned sum = 0;
        for (unsigned k = 0; k < 60; k++)
            sum += seconds[i + k];
        most = MAX(most, sum);
    }
    assert_in_range(most, 100, 130); /* the minute before is taken to have been even */
    unsigned all = 0;
    for (unsigned i = 0; i < 600; i++)
        all += seconds[i];
    assert_in_range(all, 800, 1100);
    assert_int_equal(take(r, "u", 200, 100, START + 1000 * MINUTE), 100); /* long forgotten */
    rate_free(r);
}

static void test_many_keys(void **state)
{
    struct rate *r = make();
    char key[32];
    (void)state;
    assert_int_equal(take(r, "busy", 60, 100, START), 60);
    for (unsigned i = 0; i < 200000; i++) { /* three times what it remembers */
        (void)snprintf(key, sizeof key, "key %u", i);
        assert_int_equal(take(r, key, 1, 100, START), 1);
    }
    assert_int_equal(take(r, "busy", 60, 100, START), 40); /* the idle ones are forgotten first */
    rate_free(r);
}

static void turn(struct loop *loop)
{
    for (unsigned i = 0; i < 20; i++)
        loop_run_once(loop, 0);
}

/* Two processes with one bus: together they let through what one would. */
static void test_shared(void **state)
{
    struct loop *loop = NULL;
    struct bus_hub *hub = NULL;
    struct bus *bus = NULL;
    struct rate *a = make();
    struct rate *b = make();
    (void)state;
    assert_int_equal(loop_new(&loop), 0);
    assert_int_equal(bus_hub_new(&hub), 0);
    assert_int_equal(bus_open_local(hub, loop, &bus), 0);
    assert_int_equal(take(a, "u", 40, 100, START), 40);
    assert_int_equal(take(b, "u", 30, 100, START), 30);
    for (unsigned i = 0; i < 2; i++) {
        rate_share(a, bus, START);
        turn(loop);
        rate_share(b, bus, START);
        turn(loop);
        assert_int_equal(take(a, "u", 5, 100, START), 5); /* so that there is something to tell */
        rate_share(a, bus, START);
        turn(loop);
    }
    assert_int_equal(take(a, "u", 100, 100, START), 100 - 40 - 30 - 10);
    rate_share(a, bus, START);
    turn(loop);
    assert_int_equal(take(b, "u", 1, 100, START), 1); /* has not asked since */
    rate_share(b, bus, START);
    turn(loop);
    assert_int_equal(take(b, "u", 100, 100, START), 0);
    /* The next minute half of it is left of both. */
    assert_in_range(take(b, "u", 200, 100, START + MINUTE + MINUTE / 2), 48, 51);
    bus_close(bus);
    bus_hub_free(hub);
    loop_free(loop);
    rate_free(a);
    rate_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit),  cmocka_unit_test(test_retry),
        cmocka_unit_test(test_slides), cmocka_unit_test(test_many_keys),
        cmocka_unit_test(test_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
