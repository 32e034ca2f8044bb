/* SPDX-License-Identifier: Apache-2.0 */
/* prefetch_priv: what prefetch.c (limits and queue) and prefetch_guess.c (who is next) share.
 *
 * Life:    part of struct prefetch_worker.
 * Owner:   the worker.
 * Threads: its loop's.
 * Errors:  none.
 * Units:   milliseconds. */
#pragma once
#include <pthread.h>
#include "edge/cache_request.h"
#include "edge/prefetch.h"

#define PREFETCH_RUNS      16u
#define PREFETCH_SEEN      1024u /* power of two */
#define PREFETCH_AGAIN_MS  2000  /* the same segment is looked at once in that time */
#define PREFETCH_LISTS     64u   /* playlists remembered */
#define PREFETCH_FOLDERS   64u   /* where numbers lead nowhere */
#define PREFETCH_FOLDER_MS 10000
#define PREFETCH_PLACES    1024u /* power of two */

struct prefetch_want {
    const struct upstream *upstream;
    struct digest key; /* the blob's or the URL's */
    struct cache_request *request;
    bool by_number;
    uint64_t wanted_ms;
};

struct prefetch_run {
    struct prefetch_worker *worker;
    struct ahead *ahead; /* NULL: free */
    struct prefetch_want want;
};

struct prefetch_seen {
    uint64_t mark, at_ms;
};

struct prefetch_list { /* a playlist that a viewer has asked for */
    const struct route *route;
    struct digest key;
    char *target; /* NULL: empty */
};

struct prefetch_place { /* of a blob in a title */
    struct digest blob, title;
    uint32_t track, index;
};

struct prefetch_hints { /* what one worker has seen and all may use; under its lock */
    pthread_mutex_t lock;
    struct prefetch_seen folders[PREFETCH_FOLDERS];
    struct prefetch_list lists[PREFETCH_LISTS];
    unsigned lists_next;
};

struct prefetch_worker {
    uint32_t magic;
#define PREFETCH_WORKER_MAGIC UINT32_C(0x94efe70c)
    struct prefetch *prefetch;
    struct edge_worker *worker;
    struct loop_timer timer;
    unsigned first, queued;
    struct prefetch_want queue[PREFETCH_QUEUE];
    struct prefetch_run runs[PREFETCH_RUNS];
    struct prefetch_seen seen[PREFETCH_SEEN];
    struct prefetch_place places[PREFETCH_PLACES];
};

/* prefetch.c */
struct prefetch_hints *prefetch__hints(struct prefetch_worker *w);
unsigned prefetch__segments(const struct prefetch_worker *w);
void prefetch__asked(struct prefetch_worker *w, const struct digest *key);
bool prefetch__is_new(struct prefetch_worker *w, const struct digest *key);
void prefetch__want(struct prefetch_worker *w,
                    const struct prefetch_want *want); /* takes request */

/* prefetch_guess.c */
void prefetch__no_numbers(struct prefetch_worker *w, const struct cache_request *r);
void prefetch__hints_clear(struct prefetch_hints *h);
