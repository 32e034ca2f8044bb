/* SPDX-License-Identifier: Apache-2.0 */
/* place_sim: a store without disks: films and live channels, readers, an hourly sweep that does
 * what the storekeeper does, with the real heat, throttle and placement. Seeded; nothing is
 * measured in real time.
 *
 * Life:    sim_new -> sim_film -> sim_hour* with changes of rates in between -> sim_free.
 * Owner:   the test.
 * Threads: one.
 * Errors:  a broken property fails the test, with the seed and the hour.
 * Units:   bytes, hours, reads per hour. */
#pragma once
#include "store/heat.h"
#include "store/place.h"
#include "store/throttle.h"

#define SIM_HOUR_MS UINT64_C(3600000)

struct sim_blob {
    struct digest digest;
    uint64_t size;
    uint64_t born_ms, moved_ms;
    enum place_tier tier;
    unsigned film;
    unsigned moves_today;
    double rate; /* reads per hour */
};

struct sim {
    uint64_t seed, random;
    uint64_t hour;
    struct place_state state;
    struct throttle throttle;
    struct heat *heat;
    uint64_t heat_since_ms;
    struct sim_blob *blobs;
    double *sums; /* of rates up to and with each blob */
    unsigned count, count_max, films;
    unsigned sweep_from;
    uint64_t reads, warm_reads;           /* since sim_measure */
    uint64_t film_reads, film_warm_reads; /* of `watched` alone */
    unsigned watched;
    uint64_t promoted, demoted; /* bytes */
    uint64_t moves;
    unsigned refused;       /* new blobs that found no tier */
    unsigned moves_day_max; /* of one blob in one day, since sim_new */
};

/* share: what part of all_bytes warm holds. */
struct sim *sim_new(uint64_t seed, unsigned blobs_max, uint64_t all_bytes, double share);
struct sim *sim_free(struct sim *s);
uint64_t sim_random(struct sim *s);
double sim_unit(struct sim *s); /* [0, 1) */

/* Puts a film of so many blobs, each read so often; its number. */
unsigned sim_film(struct sim *s, unsigned blobs, double rate);
void sim_rate(struct sim *s, unsigned film, double rate); /* of each blob */
void sim_delete(struct sim *s, unsigned film);

/* An hour of readers, then a sweep. */
void sim_hour(struct sim *s);
void sim_sweep(struct sim *s);
void sim_restart(struct sim *s); /* heat is lost */
void sim_scan(struct sim *s);    /* a backup reads every blob once */

void sim_measure(struct sim *s);       /* counts from here */
double sim_share(const struct sim *s); /* of reads that warm answered */
/* What share warm would answer were it filled to its high watermark with what is best by the true
 * rates. */
double sim_best(const struct sim *s);
double sim_film_warm(const struct sim *s, unsigned film); /* part of its bytes */
