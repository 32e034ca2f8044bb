/* SPDX-License-Identifier: Apache-2.0 */
/* The rules one by one, and what must hold in any state; days of traffic are in place_sim.c. */
#include "store/place.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include "../unit.h"

#define HOUR UINT64_C(3600000)
#define DAY  (24 * HOUR)
#define MIB  (UINT64_C(1) << 20)

static uint64_t random_next(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 33;
}

/* Warm of 1000 MiB, 850 used; cold without end. */
static struct place_state usual(void)
{
    return (struct place_state){
        .options = place_options_default(),
        .tiers = {[PLACE_WARM] = {.here = true,
                                  .writable = true,
                                  .capacity = 1000 * MIB,
                                  .used = 850 * MIB,
                                  .high = 900 * MIB,
                                  .low = 800 * MIB},
                  [PLACE_COLD] = {.here = true, .writable = true}},
    };
}

static struct place_blob old_blob(enum place_tier tier, double heat)
{
    return (struct place_blob){
        .heat = heat, .age_ms = 30 * DAY, .stay_ms = 30 * DAY, .size = MIB, .tier = tier};
}

static void place_test_new(void **state)
{
    (void)state;
    struct place_state s = usual();
    struct place_blob b = {.size = MIB};
    assert_int_equal(place_choose(&b, &s), PLACE_WARM);
    s.tiers[PLACE_WARM].used = 999 * MIB; /* above the watermarks is what they are for */
    assert_int_equal(place_choose(&b, &s), PLACE_WARM);
    s.tiers[PLACE_WARM].used++;
    assert_int_equal(place_choose(&b, &s), PLACE_COLD);
    s = usual();
    s.tiers[PLACE_WARM].writable = false;
    assert_int_equal(place_choose(&b, &s), PLACE_COLD);
    s.tiers[PLACE_COLD].here = false;
    assert_int_equal(place_choose(&b, &s), PLACE_NOWHERE);
    s.tiers[PLACE_COLD] = (struct place_tier_state){
        .here = true, .writable = true, .capacity = MIB, .high = MIB, .low = MIB, .used = 1};
    assert_int_equal(place_choose(&b, &s), PLACE_NOWHERE);
}

static void place_test_age(void **state)
{
    (void)state;
    struct place_state s = usual();
    struct place_blob b = old_blob(PLACE_WARM, 0);
    assert_int_equal(place_choose(&b, &s), PLACE_WARM); /* there is room */
    s.options.demote_after_ms = 7 * DAY;
    assert_int_equal(place_choose(&b, &s), PLACE_COLD);
    b.age_ms = 7 * DAY - 1;
    assert_int_equal(place_choose(&b, &s), PLACE_WARM);
    b.age_ms++;
    b.heat = s.options.demote_heat;
    assert_int_equal(place_choose(&b, &s), PLACE_WARM);
    b.heat = 0;
    s.options.demote_max = 10 * MIB;
    s.demoted_recent = 9 * MIB;
    assert_int_equal(place_choose(&b, &s), PLACE_COLD);
    s.demoted_recent++;
    assert_int_equal(place_choose(&b, &s), PLACE_WARM);
    s.demoted_recent = 0;
    s.tiers[PLACE_COLD].here = false;
    assert_int_equal(place_choose(&b, &s), PLACE_WARM);
    /* What goes for its age comes back only when it is read much more than that. */
    s = usual();
    s.tiers[PLACE_WARM].used = 0;
    s.options.demote_after_ms = 7 * DAY;
    s.options.promote_heat = 0;
    b = old_blob(PLACE_COLD, s.options.demote_heat);
    assert_int_equal(place_choose(&b, &s), PLACE_COLD);
    b.heat *= s.options.margin;
    assert_int_equal(place_choose(&b, &s), PLACE_WARM);
}

