/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a blob, how often it was asked for and in what intervals, is its class.
 * hot_learn tells what a blob of a class is worth at its age. To make room, some are drawn and the
 * one of least value for its size goes; a newcomer that is worth much less is not let in. What is
 * given up stays on as a ghost: a request for it teaches hot_learn; it comes back with its past.
 *
 * Value is divided by the fourth root of the size. The first root makes the fewest requests miss
 * and the zeroth the fewest bytes; between the two this one was best at both against the peers
 * (docs/decisions/0104-hot-tier.md).
 *
 * Invariants:
 * 1. An entry in the table is resident (value != NULL, its number at residents[place]) or a ghost.
 * 2. bytes == sum of the residents' costs <= size_max.
 * 3. A young resident is in the queue of the young and not given up while there are others; the
 *    young's costs are young_bytes <= size_max / HOT_YOUNG_PART.
 * 4. lived <= the number of the entry's age: ages below it have been reported to hot_learn. */
#include "store/hot_policy.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include "store/hot_learn.h"

#define HOT_NONE        UINT32_MAX
#define HOT_CHUNK       1024u /* entries */
#define HOT_LINE        64u
#define HOT_ENTRIES_MAX (UINT32_C(1) << 30)
#define HOT_BUCKETS_MIN 1024u
#define HOT_CANDIDATES  64u
#define HOT_SWEEP_EVERY 32u /* requests */
#define HOT_SWEEP       48u /* entries */
#define HOT_GHOSTS_MIN  256u
#define HOT_GHOST_BYTES (UINT64_C(32) << 10) /* of size_max, a ghost each */
#define HOT_GAP_STEP    5u                   /* quarters of an octave to an interval's level */
#define HOT_GAP_LEVELS  13u
#define HOT_GAP_SHIFT   8u   /* gap is a fixed-point number */
#define HOT_GAP_AVERAGE 8u   /* intervals, about */
#define HOT_YOUNG_PART  4u   /* of size_max may be young */
#define HOT_CLEARLY     1.2f /* a newcomer stays out if what is there is worth so much more */
#define HOT_USES_LEVELS ((HOT_CLASSES - 1) / HOT_GAP_LEVELS)

/* The last count of uses of each level but the last. */
static const uint8_t hot_uses_level[HOT_USES_LEVELS - 1] = {2, 3, 5, 8, 16, 32};

struct hot_entry {
    struct digest digest;
    void *value;           /* NULL: a ghost */
    uint32_t chain;        /* in its bucket; or the next free entry */
    uint32_t place;        /* resident */
    uint32_t newer, older; /* ghost, young */
    uint32_t cost;         /* 0: the entry is free */
    uint32_t last;         /* the clock at its last request */
    float weight;          /* value is multiplied by it */
    uint16_t gap;          /* mean of the numbers of the ages at which it was asked for again */
    uint8_t uses;
    uint8_t class;
    uint8_t lived;
    bool young;
};

_Static_assert(sizeof(struct hot_entry) == HOT_LINE, "an entry is a cache line");

struct hot_policy {
    uint32_t magic;
#define HOT_POLICY_MAGIC UINT32_C(0x40706f15)
    uint32_t clock; /* requests; wraps, only differences count */
    uint64_t size_max, bytes;
    struct hot_entry **chunks;
    uint32_t chunks_count;
    uint32_t entries_made; /* those behind were never used */
    uint32_t free_first;
    uint32_t entries_count; /* in the table */
    uint32_t *buckets;
    uint32_t buckets_count; /* a power of 2 */
    uint32_t *residents;
    uint32_t residents_count, residents_cap;
    uint32_t ghost_newest, ghost_oldest, ghosts_count;
    uint32_t young_newest, young_oldest;
    uint64_t young_bytes;
    uint32_t inserted; /* the clock at the last insert */
    uint32_t swept;    /* the next entry to look at */
    uint64_t random;
    struct hot_learn learn;
};

static struct hot_entry *hot_entry(const struct hot_policy *p, uint32_t i)
{
    return &p->chunks[i / HOT_CHUNK][i % HOT_CHUNK];
}

