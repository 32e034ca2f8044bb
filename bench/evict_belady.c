/* SPDX-License-Identifier: Apache-2.0 */
/* Belady: what is asked for again last goes first, and a newcomer that is asked for later than all
 * that is there is not let in. For objects of one size that is the optimum (MIN). For sizes no fast
 * optimum is known; beside MIN there is its usual approximation for requests: of 64 at random, the
 * one with the largest size times time to its next use goes. Neither is a bound for sizes. */
#include <errno.h>
#include "evict_list.h"
#include "evict_rng.h"
#include "evict_sim.h"

#define EVICT_CANDIDATES 64u

struct evict_next {
    uint32_t next, object;
};

struct evict_belady {
    const struct evict_trace *trace;
    uint64_t size_max, bytes;
    uint32_t *next;  /* of each object, when it is held; else 0 */
    uint32_t *place; /* of each object: in held */
    uint32_t *held;  /* evict_belady_size */
    uint32_t held_count;
    struct evict_next
        *heap; /* the farthest on top; entries whose next is out of date are skipped */
    uint64_t heap_count, heap_cap;
    struct evict_rng rng;
};

static void evict_belady_free(void *sim)
{
    struct evict_belady *b = sim;
    free(b->next);
    free(b->place);
    free(b->held);
    free(b->heap);
    free(b);
}

static int evict_belady_make(const struct evict_trace *t, uint64_t size_max, void **ret)
{
    struct evict_belady *b = calloc(1, sizeof *b);
    if (b == NULL)
        return -ENOMEM;
    size_t n = MAX(t->objects_count, 1);
    b->trace = t;
    b->size_max = size_max;
    b->rng = evict_rng_of(1);
    /* An access adds one entry at most. */
    b->heap_cap = (uint64_t)t->requests_count + 1;
    b->next = calloc(n, sizeof *b->next);
    b->place = calloc(n, sizeof *b->place);
    b->held = calloc(n, sizeof *b->held);
    b->heap = malloc(b->heap_cap * sizeof *b->heap);
    if (b->next == NULL || b->place == NULL || b->held == NULL || b->heap == NULL) {
        evict_belady_free(b);
        return -ENOMEM;
    }
    *ret = b;
    return 0;
}

static uint64_t evict_belady_bytes(const void *sim)
{
    return ((const struct evict_belady *)sim)->bytes;
}

static void evict_heap_push(struct evict_belady *b, struct evict_next x)
{
    ASSERT(b->heap_count < b->heap_cap);
    uint64_t i = b->heap_count++;
    while (i > 0 && b->heap[(i - 1) / 2].next < x.next) {
        b->heap[i] = b->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    b->heap[i] = x;
}

static void evict_heap_pop(struct evict_belady *b)
{
    struct evict_next x = b->heap[--b->heap_count];
    uint64_t i = 0;
    while (2 * i + 1 < b->heap_count) {
        uint64_t child = 2 * i + 1;
        if (child + 1 < b->heap_count && b->heap[child + 1].next > b->heap[child].next)
            child++;
        if (b->heap[child].next <= x.next)
            break;
        b->heap[i] = b->heap[child];
        i = child;
    }
    b->heap[i] = x;
}

static void evict_belady_drop(struct evict_belady *b, uint32_t object)
{
    b->bytes -= b->trace->sizes[object];
    b->next[object] = 0;
}

static bool evict_belady_access(void *sim, uint32_t object, uint32_t at)
{
    struct evict_belady *b = sim;
    uint64_t size = b->trace->sizes[object];
    bool hit = b->next[object] != 0;
    uint32_t next = b->trace->next[at];
    if (hit)
        evict_belady_drop(b, object);
    if (next == EVICT_NEVER || size > b->size_max)
        return hit;
    b->next[object] = next;
    b->bytes += size;
    evict_heap_push(b, (struct evict_next){next, object});
    while (b->bytes > b->size_max) {
        struct evict_next top = b->heap[0];
        evict_heap_pop(b);
        if (b->next[top.object] == top.next)
            evict_belady_drop(b, top.object);
    }
    return hit;
}

const struct evict_sim_ops evict_belady = {"Belady", evict_belady_make, evict_belady_access,
                                           evict_belady_bytes, evict_belady_free};

/* --- by size ---------------------------------------------------------------------------------- */

static void evict_held_drop(struct evict_belady *b, uint32_t object)
{
    uint32_t last = b->held[--b->held_count];
    b->held[b->place[object]] = last;
    b->place[last] = b->place[object];
    evict_belady_drop(b, object);
}

static double evict_belady_weight(const struct evict_belady *b, uint32_t object, uint32_t at)
{
    return (double)(b->next[object] - at) * b->trace->sizes[object];
}

static uint32_t evict_belady_worst(struct evict_belady *b, uint32_t newest, uint32_t at)
{
    uint32_t worst = newest;
    double most = evict_belady_weight(b, newest, at);
    for (uint32_t i = 0; i < MIN(EVICT_CANDIDATES, b->held_count); i++) {
        uint32_t from = b->held_count <= EVICT_CANDIDATES
                            ? i
                            : (uint32_t)evict_rng_below(&b->rng, b->held_count);
        double weight = evict_belady_weight(b, b->held[from], at);
        if (weight > most) {
            most = weight;
            worst = b->held[from];
        }
    }
    return worst;
}

static bool evict_belady_size_access(void *sim, uint32_t object, uint32_t at)
{
    struct evict_belady *b = sim;
    uint64_t size = b->trace->sizes[object];
    bool hit = b->next[object] != 0;
    uint32_t next = b->trace->next[at];
    if (hit)
        evict_held_drop(b, object);
    if (next == EVICT_NEVER || size > b->size_max)
        return hit;
    b->next[object] = next;
    b->bytes += size;
    b->place[object] = b->held_count;
    b->held[b->held_count++] = object;
    /* The newcomer is a candidate as long as it is held. */
    uint32_t newest = object;
    while (b->bytes > b->size_max) {
        if (b->next[newest] == 0)
            newest = b->held[evict_rng_below(&b->rng, b->held_count)];
        evict_held_drop(b, evict_belady_worst(b, newest, at));
    }
    return hit;
}

const struct evict_sim_ops evict_belady_size = {"Belady-size", evict_belady_make,
                                                evict_belady_size_access, evict_belady_bytes,
                                                evict_belady_free};