/* Ten warm blobs of 100 MiB and rising heat; above high, the coldest go until low, then no more. */
static void place_test_drain(void **state)
{
    (void)state;
    struct place_state s = usual();
    struct place_histogram h;
    struct place_blob blobs[10];
    s.tiers[PLACE_WARM].used = 1000 * MIB;
    place_histogram_clear(&h);
    for (unsigned i = 0; i < 10; i++) {
        blobs[i] = old_blob(PLACE_WARM, 10.0 * (i + 1));
        blobs[i].size = 100 * MIB;
        place_histogram_add(&h, &blobs[i], &s.options);
    }
    struct place_blob cold = old_blob(PLACE_COLD, 1e9);
    place_histogram_add(&h, &cold, &s.options);
    assert_int_equal(h.warm_total, 1000 * MIB);
    assert_int_equal(place_choose(&blobs[0], &s), PLACE_WARM); /* before a sweep nobody knows */
    s.limits = place_threshold(&h, &s);
    assert_true(s.limits.draining);
    for (unsigned i = 10; i-- > 0;) { /* the hot ones are asked first and stay all the same */
        blobs[i].tier = place_choose(&blobs[i], &s);
        assert_int_equal(blobs[i].tier, i < 2 ? PLACE_COLD : PLACE_WARM);
        s.tiers[PLACE_WARM].used -= i < 2 ? blobs[i].size : 0;
    }
    assert_int_equal(place_choose(&blobs[2], &s), PLACE_WARM);
    /* Half way the drain goes on, and at the low watermark it ends, until high is passed again. */
    s.tiers[PLACE_WARM].used = 850 * MIB;
    s.limits = place_threshold(&h, &s);
    assert_true(s.limits.draining);
    s.tiers[PLACE_WARM].used = 800 * MIB;
    s.limits = place_threshold(&h, &s);
    assert_false(s.limits.draining);
    s.tiers[PLACE_WARM].used = 900 * MIB;
    s.limits = place_threshold(&h, &s);
    assert_false(s.limits.draining);
    s.tiers[PLACE_WARM].used++;
    s.limits = place_threshold(&h, &s);
    assert_true(s.limits.draining);
}

static void place_test_promote(void **state)
{
    (void)state;
    struct place_state s = usual();
    struct place_histogram h;
    struct place_blob b = old_blob(PLACE_COLD, 100), warm = old_blob(PLACE_WARM, 10);
    assert_int_equal(place_choose(&b, &s), PLACE_COLD); /* above low, and nothing is known */
    place_histogram_clear(&h);
    warm.size = 850 * MIB;
    warm.heat = 10 * 850; /* worth 10 */
    place_histogram_add(&h, &warm, &s.options);
    s.limits = place_threshold(&h, &s);
    assert_true(s.limits.displaced >= 10);
    assert_true(s.limits.displaced < 12.5);
    assert_int_equal(place_choose(&b, &s), PLACE_WARM);
    b.heat = 19; /* not twice as much */
    assert_int_equal(place_choose(&b, &s), PLACE_COLD);
    s.tiers[PLACE_WARM].used = 799 * MIB; /* displaces nothing */
    assert_int_equal(place_choose(&b, &s), PLACE_WARM);
    b.heat = 2.9;
    assert_int_equal(place_choose(&b, &s), PLACE_COLD);
    b.heat = 100;
    b.stay_ms = s.options.stay_ms - 1;
    assert_int_equal(place_choose(&b, &s), PLACE_COLD);
    b.stay_ms++;
    s.options.promote_max = 10 * MIB;
    s.promoted_recent = 9 * MIB + 1;
    assert_int_equal(place_choose(&b, &s), PLACE_COLD);
    s.promoted_recent = 0;
    s.tiers[PLACE_WARM].used = 949 * MIB; /* half of what is above high is for new blobs */
    assert_int_equal(place_choose(&b, &s), PLACE_WARM);
    s.tiers[PLACE_WARM].used++;
    assert_int_equal(place_choose(&b, &s), PLACE_COLD);
    s.tiers[PLACE_WARM].used = 0;
    s.tiers[PLACE_COLD].here = false; /* cannot be read */
    assert_int_equal(place_choose(&b, &s), PLACE_COLD);
    s.tiers[PLACE_COLD] = (struct place_tier_state){.here = true}; /* read-only will do */
    assert_int_equal(place_choose(&b, &s), PLACE_WARM);
}

/* Room for thirty of a hundred cold blobs: the hottest thirty are asked for, in whatever order. */
static void place_test_hottest_first(void **state)
{
    (void)state;
    struct place_state s = usual();
    struct place_histogram h;
    unsigned promoted = 0, hottest = 0;
    s.tiers[PLACE_WARM].used = 895 * MIB; /* up to 950 goes for promotions */
    s.options.promote_max = 30 * MIB;
    place_histogram_clear(&h);
    struct place_blob warm = old_blob(PLACE_WARM, 895 * 10);
    warm.size = 895 * MIB;
    place_histogram_add(&h, &warm, &s.options);
    for (unsigned i = 1; i <= 100; i++) {
        struct place_blob b = old_blob(PLACE_COLD, 100 * i);
        place_histogram_add(&h, &b, &s.options);
        b.stay_ms = 0; /* and as many that were demoted just now, which do not count */
        place_histogram_add(&h, &b, &s.options);
    }
    s.limits = place_threshold(&h, &s);
    for (unsigned i = 1; i <= 100; i++) {
        struct place_blob b = old_blob(PLACE_COLD, 100 * i);
        if (place_choose(&b, &s) != PLACE_WARM)
            continue;
        promoted++;
        hottest += i > 70;
        s.tiers[PLACE_WARM].used += b.size;
        s.promoted_recent += b.size;
    }
    assert_int_equal(promoted, 30);
    assert_true(hottest > 20); /* to a bucket: a quarter octave */
}

