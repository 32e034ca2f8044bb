/* SPDX-License-Identifier: Apache-2.0 */
/* place: which tier a blob belongs to, and which device a new volume goes to: pure functions of
 * what they are told.
 *
 * Life:    plain values. A sweep over the store: place_histogram_clear -> place_histogram_add for
 *          every blob -> place_threshold, whose answer goes into the state -> place_choose for
 *          every blob, the caller keeping used and recent bytes of the state up to date as it
 *          moves.
 * Owner:   the caller.
 * Threads: any; a struct by one thread at a time.
 * Errors:  none but -ENOSPC of place_device: every state has an answer; odd ones (watermarks the
 *          wrong way round, more used than there is) mean that less is moved.
 * Units:   bytes; milliseconds; heat in reads (heat.h); worth in reads for each MiB.
 * Source:  docs/decisions/0106-placement.md, which states the rules and why. */
#pragma once
#include "base/base.h"

enum place_tier {
    PLACE_NOWHERE, /* blob: new. Chosen: nobody can take it */
    PLACE_WARM,    /* SSD devices */
    PLACE_COLD,    /* HDD folder or bucket */
    PLACE_TIERS,
};

struct place_blob {
    double heat;
    uint64_t age_ms;  /* since it was put, or since heat began to be gathered, if that was later */
    uint64_t stay_ms; /* since it came to the tier it is in; not known: since it was put */
    uint64_t size;
    enum place_tier tier; /* where it is now */
};

/* All zero: see place_options_default. */
struct place_options {
    double margin;            /* a blob must be worth so many times what it displaces: above 1 */
    double promote_heat;      /* reads, at least, before anything is promoted */
    double demote_heat;       /* below it, and demote_after_ms old: demoted though there is room */
    uint64_t demote_after_ms; /* 0: demoted only when room is needed */
    double newborn_heat;      /* what a new blob counts as read, halved with each half-life */
    uint64_t half_life_ms;    /* of heat: what is younger had no time yet to be read so often */
    uint64_t stay_ms;         /* a demoted blob is not promoted again before */
    uint64_t promote_max;     /* bytes within the caller's traffic window; 0: no limit */
    uint64_t demote_max;      /* the same for demotions by age; those for room have no limit */
};

struct place_tier_state {
    bool here;         /* answers at all */
    bool writable;     /* and takes new blobs */
    uint64_t capacity; /* 0: no end to it, a bucket */
    uint64_t used;     /* and on its way there */
    uint64_t high;     /* watermarks: above high it is emptied down to low; */
    uint64_t low;      /* low <= high <= capacity */
};

/* What a sweep found out. All zero: nothing yet, which makes nothing move but what is plain. */
struct place_limits {
    bool known;
    bool draining;        /* warm is above high, or was and is not down to low yet */
    double demote_below;  /* worth: draining, this and what is colder goes */
    double displaced;     /* worth of the warmest that goes when warm is next emptied to low */
    double promote_above; /* worth: there is room for this and what is hotter */
};

struct place_state {
    struct place_options options;
    struct place_tier_state tiers[PLACE_TIERS]; /* by enum place_tier; [0] is not used */
    struct place_limits limits;
    uint64_t promoted_recent; /* bytes, in a sliding window of the caller's, an hour perhaps */
    uint64_t demoted_recent;
};

#define PLACE_BUCKETS 193 /* quarter octaves from 2^-20 to 2^28, and one for what is below */

/* How many bytes are of what worth: of what is warm, and of what is cold and might be promoted. */
struct place_histogram {
    uint64_t warm[PLACE_BUCKETS];
    uint64_t cold[PLACE_BUCKETS];
    uint64_t warm_total;
};

struct place_options place_options_default(void);

/* Heat as it counts for placement, for each MiB: what it comes to if the blob goes on being read as
 * it was since it was put. */
double place_worth(const struct place_blob *b, const struct place_options *o);

/* Where it should be; b->tier: leave it. Never another tier that is away, read-only or full. */
MUST_USE enum place_tier place_choose(const struct place_blob *b, const struct place_state *s);

void place_histogram_clear(struct place_histogram *h);
void place_histogram_add(struct place_histogram *h, const struct place_blob *b,
                         const struct place_options *o);

/* s->limits of the sweep before tells whether a drain goes on. The histogram may be of a part of
 * the blobs: it is taken as a sample. One without cold blobs is good too, but then promotions are
 * made in the order in which they are asked for, not the hottest first. */
struct place_limits place_threshold(const struct place_histogram *h, const struct place_state *s);

struct place_device {
    bool failed; /* or read-only, or going away */
    uint64_t free;
    uint64_t need; /* a volume there takes this, and this is to stay free: */
    uint64_t reserve;
};

/* The index of the device with the most free bytes, the first of equals; -ENOSPC: none has room. */
MUST_USE int place_device(const struct place_device *devices, unsigned count);
