/* SPDX-License-Identifier: Apache-2.0 */
/* W-TinyLFU: a window LRU of 1 %, a main segmented LRU (protected 80 %), and between them a
 * count-min sketch of 4-bit counters, halved each time it has counted ten times the objects that
 * fit. What leaves the window enters main when it was asked for more often than all that has to go
 * for it. */
#include <errno.h>
#include "evict_list.h"
#include "evict_sim.h"

#define EVICT_ROWS      4u
#define EVICT_COUNT_MAX 15u
#define EVICT_SAMPLE    10u /* times the objects that fit */

enum evict_part { EVICT_OUT, EVICT_WINDOW, EVICT_PROBATION, EVICT_PROTECTED, EVICT_PARTS };

struct evict_wtinylfu {
    const struct evict_trace *trace;
    uint64_t window_max, protected_max, main_max;
    struct evict_link *links;
    uint8_t *where;
    struct evict_list lists[EVICT_PARTS];
    uint8_t *counts; /* a byte each here; at most 15 */
    uint64_t mask;
    uint64_t counted, counted_max;
};

static void evict_wtinylfu_free(void *sim)
{
    struct evict_wtinylfu *s = sim;
    free(s->links);
    free(s->where);
    free(s->counts);
    free(s);
}

static int evict_wtinylfu_make(const struct evict_trace *t, uint64_t size_max, void **ret)
{
    struct evict_wtinylfu *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    uint64_t objects = MAX(t->objects_count, 1);
    uint64_t mean = MAX(t->footprint / objects, 1);
    uint64_t fit = MAX(size_max / mean, 1);
    s->trace = t;
    s->window_max = size_max / 100;
    s->main_max = size_max - s->window_max;
    s->protected_max = s->main_max / 5 * 4;
    s->counted_max = MAX(fit, 16) * EVICT_SAMPLE;
    uint64_t row = 64;
    while (row < fit * 4)
        row *= 2;
    s->mask = row - 1;
    for (unsigned i = 0; i < EVICT_PARTS; i++)
        s->lists[i] = EVICT_LIST_EMPTY;
    s->links = calloc(objects, sizeof *s->links);
    s->where = calloc(objects, sizeof *s->where);
    s->counts = calloc(row * EVICT_ROWS, sizeof *s->counts);
    if (s->links == NULL || s->where == NULL || s->counts == NULL) {
        evict_wtinylfu_free(s);
        return -ENOMEM;
    }
    *ret = s;
    return 0;
}

static uint64_t evict_wtinylfu_bytes(const void *sim)
{
    const struct evict_wtinylfu *s = sim;
    return s->lists[EVICT_WINDOW].bytes + s->lists[EVICT_PROBATION].bytes +
           s->lists[EVICT_PROTECTED].bytes;
}

static uint64_t evict_sketch_at(const struct evict_wtinylfu *s, uint32_t object, unsigned row)
{
    uint32_t n;
    memcpy(&n, s->trace->digests[object].bytes + sizeof n * row, sizeof n);
    return row * (s->mask + 1) + (n & s->mask);
}

static unsigned evict_sketch_count(const struct evict_wtinylfu *s, uint32_t object)
{
    unsigned least = EVICT_COUNT_MAX;
    for (unsigned row = 0; row < EVICT_ROWS; row++)
        least = MIN(least, s->counts[evict_sketch_at(s, object, row)]);
    return least;
}

static void evict_sketch_add(struct evict_wtinylfu *s, uint32_t object)
{
    for (unsigned row = 0; row < EVICT_ROWS; row++) {
        uint8_t *count = &s->counts[evict_sketch_at(s, object, row)];
        if (*count < EVICT_COUNT_MAX)
            (*count)++;
    }
    if (++s->counted < s->counted_max)
        return;
    s->counted /= 2;
    for (uint64_t i = 0; i < (s->mask + 1) * EVICT_ROWS; i++)
        s->counts[i] /= 2;
}

