/* SPDX-License-Identifier: Apache-2.0 */
/* Regions of address space, each cut into spans of units. A span is free or a block. Its length
 * stands at its first and its last unit, so that a span that becomes free finds its neighbours and
 * joins those that are free. Free spans are in lists by size: sixteen sizes for each doubling; no
 * block has any other, so that the hole that one leaves fits the next of its size.
 *
 * Invariants, under the lock:
 * 1. No two free spans touch.
 * 2. A free span of n units is in the list of the largest size <= n; has_spans tells which lists
 *    are not empty.
 * 3. A huge page that is `cold` (never touched, or given back) lies in a free span.
 * 4. idle counts the units of free spans that are not in cold huge pages. */
#include "base/arena.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include "base/clock.h"

#define ARENA_HUGE       (UINT32_C(2) << 20)
#define ARENA_HUGE_UNITS (ARENA_HUGE / ARENA_UNIT)
#define ARENA_REGION     (UINT32_C(256) << 20) /* a power of 2, and of ARENA_HUGE */
#define ARENA_UNITS      (ARENA_REGION / ARENA_UNIT)
#define ARENA_HUGES      (ARENA_REGION / ARENA_HUGE)
#define ARENA_STEPS_LOG  4u
#define ARENA_STEPS      (1u << ARENA_STEPS_LOG)
#define ARENA_CLASSES    256u
#define ARENA_NONE       UINT32_MAX

struct arena_unit {
    uint32_t length;     /* of the span that begins or ends here */
    uint32_t next, prev; /* first unit of a free span: its neighbours in the list */
    bool is_free;        /* first and last unit */
};

struct arena_region {
    struct arena_region *next;
    uint8_t *data;
    uint32_t used_units;
    uint64_t has_spans[ARENA_CLASSES / 64];
    uint32_t lists[ARENA_CLASSES]; /* a first unit, or ARENA_NONE */
    bool cold[ARENA_HUGES];
    struct arena_unit units[ARENA_UNITS]; /* only what is looked at costs memory */
};

struct arena {
    uint32_t magic;
#define ARENA_MAGIC UINT32_C(0xa2e7a001)
    pthread_mutex_t lock;
    struct arena_region *regions; /* blocks come from the first that has room: the last run empty */
    uint64_t regions_count;
    uint64_t used, idle, idle_max;
    uint32_t keep_ms;
    uint64_t since_ms, idle_low; /* the least that was idle since then */
    uint64_t surplus;            /* was idle for keep_ms: to be given back */
};

/* --- sizes and lists -------------------------------------------------------------------------- */

/* The largest size <= n; sizes below ARENA_STEPS are all there. */
static uint32_t arena_class(uint32_t n)
{
    ASSERT(n > 0);
    if (n < ARENA_STEPS)
        return n;
    uint32_t log = 31 - (uint32_t)__builtin_clz(n);
    uint32_t step = n >> (log - ARENA_STEPS_LOG) & (ARENA_STEPS - 1);
    return (log - ARENA_STEPS_LOG + 1) * ARENA_STEPS + step;
}

/* The smallest size >= n. */
static uint32_t arena_round(uint32_t n)
{
    if (n < ARENA_STEPS)
        return n;
    uint32_t step = UINT32_C(1) << (31 - (uint32_t)__builtin_clz(n) - ARENA_STEPS_LOG);
    return (n + step - 1) / step * step;
}

static void arena_set_span(struct arena_region *g, uint32_t first, uint32_t n, bool is_free)
{
    ASSERT(n > 0);
    ASSERT(n <= ARENA_UNITS - first);
    g->units[first].length = n;
    g->units[first].is_free = is_free;
    g->units[first + n - 1].length = n;
    g->units[first + n - 1].is_free = is_free;
}

static void arena_list_add(struct arena_region *g, uint32_t first, uint32_t n)
{
    uint32_t class = arena_class(n);
    arena_set_span(g, first, n, true);
    g->units[first].prev = ARENA_NONE;
    g->units[first].next = g->lists[class];
    if (g->lists[class] != ARENA_NONE)
        g->units[g->lists[class]].prev = first;
    g->lists[class] = first;
    g->has_spans[class / 64] |= UINT64_C(1) << (class % 64);
}

