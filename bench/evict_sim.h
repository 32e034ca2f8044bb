/* SPDX-License-Identifier: Apache-2.0 */
/* evict_sim: what the replay asks of a policy; the peers are written from their papers.
 *
 * Life:    make -> access for each request in order -> free.
 * Owner:   the replay.
 * Threads: one a simulation; the trace is only read.
 * Errors:  -ENOMEM from make. Nothing fails later.
 * Units:   bytes. An object larger than the cache is never held.
 * Source:  CLOCK: Corbato, 1968. SIEVE: Zhang et al., NSDI 2024. S3-FIFO: Yang et al., SOSP 2023.
 *          W-TinyLFU: Einziger, Friedman, Manes, ACM TOS 2017; for sizes ("aggregated victims"):
 *          Einziger et al., "Lightweight robust size aware cache management", ACM TOS 2022.
 *          MIN: Belady, IBM Systems Journal 1966. */
#pragma once
#include "evict_trace.h"

struct evict_sim_ops {
    const char *name;
    int (*make)(const struct evict_trace *t, uint64_t size_max, void **ret);
    /* True: a hit. at is the place of the request in the trace. */
    bool (*access)(void *sim, uint32_t object, uint32_t at);
    uint64_t (*bytes)(const void *sim); /* that it holds: at most size_max */
    void (*free)(void *sim);
};

extern const struct evict_sim_ops evict_lru;
extern const struct evict_sim_ops evict_clock;
extern const struct evict_sim_ops evict_sieve;
extern const struct evict_sim_ops evict_s3fifo;
extern const struct evict_sim_ops evict_wtinylfu;
extern const struct evict_sim_ops evict_belady;      /* farthest next use goes first */
extern const struct evict_sim_ops evict_belady_size; /* largest next use x size of 64 goes first */
extern const struct evict_sim_ops evict_weir;        /* as many shards as the tier has */
extern const struct evict_sim_ops evict_weir_1;      /* one */
extern const struct evict_sim_ops evict_weir_8;      /* eight, the most that it has */

const struct evict_sim_ops *evict_sim(unsigned i); /* NULL behind the last */
