/* SPDX-License-Identifier: Apache-2.0 */
#include "place_sim.h"
#include <stdlib.h>
#include "../unit.h"

struct sim *sim_new(uint64_t seed, unsigned blobs_max, uint64_t all_bytes, double share)
{
    struct sim *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->seed = s->random = seed;
    s->count_max = blobs_max;
    s->hour = 24;
    s->blobs = calloc(blobs_max, sizeof *s->blobs);
    s->sums = calloc(blobs_max, sizeof *s->sums);
    assert_non_null(s->blobs);
    assert_non_null(s->sums);
    assert_int_equal(heat_new((uint64_t)blobs_max * 8, HEAT_HALF_LIFE_MS, &s->heat), 0);
    uint64_t capacity = (uint64_t)((double)all_bytes * share);
    s->state = (struct place_state){
        .options = place_options_default(),
        .tiers = {[PLACE_WARM] = {.here = true,
                                  .writable = true,
                                  .capacity = capacity,
                                  .high = capacity / 100 * 95,
                                  .low = capacity / 100 * 90},
                  [PLACE_COLD] = {.here = true, .writable = true}},
    };
    /* A tenth of warm may be moved in an hour. */
    struct throttle_options o = {.rate = capacity / 10 / 3600 + 1, .burst = capacity / 10 + 1};
    throttle_init(&s->throttle, &o, s->hour * SIM_HOUR_MS * 1000);
    return s;
}

struct sim *sim_free(struct sim *s)
{
    heat_free(s->heat);
    free(s->blobs);
    free(s->sums);
    free(s);
    return NULL;
}

uint64_t sim_random(struct sim *s)
{
    s->random = s->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return s->random >> 33;
}

double sim_unit(struct sim *s)
{
    return (double)sim_random(s) * 0x1p-31;
}

static uint64_t sim_now(const struct sim *s)
{
    return s->hour * SIM_HOUR_MS;
}

static struct place_blob sim_place_blob(const struct sim *s, const struct sim_blob *b)
{
    return (struct place_blob){.heat = heat_of(s->heat, &b->digest, sim_now(s)),
                               .age_ms = sim_now(s) - MAX(b->born_ms, s->heat_since_ms),
                               .stay_ms = sim_now(s) - b->moved_ms,
                               .size = b->size,
                               .tier = b->tier};
}

/* --- what is stored --------------------------------------------------------------------------- */

static void sim_enter(struct sim *s, struct sim_blob *b, enum place_tier tier)
{
    struct place_tier_state *to = &s->state.tiers[tier];
    assert_true(to->here);
    assert_true(to->writable);
    to->used += b->size;
    b->tier = tier;
    b->moved_ms = sim_now(s);
    if (to->capacity > 0 && to->used > to->capacity)
        fail_msg("seed %u, hour %u: tier %d overflows", (unsigned)s->seed, (unsigned)s->hour, tier);
}

unsigned sim_film(struct sim *s, unsigned blobs, double rate)
{
    unsigned film = s->films++;
    for (unsigned i = 0; i < blobs; i++) {
        assert_true(s->count < s->count_max);
        struct sim_blob *b = &s->blobs[s->count++];
        uint64_t id[2] = {s->seed, (uint64_t)film << 32 | i};
        *b = (struct sim_blob){.digest = digest_of(id, sizeof id),
                               .size = (UINT64_C(512) << 10) + sim_random(s) % (UINT64_C(3) << 20),
                               .born_ms = sim_now(s),
                               .film = film,
                               .rate = rate};
        struct place_blob p = sim_place_blob(s, b);
        enum place_tier tier = place_choose(&p, &s->state);
        if (tier == PLACE_NOWHERE) {
            s->count--;
            s->refused++;
            continue;
        }
        sim_enter(s, b, tier);
    }
    return film;
}

void sim_rate(struct sim *s, unsigned film, double rate)
{
    for (unsigned i = 0; i < s->count; i++) {
        if (s->blobs[i].film == film)
            s->blobs[i].rate = rate;
    }
}

void sim_delete(struct sim *s, unsigned film)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < s->count; i++) {
        if (s->blobs[i].film == film)
            s->state.tiers[s->blobs[i].tier].used -= s->blobs[i].size;
        else
            s->blobs[kept++] = s->blobs[i];
    }
    s->count = kept;
}

/* --- readers ---------------------------------------------------------------------------------- */

static void sim_read(struct sim *s, unsigned i, uint64_t now_ms)
{
    const struct sim_blob *b = &s->blobs[i];
    if (!s->state.tiers[b->tier].here)
        return; /* an error to the reader, no heat */
    heat_touch(s->heat, &b->digest, now_ms);
    s->reads++;
    s->warm_reads += b->tier == PLACE_WARM;
    s->film_reads += b->film == s->watched;
    s->film_warm_reads += b->film == s->watched && b->tier == PLACE_WARM;
}