static void arena_list_remove(struct arena_region *g, uint32_t first)
{
    const struct arena_unit *u = &g->units[first];
    uint32_t class = arena_class(u->length);
    if (u->next != ARENA_NONE)
        g->units[u->next].prev = u->prev;
    if (u->prev != ARENA_NONE)
        g->units[u->prev].next = u->next;
    else
        g->lists[class] = u->next;
    if (g->lists[class] == ARENA_NONE)
        g->has_spans[class / 64] &= ~(UINT64_C(1) << (class % 64));
}

/* A free span of at least n units, n being one of the sizes; ARENA_NONE. */
static uint32_t arena_find(const struct arena_region *g, uint32_t n)
{
    uint32_t class = arena_class(n);
    uint64_t word = g->has_spans[class / 64] & (UINT64_MAX << (class % 64));
    for (uint32_t i = class / 64;;) {
        if (word != 0)
            return g->lists[i * 64 + (uint32_t)__builtin_ctzll(word)];
        if (++i == ARENA_CLASSES / 64)
            return ARENA_NONE;
        word = g->has_spans[i];
    }
}

/* --- regions ---------------------------------------------------------------------------------- */

static int arena_region_new(struct arena *a, struct arena_region **ret)
{
    struct arena_region *g = mmap(NULL, sizeof *g, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (g == MAP_FAILED)
        return -ENOMEM;
    size_t size = (size_t)ARENA_REGION + ARENA_HUGE;
    uint8_t *all = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED) {
        (void)munmap(g, sizeof *g); /* of our own making */
        return -ENOMEM;
    }
    size_t before = (ARENA_HUGE - (uintptr_t)all % ARENA_HUGE) % ARENA_HUGE;
    g->data = all + before;
    if (before > 0)
        (void)munmap(all, before); /* if not: address space is lost, no memory */
    (void)munmap(g->data + ARENA_REGION, size - before - ARENA_REGION);
    (void)madvise(g->data, ARENA_REGION, MADV_HUGEPAGE); /* a kernel without: small pages */
    for (uint32_t i = 0; i < ARENA_CLASSES; i++)
        g->lists[i] = ARENA_NONE;
    for (uint32_t i = 0; i < ARENA_HUGES; i++)
        g->cold[i] = true;
    arena_list_add(g, 0, ARENA_UNITS);
    struct arena_region **end = &a->regions;
    while (*end != NULL)
        end = &(*end)->next;
    *end = g;
    a->regions_count++;
    *ret = g;
    return 0;
}

static void arena_region_free(struct arena *a, struct arena_region *g)
{
    struct arena_region **at = &a->regions;
    while (*at != g)
        at = &(*at)->next;
    *at = g->next;
    a->regions_count--;
    for (uint32_t i = 0; i < ARENA_HUGES; i++)
        a->idle -= g->cold[i] ? 0 : ARENA_HUGE;
    (void)munmap(g->data, ARENA_REGION);
    (void)munmap(g, sizeof *g);
}

/* Huge pages that [first, first + n) touches are about to be used. */
static void arena_warm(struct arena *a, struct arena_region *g, uint32_t first, uint32_t n)
{
    for (uint32_t i = first / ARENA_HUGE_UNITS; i <= (first + n - 1) / ARENA_HUGE_UNITS; i++) {
        if (g->cold[i])
            a->idle += ARENA_HUGE;
        g->cold[i] = false;
    }
}

/* Every keep_ms: what was idle all the while, above the limit, is surplus. */
static void arena_look(struct arena *a)
{
    uint64_t now_ms = clock_mono_ms();
    if (now_ms - a->since_ms < a->keep_ms)
        return;
    a->surplus = a->idle_low - MIN(a->idle_low, a->idle_max);
    a->idle_low = a->idle;
    a->since_ms = now_ms;
}

static bool arena_is_over(const struct arena *a)
{
    return a->idle > ARENA_BURST * a->idle_max ||
           (a->surplus >= ARENA_HUGE && a->idle > a->idle_max);
}

/* Gives back huge pages that lie in the free span as a whole until the limit holds. */
static void arena_cool(struct arena *a, struct arena_region *g, uint32_t first)
{
    uint32_t from = (first + ARENA_HUGE_UNITS - 1) / ARENA_HUGE_UNITS;
    uint32_t to = (first + g->units[first].length) / ARENA_HUGE_UNITS;
    for (uint32_t i = from; i < to && arena_is_over(a); i++) {
        if (g->cold[i])
            continue;
        if (madvise(g->data + (size_t)i * ARENA_HUGE, ARENA_HUGE, MADV_DONTNEED) != 0)
            return; /* it stays, and is counted as idle */
        g->cold[i] = true;
        a->idle -= ARENA_HUGE;
        a->idle_low = MIN(a->idle_low, a->idle);
        a->surplus -= MIN(a->surplus, (uint64_t)ARENA_HUGE);
    }
}

