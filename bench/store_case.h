/* SPDX-License-Identifier: Apache-2.0 */
/* store_case: what the programs of the store's benchmark share: arguments, blobs, threads, figures.
 *
 * Life:    case_options_read -> case_run or case_clock_start/stop -> case_print_*.
 * Owner:   the program's main.
 * Threads: case_run's begin, item and end run on its threads; the rest on main's.
 * Errors:  0 or -errno. Wrong arguments end the program.
 * Units:   bytes, seconds; MB and GB: 1e6 and 1e9 bytes of blobs, without what is around them. */
#pragma once
#include <stddef.h>
#include "base/base.h"

struct case_options {
    const char *name;   /* of the case: puts, gets, ... */
    const char *folder; /* on the disk that is measured */
    uint64_t count;     /* blobs; 0: as the case has it */
    uint64_t size;      /* of a blob */
    unsigned threads;
    unsigned depth;  /* gets or puts under way at once, a thread */
    double seconds;  /* how long to read */
    uint64_t hot;    /* bytes of the RAM tier */
    uint64_t buffer; /* RocksDB: of a memtable */
    unsigned direct; /* peers: O_DIRECT */
};

/* PROGRAM CASE FOLDER [key=value...]; the keys are the names above. */
void case_options_read(int argc, char **argv, struct case_options *ret);

/* Blob i: bytes that no other blob has and no disk can press. */
void case_blob(uint64_t i, uint64_t size, void *out);

/* count blobs one after the other, page aligned; to be freed with case_pool_free. */
MUST_USE int case_pool(uint64_t count, uint64_t size, uint8_t **ret);
void case_pool_free(uint8_t *pool, uint64_t count, uint64_t size);

uint64_t case_random(uint64_t *state); /* *state is not 0 */

struct case_clock {
    double wall_s, cpu_s; /* cpu: user and system, all threads of this process */
};
void case_clock_start(struct case_clock *c);
void case_clock_stop(struct case_clock *c); /* turns both into what has passed */

/* Threads that share `count` items: thread t takes t, t + threads, ...; begin is not timed. */
struct case_job {
    unsigned threads;
    uint64_t count;
    void *arg;
    int (*begin)(void *arg, unsigned thread, void **ret_state);
    int (*item)(void *state, uint64_t i);
    void (*end)(void *state); /* may be NULL */
};
MUST_USE int case_run(const struct case_job *job, struct case_clock *ret);

/* {"mb_s", "cpu_s_gb", "seconds", "bytes"} and what more says, which begins with a comma. */
void case_print_rate(uint64_t bytes, const struct case_clock *c, const char *more);

int case_fail(const char *what, int error); /* prints, returns the exit status */
