/* SPDX-License-Identifier: Apache-2.0 */
/* Three queues a shard. A blob comes into `small`; asked for again before it reaches the tail it
 * moves to `main`, else its bytes go and its name stays in `ghost`; a name found in ghost comes
 * back straight into main. Main is a clock: what was used goes round again. A scan of one-hit
 * wonders thus passes through a tenth of the memory.
 *
 * Invariants, under the shard's lock:
 * 1. bytes == bytes of small + bytes of main <= size_max.
 * 2. An entry is in the table exactly while it is in one of the three queues.
 * 3. blob is NULL in ghost and nowhere else. */
#include "store/hot.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define HOT_SHARDS_MAX   16u
#define HOT_SHARD_MIN    (UINT64_C(128) << 20) /* so that the largest blob fits each */
#define HOT_USES_MAX     3u
#define HOT_ENTRY_COST   128u /* entry and rbuf head */
#define HOT_DEAD_MAX     32u
#define HOT_BUCKETS_MIN  256u
#define HOT_BUCKETS_MAX  (1u << 20)
#define HOT_BUCKET_BYTES (UINT64_C(64) << 10)

enum hot_queue_name { HOT_SMALL, HOT_MAIN, HOT_GHOST, HOT_QUEUES };

struct hot_entry {
    struct hot_entry *chain; /* in its bucket */
    struct hot_entry *newer, *older;
    struct rbuf *blob;
    struct digest digest;
    uint8_t uses;
    uint8_t where;
};

struct hot_queue {
    struct hot_entry *newest, *oldest;
    uint64_t bytes; /* HOT_GHOST: entries */
};

struct hot_shard {
    pthread_mutex_t lock;
    struct hot_queue queues[HOT_QUEUES];
    struct hot_entry **buckets;
    uint32_t buckets_count; /* a power of 2 */
    uint64_t size_max;
    uint64_t main_entries;
    _Atomic uint64_t bytes;
};

struct hot {
    uint32_t magic;
#define HOT_MAGIC UINT32_C(0x40735f1f)
    uint32_t shards_count;
    struct hot_shard shards[];
};

static int hot_shard_init(struct hot_shard *s, uint64_t size_max)
{
    (void)pthread_mutex_init(&s->lock, NULL); /* does not fail on Linux with default attributes */
    s->size_max = size_max;
    uint32_t n = HOT_BUCKETS_MIN;
    while (n < HOT_BUCKETS_MAX && n < size_max / HOT_BUCKET_BYTES)
        n *= 2;
    s->buckets_count = n;
    s->buckets = calloc(n, sizeof *s->buckets);
    return s->buckets != NULL ? 0 : -ENOMEM;
}

int hot_new(uint64_t size_max, struct hot **ret)
{
    uint32_t n = size_max == 0 ? 0 : (uint32_t)MIN(HOT_SHARDS_MAX, size_max / HOT_SHARD_MIN);
    if (size_max > 0 && n == 0)
        n = 1;
    struct hot *h = calloc(1, sizeof *h + n * sizeof h->shards[0]);
    if (h == NULL)
        return -ENOMEM;
    h->magic = HOT_MAGIC;
    for (; h->shards_count < n; h->shards_count++) {
        int r = hot_shard_init(&h->shards[h->shards_count], size_max / n);
        if (r < 0) {
            hot_free(h);
            return r;
        }
    }
    *ret = h;
    return 0;
}

struct hot *hot_free(struct hot *h)
{
    if (h == NULL)
        return NULL;
    ASSERT(h->magic == HOT_MAGIC);
    for (uint32_t i = 0; i < h->shards_count; i++) {
        struct hot_shard *s = &h->shards[i];
        for (unsigned q = 0; q < HOT_QUEUES; q++) {
            for (struct hot_entry *e = s->queues[q].newest; e != NULL;) {
                struct hot_entry *older = e->older;
                rbuf_unref(e->blob);
                free(e);
                e = older;
            }
        }
        free(s->buckets);
        (void)pthread_mutex_destroy(&s->lock);
    }
    MAGIC_CLEAR(h);
    free(h);
    return NULL;
}

