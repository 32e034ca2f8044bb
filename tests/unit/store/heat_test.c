/* SPDX-License-Identifier: Apache-2.0 */
#include "store/heat.h"
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include "../unit.h"

#define HALF    HEAT_HALF_LIFE_MS
#define STEP    (HALF / 8)
#define BLOBS   20000u
#define READS   400000u
#define THREADS 4u

static struct digest name(uint32_t i)
{
    return digest_of(&i, sizeof i);
}

static uint64_t random_next(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 11;
}

static double random_unit(uint64_t *seed)
{
    return (double)random_next(seed) * 0x1p-53;
}

static void heat_test_options(void **state)
{
    (void)state;
    struct heat *h = NULL;
    struct digest d = name(1);
    assert_int_equal(heat_new(HEAT_COUNTERS_MIN - 1, HALF, &h), -EINVAL);
    assert_int_equal(heat_new(HEAT_COUNTERS_MAX + 1, HALF, &h), -EINVAL);
    assert_int_equal(heat_new(1000, HEAT_HALF_LIFE_MIN_MS - 1, &h), -EINVAL);
    assert_null(h);
    assert_null(heat_free(NULL));
    assert_int_equal(heat_new(0, 0, &h), 0);
    assert_in_range(heat_bytes(h), HEAT_COUNTERS * 4 / 3, HEAT_COUNTERS * 4 / 3 + 4096);
    assert_true(heat_of(h, &d, 0) == 0);
    assert_true(heat_of(h, &d, UINT64_MAX) == 0);
    heat_free(h);
    assert_int_equal(heat_new(HEAT_COUNTERS_MIN, HEAT_HALF_LIFE_MIN_MS, &h), 0);
    heat_touch(h, &d, UINT64_MAX); /* the end of time is a time too */
    assert_true(heat_of(h, &d, UINT64_MAX) > 0.9);
    heat_free(h);
}

/* A blob alone in the sketch, n reads at once: the mean over many blobs is n, the spread as
 * said. */
static void heat_test_counts(void **state)
{
    (void)state;
    static const uint32_t counts[] = {1, 2, 3, 5, 10, 30, 100, 1000, 10000};
    for (unsigned i = 0; i < ARRAY_LEN(counts); i++) {
        double sum = 0, squares = 0;
        const unsigned trials = 400;
        for (uint32_t trial = 0; trial < trials; trial++) {
            struct heat *h = NULL;
            struct digest d = name(trial);
            uint64_t now = trial * (STEP / 3); /* in all phases */
            assert_int_equal(heat_new(HEAT_COUNTERS_MIN, HALF, &h), 0);
            for (uint32_t n = 0; n < counts[i]; n++)
                heat_touch(h, &d, now);
            double of = heat_of(h, &d, now) / counts[i];
            sum += of;
            squares += of * of;
            heat_free(h);
        }
        double mean = sum / trials, error = sqrt(MAX(squares / trials - mean * mean, 0));
        print_message("%u reads: mean %.3f, standard error %.3f\n", counts[i], mean, error);
        assert_true(fabs(mean - 1) < 0.05);
        assert_true(error < (counts[i] <= 5 ? 0.12 : 0.25));
    }
}

static void heat_test_saturates(void **state)
{
    (void)state;
    struct heat *h = NULL;
    struct digest d = name(1);
    double before = 0;
    assert_int_equal(heat_new(HEAT_COUNTERS_MIN, HALF, &h), 0);
    for (unsigned i = 0; i < 3000000; i++) {
        heat_touch(h, &d, 63 * STEP); /* where an epoch ends the range is least */
        if (i % 10000 == 0) {
            double of = heat_of(h, &d, 63 * STEP);
            assert_true(of >= before); /* never wraps */
            before = of;
        }
    }
    assert_true(before > 900000);
    heat_free(h);
}