static void evict_part_push(struct evict_wtinylfu *s, uint32_t object, enum evict_part part)
{
    s->where[object] = (uint8_t)part;
    evict_list_push(&s->lists[part], s->links, object, s->trace->sizes[object]);
}

static void evict_part_pull(struct evict_wtinylfu *s, uint32_t object)
{
    evict_list_pull(&s->lists[s->where[object]], s->links, object, s->trace->sizes[object]);
    s->where[object] = EVICT_OUT;
}

/* The victim after this one: probation from its oldest, then protected. */
static uint32_t evict_victim_next(const struct evict_wtinylfu *s, uint32_t victim)
{
    if (victim == EVICT_NONE)
        return s->lists[EVICT_PROBATION].count > 0 ? s->lists[EVICT_PROBATION].oldest
                                                   : s->lists[EVICT_PROTECTED].oldest;
    uint32_t newer = s->links[victim].newer;
    if (newer == EVICT_NONE && s->where[victim] == EVICT_PROBATION)
        return s->lists[EVICT_PROTECTED].oldest;
    return newer;
}

/* Aggregated victims: as many as its size needs; it comes in when it has more uses than they. */
static void evict_wtinylfu_admit(struct evict_wtinylfu *s, uint32_t object)
{
    uint64_t size = s->trace->sizes[object];
    uint64_t used = s->lists[EVICT_PROBATION].bytes + s->lists[EVICT_PROTECTED].bytes;
    if (size > s->main_max)
        return;
    unsigned uses = evict_sketch_count(s, object), victims_uses = 0, victims = 0;
    uint64_t freed = 0;
    uint32_t victim = EVICT_NONE;
    while (used - freed + size > s->main_max && victims_uses <= uses) {
        victim = evict_victim_next(s, victim);
        ASSERT(victim != EVICT_NONE);
        victims_uses += evict_sketch_count(s, victim);
        freed += s->trace->sizes[victim];
        victims++;
    }
    if (victims > 0 && victims_uses >= uses)
        return;
    while (victims-- > 0)
        evict_part_pull(s, evict_victim_next(s, EVICT_NONE));
    evict_part_push(s, object, EVICT_PROBATION);
}

static void evict_wtinylfu_hit(struct evict_wtinylfu *s, uint32_t object)
{
    enum evict_part part = s->where[object];
    evict_part_pull(s, object);
    evict_part_push(s, object, part == EVICT_WINDOW ? EVICT_WINDOW : EVICT_PROTECTED);
    while (s->lists[EVICT_PROTECTED].bytes > s->protected_max) {
        uint32_t oldest = s->lists[EVICT_PROTECTED].oldest;
        evict_part_pull(s, oldest);
        evict_part_push(s, oldest, EVICT_PROBATION);
    }
}

static bool evict_wtinylfu_access(void *sim, uint32_t object, uint32_t at)
{
    struct evict_wtinylfu *s = sim;
    (void)at;
    evict_sketch_add(s, object);
    if (s->where[object] != EVICT_OUT) {
        evict_wtinylfu_hit(s, object);
        return true;
    }
    if (s->trace->sizes[object] > s->window_max + s->main_max)
        return false;
    if (s->trace->sizes[object] > s->window_max) {
        evict_wtinylfu_admit(s, object); /* it would sweep the whole window */
        return false;
    }
    evict_part_push(s, object, EVICT_WINDOW);
    while (s->lists[EVICT_WINDOW].bytes > s->window_max) {
        uint32_t oldest = s->lists[EVICT_WINDOW].oldest;
        evict_part_pull(s, oldest);
        evict_wtinylfu_admit(s, oldest);
    }
    return false;
}

const struct evict_sim_ops evict_wtinylfu = {"W-TinyLFU", evict_wtinylfu_make,
                                             evict_wtinylfu_access, evict_wtinylfu_bytes,
                                             evict_wtinylfu_free};
