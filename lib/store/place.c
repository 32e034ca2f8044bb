/* SPDX-License-Identifier: Apache-2.0 */
/* Invariants:
 * 1. A move goes to a tier that is here, writable and has room for the blob.
 * 2. Between two promotions of a blob lie stay_ms; so the moves of a blob in a time t are at most
 *    2 * (t / stay_ms + 1) + 1.
 * 3. What displaces warm blobs is worth margin times as much as each of those, so with heats that
 *    do not change every round of promoting and draining raises the worth of what is warm, and the
 *    moves end. */
#include "store/place.h"
#include <assert.h>
#include <errno.h>
#include <string.h>

#define PLACE_MIB       1048576.0
#define PLACE_SIZE_MIN  (UINT64_C(256) << 10) /* seeking costs as much as reading this */
#define PLACE_PART_MIN  0.125 /* one read of a blob put just now is no sign of a thousand */
#define PLACE_KEY_SHIFT 50u   /* of a double: leaves sign, exponent, 2 bits of the fraction */
#define PLACE_KEY_MIN   ((UINT64_C(1023) - 20) << 2) /* of 2^-20, the lower edge of bucket 1 */

static_assert(sizeof(double) == sizeof(uint64_t), "place_bucket reads the bits of a double");

struct place_options place_options_default(void)
{
    const uint64_t hour_ms = UINT64_C(3600) * 1000;
    return (struct place_options){
        .margin = 2,
        .promote_heat = 3,
        .demote_heat = 0.25,
        .demote_after_ms = 0,
        .newborn_heat = 2,
        .half_life_ms = 6 * hour_ms,
        .stay_ms = 6 * hour_ms,
    };
}

/* --- worth ------------------------------------------------------------------------------------ */

/* 2^(-age / half-life): exact at whole half-lives, within 0.003 in between. */
static double place_decay(uint64_t age_ms, uint64_t half_life_ms)
{
    if (half_life_ms == 0 || age_ms / half_life_ms >= 63)
        return 0;
    double whole = (double)(UINT64_C(1) << (age_ms / half_life_ms));
    double part = (double)(age_ms % half_life_ms) / (double)half_life_ms;
    return (1 - part * (0.6747 - 0.1747 * part)) / whole;
}

double place_worth(const struct place_blob *b, const struct place_options *o)
{
    /* Read evenly since it was put, a blob has 1 - missing of the heat that it is going to have. */
    double missing = place_decay(b->age_ms, o->half_life_ms);
    double heat = b->heat > 0 ? b->heat : 0; /* also for a NaN */
    heat = (heat + o->newborn_heat * missing) / MAX(1 - missing, PLACE_PART_MIN);
    return heat * (PLACE_MIB / (double)MAX(b->size, PLACE_SIZE_MIN));
}

/* --- tiers ------------------------------------------------------------------------------------ */

static bool place_fits(const struct place_tier_state *t, uint64_t size, uint64_t limit)
{
    if (!t->here || !t->writable)
        return false;
    return t->capacity == 0 || (t->used <= limit && size <= limit - t->used);
}

/* New blobs and demotions for room may fill a tier; what can wait stops at the high watermark. */
static uint64_t place_limit_soft(const struct place_tier_state *t)
{
    return MIN(t->high, t->capacity);
}

/* Promotions may go past the high watermark, which starts a drain of what is colder, but leave
 * half of what is behind it to new blobs. */
static uint64_t place_limit_promote(const struct place_tier_state *t)
{
    uint64_t soft = place_limit_soft(t);
    return soft + (t->capacity - soft) / 2;
}

static enum place_tier place_new(const struct place_blob *b, const struct place_state *s)
{
    for (enum place_tier tier = PLACE_WARM; tier <= PLACE_COLD; tier++) {
        if (place_fits(&s->tiers[tier], b->size, s->tiers[tier].capacity))
            return tier;
    }
    return PLACE_NOWHERE;
}

static bool place_allowed(uint64_t recent, uint64_t size, uint64_t max)
{
    return max == 0 || (recent <= max && size <= max - recent);
}

static bool place_demote(const struct place_blob *b, const struct place_state *s)
{
    const struct place_tier_state *warm = &s->tiers[PLACE_WARM], *cold = &s->tiers[PLACE_COLD];
    const struct place_options *o = &s->options;
    if (!warm->here)
        return false; /* it cannot be read */
    if (s->limits.draining && warm->used > warm->low && place_worth(b, o) <= s->limits.demote_below)
        return place_fits(cold, b->size, cold->capacity);
    if (o->demote_after_ms == 0 || b->age_ms < o->demote_after_ms || !(b->heat < o->demote_heat))
        return false;
    return place_fits(cold, b->size, place_limit_soft(cold)) &&
           place_allowed(s->demoted_recent, b->size, o->demote_max);
}

static double place_margin(const struct place_options *o)
{
    return MAX(o->margin, 1);
}

/* Read often enough, and long enough where it is, to be promoted anywhere at all. */
static bool place_promotable(const struct place_blob *b, const struct place_options *o)
{
    /* Above what would demote it for its age, by the margin, too. */
    double least = o->demote_after_ms > 0 ? place_margin(o) * o->demote_heat : 0;
    return b->stay_ms >= o->stay_ms && b->heat >= MAX(o->promote_heat, least);
}

