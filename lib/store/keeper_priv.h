/* SPDX-License-Identifier: Apache-2.0 */
/* keeper_priv: what the keeper's thread and its tasks share.
 *
 * Life:    see keeper.h.
 * Owner:   the keeper's thread.
 * Threads: the keeper's only, but for what lock guards.
 * Errors:  a step answers with one of enum keeper_step; what failed it logs and tries again later.
 * Units:   bytes; microseconds of clock_mono_us. */
#pragma once
#include <pthread.h>
#include "store/keeper.h"
#include "store/place.h"
#include "store/store_priv.h"
#include "store/throttle.h"

#define KEEPER_FLIGHTS 8u /* transfers to and from the remote tier at once */
#define REMOTE_SKIP    64u

enum keeper_step {
    KEEPER_IDLE, /* nothing to do, or not before its time */
    KEEPER_MORE, /* did something; there may be more */
    KEEPER_BUSY, /* waits for something under way, or for its share of the bandwidth */
};

/* A change that the committer makes for the keeper. */
struct keeper_op {
    struct commit_op commit;
    struct keeper *keeper;
};

/* Who waits for an upload. */
struct keeper_waiter {
    struct keeper_waiter *next;
    struct digest digest;
    keeper_uploaded *done;
    void *arg;
};

/* An errand under way. */
struct keeper_flight {
    struct keeper *keeper;
    struct index_errand errand;
    bool used;
    bool over; /* under lock, as is res */
    int res;
};

struct keeper_remote {
    struct keeper_flight flights[KEEPER_FLIGHTS];
    struct digest after; /* where in the round of errands to go on */
    uint64_t retry_us;   /* the tier failed: not before */
    unsigned failures;   /* in a row */
    int failing;         /* of the last of them; 0: it works */
    struct digest seen;  /* of the blobs that may have no errand and ought to */
    bool seen_any, caught_up;
    struct digest skip[REMOTE_SKIP]; /* errands whose blobs could not be read lately */
    unsigned skip_count;
    uint64_t skip_until_us;
    uint64_t look_us; /* there was no volume to be emptied: not before */
};

struct keeper_compact {
    uint32_t volume;    /* being emptied; 0: none */
    uint64_t from;      /* of its extents */
    bool stuck;         /* some could not be read */
    uint32_t skip[256]; /* what could not be moved out of them lately */
    unsigned skip_count;
    uint64_t skip_until_us;
    uint64_t look_us; /* there was no volume to be emptied: not before */
};

struct keeper_scrub {
    uint32_t volume; /* the last one looked at, or being looked at */
    uint64_t from;
    bool within; /* it is being looked at */
};

struct keeper_move {
    struct place_histogram histogram;
    uint64_t next_us; /* the next sweep begins */
    unsigned pass;    /* 0: none, 1: learning, 2: moving */
    uint32_t volume;
    uint64_t from;
    bool within;
    bool cold; /* the volume */
    uint64_t began_ms;
    uint64_t debt;    /* bytes moved that the throttle has not been asked for yet */
    uint64_t look_us; /* when to look at the tiers again */
    uint64_t swept;   /* keeper.settles when the last sweep began */
};

struct keeper {
    uint32_t magic;
#define KEEPER_MAGIC UINT32_C(0xcee9e201)
    struct store *store;
    bool scrubs, works; /* rates that are not STORE_RATE_NONE */
    uint64_t warm_max;
    struct io_queue *queue;
    struct index_reader *reader;
    struct throttle work, scrub_pace;
    uint64_t read_bytes, read_us; /* of the foreground, when last looked at */
    uint64_t wake_us;             /* when to go on though nobody wakes us; 0: no such time */
    struct index_extent *extents; /* KEEPER_EXTENTS of them, for whoever steps */
    struct keeper_op *ops;        /* KEEPER_OPS of them, likewise */
    struct keeper_compact compact;
    struct keeper_scrub scrub;
    struct keeper_move move;
    struct keeper_remote remote;
    pthread_t thread;
    bool running;

    pthread_mutex_t lock; /* the rest */
    pthread_cond_t wake, settled;
    bool woken, stopping;
    unsigned pushing;       /* ops the committer has */
    uint64_t started, idle; /* rounds begun; the last one that found nothing to do */
    unsigned settling;      /* who waits for that: no throttling meanwhile */
    uint64_t settles;       /* how many did so far */
    struct place_state place;
    struct keeper_waiter *waiters;
};

#define KEEPER_EXTENTS 256u
#define KEEPER_OPS     256u

/* keeper.c. Takes ops[i], which is filled but for done, to the committer. */
void keeper_push(struct keeper *k, struct keeper_op *op);
void keeper_wait(struct keeper *k); /* until the committer has done all of them */
bool keeper_stops(struct keeper *k);
bool keeper_settles(struct keeper *k); /* somebody waits until all is done */
/* Whether that many bytes may be moved now; else the time to come back is noted. */
bool keeper_may(struct keeper *k, struct throttle *t, uint64_t bytes);
void keeper_wake_at(struct keeper *k, uint64_t us);

/* The tasks, in the order of a round. */
enum keeper_step keeper_reclaim_step(struct keeper *k);
enum keeper_step keeper_remote_step(struct keeper *k);
enum keeper_step keeper_compact_step(struct keeper *k);
enum keeper_step keeper_move_step(struct keeper *k);
enum keeper_step keeper_scrub_step(struct keeper *k);

void keeper_remote_finish(struct keeper *k); /* waits for its flights */
