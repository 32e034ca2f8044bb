/* SPDX-License-Identifier: Apache-2.0 */
/* Days of traffic. Capacity and absent tiers are checked at each move (place_sim.c). */
#include <math.h>
#include "place_sim.h"
#include "../unit.h"

#define FILMS     100u
#define BLOBS     60u /* of a film */
#define BLOB_MEAN (UINT64_C(2) << 20)
#define MOVES_MAX 11u /* of a blob in a day: place.c, invariant 2, with stay_ms of 6 hours */

static void hours(struct sim *s, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        sim_hour(s);
}

static double zipf(unsigned rank)
{
    return 1.0 / pow(rank + 1.0, 0.9);
}

/* A library whose films are read by Zipf; warm holds a fifth. The best comes last, when warm is
 * full. */
static struct sim *library(uint64_t seed)
{
    struct sim *s = sim_new(seed, FILMS * BLOBS * 2, FILMS * BLOBS * BLOB_MEAN, 0.2);
    for (unsigned i = FILMS; i-- > 0;)
        sim_film(s, BLOBS, 20 * zipf(i));
    return s;
}

static void report(const struct sim *s, const char *what)
{
    print_message("%s: warm answers %.3f of reads (best %.3f), %u moves, at most %u of a blob in a "
                  "day\n",
                  what, sim_share(s), sim_best(s), (unsigned)s->moves, s->moves_day_max);
    assert_true(s->moves_day_max <= MOVES_MAX);
}

/* From the worst there is, warm full of what is least read: how soon it is good. A tenth of warm
 * may be moved in an hour, so that its contents are exchanged, down and up, in twenty. */
static void sim_test_converges(void **state)
{
    (void)state;
    for (uint64_t seed = 20; seed < 23; seed++) {
        struct sim *s = library(seed);
        unsigned taken = 0;
        do {
            sim_measure(s);
            sim_hour(s);
            assert_true(++taken < 40);
        } while (sim_share(s) < sim_best(s) * 0.9);
        print_message("within a tenth of the best after %u hours\n", taken);
        sim_free(s);
    }
}

/* Popularity that does not change: nearly as good as the best choice that knows all, and in the end
 * hardly anything moves. */
static void sim_test_steady(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct sim *s = library(seed);
        hours(s, 24 * 6);
        sim_measure(s);
        hours(s, 48);
        report(s, "steady");
        assert_true(sim_share(s) > sim_best(s) * 0.96);
        /* A hundredth of the blobs an hour: what is near the threshold goes by chance. */
        assert_true(s->moves < FILMS * BLOBS * 48 / 100);
        sim_free(s);
    }
}

/* Three films a day, each read half as much after each two days. */
static void sim_test_decay(void **state)
{
    (void)state;
    struct sim *s = library(4);
    unsigned fresh[64], count = 0;
    double best = 0;
    for (unsigned day = 0; day < 12; day++) {
        for (unsigned i = 0; i < 3; i++)
            fresh[count++] = sim_film(s, BLOBS, 20);
        if (day == 4) {
            sim_measure(s);
            best = 0;
        }
        for (unsigned hour = 0; hour < 24; hour++) {
            for (unsigned i = 0; i < count; i++)
                sim_rate(s, fresh[i], 20 * exp2(-(day - i / 3 + hour / 24.0) / 2));
            best += sim_best(s) / (24 * 8);
            sim_hour(s);
        }
    }
    report(s, "new films");
    print_message("best of each hour: %.3f\n", best);
    assert_true(sim_share(s) > best * 0.93);
    sim_free(s);
}

/* An old film that nobody read becomes what all want, for a day. */
static void sim_test_viral(void **state)
{
    (void)state;
    struct sim *s = library(5);
    unsigned film = 0;
    hours(s, 24 * 5);
    while (sim_film_warm(s, film) > 0)
        film++;
    assert_in_range(film, 0, FILMS / 2); /* of those that are least read */
    sim_rate(s, film, 60);
    hours(s, 2);
    assert_true(sim_film_warm(s, film) > 0.95);
    s->watched = film;
    sim_measure(s);
    hours(s, 22);
    report(s, "viral");
    assert_true((double)s->film_warm_reads > 0.99 * (double)s->film_reads);
    sim_rate(s, film, 20 * zipf(FILMS - 1 - film));
    hours(s, 24 * 3);
    sim_measure(s);
    hours(s, 24);
    report(s, "after it");
    assert_true(sim_share(s) > sim_best(s) * 0.95);
    sim_free(s);
}

/* Channels whose every hour is a film of its own: read for four hours, kept for a day. */
static void sim_test_live(void **state)
{
    (void)state;
    struct sim *s = library(6);
    unsigned hour_film[24 * 9];
    uint64_t reads = 0, warm_reads = 0;
    hours(s, 24 * 3);
    for (unsigned hour = 0; hour < 24 * 6; hour++) {
        if (hour == 24)
            sim_measure(s);
        hour_film[hour] = sim_film(s, 20, 10);
        if (hour >= 4)
            sim_rate(s, hour_film[hour - 4], 0);
        if (hour >= 24)
            sim_delete(s, hour_film[hour - 24]);
        s->watched = hour_film[hour >= 3 ? hour - 3 : 0]; /* the oldest in the window */
        s->film_reads = s->film_warm_reads = 0;
        sim_hour(s);
        reads += s->film_reads;
        warm_reads += s->film_warm_reads;
    }
    report(s, "live");
    print_message("live window: %.4f from warm\n", (double)warm_reads / (double)reads);
    assert_true((double)warm_reads > 0.99 * (double)reads);
    /* The best knows when windows end; heat finds out within half a day. */
    assert_true(sim_share(s) > sim_best(s) * 0.89);
    sim_free(s);
}

