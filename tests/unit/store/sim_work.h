/* SPDX-License-Identifier: Apache-2.0 */
/* sim_work: a store at work, and what it has promised so far. */
#pragma once
#include <pthread.h>
#include "base/err.h"
#include "io/io_sim.h"
#include "store/store.h"

#define WORK_PLAIN     64u /* blobs that are just bytes */
#define WORK_NAMING    4u  /* presentations: the k-th names the plain blobs 2 k and 2 k + 1 */
#define WORK_NAMED     2u
#define WORK_BLOBS     (WORK_PLAIN + WORK_NAMING)
#define WORK_REFS      4u
#define WORK_ASKED_MAX 256u
#define WORK_IN_FLIGHT 8u

struct work_blob {
    bool asked, acked;
    bool named;   /* by a presentation that a ref was to name: it goes when the ref moves on */
    bool damaged; /* by us, and not acknowledged again since */
};

struct work_state {
    bool exists;
    struct digest digest;
};

struct work_ref {
    bool busy; /* a move is under way: one at a time of each name */
    struct work_state acked;
    struct work_state asked[WORK_ASKED_MAX]; /* since, and not acknowledged */
    unsigned asked_count;
    unsigned asked_from; /* those before were looked for after a crash, and had not happened */
    uint64_t generation; /* as last seen, for moves that expect one */
};

struct work {
    uint64_t random;
    bool cache;      /* blobs may be gone */
    bool reclaims;   /* refs name presentations; what they let go of is reclaimed a second later */
    bool rebuilt;    /* from the volumes: a move that nobody was told of may be in force */
    bool may_fail;   /* errors are injected: any op may fail */
    bool failed;     /* they were, at any time */
    bool refs_lost;  /* by damage or errors: a rebuild need not know all moves */
    unsigned damage; /* bytes that went bad and whose blob is not known yet */
    struct io_sim *sim;
    pthread_mutex_t lock; /* the rest */
    struct work_blob blobs[WORK_BLOBS];
    struct work_ref refs[WORK_REFS];
    uint64_t moves; /* makes presentations, each another */
    uint64_t acks;
    char wrong[512]; /* the first thing that must not be; empty: all is well */
};

void work_init(struct work *w, uint64_t seed);
void work_free(struct work *w);
/* What options a store with work->reclaims has; the rest is the caller's. */
void work_options(struct work *w, struct store_options *o);
uint64_t work_roll(struct work *w, uint64_t n); /* 0..n-1 */
void work_wrong(struct work *w, const char *format, ...) PRINTF_LIKE(2, 3);

/* store_open said no though the disk is fine. */
void work_refused(struct work *w, int r, const struct err *err);

/* Asks for so many things, up to depth at once, and waits for all answers. Ends early when power is
 * gone. bursts: ops that wait together are committed together, the same each time. */
void work_run(struct work *w, struct store *s, unsigned ops, unsigned depth, bool bursts);
void work_run_threads(struct work *w, struct store *s, unsigned threads, unsigned ops);

/* With work->reclaims: the presentations and what they name, so that refs can be moved to them. */
void work_put_named(struct work *w, struct store *s);

/* A byte of a volume goes bad; finds out whose, puts that blob again. */
void work_damage(struct work *w, struct store *s, const char *store_path);

/* Reads all that was ever asked for; what is found counts as promised from now on (not when power
 * went meanwhile). refs: false when those need not be what was promised. */
void work_check(struct work *w, struct store *s, bool refs);

/* Before an index made from the volumes is checked: what a run that died left behind the end of a
 * volume may come back if it was never written over (docs/format.md). */
void work_expect_left(struct work *w);
