/* SPDX-License-Identifier: Apache-2.0 */
/* What is not yet in the file. It is bounded: when the writer falls behind, a put becomes a delete,
 * and when there are too many of those everything in the file counts as gone until the writer has
 * dropped it. So nobody ever sees a record older than the last put of its key. */
#include <errno.h>
#include <stdlib.h>
#include <xxhash.h>
#include "store/objects_priv.h"

#define OVERLAY_PUTS_MAX (UINT64_C(64) << 20)
#define OVERLAY_MAX      (UINT64_C(80) << 20) /* with deletes */

uint64_t objects_row_sum(const struct digest *key, const void *data, size_t size)
{
    return XXH3_64bits_withSeed(data, size, XXH3_64bits(key->bytes, sizeof key->bytes));
}

static struct objects_shard *overlay_shard(struct objects *o, const struct digest *key)
{
    return &o->shards[key->bytes[0] % OBJECTS_SHARDS];
}

static struct objects_entry **overlay_find(struct objects_map *m, const struct digest *key)
{
    unsigned bucket = (key->bytes[1] | (unsigned)key->bytes[2] << 8) % OBJECTS_BUCKETS;
    struct objects_entry **at = &m->buckets[bucket];
    while (*at != NULL && !digest_eq(&(*at)->key, key))
        at = &(*at)->next;
    return at;
}

static uint64_t entry_bytes(const struct objects_entry *e)
{
    return sizeof *e + e->size;
}

static void overlay_remove(struct objects *o, struct objects_map *m, struct objects_entry **at)
{
    struct objects_entry *e = *at;
    *at = e->next;
    m->bytes -= entry_bytes(e);
    m->count--;
    atomic_fetch_sub_explicit(&o->overlay_bytes, entry_bytes(e), memory_order_relaxed);
    free(e);
}

/* Takes e over. */
static void overlay_insert(struct objects *o, struct objects_map *m, struct objects_entry *e)
{
    struct objects_entry **at = overlay_find(m, &e->key);
    if (*at != NULL)
        overlay_remove(o, m, at);
    e->next = *at;
    *at = e;
    m->bytes += entry_bytes(e);
    m->count++;
    atomic_fetch_add_explicit(&o->overlay_bytes, entry_bytes(e), memory_order_relaxed);
}

void objects_forget(struct objects *o)
{
    atomic_fetch_add(&o->forget_wanted, 1);
}

bool objects_overlay_blind(const struct objects *o)
{
    return atomic_load(&o->forget_wanted) != atomic_load(&o->forget_done) ||
           atomic_load(&o->broken);
}

static struct objects_entry *entry_new(const struct digest *key, struct str record, bool gone)
{
    size_t size = gone ? 0 : OBJECTS_SUM_SIZE + record.size;
    struct objects_entry *e = malloc(sizeof *e + size);
    if (e == NULL)
        return NULL;
    *e = (struct objects_entry){.key = *key, .gone = gone, .size = (uint32_t)size};
    if (!gone) {
        uint64_t sum = objects_row_sum(key, record.data, record.size);
        for (unsigned i = 0; i < OBJECTS_SUM_SIZE; i++)
            e->row[i] = (uint8_t)(sum >> 8 * i);
        if (record.size > 0)
            memcpy(e->row + OBJECTS_SUM_SIZE, record.data, record.size);
    }
    return e;
}

static void overlay_dropped(struct objects *o)
{
    atomic_fetch_add_explicit(&o->dropped, 1, memory_order_relaxed);
    metric_add(o->m_dropped, 1);
}

