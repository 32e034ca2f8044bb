/* SPDX-License-Identifier: Apache-2.0 */
/* The peers that are queues: LRU, CLOCK, SIEVE, S3-FIFO. */
#include <errno.h>
#include "evict_list.h"
#include "evict_sim.h"

#define EVICT_USES_MAX 3u

enum evict_where { EVICT_OUT, EVICT_SMALL, EVICT_MAIN, EVICT_GHOST };

struct evict_queues {
    const struct evict_trace *trace;
    uint64_t size_max;
    struct evict_link *links;
    uint8_t *where;
    uint8_t *uses;
    struct evict_list small, main, ghost; /* LRU, CLOCK and SIEVE: main alone */
    uint32_t hand;                        /* SIEVE */
};

static void evict_queues_free(void *sim)
{
    struct evict_queues *q = sim;
    free(q->links);
    free(q->where);
    free(q->uses);
    free(q);
}

static int evict_queues_make(const struct evict_trace *t, uint64_t size_max, void **ret)
{
    struct evict_queues *q = calloc(1, sizeof *q);
    if (q == NULL)
        return -ENOMEM;
    size_t n = MAX(t->objects_count, 1);
    q->trace = t;
    q->size_max = size_max;
    q->small = q->main = q->ghost = EVICT_LIST_EMPTY;
    q->hand = EVICT_NONE;
    q->links = calloc(n, sizeof *q->links);
    q->where = calloc(n, sizeof *q->where);
    q->uses = calloc(n, sizeof *q->uses);
    if (q->links == NULL || q->where == NULL || q->uses == NULL) {
        evict_queues_free(q);
        return -ENOMEM;
    }
    *ret = q;
    return 0;
}

static uint64_t evict_queues_bytes(const void *sim)
{
    const struct evict_queues *q = sim;
    return q->small.bytes + q->main.bytes;
}

static struct evict_list *evict_queue_of(struct evict_queues *q, enum evict_where where)
{
    return where == EVICT_SMALL ? &q->small : where == EVICT_MAIN ? &q->main : &q->ghost;
}

static void evict_push(struct evict_queues *q, uint32_t object, enum evict_where where)
{
    q->where[object] = (uint8_t)where;
    evict_list_push(evict_queue_of(q, where), q->links, object, q->trace->sizes[object]);
}

static void evict_pull(struct evict_queues *q, uint32_t object)
{
    evict_list_pull(evict_queue_of(q, q->where[object]), q->links, object, q->trace->sizes[object]);
    q->where[object] = EVICT_OUT;
}

/* --- LRU -------------------------------------------------------------------------------------- */

static bool evict_lru_access(void *sim, uint32_t object, uint32_t at)
{
    struct evict_queues *q = sim;
    (void)at;
    bool hit = q->where[object] == EVICT_MAIN;
    if (hit)
        evict_pull(q, object);
    else if (q->trace->sizes[object] > q->size_max)
        return false;
    while (q->main.bytes + q->trace->sizes[object] > q->size_max)
        evict_pull(q, q->main.oldest);
    evict_push(q, object, EVICT_MAIN);
    return hit;
}

const struct evict_sim_ops evict_lru = {"LRU", evict_queues_make, evict_lru_access,
                                        evict_queues_bytes, evict_queues_free};

/* --- CLOCK: one bit; what was used goes round again ------------------------------------------- */

static bool evict_clock_access(void *sim, uint32_t object, uint32_t at)
{
    struct evict_queues *q = sim;
    (void)at;
    if (q->where[object] == EVICT_MAIN) {
        q->uses[object] = 1;
        return true;
    }
    if (q->trace->sizes[object] > q->size_max)
        return false;
    while (q->main.bytes + q->trace->sizes[object] > q->size_max) {
        uint32_t oldest = q->main.oldest;
        evict_pull(q, oldest);
        if (q->uses[oldest] > 0)
            evict_push(q, oldest, EVICT_MAIN);
        q->uses[oldest] = 0;
    }
    q->uses[object] = 0;
    evict_push(q, object, EVICT_MAIN);
    return false;
}

const struct evict_sim_ops evict_clock = {"CLOCK", evict_queues_make, evict_clock_access,
                                          evict_queues_bytes, evict_queues_free};

/* --- SIEVE: as CLOCK, but what was used stays in its place and the hand walks on -------------- */

static void evict_sieve_evict(struct evict_queues *q)
{
    uint32_t object = q->hand != EVICT_NONE ? q->hand : q->main.oldest;
    while (q->uses[object] > 0) {
        q->uses[object] = 0;
        object = q->links[object].newer;
        if (object == EVICT_NONE)
            object = q->main.oldest;
    }
    q->hand = q->links[object].newer;
    evict_pull(q, object);
}

static bool evict_sieve_access(void *sim, uint32_t object, uint32_t at)
{
    struct evict_queues *q = sim;
    (void)at;
    if (q->where[object] == EVICT_MAIN) {
        q->uses[object] = 1;
        return true;
    }
    if (q->trace->sizes[object] > q->size_max)
        return false;
    while (q->main.bytes + q->trace->sizes[object] > q->size_max)
        evict_sieve_evict(q);
    q->uses[object] = 0;
    evict_push(q, object, EVICT_MAIN);
    return false;
}

const struct evict_sim_ops evict_sieve = {"SIEVE", evict_queues_make, evict_sieve_access,
                                          evict_queues_bytes, evict_queues_free};

/* --- S3-FIFO: small 10 %, ghost as large as main ---------------------------------------------- */

/* The paper's algorithm 1: used more than once in small goes to main, else to ghost. */
static void evict_s3fifo_small(struct evict_queues *q)
{
    uint32_t object = q->small.oldest;
    evict_pull(q, object);
    if (q->uses[object] > 1) {
        q->uses[object] = 0;
        evict_push(q, object, EVICT_MAIN);
        return;
    }
    evict_push(q, object, EVICT_GHOST);
    while (q->ghost.bytes > q->size_max - q->size_max / 10)
        evict_pull(q, q->ghost.oldest);
}

static void evict_s3fifo_main(struct evict_queues *q)
{
    uint32_t object = q->main.oldest;
    evict_pull(q, object);
    if (q->uses[object] == 0)
        return;
    q->uses[object]--;
    evict_push(q, object, EVICT_MAIN);
}

static bool evict_s3fifo_access(void *sim, uint32_t object, uint32_t at)
{
    struct evict_queues *q = sim;
    (void)at;
    if (q->where[object] == EVICT_SMALL || q->where[object] == EVICT_MAIN) {
        q->uses[object] = (uint8_t)MIN(q->uses[object] + 1u, EVICT_USES_MAX);
        return true;
    }
    if (q->trace->sizes[object] > q->size_max)
        return false;
    bool known = q->where[object] == EVICT_GHOST;
    if (known)
        evict_pull(q, object);
    while (evict_queues_bytes(q) + q->trace->sizes[object] > q->size_max) {
        if (q->small.count > 0 && (q->small.bytes >= q->size_max / 10 || q->main.count == 0))
            evict_s3fifo_small(q);
        else
            evict_s3fifo_main(q);
    }
    q->uses[object] = 0;
    evict_push(q, object, known ? EVICT_MAIN : EVICT_SMALL);
    return false;
}

const struct evict_sim_ops evict_s3fifo = {"S3-FIFO", evict_queues_make, evict_s3fifo_access,
                                           evict_queues_bytes, evict_queues_free};
