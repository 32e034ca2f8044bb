/* SPDX-License-Identifier: Apache-2.0 */
/* Shards, each a hash table and a list by use under a lock of its own. An object in use since it
 * was last looked at is passed over once: workers that hold popular objects do not come here for
 * them, they only mark them. What is being filled stays: two fills of one body would ask twice. */
#include "edge/cache_table.h"
#include <errno.h>
#include <stdlib.h>
#include "base/log.h"

#define CACHE_SHARDS       64u
#define CACHE_BUCKETS      1024u /* of a shard; power of two */
#define CACHE_EVICT_LOOKS  64u   /* at a time */
#define CACHE_RECORD_LIMIT (OBJECTS_RECORD_MAX - 1024)

struct cache_shard {
    pthread_mutex_t lock;
    uint64_t bytes, count;
    struct cache_object *newest, *oldest;
    struct cache_object *buckets[CACHE_BUCKETS];
};

struct cache_table {
    uint32_t magic;
#define CACHE_TABLE_MAGIC UINT32_C(0xca7ab1e5)
    uint64_t shard_max;
    struct objects *records;
    struct cache_shard shards[CACHE_SHARDS];
};

int cache_table_new(uint64_t memory_max, struct objects *records, struct cache_table **ret)
{
    struct cache_table *t = calloc(1, sizeof *t);
    if (t == NULL)
        return -ENOMEM;
    t->magic = CACHE_TABLE_MAGIC;
    t->shard_max = memory_max / CACHE_SHARDS;
    t->records = records;
    for (unsigned i = 0; i < CACHE_SHARDS; i++)
        (void)pthread_mutex_init(&t->shards[i].lock, NULL);
    *ret = t;
    return 0;
}

static struct cache_shard *cache_shard_of(struct cache_table *t, const struct digest *key)
{
    ASSERT(t->magic == CACHE_TABLE_MAGIC);
    return &t->shards[key->bytes[0] % CACHE_SHARDS];
}

static struct cache_object **cache_bucket_of(struct cache_shard *s, const struct digest *key)
{
    return &s->buckets[(unsigned)(key->bytes[1] << 8 | key->bytes[2]) % CACHE_BUCKETS];
}

/* --- with the lock held ----------------------------------------------------------------------- */

static void cache_shard_unlink(struct cache_shard *s, struct cache_object *o)
{
    *(o->newer != NULL ? &o->newer->older : &s->newest) = o->older;
    *(o->older != NULL ? &o->older->newer : &s->oldest) = o->newer;
    o->newer = o->older = NULL;
}

static void cache_shard_to_front(struct cache_shard *s, struct cache_object *o)
{
    o->older = s->newest;
    o->newer = NULL;
    *(s->newest != NULL ? &s->newest->newer : &s->oldest) = o;
    s->newest = o;
}

static struct cache_object *cache_shard_find(struct cache_shard *s, const struct digest *key)
{
    struct cache_object *o = *cache_bucket_of(s, key);
    while (o != NULL && !digest_eq(&o->key, key))
        o = o->next;
    return o;
}

/* The table's reference goes to the caller, by o->next. */
static void cache_shard_take(struct cache_shard *s, struct cache_object *o,
                             struct cache_object **dead)
{
    struct cache_object **at = cache_bucket_of(s, &o->key);
    while (*at != o)
        at = &(*at)->next;
    *at = o->next;
    cache_shard_unlink(s, o);
    s->bytes -= o->memory;
    s->count--;
    o->in_table = false;
    atomic_store_explicit(&o->superseded, true, memory_order_release);
    o->next = *dead;
    *dead = o;
}

static void cache_shard_add(struct cache_shard *s, struct cache_object *o)
{
    struct cache_object **bucket = cache_bucket_of(s, &o->key);
    o->next = *bucket;
    *bucket = o;
    cache_shard_to_front(s, o);
    s->bytes += o->memory;
    s->count++;
    o->in_table = true;
    atomic_store_explicit(&o->superseded, false, memory_order_release);
}

static bool cache_is_busy(const struct cache_object *o)
{
    return o->body != NULL &&
           atomic_load_explicit(&o->body->fronts_count, memory_order_relaxed) > 0;
}

static void cache_shard_trim(struct cache_table *t, struct cache_shard *s,
                             struct cache_object **dead)
{
    for (unsigned i = 0; i < CACHE_EVICT_LOOKS && s->bytes > t->shard_max && s->count > 1; i++) {
        struct cache_object *o = s->oldest;
        if (cache_is_busy(o) || atomic_exchange_explicit(&o->used, false, memory_order_relaxed)) {
            cache_shard_unlink(s, o);
            cache_shard_to_front(s, o);
        } else {
            cache_shard_take(s, o, dead);
        }
    }
}

/* --- without it ------------------------------------------------------------------------------- */

static void cache_bury(struct cache_object *dead)
{
    while (dead != NULL) {
        struct cache_object *next = dead->next;
        dead->next = NULL;
        cache_object_unref(dead);
        dead = next;
    }
}