int hot_policy_new(uint64_t size_max, struct hot_policy **ret)
{
    struct hot_policy *p = calloc(1, sizeof *p);
    if (p == NULL)
        return -ENOMEM;
    p->buckets_count = HOT_BUCKETS_MIN;
    p->buckets = malloc(p->buckets_count * sizeof *p->buckets);
    if (p->buckets == NULL) {
        free(p);
        return -ENOMEM;
    }
    memset(p->buckets, 0xff, p->buckets_count * sizeof *p->buckets); /* HOT_NONE */
    p->magic = HOT_POLICY_MAGIC;
    p->size_max = size_max;
    p->free_first = p->ghost_newest = p->ghost_oldest = HOT_NONE;
    p->young_newest = p->young_oldest = HOT_NONE;
    p->inserted = UINT32_MAX;
    hot_learn_init(&p->learn);
    *ret = p;
    return 0;
}

struct hot_policy *hot_policy_free(struct hot_policy *p, hot_policy_out_cb *out, void *arg)
{
    if (p == NULL)
        return NULL;
    ASSERT(p->magic == HOT_POLICY_MAGIC);
    for (uint32_t i = 0; i < p->residents_count; i++)
        out(arg, hot_entry(p, p->residents[i])->value);
    for (uint32_t i = 0; i < p->chunks_count; i++)
        free(p->chunks[i]);
    free(p->chunks);
    free(p->buckets);
    free(p->residents);
    MAGIC_CLEAR(p);
    free(p);
    return NULL;
}

/* --- the table -------------------------------------------------------------------------------- */

/* A digest is a hash already; its first byte chose the shard. */
static uint32_t *hot_bucket(const struct hot_policy *p, const struct digest *d)
{
    uint32_t n;
    memcpy(&n, d->bytes + 4, sizeof n);
    return &p->buckets[n & (p->buckets_count - 1)];
}

static uint32_t hot_find(const struct hot_policy *p, const struct digest *d)
{
    ASSERT(p->magic == HOT_POLICY_MAGIC);
    uint32_t i = *hot_bucket(p, d);
    while (i != HOT_NONE && !digest_eq(&hot_entry(p, i)->digest, d))
        i = hot_entry(p, i)->chain;
    return i;
}

/* Without memory the chains get longer, that is all. */
static void hot_table_grow(struct hot_policy *p)
{
    uint32_t count = p->buckets_count * 2;
    uint32_t *more = malloc(count * sizeof *more);
    if (more == NULL)
        return;
    memset(more, 0xff, count * sizeof *more);
    free(p->buckets);
    p->buckets = more;
    p->buckets_count = count;
    for (uint32_t i = 0; i < p->entries_made; i++) {
        struct hot_entry *e = hot_entry(p, i);
        if (e->cost == 0)
            continue;
        uint32_t *bucket = hot_bucket(p, &e->digest);
        e->chain = *bucket;
        *bucket = i;
    }
}

static int hot_entry_take(struct hot_policy *p, uint32_t *ret)
{
    if (p->free_first != HOT_NONE) {
        *ret = p->free_first;
        p->free_first = hot_entry(p, *ret)->chain;
        return 0;
    }
    if (p->entries_made == p->chunks_count * HOT_CHUNK) {
        struct hot_entry **more =
            p->entries_made < HOT_ENTRIES_MAX
                ? reallocarray(p->chunks, p->chunks_count + 1, sizeof *p->chunks)
                : NULL;
        if (more == NULL)
            return -ENOMEM;
        p->chunks = more;
        /* An entry is a cache line. */
        p->chunks[p->chunks_count] = aligned_alloc(HOT_LINE, HOT_CHUNK * sizeof **p->chunks);
        if (p->chunks[p->chunks_count] == NULL)
            return -ENOMEM;
        p->chunks_count++;
    }
    hot_entry(p, p->entries_made)->cost = 0;
    *ret = p->entries_made++;
    return 0;
}