static bool arena_is_cold(const struct arena_region *g)
{
    for (uint32_t i = 0; i < ARENA_HUGES; i++) {
        if (!g->cold[i])
            return false;
    }
    return true;
}

/* --- blocks ----------------------------------------------------------------------------------- */

int arena_alloc(struct arena *a, uint32_t size, struct arena_block *ret)
{
    ASSERT(a->magic == ARENA_MAGIC);
    if (size == 0 || size > ARENA_BLOCK_MAX)
        return -EINVAL;
    uint32_t n = arena_round((size + ARENA_UNIT - 1) / ARENA_UNIT), first = ARENA_NONE;
    int r = 0;
    (void)pthread_mutex_lock(&a->lock);
    struct arena_region *g = a->regions;
    while (g != NULL && (first = arena_find(g, n)) == ARENA_NONE)
        g = g->next;
    if (g == NULL) {
        r = arena_region_new(a, &g);
        first = 0;
    }
    if (r == 0) {
        uint32_t length = g->units[first].length;
        ASSERT(length >= n);
        arena_list_remove(g, first);
        arena_warm(a, g, first, n);
        arena_set_span(g, first, n, false);
        if (length > n)
            arena_list_add(g, first + n, length - n);
        g->used_units += n;
        a->used += (uint64_t)n * ARENA_UNIT;
        ASSERT(a->idle >= (uint64_t)n * ARENA_UNIT);
        a->idle -= (uint64_t)n * ARENA_UNIT;
        a->idle_low = MIN(a->idle_low, a->idle);
        ret->data = g->data + (size_t)first * ARENA_UNIT;
        ret->size = n * ARENA_UNIT;
        ret->region = g;
    }
    (void)pthread_mutex_unlock(&a->lock);
    return r;
}

void arena_free_block(struct arena *a, const struct arena_block *b)
{
    struct arena_region *g = b->region;
    uint32_t first = (uint32_t)((size_t)(b->data - g->data) / ARENA_UNIT);
    uint32_t n = b->size / ARENA_UNIT;
    ASSERT(a->magic == ARENA_MAGIC);
    (void)pthread_mutex_lock(&a->lock);
    ASSERT(first < ARENA_UNITS);
    ASSERT(!g->units[first].is_free);
    ASSERT(g->units[first].length == n);
    g->used_units -= n;
    a->used -= b->size;
    a->idle += b->size;
    if (first + n < ARENA_UNITS && g->units[first + n].is_free) {
        uint32_t length = g->units[first + n].length;
        arena_list_remove(g, first + n);
        n += length;
    }
    if (first > 0 && g->units[first - 1].is_free) {
        uint32_t length = g->units[first - 1].length;
        first -= length;
        arena_list_remove(g, first);
        n += length;
    }
    arena_list_add(g, first, n);
    arena_look(a);
    if (arena_is_over(a))
        arena_cool(a, g, first);
    if (g->used_units == 0 && a->regions_count > 1 && arena_is_cold(g))
        arena_region_free(a, g);
    (void)pthread_mutex_unlock(&a->lock);
}

/* --- the whole -------------------------------------------------------------------------------- */

int arena_new(uint64_t idle_max, uint32_t keep_ms, struct arena **ret)
{
    struct arena *a = calloc(1, sizeof *a);
    if (a == NULL)
        return -ENOMEM;
    a->magic = ARENA_MAGIC;
    a->idle_max = idle_max;
    a->keep_ms = keep_ms;
    (void)pthread_mutex_init(&a->lock, NULL); /* does not fail on Linux with default attributes */
    *ret = a;
    return 0;
}

struct arena *arena_free(struct arena *a)
{
    if (a == NULL)
        return NULL;
    ASSERT(a->magic == ARENA_MAGIC);
    ASSERT(a->used == 0);
    while (a->regions != NULL)
        arena_region_free(a, a->regions);
    (void)pthread_mutex_destroy(&a->lock);
    MAGIC_CLEAR(a);
    free(a);
    return NULL;
}

void arena_stat(struct arena *a, struct arena_stat *ret)
{
    ASSERT(a->magic == ARENA_MAGIC);
    (void)pthread_mutex_lock(&a->lock);
    *ret = (struct arena_stat){.used = a->used, .idle = a->idle, .regions = a->regions_count};
    (void)pthread_mutex_unlock(&a->lock);
}