/* Halves with each half-life, over the ends of epochs, and is gone in the end. */
static void heat_test_decays(void **state)
{
    (void)state;
    for (uint64_t phase = 0; phase < 64; phase += 7) {
        struct heat *h = NULL;
        struct digest d = name((uint32_t)phase), never = name(1000);
        uint64_t begin = (128 + phase) * STEP;
        assert_int_equal(heat_new(100000, HALF, &h), 0);
        for (unsigned i = 0; i < 1000; i++)
            heat_touch(h, &d, begin);
        double first = heat_of(h, &d, begin), last = first;
        for (uint64_t n = 1; n < 14; n++) {
            double of = heat_of(h, &d, begin + n * HALF);
            assert_true(fabs(of / last - 0.5) < 1e-9);
            assert_true(heat_of(h, &d, begin + n * HALF - HALF / 2) > of);
            last = of;
            assert_true(heat_of(h, &never, begin + n * HALF) == 0);
        }
        assert_true(heat_of(h, &d, begin + 10 * HALF) < 2); /* 1000 / 2^10, an error of 2 */
        assert_true(heat_of(h, &d, begin + 23 * HALF) == 0);
        assert_true(heat_of(h, &d, begin + 1000 * HALF) == 0);
        /* A read after long counts as one, on top of nothing. */
        heat_touch(h, &d, begin + 1000 * HALF);
        assert_true(fabs(heat_of(h, &d, begin + 1000 * HALF) - 1) < 0.1);
        heat_free(h);
    }
}

/* Read steadily, heat comes to rate * half-life / ln 2. */
static void heat_test_steady(void **state)
{
    (void)state;
    struct heat *h = NULL;
    double sum = 0;
    assert_int_equal(heat_new(100000, HALF, &h), 0);
    for (uint32_t i = 0; i < 40 * 20; i++) { /* 20 reads in a half-life */
        for (uint32_t blob = 0; blob < 100; blob++) {
            struct digest d = name(blob);
            heat_touch(h, &d, i * (HALF / 20));
        }
    }
    for (uint32_t blob = 0; blob < 100; blob++) {
        struct digest d = name(blob);
        sum += heat_of(h, &d, 40 * HALF - 1);
    }
    assert_true(fabs(sum / 100 / (20 / 0.6931) - 1) < 0.08);
    heat_free(h);
}

/* The clock goes back: never more than what was read, never less than before it did, no time is
 * taken back, and it goes on once the clock has caught up. */
static void heat_test_backwards(void **state)
{
    (void)state;
    struct heat *h = NULL;
    struct digest a = name(1), b = name(2);
    uint64_t now = 640 * STEP; /* where an epoch begins */
    assert_int_equal(heat_new(100000, HALF, &h), 0);
    for (unsigned i = 0; i < 10; i++)
        heat_touch(h, &a, now);
    double before = heat_of(h, &a, now);
    for (uint64_t back = STEP; back <= now; back += STEP) {
        assert_true(heat_of(h, &a, now - back) == before);
        heat_touch(h, &b, now - back);
    }
    assert_true(heat_of(h, &b, 0) > 640 * 0.4);
    assert_true(heat_of(h, &b, 0) < 640 * 2.0);
    assert_true(heat_of(h, &b, 0) == heat_of(h, &b, now));
    assert_true(fabs(heat_of(h, &a, now + HALF) / before - 0.5) < 1e-9);
    heat_free(h);
}

/* Zipf: blob i is read in proportion to 1 / (i + 1). */
static void zipf_fill(struct heat *h, uint32_t *exact, uint64_t seed)
{
    double *sums = calloc(BLOBS, sizeof *sums), total = 0;
    assert_non_null(sums);
    for (uint32_t i = 0; i < BLOBS; i++)
        sums[i] = total += 1.0 / (i + 1);
    for (uint32_t n = 0; n < READS; n++) {
        double at = random_unit(&seed) * total;
        uint32_t low = 0, high = BLOBS - 1;
        while (low < high) {
            uint32_t middle = (low + high) / 2;
            if (sums[middle] < at)
                low = middle + 1;
            else
                high = middle;
        }
        struct digest d = name(low);
        heat_touch(h, &d, 1000);
        exact[low]++;
    }
    free(sums);
}

/* What sharing counters adds is bounded by e / width of all reads but for e^-rows of the blobs (the
 * count-min bound; a conservative update does better), and four counters a blob do far better. */
