/* SPDX-License-Identifier: Apache-2.0 */
/* Each part keeps TOP_ENTRIES names in a hash table and in a heap with the least requests on top: a
 * new name takes the place of that one. Counts decay without being touched: what comes later
 * counts more, by a weight that doubles each half-life, and all is divided by the present weight
 * when it is told. */
#include "edge/top.h"
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include "base/clock.h"

#define TOP_BUCKETS     (2 * TOP_ENTRIES)
#define TOP_NONE        UINT32_MAX
#define TOP_TICK_MS     125 /* the weight is reckoned anew that often */
#define TOP_TICK_WHOLE  64  /* requests of a tick that are all taken */
#define TOP_TICK_SAMPLE 8   /* then one of so many */
#define TOP_DOUBLINGS   500 /* beyond that the counts are scaled down: a double ends at 1023 */
#define TOP_PARTS_MAX   256

struct top_entry {
    uint64_t hash;
    double requests, bytes, hits, error; /* in weights */
    uint32_t chain;                      /* the next in the bucket */
    uint32_t place;                      /* in the heap */
    uint32_t group;
    uint8_t size;
    char name[TOP_NAME_MAX];
};

struct top {
    uint32_t magic;
#define TOP_MAGIC UINT32_C(0x70b0a55e)
    struct tops *set;
    pthread_mutex_t lock; /* the worker counts, others list now and then */
    uint64_t seed;
    uint64_t started_ms; /* the weight was 1 */
    uint64_t tick;
    double weight;
    unsigned tick_requests;
    unsigned skipped;
    uint32_t count;
    uint32_t buckets[TOP_BUCKETS];
    uint32_t heap[TOP_ENTRIES];
    struct top_entry entries[TOP_ENTRIES];
};

struct tops {
    uint32_t magic;
#define TOPS_MAGIC UINT32_C(0x70b5a55e)
    pthread_mutex_t lock;
    struct top *parts[TOP_PARTS_MAX];
    unsigned parts_count;
};

int tops_new(struct tops **ret)
{
    struct tops *t = calloc(1, sizeof *t);
    if (t == NULL)
        return -ENOMEM;
    t->magic = TOPS_MAGIC;
    (void)pthread_mutex_init(&t->lock, NULL);
    *ret = t;
    return 0;
}

struct tops *tops_free(struct tops *t)
{
    if (t == NULL)
        return NULL;
    ASSERT(t->magic == TOPS_MAGIC);
    ASSERT(t->parts_count == 0);
    (void)pthread_mutex_destroy(&t->lock);
    MAGIC_CLEAR(t);
    free(t);
    return NULL;
}

int top_new(struct tops *set, struct top **ret)
{
    ASSERT(set->magic == TOPS_MAGIC);
    struct top *t = calloc(1, sizeof *t);
    if (t == NULL)
        return -ENOMEM;
    t->magic = TOP_MAGIC;
    t->set = set;
    t->started_ms = clock_mono_ms();
    t->seed = (uint64_t)(uintptr_t)t ^ clock_mono_us(); /* so that nobody plans collisions */
    t->weight = 1;
    memset(t->buckets, 0xff, sizeof t->buckets); /* TOP_NONE */
    (void)pthread_mutex_init(&t->lock, NULL);
    (void)pthread_mutex_lock(&set->lock);
    bool fits = set->parts_count < TOP_PARTS_MAX;
    if (fits)
        set->parts[set->parts_count++] = t;
    (void)pthread_mutex_unlock(&set->lock);
    if (!fits) {
        t->set = NULL;
        top_free(t);
        return -E2BIG;
    }
    *ret = t;
    return 0;
}

struct top *top_free(struct top *t)
{
    if (t == NULL)
        return NULL;
    ASSERT(t->magic == TOP_MAGIC);
    struct tops *set = t->set;
    if (set != NULL) {
        (void)pthread_mutex_lock(&set->lock);
        unsigned i = 0;
        while (set->parts[i] != t)
            i++;
        set->parts[i] = set->parts[--set->parts_count];
        (void)pthread_mutex_unlock(&set->lock);
    }
    (void)pthread_mutex_destroy(&t->lock);
    MAGIC_CLEAR(t);
    free(t);
    return NULL;
}

/* --- the heap --------------------------------------------------------------------------------- */

static double top_at(const struct top *t, uint32_t place)
{
    return t->entries[t->heap[place]].requests;
}

static void top_put(struct top *t, uint32_t place, uint32_t entry)
{
    t->heap[place] = entry;
    t->entries[entry].place = place;
}