static void place_test_worth(void **state)
{
    (void)state;
    struct place_options o = place_options_default();
    struct place_blob b = old_blob(PLACE_WARM, 8);
    assert_true(place_worth(&b, &o) == 8);
    b.size = 4 * MIB;
    assert_true(place_worth(&b, &o) == 2);
    b.size = 0;
    double least = place_worth(&b, &o);
    b.size = 256 << 10;
    assert_true(place_worth(&b, &o) == least);
    /* What is new counts as read, less and less. */
    b = old_blob(PLACE_WARM, 0);
    double before = o.newborn_heat * 8.0001;
    for (b.age_ms = 0; b.age_ms < 2 * DAY; b.age_ms += HOUR) {
        double worth = place_worth(&b, &o);
        assert_true(worth < before);
        before = worth;
    }
    /* And read evenly, n times in a half-life, it is worth the same at every age but the first. */
    for (b.age_ms = 2 * HOUR; b.age_ms < 2 * DAY; b.age_ms += HOUR) {
        b.heat = 100 / 0.6931 * (1 - exp2(-(double)b.age_ms / (double)o.half_life_ms));
        assert_true(fabs(place_worth(&b, &o) / (100 / 0.6931) - 1) < 0.25);
    }
    b.heat = 0;
    b.age_ms = UINT64_MAX;
    assert_true(place_worth(&b, &o) == 0);
    o.half_life_ms = 0;
    assert_true(place_worth(&b, &o) == 0);
    b.heat = -1;
    assert_true(place_worth(&b, &o) == 0);
    b.heat = __builtin_nan("");
    assert_true(place_worth(&b, &o) == 0);
}

/* The threshold against what sorting all blobs says: a quarter octave off at most. */
static int compare(const void *a, const void *b)
{
    const struct place_blob *x = a, *y = b;
    return x->heat < y->heat ? -1 : x->heat > y->heat;
}

static void place_test_histogram(void **state)
{
    (void)state;
    static struct place_blob blobs[5000];
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct place_state s = usual();
        struct place_histogram h;
        uint64_t r = seed, total = 0, sum = 0;
        place_histogram_clear(&h);
        for (unsigned i = 0; i < ARRAY_LEN(blobs); i++) {
            double heat = (double)(1 + random_next(&r) % 1000) /
                          (double)(UINT64_C(1) << (random_next(&r) % 14));
            blobs[i] = old_blob(PLACE_WARM, heat);
            total += blobs[i].size;
            place_histogram_add(&h, &blobs[i], &s.options);
        }
        uint64_t low = total / 100 * (10 + seed * 4);
        s.tiers[PLACE_WARM] = (struct place_tier_state){.here = true,
                                                        .writable = true,
                                                        .capacity = total,
                                                        .used = total,
                                                        .high = low,
                                                        .low = low};
        s.limits = place_threshold(&h, &s);
        qsort(blobs, ARRAY_LEN(blobs), sizeof blobs[0], compare);
        unsigned i = 0;
        for (; sum < total - low; i++)
            sum += blobs[i].size;
        double exact = blobs[i - 1].heat;
        assert_true(s.limits.demote_below >= exact);
        assert_true(s.limits.demote_below <= exact * 1.26);
        /* A sample says nearly the same. */
        place_histogram_clear(&h);
        for (i = 0; i < ARRAY_LEN(blobs); i += 10)
            place_histogram_add(&h, &blobs[i], &s.options);
        s.limits = place_threshold(&h, &s);
        assert_true(s.limits.demote_below >= exact * 0.7);
        assert_true(s.limits.demote_below <= exact * 1.6);
    }
}

static uint64_t odd_number(uint64_t *r)
{
    static const uint64_t odd[] = {0, 1, UINT64_MAX, UINT64_MAX - 1, UINT64_C(1) << 63};
    uint64_t kind = random_next(r);
    return kind % 4 == 0 ? odd[kind / 4 % ARRAY_LEN(odd)] : random_next(r) << (kind / 4 % 33);
}

