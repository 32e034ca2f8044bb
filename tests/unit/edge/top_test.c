/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/top.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "../unit.h"
#include "base/clock.h"

#define HALF TOP_HALF_LIFE_MS

static struct top_row rows[TOP_ROWS_MAX];
static struct tops *set;
static struct top *part;

static int setup(void **state)
{
    (void)state;
    assert_int_equal(tops_new(&set), 0);
    assert_int_equal(top_new(set, &part), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    part = top_free(part);
    set = tops_free(set);
    return 0;
}

static unsigned list(unsigned max, uint64_t now_ms)
{
    unsigned count = 0;
    assert_int_equal(tops_list(set, max, now_ms, rows, &count), 0);
    return count;
}

static bool near(double a, double b, double share)
{
    return a >= b * (1 - share) && a <= b * (1 + share);
}

static void a_steady_stream_is_told_as_its_rate(void **state)
{
    (void)state;
    uint64_t now = clock_mono_ms();
    for (unsigned i = 0; i < 2000; i++) { /* 10 a second, for 20 half-lives */
        now += 100;
        top_count(part, 1, STR("film"), 1000, i % 4 != 0, now);
        if (i % 10 == 0)
            top_count(part, 1, STR("seldom"), 10, false, now);
    }
    assert_int_equal(list(10, now), 2);
    assert_string_equal(rows[0].name, "film");
    assert_int_equal(rows[0].group, 1);
    assert_true(near(rows[0].requests_per_s, 10, 0.05));
    assert_true(near(rows[0].bytes_per_s, 10000, 0.05));
    assert_true(near(rows[0].hit_ratio, 0.75, 0.02));
    assert_true(rows[0].error <= 0);
    assert_true(near(rows[1].requests_per_s, 1, 0.1));
    /* Half is forgotten after a half-life, a quarter is left after two. */
    (void)list(10, now + 2 * HALF);
    assert_true(near(rows[0].requests_per_s, 2.5, 0.05));
    assert_true(near(rows[0].hit_ratio, 0.75, 0.02));
    assert_int_equal(list(1, now), 1);
    part = top_free(part);
    assert_int_equal(list(10, now), 0);
}

static void a_long_run_and_a_long_silence_keep_their_numbers(void **state)
{
    (void)state;
    uint64_t now = clock_mono_ms();
    for (unsigned i = 0; i < 12000; i++) { /* 1200 half-lives: scaled down twice */
        now += 1000;
        top_count(part, 0, STR("a"), 1, true, now);
    }
    assert_int_equal(list(10, now), 1);
    assert_true(near(rows[0].requests_per_s, 1, 0.1));
    now += 100000 * (uint64_t)HALF;
    top_count(part, 0, STR("b"), 1, true, now);
    top_count(part, 0, STR("b"), 1, true, now - 1000 * (uint64_t)HALF); /* counts as now */
    assert_int_equal(list(10, now), 2);
    assert_string_equal(rows[0].name, "b");
    assert_true(near(rows[0].requests_per_s, 2 * 0.0693, 0.01));
    assert_true(rows[1].requests_per_s <= 0);
}

static void the_hot_ones_stay_however_many_others_come(void **state)
{
    (void)state;
    uint64_t now = clock_mono_ms();
    unsigned other = 0;
    for (unsigned i = 0; i < 3000; i++) {
        now += 125; /* a tick each, so that all are taken */
        for (unsigned n = 0; n < 8; n++) {
            char name[32];
            (void)snprintf(name, sizeof name, "once/%u/", other++);
            top_count(part, 0, str_of(name), 1, false, now);
        }
        for (unsigned n = 0; n < 4; n++) {
            char name[32];
            (void)snprintf(name, sizeof name, "hot/%u/", n);
            if (i % (n + 1) == 0)
                top_count(part, 0, str_of(name), 100, true, now);
        }
    }
    assert_int_equal(list(TOP_ROWS_MAX, now), TOP_ROWS_MAX);
    for (unsigned n = 0; n < 4; n++) {
        char name[32];
        (void)snprintf(name, sizeof name, "hot/%u/", n);
        assert_string_equal(rows[n].name, name);
        assert_true(near(rows[n].requests_per_s, 8.0 / (n + 1), 0.15));
        assert_true(rows[n].hit_ratio > 0.99);
    }
    for (unsigned n = 4; n < TOP_ROWS_MAX; n++) /* no more is claimed than may be */
        assert_true(rows[n].requests_per_s - rows[n].error <= 0.0694 &&
                    rows[n].requests_per_s <= rows[n - 1].requests_per_s);
}

static void many_requests_are_sampled(void **state)
{
    (void)state;
    uint64_t now = clock_mono_ms();
    for (unsigned i = 0; i < 800; i++) { /* 8000 a second */
        now += 125;
        for (unsigned n = 0; n < 1000; n++)
            top_count(part, 0, n % 3 == 0 ? STR("a") : STR("b"), 10, true, now);
    }
    assert_int_equal(list(10, now), 2);
    assert_string_equal(rows[0].name, "b");
    assert_true(near(rows[0].requests_per_s + rows[1].requests_per_s, 8000, 0.02));
    assert_true(near(rows[1].requests_per_s, 2667, 0.05));
}

static void names_are_told_apart_by_group_and_end(void **state)
{
    (void)state;
    struct top *other = NULL;
    char name[400];
    memset(name, 'n', sizeof name);
    assert_int_equal(top_new(set, &other), 0);
    uint64_t now = clock_mono_ms();
    top_count(part, 1, STR("x"), 1, true, now);
    top_count(other, 1, STR("x"), 1, true, now); /* another worker's: the same row */
    top_count(other, 2, STR("x"), 1, true, now);
    top_count(part, 1, STR(""), 1, true, now);
    top_count(part, 1, (struct str){name, sizeof name}, 1, true, now);
    name[0] = 'm'; /* too far from the end to count */
    top_count(part, 1, (struct str){name, sizeof name}, 1, true, now);
    assert_int_equal(list(10, now), 4);
    unsigned seen = 0;
    for (unsigned i = 0; i < 4; i++) {
        bool twice = (strcmp(rows[i].name, "x") == 0 && rows[i].group == 1) ||
                     strlen(rows[i].name) == TOP_NAME_MAX;
        assert_true(near(rows[i].requests_per_s, twice ? 0.1386 : 0.0693, 0.01));
        seen += twice ? 1 : 0;
    }
    assert_int_equal(seen, 2);
    top_free(other);
}

static void *busy_main(void *arg)
{
    const unsigned *number = arg;
    struct top *t = NULL;
    assert_int_equal(top_new(set, &t), 0);
    for (unsigned i = 0; i < 20000; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "%u", i * (*number + 1) % 3000);
        top_count(t, 0, str_of(name), i, true, clock_mono_ms());
    }
    top_free(t);
    return NULL;
}

static void parts_are_listed_while_they_count(void **state)
{
    (void)state;
    pthread_t threads[3];
    unsigned numbers[3];
    for (unsigned i = 0; i < 3; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, busy_main, &numbers[i]), 0);
    }
    for (unsigned i = 0; i < 20; i++)
        assert_true(list(100, clock_mono_ms()) <= 100);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_steady_stream_is_told_as_its_rate),
        TEST(a_long_run_and_a_long_silence_keep_their_numbers),
        TEST(the_hot_ones_stay_however_many_others_come),
        TEST(many_requests_are_sampled),
        TEST(names_are_told_apart_by_group_and_end),
        TEST(parts_are_listed_while_they_count),
    };
    return cmocka_run_group_tests_name("top", tests, NULL, NULL);
}