static void sim_readers(struct sim *s)
{
    double total = 0;
    for (unsigned i = 0; i < s->count; i++)
        s->sums[i] = total += s->blobs[i].rate;
    uint64_t reads = (uint64_t)total;
    for (uint64_t n = 0; n < reads; n++) {
        double at = sim_unit(s) * total;
        unsigned low = 0, high = s->count - 1;
        while (low < high) {
            unsigned middle = (low + high) / 2;
            if (s->sums[middle] < at)
                low = middle + 1;
            else
                high = middle;
        }
        sim_read(s, low, sim_now(s) + SIM_HOUR_MS * n / reads);
    }
}

void sim_scan(struct sim *s)
{
    for (unsigned i = 0; i < s->count; i++)
        heat_touch(s->heat, &s->blobs[i].digest, sim_now(s));
}

void sim_restart(struct sim *s)
{
    heat_free(s->heat);
    assert_int_equal(heat_new((uint64_t)s->count_max * 8, HEAT_HALF_LIFE_MS, &s->heat), 0);
    s->heat_since_ms = sim_now(s);
}

/* --- the storekeeper -------------------------------------------------------------------------- */

static bool sim_move(struct sim *s, struct sim_blob *b, enum place_tier tier)
{
    assert_int_not_equal(tier, PLACE_NOWHERE);
    assert_true(s->state.tiers[b->tier].here);
    if (throttle_take(&s->throttle, b->size, sim_now(s) * 1000) > 0)
        return false;
    s->state.tiers[b->tier].used -= b->size;
    sim_enter(s, b, tier);
    s->moves++;
    *(tier == PLACE_WARM ? &s->promoted : &s->demoted) += b->size;
    *(tier == PLACE_WARM ? &s->state.promoted_recent : &s->state.demoted_recent) += b->size;
    b->moves_today++;
    s->moves_day_max = MAX(s->moves_day_max, b->moves_today);
    return true;
}

void sim_sweep(struct sim *s)
{
    struct place_histogram h;
    place_histogram_clear(&h);
    for (unsigned i = 0; i < s->count; i++) {
        struct place_blob p = sim_place_blob(s, &s->blobs[i]);
        place_histogram_add(&h, &p, &s->state.options);
    }
    s->state.limits = place_threshold(&h, &s->state);
    s->state.promoted_recent = s->state.demoted_recent = 0;
    unsigned from = s->count > 0 ? s->sweep_from % s->count : 0;
    for (unsigned n = 0; n < s->count; n++) {
        struct sim_blob *b = &s->blobs[(from + n) % s->count];
        struct place_blob p = sim_place_blob(s, b);
        enum place_tier tier = place_choose(&p, &s->state);
        if (tier != b->tier && !sim_move(s, b, tier)) {
            s->sweep_from = from + n; /* the next sweep goes on here */
            break;
        }
    }
}

void sim_hour(struct sim *s)
{
    if (s->hour % 24 == 0) {
        for (unsigned i = 0; i < s->count; i++)
            s->blobs[i].moves_today = 0;
    }
    sim_readers(s);
    s->hour++;
    sim_sweep(s);
}

/* --- what came of it -------------------------------------------------------------------------- */

void sim_measure(struct sim *s)
{
    s->reads = s->warm_reads = s->film_reads = s->film_warm_reads = 0;
    s->promoted = s->demoted = s->moves = 0;
}

double sim_share(const struct sim *s)
{
    return s->reads > 0 ? (double)s->warm_reads / (double)s->reads : 0;
}

static int sim_compare(const void *a, const void *b)
{
    const struct sim_blob *x = a, *y = b;
    double p = x->rate / (double)x->size, q = y->rate / (double)y->size;
    return p > q ? -1 : p < q;
}

double sim_best(const struct sim *s)
{
    struct sim_blob *sorted = calloc(s->count, sizeof *sorted);
    double all = 0, warm = 0;
    uint64_t used = 0;
    assert_non_null(sorted);
    for (unsigned i = 0; i < s->count; i++)
        sorted[i] = s->blobs[i];
    qsort(sorted, s->count, sizeof *sorted, sim_compare);
    for (unsigned i = 0; i < s->count; i++) {
        all += sorted[i].rate;
        if (used + sorted[i].size > s->state.tiers[PLACE_WARM].high)
            continue;
        used += sorted[i].size;
        warm += sorted[i].rate;
    }
    free(sorted);
    return all > 0 ? warm / all : 0;
}

double sim_film_warm(const struct sim *s, unsigned film)
{
    double all = 0, warm = 0;
    for (unsigned i = 0; i < s->count; i++) {
        if (s->blobs[i].film == film) {
            all += (double)s->blobs[i].size;
            warm += s->blobs[i].tier == PLACE_WARM ? (double)s->blobs[i].size : 0;
        }
    }
    return all > 0 ? warm / all : 0;
}