static void top_swap(struct top *t, uint32_t a, uint32_t b)
{
    uint32_t entry = t->heap[a];
    top_put(t, a, t->heap[b]);
    top_put(t, b, entry);
}

/* Its requests have become more. */
static void top_sink(struct top *t, uint32_t place)
{
    for (;;) {
        uint32_t least = place;
        for (uint32_t child = 2 * place + 1; child <= 2 * place + 2; child++)
            if (child < t->count && top_at(t, child) < top_at(t, least))
                least = child;
        if (least == place)
            return;
        top_swap(t, place, least);
        place = least;
    }
}

/* It is new, and has the least perhaps. */
static void top_rise(struct top *t, uint32_t place)
{
    while (place > 0 && top_at(t, place) < top_at(t, (place - 1) / 2)) {
        top_swap(t, place, (place - 1) / 2);
        place = (place - 1) / 2;
    }
}

/* --- counting --------------------------------------------------------------------------------- */

/* FNV-1a: names are short. */
static uint64_t top_hash(const struct top *t, uint32_t group, struct str name)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325) ^ t->seed ^ group;
    for (size_t i = 0; i < name.size; i++)
        h = (h ^ (unsigned char)name.data[i]) * UINT64_C(0x100000001b3);
    return h ^ h >> 32;
}

static uint32_t top_find(const struct top *t, uint64_t hash, uint32_t group, struct str name)
{
    for (uint32_t i = t->buckets[hash % TOP_BUCKETS]; i != TOP_NONE; i = t->entries[i].chain) {
        const struct top_entry *e = &t->entries[i];
        if (e->hash == hash && e->group == group && e->size == name.size &&
            memcmp(e->name, name.data, name.size) == 0)
            return i;
    }
    return TOP_NONE;
}

static void top_unchain(struct top *t, uint32_t i)
{
    uint32_t *at = &t->buckets[t->entries[i].hash % TOP_BUCKETS];
    while (*at != i)
        at = &t->entries[*at].chain;
    *at = t->entries[i].chain;
}

/* An entry for a new name: a free one, or that of the name with the least requests, whose count may
 * have been the new name's as well. */
static uint32_t top_take(struct top *t, uint64_t hash, uint32_t group, struct str name)
{
    uint32_t i = t->count;
    double before = 0;
    if (t->count < TOP_ENTRIES) {
        t->count++;
        t->entries[i].requests = 0;
        top_put(t, i, i);
    } else {
        i = t->heap[0];
        before = t->entries[i].requests;
        top_unchain(t, i);
    }
    struct top_entry *e = &t->entries[i];
    uint32_t place = e->place;
    *e = (struct top_entry){.hash = hash,
                            .requests = before,
                            .error = before,
                            .chain = t->buckets[hash % TOP_BUCKETS],
                            .place = place,
                            .group = group,
                            .size = (uint8_t)name.size};
    if (name.size > 0)
        memcpy(e->name, name.data, name.size);
    t->buckets[hash % TOP_BUCKETS] = i;
    if (before == 0)
        top_rise(t, place);
    return i;
}

static void top_scale(struct top *t)
{
    for (uint32_t i = 0; i < t->count; i++) {
        struct top_entry *e = &t->entries[i];
        e->requests /= t->weight;
        e->bytes /= t->weight;
        e->hits /= t->weight;
        e->error /= t->weight;
    }
    t->weight = 1;
}

/* The weight of now. A time before the last one counts as that. */
static void top_advance(struct top *t, uint64_t now_ms)
{
    uint64_t tick = now_ms <= t->started_ms ? 0 : (now_ms - t->started_ms) / TOP_TICK_MS;
    if (tick <= t->tick)
        return;
    double doublings = (double)tick * TOP_TICK_MS / TOP_HALF_LIFE_MS;
    if (doublings > TOP_DOUBLINGS) {
        double since = (double)(tick - t->tick) * TOP_TICK_MS / TOP_HALF_LIFE_MS;
        t->weight = since > TOP_DOUBLINGS ? INFINITY : t->weight * exp2(since);
        top_scale(t); /* after a very long silence everything becomes nothing */
        t->started_ms = now_ms;
        tick = 0;
    } else {
        t->weight = exp2(doublings);
    }
    t->tick = tick;
    t->tick_requests = 0;
    t->skipped = 0;
}

/* How many requests this one stands for; 0: it is not taken. */
static unsigned top_sample(struct top *t)
{
    if (t->tick_requests < TOP_TICK_WHOLE) {
        t->tick_requests++;
        return 1;
    }
    if (++t->skipped < TOP_TICK_SAMPLE)
        return 0;
    t->skipped = 0;
    return TOP_TICK_SAMPLE;
}