/* A digest is a hash already: its bytes choose shard and bucket, different ones for each. */
static struct hot_shard *hot_shard_of(struct hot *h, const struct digest *d)
{
    ASSERT(h->magic == HOT_MAGIC);
    return h->shards_count == 0 ? NULL : &h->shards[d->bytes[0] % h->shards_count];
}

static struct hot_entry **hot_bucket(struct hot_shard *s, const struct digest *d)
{
    uint32_t n;
    memcpy(&n, d->bytes + 4, sizeof n);
    return &s->buckets[n & (s->buckets_count - 1)];
}

static struct hot_entry *hot_find(struct hot_shard *s, const struct digest *d)
{
    struct hot_entry *e = *hot_bucket(s, d);
    while (e != NULL && !digest_eq(&e->digest, d))
        e = e->chain;
    return e;
}

static uint64_t hot_cost(const struct rbuf *blob)
{
    return (uint64_t)rbuf_cap(blob) + HOT_ENTRY_COST;
}

static uint64_t hot_weight(const struct hot_entry *e)
{
    return e->where == HOT_GHOST ? 1 : hot_cost(e->blob);
}

static void hot_push(struct hot_shard *s, struct hot_entry *e, enum hot_queue_name where)
{
    struct hot_queue *q = &s->queues[where];
    e->where = (uint8_t)where;
    e->newer = NULL;
    e->older = q->newest;
    if (q->newest != NULL)
        q->newest->newer = e;
    else
        q->oldest = e;
    q->newest = e;
    q->bytes += hot_weight(e);
    if (where == HOT_MAIN)
        s->main_entries++;
}

static void hot_pull(struct hot_shard *s, struct hot_entry *e)
{
    struct hot_queue *q = &s->queues[e->where];
    *(e->newer != NULL ? &e->newer->older : &q->newest) = e->older;
    *(e->older != NULL ? &e->older->newer : &q->oldest) = e->newer;
    ASSERT(q->bytes >= hot_weight(e));
    q->bytes -= hot_weight(e);
    if (e->where == HOT_MAIN)
        s->main_entries--;
}

/* Giving a blob's memory back may be a system call: it waits until the lock is let go. */
struct hot_dead {
    unsigned count;
    struct rbuf *blobs[HOT_DEAD_MAX];
};

static void hot_bury(struct hot_dead *dead, struct rbuf *blob)
{
    if (dead->count < HOT_DEAD_MAX)
        dead->blobs[dead->count++] = blob;
    else
        rbuf_unref(blob);
}

static void hot_dead_free(struct hot_dead *dead)
{
    for (unsigned i = 0; i < dead->count; i++)
        rbuf_unref(dead->blobs[i]);
}

static void hot_drop(struct hot_shard *s, struct hot_entry *e, struct hot_dead *dead)
{
    struct hot_entry **at = hot_bucket(s, &e->digest);
    while (*at != e)
        at = &(*at)->chain;
    *at = e->chain;
    hot_pull(s, e);
    hot_bury(dead, e->blob);
    free(e);
}

static void hot_evict_small(struct hot_shard *s, struct hot_dead *dead)
{
    struct hot_entry *e = s->queues[HOT_SMALL].oldest;
    hot_pull(s, e);
    if (e->uses > 0) {
        e->uses = 0;
        hot_push(s, e, HOT_MAIN);
        return;
    }
    hot_bury(dead, e->blob);
    e->blob = NULL;
    hot_push(s, e, HOT_GHOST);
    /* As many names as main has blobs, and a few while it is still empty. */
    while (s->queues[HOT_GHOST].bytes > MAX(s->main_entries, 64))
        hot_drop(s, s->queues[HOT_GHOST].oldest, dead);
}

