/* SPDX-License-Identifier: Apache-2.0 */
/* Shards, each a policy under a lock of its own. The policy's values are the blobs, one reference
 * each; what it gives up is let go after the lock. */
#include "store/hot.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "store/hot_policy.h"

#define HOT_SHARDS_MAX 8u                    /* each learns alone, so few */
#define HOT_SHARD_MIN  (UINT64_C(128) << 20) /* so that the largest blob fits each */
#define HOT_ENTRY_COST 128u                  /* entry and rbuf head */
#define HOT_DEAD_MAX   32u

struct hot_shard {
    pthread_mutex_t lock;
    struct hot_policy *policy;
    _Atomic uint64_t bytes; /* the policy's, for readers without the lock */
};

struct hot {
    uint32_t magic;
#define HOT_MAGIC UINT32_C(0x40735f1f)
    uint32_t shards_count;
    struct hot_shard shards[];
};

uint32_t hot_shards_count(uint64_t size_max)
{
    uint64_t n = MIN(HOT_SHARDS_MAX, size_max / HOT_SHARD_MIN);
    return size_max == 0 ? 0 : (uint32_t)MAX(n, 1);
}

/* A digest is a hash already. */
uint32_t hot_shard_number(const struct digest *d, uint32_t shards_count)
{
    return d->bytes[0] % shards_count;
}

int hot_new(uint64_t size_max, struct hot **ret)
{
    uint32_t n = hot_shards_count(size_max);
    struct hot *h = calloc(1, sizeof *h + n * sizeof h->shards[0]);
    if (h == NULL)
        return -ENOMEM;
    h->magic = HOT_MAGIC;
    for (; h->shards_count < n; h->shards_count++) {
        struct hot_shard *s = &h->shards[h->shards_count];
        int r = hot_policy_new(size_max / n, &s->policy);
        if (r < 0) {
            hot_free(h);
            return r;
        }
        (void)pthread_mutex_init(&s->lock, NULL); /* on Linux this does not fail */
    }
    *ret = h;
    return 0;
}

static void hot_let_go(void *arg, void *value)
{
    (void)arg;
    rbuf_unref(value);
}

struct hot *hot_free(struct hot *h)
{
    if (h == NULL)
        return NULL;
    ASSERT(h->magic == HOT_MAGIC);
    for (uint32_t i = 0; i < h->shards_count; i++) {
        hot_policy_free(h->shards[i].policy, hot_let_go, NULL);
        (void)pthread_mutex_destroy(&h->shards[i].lock);
    }
    MAGIC_CLEAR(h);
    free(h);
    return NULL;
}

static struct hot_shard *hot_shard_of(struct hot *h, const struct digest *d)
{
    ASSERT(h->magic == HOT_MAGIC);
    return h->shards_count == 0 ? NULL : &h->shards[hot_shard_number(d, h->shards_count)];
}

/* Giving a blob's memory back may be a system call: it waits until the lock is let go. */
struct hot_dead {
    unsigned count;
    struct rbuf *blobs[HOT_DEAD_MAX];
};

static void hot_bury(void *arg, void *value)
{
    struct hot_dead *dead = arg;
    if (dead->count < HOT_DEAD_MAX)
        dead->blobs[dead->count++] = value;
    else
        rbuf_unref(value);
}

static void hot_dead_free(struct hot_dead *dead)
{
    for (unsigned i = 0; i < dead->count; i++)
        rbuf_unref(dead->blobs[i]);
}

struct rbuf *hot_get(struct hot *h, const struct digest *d)
{
    struct hot_shard *s = hot_shard_of(h, d);
    if (s == NULL)
        return NULL;
    (void)pthread_mutex_lock(&s->lock);
    struct rbuf *blob = hot_policy_get(s->policy, d);
    if (blob != NULL)
        rbuf_ref(blob);
    (void)pthread_mutex_unlock(&s->lock);
    return blob;
}

struct rbuf *hot_look(struct hot *h, const struct digest *d)
{
    struct hot_shard *s = hot_shard_of(h, d);
    if (s == NULL)
        return NULL;
    (void)pthread_mutex_lock(&s->lock);
    struct rbuf *blob = hot_policy_look(s->policy, d);
    if (blob != NULL)
        rbuf_ref(blob);
    (void)pthread_mutex_unlock(&s->lock);
    return blob;
}

static void hot_publish(struct hot_shard *s)
{
    atomic_store_explicit(&s->bytes, hot_policy_bytes(s->policy), memory_order_relaxed);
}

typedef int hot_insert_fn(struct hot_policy *p, const struct digest *d, uint32_t cost, void *value,
                          hot_policy_out_cb *out, void *arg);

static void hot_insert_by(struct hot *h, const struct digest *d, struct rbuf *blob,
                          hot_insert_fn *insert)
{
    struct hot_shard *s = hot_shard_of(h, d);
    struct hot_dead dead = {.count = 0};
    if (s == NULL)
        return;
    uint32_t cost = rbuf_cap(blob) + HOT_ENTRY_COST; /* far below 4 GiB: RBUF_CAP_MAX */
    (void)pthread_mutex_lock(&s->lock);
    if (insert(s->policy, d, cost, blob, hot_bury, &dead) == 0)
        rbuf_ref(blob);
    hot_publish(s);
    (void)pthread_mutex_unlock(&s->lock);
    hot_dead_free(&dead);
}

void hot_insert(struct hot *h, const struct digest *d, struct rbuf *blob)
{
    hot_insert_by(h, d, blob, hot_policy_insert);
}

void hot_insert_only(struct hot *h, const struct digest *d, struct rbuf *blob)
{
    hot_insert_by(h, d, blob, hot_policy_insert_only);
}

void hot_remove(struct hot *h, const struct digest *d)
{
    struct hot_shard *s = hot_shard_of(h, d);
    if (s == NULL)
        return;
    (void)pthread_mutex_lock(&s->lock);
    struct rbuf *blob = hot_policy_remove(s->policy, d);
    hot_publish(s);
    (void)pthread_mutex_unlock(&s->lock);
    rbuf_unref(blob);
}

uint64_t hot_bytes(const struct hot *h)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < h->shards_count; i++)
        sum += atomic_load_explicit(&h->shards[i].bytes, memory_order_relaxed);
    return sum;
}