static int hot_entry_add(struct hot_policy *p, const struct digest *d, uint32_t *ret)
{
    uint32_t i;
    int r = hot_entry_take(p, &i);
    if (r < 0)
        return r;
    if (p->entries_count >= p->buckets_count)
        hot_table_grow(p);
    uint32_t *bucket = hot_bucket(p, d);
    *hot_entry(p, i) =
        (struct hot_entry){.digest = *d, .chain = *bucket, .last = p->clock, .cost = 1, .uses = 1};
    *bucket = i;
    p->entries_count++;
    *ret = i;
    return 0;
}

static void hot_entry_drop(struct hot_policy *p, uint32_t i)
{
    struct hot_entry *e = hot_entry(p, i);
    uint32_t *at = hot_bucket(p, &e->digest);
    while (*at != i)
        at = &hot_entry(p, *at)->chain;
    *at = e->chain;
    e->chain = p->free_first;
    e->cost = 0;
    p->free_first = i;
    p->entries_count--;
}

/* --- residents, young ones among them, and ghosts --------------------------------------------- */

static int hot_residents_reserve(struct hot_policy *p)
{
    if (p->residents_count < p->residents_cap)
        return 0;
    uint32_t cap = MAX(p->residents_cap * 2, HOT_CHUNK);
    uint32_t *more = reallocarray(p->residents, cap, sizeof *more);
    if (more == NULL)
        return -ENOMEM;
    p->residents = more;
    p->residents_cap = cap;
    return 0;
}

static void hot_resident_push(struct hot_policy *p, uint32_t i)
{
    struct hot_entry *e = hot_entry(p, i);
    e->place = p->residents_count;
    p->residents[p->residents_count++] = i;
    p->bytes += e->cost;
    ASSERT(p->bytes <= p->size_max);
}

static void hot_young_push(struct hot_policy *p, uint32_t i)
{
    struct hot_entry *e = hot_entry(p, i);
    e->young = true;
    e->newer = HOT_NONE;
    e->older = p->young_newest;
    *(e->older != HOT_NONE ? &hot_entry(p, e->older)->newer : &p->young_oldest) = i;
    p->young_newest = i;
    p->young_bytes += e->cost;
}

static void hot_young_pull(struct hot_policy *p, uint32_t i)
{
    struct hot_entry *e = hot_entry(p, i);
    ASSERT(e->young && p->young_bytes >= e->cost);
    *(e->newer != HOT_NONE ? &hot_entry(p, e->newer)->older : &p->young_newest) = e->older;
    *(e->older != HOT_NONE ? &hot_entry(p, e->older)->newer : &p->young_oldest) = e->newer;
    p->young_bytes -= e->cost;
    e->young = false;
}

/* Its value stays in it. */
static void hot_resident_pull(struct hot_policy *p, uint32_t i)
{
    const struct hot_entry *e = hot_entry(p, i);
    ASSERT(e->value != NULL && p->residents[e->place] == i);
    if (e->young)
        hot_young_pull(p, i);
    uint32_t last = p->residents[--p->residents_count];
    p->residents[e->place] = last;
    hot_entry(p, last)->place = e->place;
    p->bytes -= e->cost;
}

static void hot_ghost_pull(struct hot_policy *p, uint32_t i)
{
    const struct hot_entry *e = hot_entry(p, i);
    *(e->newer != HOT_NONE ? &hot_entry(p, e->newer)->older : &p->ghost_newest) = e->older;
    *(e->older != HOT_NONE ? &hot_entry(p, e->older)->newer : &p->ghost_oldest) = e->newer;
    p->ghosts_count--;
}

static void hot_ghost_push(struct hot_policy *p, uint32_t i)
{
    struct hot_entry *e = hot_entry(p, i);
    e->newer = HOT_NONE;
    e->older = p->ghost_newest;
    *(e->older != HOT_NONE ? &hot_entry(p, e->older)->newer : &p->ghost_oldest) = i;
    p->ghost_newest = i;
    p->ghosts_count++;
    uint64_t most = MAX(MAX(p->size_max / HOT_GHOST_BYTES, p->residents_count), HOT_GHOSTS_MIN);
    while (p->ghosts_count > most) {
        uint32_t oldest = p->ghost_oldest;
        hot_ghost_pull(p, oldest);
        hot_entry_drop(p, oldest);
    }
}

