/* SPDX-License-Identifier: Apache-2.0 */
/* warm_priv: what warm.c (doing it) and warm_api.c (being told) share.
 *
 * Life:    struct warm: as the edge.
 * Owner:   struct edge.
 * Threads: as its members say.
 * Errors:  0 or -errno.
 * Units:   bytes. */
#pragma once
#include <pthread.h>
#include "edge/ahead.h"
#include "edge/warm.h"

struct warm_item { /* what is to be fetched: text, or a blob that an asset has named */
    struct warm_item *next;
    const struct upstream *upstream; /* NULL: text */
    struct digest blob;
    char text[];
};

struct warm_run {
    struct warm *warm;
    struct ahead *ahead;
    struct warm_item *item; /* NULL: free */
};

struct warm_failure {
    char *text; /* NULL: none */
    int error;
};

struct warm {
    uint32_t magic;
#define WARM_MAGIC UINT32_C(0x3a93f111)
    struct edge *edge;
    struct secret admin; /* size 0: open */

    struct warm_run runs[WARM_CONCURRENT_MAX]; /* the worker's */
    struct loop_timer timer;

    pthread_mutex_t lock;       /* covers what follows */
    struct edge_worker *worker; /* NULL: not yet, or no more */
    struct warm_item *first, **end;
    unsigned concurrent, queued, running;
    uint64_t fetched, here, failed, bytes;
    struct warm_failure failures[WARM_FAILURES];
    unsigned failures_next;
};

/* warm.c */
void warm__append(struct warm *w, struct warm_item *item); /* with the lock held; takes it */
void warm__forget(struct warm *w);                         /* the queue; with the lock held */
void warm__pump(void *arg);                                /* struct warm; on the worker's loop */