static bool place_promote(const struct place_blob *b, const struct place_state *s)
{
    const struct place_tier_state *warm = &s->tiers[PLACE_WARM];
    const struct place_options *o = &s->options;
    if (!s->tiers[PLACE_COLD].here || !place_promotable(b, o))
        return false;
    double worth = place_worth(b, o);
    if (worth < s->limits.promote_above ||
        !place_allowed(s->promoted_recent, b->size, o->promote_max))
        return false;
    if (place_fits(warm, b->size, MIN(warm->low, warm->capacity)))
        return true; /* displaces nothing */
    return s->limits.known && worth > place_margin(o) * s->limits.displaced &&
           place_fits(warm, b->size, place_limit_promote(warm));
}

enum place_tier place_choose(const struct place_blob *b, const struct place_state *s)
{
    switch (b->tier) {
    case PLACE_WARM:
        return place_demote(b, s) ? PLACE_COLD : PLACE_WARM;
    case PLACE_COLD:
        return place_promote(b, s) ? PLACE_WARM : PLACE_COLD;
    case PLACE_NOWHERE:
    case PLACE_TIERS:
        break;
    }
    return place_new(b, s);
}

/* --- the histogram ---------------------------------------------------------------------------- */

/* The bits of a double that is not below 0 are in the order of its value. */
static unsigned place_bucket(double worth)
{
    uint64_t bits;
    memcpy(&bits, &worth, sizeof bits);
    uint64_t key = bits >> PLACE_KEY_SHIFT;
    if (key < PLACE_KEY_MIN)
        return 0;
    return (unsigned)MIN(key - PLACE_KEY_MIN + 1, (uint64_t)PLACE_BUCKETS - 1);
}

/* No worth in the bucket is below; all are below that of the next bucket. */
static double place_bucket_start(unsigned bucket)
{
    double start;
    uint64_t bits = (PLACE_KEY_MIN + bucket - 1) << PLACE_KEY_SHIFT;
    if (bucket == 0)
        bits = 0;
    if (bucket == PLACE_BUCKETS)
        bits = UINT64_C(0x7fefffffffffffff); /* the largest there is */
    memcpy(&start, &bits, sizeof start);
    return start;
}

void place_histogram_clear(struct place_histogram *h)
{
    *h = (struct place_histogram){.warm_total = 0};
}

void place_histogram_add(struct place_histogram *h, const struct place_blob *b,
                         const struct place_options *o)
{
    if (b->tier == PLACE_WARM) {
        h->warm[place_bucket(place_worth(b, o))] += b->size;
        h->warm_total += b->size;
    } else if (b->tier == PLACE_COLD && place_promotable(b, o)) {
        h->cold[place_bucket(place_worth(b, o))] += b->size;
    }
}

/* The end of the bucket in which the coldest `bytes` of what is warm end; 0 for none. part: of all
 * that is warm which was counted. */
static double place_coldest(const struct place_histogram *h, uint64_t bytes, double part)
{
    double sum = 0;
    unsigned bucket = 0;
    if (bytes == 0 || h->warm_total == 0)
        return 0;
    for (; bucket < PLACE_BUCKETS - 1; bucket++) {
        sum += (double)h->warm[bucket];
        if (sum >= (double)bytes * part)
            break;
    }
    return place_bucket_start(bucket + 1);
}

/* The start of the bucket in which the hottest `bytes` of what is cold end; 0 when all of it is
 * less than that. */
static double place_hottest(const struct place_histogram *h, uint64_t bytes, double part)
{
    double sum = 0;
    for (unsigned bucket = PLACE_BUCKETS; bucket-- > 0;) {
        sum += (double)h->cold[bucket];
        if (sum > (double)bytes * part)
            return place_bucket_start(bucket);
    }
    return 0;
}

struct place_limits place_threshold(const struct place_histogram *h, const struct place_state *s)
{
    const struct place_tier_state *warm = &s->tiers[PLACE_WARM];
    const struct place_options *o = &s->options;
    struct place_limits l = {.known = true};
    if (warm->capacity == 0)
        return l; /* no end to it: nothing is ever displaced */
    double part = warm->used > h->warm_total ? (double)h->warm_total / (double)warm->used : 1;
    uint64_t high = place_limit_soft(warm), low = MIN(warm->low, high);
    uint64_t over = warm->used > low ? warm->used - low : 0;
    /* What comes in below high displaces nothing now, but all that the next drain takes. Were it
     * held against the coldest few only, blobs of hardly any difference would go in and out. */
    l.displaced = place_coldest(h, MAX(warm->used, high) - low, part);
    l.draining = warm->used > high || (s->limits.draining && over > 0);
    l.demote_below = l.draining ? place_coldest(h, over, part) : 0;
    uint64_t used = l.draining ? low : warm->used, limit = place_limit_promote(warm);
    uint64_t room = limit > used ? limit - used : 0;
    if (o->promote_max > 0)
        room = MIN(room, o->promote_max - MIN(s->promoted_recent, o->promote_max));
    l.promote_above = h->warm_total > 0 ? place_hottest(h, room, part) : 0;
    return l;
}

/* --- devices ---------------------------------------------------------------------------------- */

int place_device(const struct place_device *devices, unsigned count)
{
    int best = -ENOSPC;
    for (unsigned i = 0; i < count; i++) {
        const struct place_device *d = &devices[i];
        if (d->failed || d->free < d->need || d->free - d->need < d->reserve)
            continue;
        if (best < 0 || d->free > devices[best].free)
            best = (int)i;
    }
    return best;
}