static void hot_evict_main(struct hot_shard *s, struct hot_dead *dead)
{
    struct hot_entry *e = s->queues[HOT_MAIN].oldest;
    if (e->uses == 0) {
        hot_drop(s, e, dead);
        return;
    }
    hot_pull(s, e);
    e->uses--;
    hot_push(s, e, HOT_MAIN);
}

/* Ends: each round drops an entry, moves one out of small, or takes a use away. */
static void hot_make_room(struct hot_shard *s, uint64_t size, struct hot_dead *dead)
{
    const struct hot_queue *few = &s->queues[HOT_SMALL], *most = &s->queues[HOT_MAIN];
    while (few->bytes + most->bytes + size > s->size_max) {
        if (few->oldest != NULL && (few->bytes > s->size_max / 10 || most->oldest == NULL))
            hot_evict_small(s, dead);
        else
            hot_evict_main(s, dead);
    }
}

static struct rbuf *hot_find_ref(struct hot *h, const struct digest *d, bool use)
{
    struct hot_shard *s = hot_shard_of(h, d);
    struct rbuf *blob = NULL;
    if (s == NULL)
        return NULL;
    (void)pthread_mutex_lock(&s->lock);
    struct hot_entry *e = hot_find(s, d);
    if (e != NULL && e->blob != NULL) {
        blob = rbuf_ref(e->blob);
        if (use && e->uses < HOT_USES_MAX)
            e->uses++;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return blob;
}

struct rbuf *hot_get(struct hot *h, const struct digest *d)
{
    return hot_find_ref(h, d, true);
}

struct rbuf *hot_look(struct hot *h, const struct digest *d)
{
    return hot_find_ref(h, d, false);
}

static void hot_insert_locked(struct hot_shard *s, const struct digest *d, struct rbuf *blob,
                              struct hot_dead *dead)
{
    struct hot_entry *e = hot_find(s, d);
    enum hot_queue_name where = HOT_SMALL;
    if (e != NULL) {
        if (e->blob != NULL)
            return;
        hot_drop(s, e, dead);
        where = HOT_MAIN;
    }
    e = calloc(1, sizeof *e);
    if (e == NULL)
        return;
    hot_make_room(s, hot_cost(blob), dead);
    e->digest = *d;
    e->blob = rbuf_ref(blob);
    e->chain = *hot_bucket(s, d);
    *hot_bucket(s, d) = e;
    hot_push(s, e, where);
}

static void hot_publish(struct hot_shard *s)
{
    uint64_t bytes = s->queues[HOT_SMALL].bytes + s->queues[HOT_MAIN].bytes;
    ASSERT(bytes <= s->size_max);
    atomic_store_explicit(&s->bytes, bytes, memory_order_relaxed);
}

void hot_insert(struct hot *h, const struct digest *d, struct rbuf *blob)
{
    struct hot_shard *s = hot_shard_of(h, d);
    struct hot_dead dead = {.count = 0};
    if (s == NULL || hot_cost(blob) > s->size_max)
        return;
    (void)pthread_mutex_lock(&s->lock);
    hot_insert_locked(s, d, blob, &dead);
    hot_publish(s);
    (void)pthread_mutex_unlock(&s->lock);
    hot_dead_free(&dead);
}

void hot_remove(struct hot *h, const struct digest *d)
{
    struct hot_shard *s = hot_shard_of(h, d);
    struct hot_dead dead = {.count = 0};
    if (s == NULL)
        return;
    (void)pthread_mutex_lock(&s->lock);
    struct hot_entry *e = hot_find(s, d);
    if (e != NULL)
        hot_drop(s, e, &dead);
    hot_publish(s);
    (void)pthread_mutex_unlock(&s->lock);
    hot_dead_free(&dead);
}

uint64_t hot_bytes(const struct hot *h)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < h->shards_count; i++)
        sum += atomic_load_explicit(&h->shards[i].bytes, memory_order_relaxed);
    return sum;
}