/* A backup that reads all there is each night makes hardly any difference. */
static void sim_test_scan(void **state)
{
    (void)state;
    double shares[2];
    uint64_t promoted[2];
    for (unsigned with = 0; with < 2; with++) {
        struct sim *s = library(7);
        hours(s, 24 * 4);
        sim_measure(s);
        for (unsigned hour = 0; hour < 24 * 5; hour++) {
            if (with == 1 && hour % 24 == 3)
                sim_scan(s);
            sim_hour(s);
        }
        report(s, with ? "with a nightly scan" : "without");
        shares[with] = sim_share(s);
        promoted[with] = s->promoted;
        sim_free(s);
    }
    assert_true(shares[1] > shares[0] - 0.01);
    print_message("promoted: %u MiB without, %u with\n", (unsigned)(promoted[0] >> 20),
                  (unsigned)(promoted[1] >> 20));
    assert_true((double)promoted[1] < 1.25 * (double)promoted[0] + 100e6);
}

/* All heat is lost, at the moment when warm is above its high watermark and has to be drained. */
static void sim_test_restart(void **state)
{
    (void)state;
    struct sim *s = library(17);
    hours(s, 24 * 5);
    for (unsigned i = 0; i < 24; i++) {
        if (i % 3 == 0)
            sim_film(s, BLOBS, 0.1); /* nobody wants it, which nobody knows yet */
        if (i == 0)
            sim_restart(s);
        sim_measure(s);
        sim_hour(s);
        print_message("%.3f ", sim_share(s));
        assert_true(sim_share(s) > sim_best(s) * 0.85);
    }
    report(s, "a day after a restart");
    assert_true(sim_share(s) > sim_best(s) * 0.95);
    sim_free(s);
}

/* Time stands still: sweeps come to an end of moves, and stay there. */
static void sim_test_still(void **state)
{
    (void)state;
    for (uint64_t seed = 8; seed < 16; seed++) {
        struct sim *s = library(seed);
        unsigned sweeps = 0;
        hours(s, 10 + (unsigned)seed); /* in the midst of it */
        struct throttle_options unlimited = {.rate = 0};
        throttle_init(&s->throttle, &unlimited, 0);
        do {
            sim_measure(s);
            sim_sweep(s);
            assert_true(++sweeps < 100);
        } while (s->moves > 0);
        for (unsigned i = 0; i < 20; i++)
            sim_sweep(s);
        assert_int_equal(s->moves, 0);
        /* Nor does anything move when all are asleep and heat goes, and there is room. */
        for (unsigned i = 0; i < s->films; i++)
            sim_rate(s, i, 0);
        s->state.tiers[PLACE_WARM].high = s->state.tiers[PLACE_WARM].capacity;
        hours(s, 48);
        sim_measure(s);
        hours(s, 48);
        assert_int_equal(s->moves, 0);
        sim_free(s);
    }
}

/* A tier goes away and comes back: nothing is moved to or from it meanwhile, and two days later
 * all is as if nothing had been. */
static void sim_test_away(void **state)
{
    (void)state;
    for (enum place_tier tier = PLACE_WARM; tier <= PLACE_COLD; tier++) {
        struct sim *s = library(9);
        hours(s, 24 * 3);
        s->state.tiers[tier].here = false;
        sim_measure(s);
        for (unsigned i = 0; i < 12; i++) {
            unsigned film = i % 4 == 0 ? sim_film(s, BLOBS, 1) : 0;
            assert_true(film == 0 || s->refused > 0 ||
                        sim_film_warm(s, film) == (tier == PLACE_COLD ? 1.0 : 0.0));
            sim_hour(s);
        }
        /* Warm takes what it can; what is more has nowhere to go while cold is away. */
        assert_int_equal(s->refused > 0, tier == PLACE_COLD);
        assert_int_equal(s->moves, 0);
        s->state.tiers[tier].here = true;
        hours(s, 48);
        sim_measure(s);
        hours(s, 24);
        report(s, tier == PLACE_WARM ? "warm was away" : "cold was away");
        assert_true(sim_share(s) > sim_best(s) * 0.95);
        assert_true(s->state.tiers[PLACE_WARM].used <=
                    s->state.tiers[PLACE_WARM].capacity / 40 * 39);
        sim_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sim_test_converges), cmocka_unit_test(sim_test_steady),
        cmocka_unit_test(sim_test_decay),     cmocka_unit_test(sim_test_viral),
        cmocka_unit_test(sim_test_live),      cmocka_unit_test(sim_test_scan),
        cmocka_unit_test(sim_test_still),     cmocka_unit_test(sim_test_away),
        cmocka_unit_test(sim_test_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