struct cache_table *cache_table_free(struct cache_table *t)
{
    if (t == NULL)
        return NULL;
    ASSERT(t->magic == CACHE_TABLE_MAGIC);
    for (unsigned i = 0; i < CACHE_SHARDS; i++) {
        struct cache_object *dead = NULL;
        while (t->shards[i].oldest != NULL)
            cache_shard_take(&t->shards[i], t->shards[i].oldest, &dead);
        cache_bury(dead);
        (void)pthread_mutex_destroy(&t->shards[i].lock);
    }
    MAGIC_CLEAR(t);
    free(t);
    return NULL;
}

/* Puts o unless there is one already, which is what the caller then gets. */
static struct cache_object *cache_table_settle(struct cache_table *t, struct cache_object *o)
{
    struct cache_shard *s = cache_shard_of(t, &o->key);
    struct cache_object *dead = NULL;
    (void)pthread_mutex_lock(&s->lock);
    struct cache_object *there = cache_shard_find(s, &o->key);
    if (there == NULL) {
        cache_shard_add(s, cache_object_ref(o));
        cache_shard_trim(t, s, &dead);
        there = o;
    }
    cache_object_ref(there);
    (void)pthread_mutex_unlock(&s->lock);
    cache_bury(dead);
    return there;
}

static struct cache_object *cache_table_load(struct cache_table *t, const struct digest *key)
{
    CLEAN_BUF struct buf record = BUF_EMPTY;
    CLEAN(cache_object_unref) struct cache_object *o = NULL;
    if (t->records == NULL || objects_get(t->records, key, &record) < 0 || buf_error(&record) < 0)
        return NULL;
    int r = cache_object_decode(key, buf_str(&record), &o);
    if (r < 0) {
        log_warn("a record of the cache is of no use and goes: %s", strerror(-r));
        (void)!objects_delete(t->records, key); /* or it is met again, and means nothing then */
        return NULL;
    }
    return cache_table_settle(t, o);
}

struct cache_object *cache_table_find(struct cache_table *t, const struct digest *key)
{
    struct cache_shard *s = cache_shard_of(t, key);
    (void)pthread_mutex_lock(&s->lock);
    struct cache_object *o = cache_shard_find(s, key);
    if (o != NULL) {
        cache_object_ref(o);
        atomic_store_explicit(&o->used, true, memory_order_relaxed);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return o != NULL ? o : cache_table_load(t, key);
}

void cache_table_put(struct cache_table *t, struct cache_object *o)
{
    struct cache_shard *s = cache_shard_of(t, &o->key);
    struct cache_object *dead = NULL;
    (void)pthread_mutex_lock(&s->lock);
    struct cache_object *there = cache_shard_find(s, &o->key);
    if (there != o) {
        if (there != NULL)
            cache_shard_take(s, there, &dead);
        cache_shard_add(s, cache_object_ref(o));
        cache_shard_trim(t, s, &dead);
    }
    (void)pthread_mutex_unlock(&s->lock);
    cache_bury(dead);
}

void cache_table_remove(struct cache_table *t, const struct digest *key,
                        const struct cache_object *only)
{
    struct cache_shard *s = cache_shard_of(t, key);
    struct cache_object *dead = NULL;
    (void)pthread_mutex_lock(&s->lock);
    struct cache_object *there = cache_shard_find(s, key);
    bool ours = only == NULL || there == NULL || there == only;
    if (there != NULL && ours)
        cache_shard_take(s, there, &dead);
    (void)pthread_mutex_unlock(&s->lock);
    cache_bury(dead);
    if (ours && t->records != NULL && objects_delete(t->records, key) < 0)
        log_warn("a record of the cache could not be removed");
}

void cache_table_keep(struct cache_table *t, const struct cache_object *o)
{
    if (t->records == NULL || o->kind == CACHE_PASSES)
        return;
    struct cache_shard *s = cache_shard_of(t, &o->key);
    (void)pthread_mutex_lock(&s->lock);
    struct cache_object *there = cache_shard_find(s, &o->key);
    there = there != NULL && there->body == o->body ? cache_object_ref(there) : NULL;
    (void)pthread_mutex_unlock(&s->lock);
    if (there == NULL)
        return;
    CLEAN_BUF struct buf record = BUF_EMPTY;
    if (there->body == NULL || cache_body_size(there->body) != CACHE_SIZE_UNKNOWN)
        cache_object_encode(there, &record);
    if (record.size > 0 && record.size <= CACHE_RECORD_LIMIT && buf_error(&record) == 0 &&
        objects_put(t->records, &there->key, buf_str(&record)) < 0)
        log_warn("a record of the cache could not be written");
    cache_object_unref(there);
}

void cache_table_stat(struct cache_table *t, uint64_t *ret_objects, uint64_t *ret_bytes)
{
    uint64_t count = 0, bytes = 0;
    for (unsigned i = 0; i < CACHE_SHARDS; i++) {
        struct cache_shard *s = &t->shards[i];
        (void)pthread_mutex_lock(&s->lock);
        count += s->count;
        bytes += s->bytes;
        (void)pthread_mutex_unlock(&s->lock);
    }
    *ret_objects = count;
    *ret_bytes = bytes;
}
