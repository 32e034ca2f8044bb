/* SPDX-License-Identifier: Apache-2.0 */
/* A hash table of chains under one lock: it is held for a few instructions once a connection, and
 * once a piece of a paced answer. The hash is seeded, so that nobody can choose addresses that
 * meet in one chain. */
#include "http/http_limit.h"
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "base/clock.h"

#define LIMIT_BUCKETS_FIRST 256u
#define LIMIT_QUANTUM_MAX   (64u << 10) /* what a wait is worth, if a fiftieth second is more */
#define LIMIT_QUANTUM_MIN   2048u

struct http_limit {
    struct http_limit *next;
    uint64_t key[2];
    unsigned count;
    struct http_bucket bucket;
};

struct http_limits {
    uint32_t magic;
#define HTTP_LIMITS_MAGIC UINT32_C(0x71b3e0c4)
    pthread_mutex_t lock;
    uint64_t seed;
    struct http_limit **buckets; /* under lock, as all below */
    unsigned buckets_count;      /* a power of two */
    unsigned count;
};

/* --- buckets ---------------------------------------------------------------------------------- */

static void http_bucket_fill(struct http_bucket *b, uint64_t now_us)
{
    uint64_t passed = now_us > b->at_us ? now_us - b->at_us : 0;
    b->at_us = now_us;
    /* From empty to full in at most burst / rate seconds: more would only overflow. */
    uint64_t enough_us = (b->burst + LIMIT_QUANTUM_MAX) / b->rate * 1000000 + 4000000;
    if (b->tokens < 0)
        enough_us += (uint64_t)-b->tokens / b->rate * 1000000;
    passed = MIN(passed, enough_us);
    uint64_t more = passed / 1000000 * b->rate + passed % 1000000 * b->rate / 1000000;
    int64_t room = (int64_t)b->burst - b->tokens;
    b->tokens += MIN((int64_t)MIN(more, (uint64_t)INT64_MAX / 2), MAX(room, 0));
}

uint64_t http_bucket_ask(struct http_bucket *b, uint64_t rate, uint64_t burst, uint64_t now_us,
                         uint64_t want, uint64_t *ret_wait_us)
{
    ASSERT(rate > 0);
    ASSERT(want > 0);
    /* Pieces worth a fiftieth of a second: less would be small records, more would be jerks. */
    uint64_t rate_max = UINT64_C(1) << 40;
    rate = MIN(rate, rate_max);
    uint64_t quantum = MIN(MAX(rate / 50, LIMIT_QUANTUM_MIN), LIMIT_QUANTUM_MAX);
    burst = MIN(MAX(burst, quantum), rate_max);
    if (b->at_us == 0)
        *b = (struct http_bucket){.tokens = (int64_t)burst, .at_us = now_us};
    b->rate = rate;
    b->burst = burst;
    http_bucket_fill(b, now_us);
    uint64_t least = MIN(quantum, want);
    if (b->tokens >= (int64_t)least)
        return MIN((uint64_t)b->tokens, want);
    uint64_t missing = (uint64_t)((int64_t)least - b->tokens);
    *ret_wait_us = missing / rate * 1000000 + missing % rate * 1000000 / rate + 1;
    return 0;
}

void http_bucket_take(struct http_bucket *b, uint64_t bytes)
{
    b->tokens -= (int64_t)MIN(bytes, (uint64_t)INT32_MAX);
}

/* --- addresses -------------------------------------------------------------------------------- */

static int http_limit_key(const struct sockaddr *address, uint64_t key[2])
{
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    if (address->sa_family == AF_INET) {
        memcpy(&in, address, sizeof in);
        key[0] = 0;
        key[1] = UINT64_C(0xffff00000000) | ntohl(in.sin_addr.s_addr);
        return 0;
    }
    if (address->sa_family != AF_INET6)
        return -EAFNOSUPPORT;
    memcpy(&in6, address, sizeof in6);
    if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
        uint32_t v4;
        memcpy(&v4, &in6.sin6_addr.s6_addr[12], sizeof v4);
        key[0] = 0;
        key[1] = UINT64_C(0xffff00000000) | ntohl(v4);
        return 0;
    }
    memcpy(&key[0], in6.sin6_addr.s6_addr, sizeof key[0]);
    key[1] = 1; /* so that ::/64 is not what an address of IPv4 is */
    return 0;
}

static unsigned http_limit_slot(const struct http_limits *l, const uint64_t key[2])
{
    uint64_t h = (key[0] ^ l->seed) * UINT64_C(0x9e3779b97f4a7c15);
    h = (h ^ (h >> 32) ^ key[1]) * UINT64_C(0xc2b2ae3d27d4eb4f);
    h ^= h >> 29;
    return (unsigned)((h * (l->seed | 1)) >> 32) & (l->buckets_count - 1);
}