static void heat_test_zipf(void **state)
{
    (void)state;
    static const struct {
        uint64_t per_blob;
        double off, never_hot, added;
    } limits[] = {{1, 0.6, 1, 6}, {4, 0.03, 0.08, 0.3}, {8, 0.01, 0.01, 0.2}};
    for (unsigned i = 0; i < ARRAY_LEN(limits); i++) {
        struct heat *h = NULL;
        uint32_t *exact = calloc(BLOBS, sizeof *exact);
        assert_non_null(exact);
        assert_int_equal(heat_new(BLOBS * limits[i].per_blob, HALF, &h), 0);
        zipf_fill(h, exact, 7);
        double width = (double)(BLOBS * limits[i].per_blob) / 4, bound = M_E / width * READS;
        unsigned over = 0, off = 0, less = 0, never_hot = 0;
        double added = 0;
        for (uint32_t blob = 0; blob < BLOBS; blob++) {
            struct digest d = name(blob), never = name(BLOBS + blob);
            double of = heat_of(h, &d, 1000), spread = 1 + 0.7 * exact[blob];
            over += of > exact[blob] + bound + spread;
            off += of > exact[blob] + spread;
            less += of < exact[blob] * 0.4;
            added += of - exact[blob];
            never_hot += heat_of(h, &never, 1000) > 3;
        }
        print_message("%u counters a blob: mean over-estimate %.2f reads, off %u, less %u, "
                      "never read and above 3: %u of %u\n",
                      (unsigned)limits[i].per_blob, added / BLOBS, off, less, never_hot, BLOBS);
        assert_true(over < BLOBS * exp(-4.0));
        assert_true(less < BLOBS / 100);
        assert_true(off < BLOBS * limits[i].off);
        assert_true(never_hot < BLOBS * limits[i].never_hot);
        assert_true(added / BLOBS < limits[i].added);
        heat_free(h);
        free(exact);
    }
}

struct toucher {
    pthread_t id;
    struct heat *heat;
    pthread_barrier_t *round;
    unsigned index;
    bool bad;
};

/* A round is a step of time; every other thread's clock is a step ahead, so that epochs begin for
 * some while they go on for others. */
static void *toucher_run(void *arg)
{
    struct toucher *t = arg;
    struct digest mine = name(1000 + t->index);
    for (uint64_t round = 0; round < 64 * 10; round++) {
        uint64_t now = (round + t->index % 2) * STEP;
        for (uint32_t i = 0; i < 20; i++) {
            struct digest all = name(i);
            heat_touch(t->heat, &all, now);
            heat_touch(t->heat, &mine, now);
        }
        double of = heat_of(t->heat, &mine, now);
        /* 160 reads in a half-life make 231, and the error of it. */
        t->bad = t->bad || of > 231 * 4 || (round > 80 && of < 231 / 4.0);
        (void)pthread_barrier_wait(t->round);
    }
    return NULL;
}

static void heat_test_threads(void **state)
{
    (void)state;
    struct heat *h = NULL;
    struct toucher touchers[THREADS];
    pthread_barrier_t round;
    double sum = 0;
    assert_int_equal(heat_new(10000, HALF, &h), 0);
    assert_int_equal(pthread_barrier_init(&round, NULL, THREADS), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        touchers[i] = (struct toucher){.heat = h, .round = &round, .index = i};
        assert_int_equal(pthread_create(&touchers[i].id, NULL, toucher_run, &touchers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(touchers[i].id, NULL), 0);
        assert_false(touchers[i].bad);
    }
    /* What all touch: at least what one of them alone makes, at most what all do. */
    for (uint32_t i = 0; i < 20; i++) {
        struct digest all = name(i);
        sum += heat_of(h, &all, 64 * 10 * STEP) / 20;
    }
    assert_true(sum > 8 / 0.6931 * 0.7);
    assert_true(sum < 8 / 0.6931 * THREADS * 1.4);
    (void)pthread_barrier_destroy(&round);
    heat_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heat_test_options),   cmocka_unit_test(heat_test_counts),
        cmocka_unit_test(heat_test_saturates), cmocka_unit_test(heat_test_decays),
        cmocka_unit_test(heat_test_steady),    cmocka_unit_test(heat_test_backwards),
        cmocka_unit_test(heat_test_zipf),      cmocka_unit_test(heat_test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