static double odd_heat(uint64_t *r)
{
    static const double odd[] = {0, -1, 1e300, 1e-300, __builtin_inf(), __builtin_nan("")};
    uint64_t kind = random_next(r);
    return kind % 4 == 0 ? odd[kind / 4 % ARRAY_LEN(odd)] : (double)(random_next(r) % 10000) / 64;
}

static struct place_tier_state odd_tier(uint64_t *r)
{
    return (struct place_tier_state){.here = random_next(r) % 4 != 0,
                                     .writable = random_next(r) % 4 != 0,
                                     .capacity = odd_number(r),
                                     .used = odd_number(r),
                                     .high = odd_number(r),
                                     .low = odd_number(r)};
}

/* Any state at all, sensible or not: a move goes only to where it can. */
static void place_test_any_state(void **state)
{
    (void)state;
    unsigned moves[PLACE_TIERS] = {0};
    uint64_t r = 99;
    for (unsigned n = 0; n < 300000; n++) {
        struct place_histogram h;
        struct place_state s = {
            .options = place_options_default(),
            .tiers = {[PLACE_WARM] = odd_tier(&r), [PLACE_COLD] = odd_tier(&r)}};
        struct place_blob b = {.heat = odd_heat(&r),
                               .age_ms = odd_number(&r),
                               .stay_ms = odd_number(&r),
                               .size = odd_number(&r),
                               .tier = (enum place_tier)(random_next(&r) % PLACE_TIERS)};
        s.options.demote_after_ms = odd_number(&r);
        s.options.promote_max = odd_number(&r);
        s.options.margin = odd_heat(&r);
        s.promoted_recent = odd_number(&r);
        s.limits.draining = random_next(&r) % 2 == 0;
        place_histogram_clear(&h);
        for (unsigned i = 0; i < 3; i++) {
            struct place_blob warm = old_blob(PLACE_WARM, odd_heat(&r));
            warm.size = random_next(&r);
            place_histogram_add(&h, &warm, &s.options);
        }
        s.limits = place_threshold(&h, &s);
        enum place_tier tier = place_choose(&b, &s);
        assert_in_range(tier, PLACE_NOWHERE, PLACE_COLD);
        if (tier == b.tier)
            continue;
        moves[tier]++;
        if (tier == PLACE_NOWHERE) {
            assert_int_equal(b.tier, PLACE_NOWHERE); /* it is somewhere: it stays there */
            continue;
        }
        const struct place_tier_state *to = &s.tiers[tier];
        assert_true(to->here);
        assert_true(to->writable);
        if (to->capacity != 0) {
            assert_true(to->used <= to->capacity);
            assert_true(b.size <= to->capacity - to->used);
        }
        if (b.tier != PLACE_NOWHERE)
            assert_true(s.tiers[b.tier].here);
    }
    assert_true(moves[PLACE_WARM] > 1000);
    assert_true(moves[PLACE_COLD] > 1000);
}

static void place_test_device(void **state)
{
    (void)state;
    struct place_device d[4] = {{.free = 50, .need = 10},
                                {.free = 90, .need = 10},
                                {.free = 90, .need = 10},
                                {.free = 1000, .need = 10, .failed = true}};
    assert_int_equal(place_device(d, 0), -ENOSPC);
    assert_int_equal(place_device(d, 4), 1);
    assert_int_equal(place_device(d + 3, 1), -ENOSPC);
    d[1].reserve = 81; /* nine are missing */
    assert_int_equal(place_device(d, 4), 2);
    d[1].reserve = 80;
    assert_int_equal(place_device(d, 4), 1);
    d[1].need = UINT64_MAX;
    d[2].reserve = UINT64_MAX;
    assert_int_equal(place_device(d, 4), 0);
    d[0].free = 9;
    assert_int_equal(place_device(d, 4), -ENOSPC);
    /* Volumes spread until all are equally full, whatever they began with. */
    for (unsigned i = 0; i < 4; i++)
        d[i] = (struct place_device){.free = 100 + 37 * i, .need = 10, .reserve = 5};
    for (;;) {
        int i = place_device(d, 4);
        if (i < 0)
            break;
        d[i].free -= 10;
    }
    for (unsigned i = 0; i < 4; i++)
        assert_in_range(d[i].free, 5, 14);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(place_test_new),           cmocka_unit_test(place_test_age),
        cmocka_unit_test(place_test_drain),         cmocka_unit_test(place_test_promote),
        cmocka_unit_test(place_test_hottest_first), cmocka_unit_test(place_test_worth),
        cmocka_unit_test(place_test_histogram),     cmocka_unit_test(place_test_any_state),
        cmocka_unit_test(place_test_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