void top_count(struct top *t, uint32_t group, struct str name, uint64_t bytes, bool hit,
               uint64_t now_ms)
{
    ASSERT(t->magic == TOP_MAGIC);
    if (name.size > TOP_NAME_MAX)
        name = str_skip(name, name.size - TOP_NAME_MAX);
    (void)pthread_mutex_lock(&t->lock);
    top_advance(t, now_ms);
    unsigned stands_for = top_sample(t);
    if (stands_for > 0) {
        uint64_t hash = top_hash(t, group, name);
        uint32_t i = top_find(t, hash, group, name);
        if (i == TOP_NONE)
            i = top_take(t, hash, group, name);
        struct top_entry *e = &t->entries[i];
        double weight = t->weight * stands_for;
        e->requests += weight;
        e->bytes += weight * (double)bytes;
        e->hits += hit ? weight : 0;
        top_sink(t, e->place);
    }
    (void)pthread_mutex_unlock(&t->lock);
}

/* --- telling ---------------------------------------------------------------------------------- */

/* A steady stream of r requests a second adds up to r * half-life / ln 2. */
static void top_gather(struct top *t, uint64_t now_ms, struct top_entry *out, unsigned *count)
{
    (void)pthread_mutex_lock(&t->lock);
    top_advance(t, now_ms);
    double rate = M_LN2 / (TOP_HALF_LIFE_MS / 1000.0) / t->weight;
    for (uint32_t i = 0; i < t->count; i++) {
        struct top_entry *e = &out[(*count)++];
        *e = t->entries[i];
        e->requests *= rate;
        e->bytes *= rate;
        e->hits *= rate;
        e->error *= rate;
    }
    (void)pthread_mutex_unlock(&t->lock);
}

static int top_by_name(const void *left, const void *right)
{
    const struct top_entry *a = left, *b = right;
    if (a->group != b->group)
        return a->group < b->group ? -1 : 1;
    if (a->size != b->size)
        return a->size < b->size ? -1 : 1;
    return memcmp(a->name, b->name, a->size);
}

static int top_by_requests(const void *left, const void *right)
{
    const struct top_entry *a = left, *b = right;
    if (a->requests != b->requests)
        return a->requests > b->requests ? -1 : 1;
    return top_by_name(left, right);
}

/* What several workers know of one name becomes one. */
static unsigned top_merge(struct top_entry *list, unsigned count)
{
    unsigned kept = 0;
    qsort(list, count, sizeof *list, top_by_name);
    for (unsigned i = 0; i < count; i++) {
        if (kept > 0 && top_by_name(&list[kept - 1], &list[i]) == 0) {
            list[kept - 1].requests += list[i].requests;
            list[kept - 1].bytes += list[i].bytes;
            list[kept - 1].hits += list[i].hits;
            list[kept - 1].error += list[i].error;
        } else {
            list[kept++] = list[i];
        }
    }
    qsort(list, kept, sizeof *list, top_by_requests);
    return kept;
}

static void top_row_of(const struct top_entry *e, struct top_row *row)
{
    *row = (struct top_row){.group = e->group,
                            .requests_per_s = e->requests,
                            .bytes_per_s = e->bytes,
                            .error = e->error};
    double own = e->requests - e->error;
    row->hit_ratio = own > 0 ? MIN(e->hits / own, 1.0) : 0;
    memcpy(row->name, e->name, e->size);
}

int tops_list(struct tops *set, unsigned rows_max, uint64_t now_ms, struct top_row *ret,
              unsigned *ret_count)
{
    ASSERT(set->magic == TOPS_MAGIC);
    ASSERT(rows_max <= TOP_ROWS_MAX);
    unsigned count = 0;
    (void)pthread_mutex_lock(&set->lock); /* so that no part goes meanwhile */
    struct top_entry *list = calloc((size_t)MAX(set->parts_count, 1) * TOP_ENTRIES, sizeof *list);
    for (unsigned i = 0; list != NULL && i < set->parts_count; i++)
        top_gather(set->parts[i], now_ms, list, &count);
    (void)pthread_mutex_unlock(&set->lock);
    if (list == NULL)
        return -ENOMEM;
    count = top_merge(list, count);
    count = MIN(count, rows_max);
    for (unsigned i = 0; i < count; i++)
        top_row_of(&list[i], &ret[i]);
    free(list);
    *ret_count = count;
    return 0;
}