/* --- requests --------------------------------------------------------------------------------- */

static uint8_t hot_class(const struct hot_entry *e)
{
    unsigned level = 0;
    if (e->uses < 2)
        return 0;
    while (level < ARRAY_LEN(hot_uses_level) && e->uses > hot_uses_level[level])
        level++;
    unsigned gap = (e->gap >> HOT_GAP_SHIFT) / HOT_GAP_STEP;
    return (uint8_t)(1 + level * HOT_GAP_LEVELS + MIN(gap, HOT_GAP_LEVELS - 1));
}

/* Reports what waits without being asked for. */
static void hot_sweep(struct hot_policy *p)
{
    for (unsigned i = 0; i < MIN(HOT_SWEEP, p->entries_made); i++) {
        p->swept = p->swept + 1 < p->entries_made ? p->swept + 1 : 0;
        struct hot_entry *e = hot_entry(p, p->swept);
        unsigned age = hot_learn_age(p->clock - e->last);
        if (e->cost == 0 || age <= e->lived)
            continue;
        hot_learn_lived(&p->learn, e->class, e->lived, age);
        e->lived = (uint8_t)age;
    }
}

static void hot_tick(struct hot_policy *p)
{
    p->clock++;
    if (p->clock % HOT_SWEEP_EVERY == 0)
        hot_sweep(p);
}

static void hot_use(struct hot_policy *p, struct hot_entry *e)
{
    unsigned age = hot_learn_age(p->clock - e->last);
    hot_learn_used(&p->learn, e->class, MIN(e->lived, age), age);
    int gap = (int)(age << HOT_GAP_SHIFT);
    int before = e->uses < 2 ? gap : e->gap;
    int share = e->uses < HOT_GAP_AVERAGE ? (gap - before) / e->uses
                                          : (gap - before) / (int)HOT_GAP_AVERAGE;
    e->gap = (uint16_t)(before + share);
    if (e->uses < UINT8_MAX)
        e->uses++;
    e->last = p->clock;
    e->lived = 0;
    e->class = hot_class(e);
}

void *hot_policy_get(struct hot_policy *p, const struct digest *d)
{
    uint32_t i = hot_find(p, d);
    hot_tick(p);
    if (i == HOT_NONE)
        return NULL;
    struct hot_entry *e = hot_entry(p, i);
    hot_use(p, e);
    return e->value;
}

void *hot_policy_look(const struct hot_policy *p, const struct digest *d)
{
    uint32_t i = hot_find(p, d);
    return i == HOT_NONE ? NULL : hot_entry(p, i)->value;
}

/* --- making room ------------------------------------------------------------------------------ */

static float hot_value(const struct hot_policy *p, const struct hot_entry *e)
{
    return hot_learn_value(&p->learn, e->class, p->clock - e->last) * e->weight;
}

