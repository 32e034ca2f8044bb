/* SPDX-License-Identifier: Apache-2.0 */
#include "evict_sim.h"

static const struct evict_sim_ops *const evict_sims[] = {
    &evict_weir,  &evict_weir_1, &evict_weir_8,   &evict_lru,    &evict_clock,
    &evict_sieve, &evict_s3fifo, &evict_wtinylfu, &evict_belady, &evict_belady_size,
};

const struct evict_sim_ops *evict_sim(unsigned i)
{
    return i < ARRAY_LEN(evict_sims) ? evict_sims[i] : NULL;
}