int http_limits_new(struct http_limits **ret)
{
    struct http_limits *l = calloc(1, sizeof *l);
    if (l == NULL)
        return -ENOMEM;
    l->buckets = calloc(LIMIT_BUCKETS_FIRST, sizeof(struct http_limit *));
    if (l->buckets == NULL || getrandom(&l->seed, sizeof l->seed, 0) != sizeof l->seed) {
        int r = l->buckets == NULL ? -ENOMEM : -EIO;
        free(l->buckets);
        free(l);
        return r;
    }
    l->magic = HTTP_LIMITS_MAGIC;
    l->buckets_count = LIMIT_BUCKETS_FIRST;
    (void)pthread_mutex_init(&l->lock, NULL); /* cannot fail with default attributes */
    *ret = l;
    return 0;
}

struct http_limits *http_limits_free(struct http_limits *l)
{
    if (l == NULL)
        return NULL;
    ASSERT(l->magic == HTTP_LIMITS_MAGIC);
    for (unsigned i = 0; i < l->buckets_count; i++) {
        while (l->buckets[i] != NULL) { /* of connections that were left behind at a stop */
            struct http_limit *next = l->buckets[i]->next;
            free(l->buckets[i]);
            l->buckets[i] = next;
        }
    }
    free(l->buckets);
    (void)pthread_mutex_destroy(&l->lock);
    MAGIC_CLEAR(l);
    free(l);
    return NULL;
}

/* Twice as many chains; out of memory they just grow longer. */
static void http_limits_grow(struct http_limits *l)
{
    unsigned old_count = l->buckets_count;
    if (l->count < old_count || old_count > (1u << 24))
        return;
    struct http_limit **old = l->buckets;
    struct http_limit **fresh = calloc(old_count * (size_t)2, sizeof(struct http_limit *));
    if (fresh == NULL)
        return;
    l->buckets = fresh;
    l->buckets_count = old_count * 2;
    for (unsigned i = 0; i < old_count; i++) {
        for (struct http_limit *e = old[i], *next; e != NULL; e = next) {
            next = e->next;
            unsigned slot = http_limit_slot(l, e->key);
            e->next = fresh[slot];
            fresh[slot] = e;
        }
    }
    free(old);
}

static int http_limit_find(struct http_limits *l, const uint64_t key[2], unsigned max,
                           struct http_limit **ret)
{
    unsigned slot = http_limit_slot(l, key);
    struct http_limit *e = l->buckets[slot];
    while (e != NULL && (e->key[0] != key[0] || e->key[1] != key[1]))
        e = e->next;
    if (e == NULL) {
        e = calloc(1, sizeof *e);
        if (e == NULL)
            return -ENOMEM;
        e->key[0] = key[0];
        e->key[1] = key[1];
        e->next = l->buckets[slot];
        l->buckets[slot] = e;
        l->count++;
        http_limits_grow(l);
    }
    if (max > 0 && e->count >= max)
        return -EBUSY; /* somebody is in it: it is not a new one */
    e->count++;
    *ret = e;
    return 0;
}

int http_limit_enter(struct http_limits *l, const struct sockaddr *address, unsigned max,
                     struct http_limit **ret)
{
    ASSERT(l->magic == HTTP_LIMITS_MAGIC);
    uint64_t key[2];
    int r = http_limit_key(address, key);
    if (r < 0)
        return r;
    (void)pthread_mutex_lock(&l->lock);
    r = http_limit_find(l, key, max, ret);
    (void)pthread_mutex_unlock(&l->lock);
    return r;
}

struct http_limit *http_limit_leave(struct http_limits *l, struct http_limit *e)
{
    if (e == NULL)
        return NULL;
    ASSERT(l->magic == HTTP_LIMITS_MAGIC);
    (void)pthread_mutex_lock(&l->lock);
    ASSERT(e->count > 0);
    if (--e->count == 0) {
        struct http_limit **at = &l->buckets[http_limit_slot(l, e->key)];
        while (*at != e)
            at = &(*at)->next;
        *at = e->next;
        l->count--;
        free(e);
    }
    (void)pthread_mutex_unlock(&l->lock);
    return NULL;
}

uint64_t http_limit_ask(struct http_limits *l, struct http_limit *e, uint64_t rate, uint64_t burst,
                        uint64_t now_us, uint64_t want, uint64_t *ret_wait_us)
{
    (void)pthread_mutex_lock(&l->lock);
    uint64_t n = http_bucket_ask(&e->bucket, rate, burst, now_us, want, ret_wait_us);
    (void)pthread_mutex_unlock(&l->lock);
    return n;
}

void http_limit_take(struct http_limits *l, struct http_limit *e, uint64_t bytes)
{
    (void)pthread_mutex_lock(&l->lock);
    http_bucket_take(&e->bucket, bytes);
    (void)pthread_mutex_unlock(&l->lock);
}

unsigned http_limits_count(struct http_limits *l)
{
    (void)pthread_mutex_lock(&l->lock);
    unsigned n = l->count;
    (void)pthread_mutex_unlock(&l->lock);
    return n;
}