/* SplitMix64. */
static uint64_t hot_random(struct hot_policy *p)
{
    uint64_t z = p->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* All when they are few. Prefetched, since each is somewhere else. */
static unsigned hot_draw(struct hot_policy *p, uint32_t *candidates)
{
    unsigned count = MIN(HOT_CANDIDATES, p->residents_count);
    for (unsigned i = 0; i < count; i++) {
        uint64_t from = i;
        if (p->residents_count > HOT_CANDIDATES)
            from = ((hot_random(p) >> 32) * p->residents_count) >> 32;
        candidates[i] = p->residents[from];
        __builtin_prefetch(hot_entry(p, candidates[i]));
    }
    return count;
}

static uint32_t hot_least(struct hot_policy *p, float *ret_value)
{
    uint32_t candidates[HOT_CANDIDATES];
    unsigned count = hot_draw(p, candidates);
    uint32_t least = HOT_NONE;
    float least_value = 0;
    for (unsigned i = 0; i < count; i++) {
        if (hot_entry(p, candidates[i])->young)
            continue;
        float value = hot_value(p, hot_entry(p, candidates[i]));
        if (least != HOT_NONE && value > least_value)
            continue;
        /* Among equals the one that waits longest. */
        if (least != HOT_NONE && value >= least_value &&
            p->clock - hot_entry(p, candidates[i])->last <= p->clock - hot_entry(p, least)->last)
            continue;
        least = candidates[i];
        least_value = value;
    }
    if (least == HOT_NONE) { /* all young: the one who has been so for longest */
        least = p->young_oldest;
        ASSERT(least != HOT_NONE);
        least_value = hot_value(p, hot_entry(p, least));
    }
    *ret_value = least_value;
    return least;
}

/* For e, which is neither resident nor ghost; at_any_price: also if e is worth less. Those that
 * would have to go are set aside, chained by older, until it is clear that e is worth it. */
static int hot_make_room(struct hot_policy *p, const struct hot_entry *e, bool at_any_price,
                         hot_policy_out_cb *out, void *arg)
{
    float mine = hot_value(p, e);
    uint32_t aside = HOT_NONE;
    int r = 0;
    while (p->bytes + e->cost > p->size_max) {
        float value = 0;
        uint32_t least = hot_least(p, &value);
        if (!at_any_price && value > mine * HOT_CLEARLY) {
            r = -ENOSPC;
            break;
        }
        hot_resident_pull(p, least);
        hot_entry(p, least)->older = aside;
        aside = least;
    }
    while (aside != HOT_NONE) {
        uint32_t i = aside;
        struct hot_entry *gone = hot_entry(p, i);
        aside = gone->older;
        if (r < 0) {
            hot_resident_push(p, i);
            continue;
        }
        out(arg, gone->value);
        gone->value = NULL;
        hot_ghost_push(p, i);
    }
    return r;
}

static int hot_insert_as(struct hot_policy *p, const struct digest *d, uint32_t cost, void *value,
                         bool young, hot_policy_out_cb *out, void *arg)
{
    ASSERT(cost > 0 && value != NULL);
    uint32_t i = hot_find(p, d);
    if (i != HOT_NONE && hot_entry(p, i)->value != NULL)
        return -EEXIST;
    if (cost > p->size_max)
        return -E2BIG;
    if (p->inserted == p->clock)
        hot_tick(p); /* a put that nobody asked for: such grow old too */
    p->inserted = p->clock;
    int r = 0;
    if (i != HOT_NONE)
        hot_ghost_pull(p, i);
    else
        r = hot_entry_add(p, d, &i);
    if (r < 0)
        return r;
    struct hot_entry *e = hot_entry(p, i);
    e->cost = cost;
    e->weight = 1 / sqrtf(sqrtf((float)cost));
    r = hot_residents_reserve(p);
    if (r == 0)
        r = hot_make_room(p, e, young, out, arg);
    if (r < 0) {
        hot_ghost_push(p, i);
        return r;
    }
    e->value = value;
    hot_resident_push(p, i);
    if (young)
        hot_young_push(p, i);
    return 0;
}

int hot_policy_insert(struct hot_policy *p, const struct digest *d, uint32_t cost, void *value,
                      hot_policy_out_cb *out, void *arg)
{
    return hot_insert_as(p, d, cost, value, false, out, arg);
}

int hot_policy_insert_only(struct hot_policy *p, const struct digest *d, uint32_t cost, void *value,
                           hot_policy_out_cb *out, void *arg)
{
    bool young = cost <= p->size_max / HOT_YOUNG_PART;
    while (young && p->young_bytes + cost > p->size_max / HOT_YOUNG_PART)
        hot_young_pull(p, p->young_oldest);
    return hot_insert_as(p, d, cost, value, young, out, arg);
}

void *hot_policy_remove(struct hot_policy *p, const struct digest *d)
{
    uint32_t i = hot_find(p, d);
    if (i == HOT_NONE)
        return NULL;
    void *value = hot_entry(p, i)->value;
    if (value != NULL)
        hot_resident_pull(p, i);
    else
        hot_ghost_pull(p, i);
    hot_entry_drop(p, i);
    return value;
}

uint64_t hot_policy_bytes(const struct hot_policy *p)
{
    return p->bytes;
}