int objects_overlay_put(struct objects *o, const struct digest *key, struct str record, bool gone)
{
    uint64_t held = atomic_load_explicit(&o->overlay_bytes, memory_order_relaxed);
    if (!gone && held + record.size > OVERLAY_PUTS_MAX) {
        gone = true;
        record = STR_NONE;
        overlay_dropped(o);
    }
    struct objects_entry *e = held < OVERLAY_MAX ? entry_new(key, record, gone) : NULL;
    struct objects_shard *s = overlay_shard(o, key);
    (void)pthread_mutex_lock(&s->lock);
    if (e != NULL) {
        overlay_insert(o, &s->fresh, e);
    } else {
        /* What is in the file goes by the forgetting, what is being written goes into the file
         * before that. */
        struct objects_entry **at = overlay_find(&s->fresh, key);
        if (*at != NULL)
            overlay_remove(o, &s->fresh, at);
        objects_forget(o);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return e == NULL && held < OVERLAY_MAX ? -ENOMEM : 0;
}

int objects_overlay_get(struct objects *o, const struct digest *key, struct buf *out)
{
    struct objects_shard *s = overlay_shard(o, key);
    (void)pthread_mutex_lock(&s->lock);
    struct objects_entry *e = *overlay_find(&s->fresh, key);
    /* A forgetting is meant for what is on its way into the file, too. */
    if (e == NULL && !objects_overlay_blind(o))
        e = *overlay_find(&s->writing, key);
    int r = e == NULL ? -EAGAIN : e->gone ? -ENOENT : 0;
    if (r == 0) {
        buf_put(out, e->row + OBJECTS_SUM_SIZE, e->size - OBJECTS_SUM_SIZE);
        r = buf_error(out);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return r;
}

void objects_overlay_drop(struct objects *o, const struct digest *key)
{
    struct objects_entry *e = entry_new(key, STR_NONE, true);
    struct objects_shard *s = overlay_shard(o, key);
    if (e == NULL)
        return; /* it is found damaged again */
    (void)pthread_mutex_lock(&s->lock);
    if (*overlay_find(&s->fresh, key) == NULL && *overlay_find(&s->writing, key) == NULL)
        overlay_insert(o, &s->fresh, e);
    else
        free(e);
    (void)pthread_mutex_unlock(&s->lock);
}

bool objects_overlay_take(struct objects *o, unsigned shard)
{
    struct objects_shard *s = &o->shards[shard];
    (void)pthread_mutex_lock(&s->lock);
    ASSERT(s->writing.count == 0);
    bool any = s->fresh.count > 0;
    if (any) {
        struct objects_map empty = s->writing;
        s->writing = s->fresh;
        s->fresh = empty;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return any;
}

void objects_overlay_written(struct objects *o, unsigned shard, bool lost)
{
    struct objects_shard *s = &o->shards[shard];
    (void)pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < OBJECTS_BUCKETS; i++) {
        while (s->writing.buckets[i] != NULL) {
            struct objects_entry *e = s->writing.buckets[i];
            struct objects_entry *gone = NULL;
            if (lost && *overlay_find(&s->fresh, &e->key) == NULL) {
                gone = entry_new(&e->key, STR_NONE, true);
                if (gone == NULL)
                    objects_forget(o);
            }
            if (lost && !e->gone)
                overlay_dropped(o);
            overlay_remove(o, &s->writing, &s->writing.buckets[i]);
            if (gone != NULL)
                overlay_insert(o, &s->fresh, gone);
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
}

int objects_overlay_init(struct objects *o)
{
    int r = 0;
    for (unsigned i = 0; i < OBJECTS_SHARDS; i++) {
        struct objects_shard *s = &o->shards[i];
        (void)pthread_mutex_init(&s->lock, NULL); /* does not fail on Linux with defaults */
        s->fresh.buckets = calloc(OBJECTS_BUCKETS, sizeof *s->fresh.buckets);
        s->writing.buckets = calloc(OBJECTS_BUCKETS, sizeof *s->writing.buckets);
        if (s->fresh.buckets == NULL || s->writing.buckets == NULL)
            r = -ENOMEM;
    }
    return r;
}

static void overlay_map_free(struct objects *o, struct objects_map *m)
{
    for (unsigned i = 0; i < OBJECTS_BUCKETS && m->buckets != NULL; i++) {
        while (m->buckets[i] != NULL)
            overlay_remove(o, m, &m->buckets[i]);
    }
    free(m->buckets);
}

void objects_overlay_free(struct objects *o)
{
    for (unsigned i = 0; i < OBJECTS_SHARDS; i++) {
        overlay_map_free(o, &o->shards[i].fresh);
        overlay_map_free(o, &o->shards[i].writing);
        (void)pthread_mutex_destroy(&o->shards[i].lock);
    }
}
