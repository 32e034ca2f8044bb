/* SPDX-License-Identifier: Apache-2.0 */
/* evict_rng: random numbers that a seed repeats.
 *
 * Life:    a plain value from evict_rng_of.
 * Owner:   the caller.
 * Threads: one at a time.
 * Errors:  none.
 * Units:   none.
 * Source:  SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators",
 *          2014. */
#pragma once
#include "base/base.h"

struct evict_rng {
    uint64_t state;
};

static inline uint64_t evict_rng_next(struct evict_rng *r)
{
    uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static inline struct evict_rng evict_rng_of(uint64_t seed)
{
    struct evict_rng r = {seed};
    (void)evict_rng_next(&r);
    return r;
}

static inline uint64_t evict_rng_below(struct evict_rng *r, uint64_t limit) /* limit > 0 */
{
    return (uint64_t)(((unsigned __int128)evict_rng_next(r) * limit) >> 64);
}

static inline double evict_rng_unit(struct evict_rng *r) /* in [0, 1) */
{
    return (double)(evict_rng_next(r) >> 11) * 0x1p-53;
}
