/* SPDX-License-Identifier: Apache-2.0 */
/* tier_test_util: a tier's calls, waited for; and blobs to give them.
 *
 * Life:    answer_init -> a call with &answer -> answer_wait -> answer_clear.
 * Owner:   the test.
 * Threads: an answer is written by the tier's thread and read behind answer_wait.
 * Errors:  a second answer to one call fails the test.
 * Units:   bytes. */
#pragma once
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../unit.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "store/tier.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

struct answer {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int count;
    int res;
    struct rbuf *blob;
};

static inline void answer_init(struct answer *a)
{
    *a = (struct answer){.res = 1};
    (void)pthread_mutex_init(&a->lock, NULL);
    (void)pthread_cond_init(&a->changed, NULL);
}

static inline void answer_got(void *arg, int res, struct rbuf *blob)
{
    struct answer *a = arg;
    (void)pthread_mutex_lock(&a->lock);
    a->count++;
    a->res = res;
    if (res == 0)
        a->blob = rbuf_ref(blob);
    (void)pthread_cond_broadcast(&a->changed);
    (void)pthread_mutex_unlock(&a->lock);
}

static inline void answer_done(void *arg, int res)
{
    struct answer *a = arg;
    (void)pthread_mutex_lock(&a->lock);
    a->count++;
    a->res = res;
    (void)pthread_cond_broadcast(&a->changed);
    (void)pthread_mutex_unlock(&a->lock);
}

static inline int answer_wait(struct answer *a)
{
    (void)pthread_mutex_lock(&a->lock);
    while (a->count == 0)
        (void)pthread_cond_wait(&a->changed, &a->lock);
    assert_int_equal(a->count, 1);
    int res = a->res;
    (void)pthread_mutex_unlock(&a->lock);
    return res;
}

static inline void answer_clear(struct answer *a)
{
    a->blob = rbuf_unref(a->blob);
    (void)pthread_cond_destroy(&a->changed);
    (void)pthread_mutex_destroy(&a->lock);
}

/* --- blobs ------------------------------------------------------------------------------------ */

/* Of that size, other bytes for another seed. */
static inline struct rbuf *blob_make(size_t size, uint64_t seed, struct digest *ret)
{
    struct rbuf *b = NULL;
    assert_int_equal(rbuf_new((uint32_t)MAX(size, (size_t)1), &b), 0);
    uint8_t *space = rbuf_space(b, &(uint32_t){0});
    uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (size_t i = 0; i < size; i += sizeof x) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(space + i, &x, MIN(sizeof x, size - i));
    }
    rbuf_window(b, 0, (uint32_t)size);
    *ret = digest_of(space, size);
    return b;
}

static inline bool blob_is(const struct rbuf *b, const struct digest *d)
{
    uint32_t size;
    const uint8_t *data = rbuf_data(b, &size);
    struct digest of = digest_of(data, size);
    return digest_eq(&of, d);
}

/* --- calls, waited for ------------------------------------------------------------------------ */

static inline int tier_put(struct store_tier *t, const struct digest *d, struct rbuf *blob)
{
    struct answer a;
    answer_init(&a);
    t->ops->put(t, d, blob, answer_done, &a);
    int r = answer_wait(&a);
    answer_clear(&a);
    return r;
}

/* 0 only when the bytes are the digest's. */
static inline int tier_get(struct store_tier *t, const struct digest *d, size_t length)
{
    struct answer a;
    answer_init(&a);
    t->ops->get(t, d, (uint32_t)length, answer_got, &a);
    int r = answer_wait(&a);
    if (r == 0)
        assert_true(blob_is(a.blob, d));
    answer_clear(&a);
    return r;
}

static inline int tier_remove(struct store_tier *t, const struct digest *d)
{
    struct answer a;
    answer_init(&a);
    t->ops->remove(t, d, answer_done, &a);
    int r = answer_wait(&a);
    answer_clear(&a);
    return r;
}

struct listed {
    struct digest *digests;
    uint64_t bytes;
    unsigned count, max;
};

static inline bool listed_each(void *arg, const struct digest *d, uint64_t length)
{
    struct listed *l = arg;
    assert_true(l->count < l->max); /* not called after it said false */
    if (l->digests != NULL)
        l->digests[l->count] = *d;
    l->bytes += length;
    return ++l->count < l->max;
}

static inline int tier_list(struct store_tier *t, struct listed *l)
{
    struct err err = {""};
    int r = t->ops->list(t, listed_each, l, &err);
    if (r < 0)
        assert_true(err.text[0] != '\0');
    return r;
}

/* --- folders and secrets ---------------------------------------------------------------------- */

struct place {
    char path[64];
};

static inline struct place place_new(void)
{
    struct place p = {.path = "/tmp/weir-tier-XXXXXX"};
    assert_non_null(mkdtemp(p.path));
    return p;
}

static inline void place_remove(const struct place *p)
{
    assert_int_equal(file_remove_all(p->path), 0);
}

static inline const char *place_file(const struct place *p, const char *name, const char *text)
{
    static char paths[64][128];
    static unsigned next;
    char *path = paths[next++ % 64];
    (void)snprintf(path, sizeof paths[0], "%s/%s", p->path, name);
    if (text != NULL)
        assert_int_equal(file_write(path, str_of(text), 0600), 0);
    return path;
}
