/* SPDX-License-Identifier: Apache-2.0 */
#include "control/api/rate.h"
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/digest.h"
#include "base/id.h"

#define RATE_SHARDS    64
#define RATE_SETS      128  /* of a shard */
#define RATE_WAYS      8    /* keys of a set: 65,536 in all, 3 MiB */
#define RATE_SHARE_MAX 1024 /* keys told at a time */

struct rate_entry {
    struct digest key;
    uint32_t window;   /* number of the minute that cur counts; 0: free */
    uint32_t cur;      /* of this process */
    uint32_t told;     /* of cur, to the others */
    uint32_t others;   /* of the other processes in this window, as last heard */
    uint32_t previous; /* of all of them in the window before */
};

struct rate_shard {
    pthread_mutex_t lock;
    struct rate_entry entries[RATE_SETS][RATE_WAYS];
};

struct rate {
    uint32_t magic;
#define RATE_MAGIC UINT32_C(0x4a7e11e9)
    uint8_t seed[16]; /* nobody shall be able to choose whom they share a set with */
    unsigned next;    /* shard that rate_share goes on with */
    struct rate_shard shards[RATE_SHARDS];
};

int rate_new(struct rate **ret)
{
    struct rate *r = calloc(1, sizeof *r);
    if (r == NULL)
        return -ENOMEM;
    r->magic = RATE_MAGIC;
    id_random(r->seed, sizeof r->seed);
    for (unsigned i = 0; i < RATE_SHARDS; i++)
        (void)pthread_mutex_init(&r->shards[i].lock, NULL); /* default attributes: cannot fail */
    *ret = r;
    return 0;
}

struct rate *rate_free(struct rate *r)
{
    if (r == NULL)
        return NULL;
    ASSERT(r->magic == RATE_MAGIC);
    for (unsigned i = 0; i < RATE_SHARDS; i++)
        (void)pthread_mutex_destroy(&r->shards[i].lock);
    MAGIC_CLEAR(r);
    free(r);
    return NULL;
}

/* --- entries ---------------------------------------------------------------------------------- */

static uint32_t rate_window(int64_t real_ms)
{
    return (uint32_t)(real_ms / RATE_WINDOW_MS);
}

static void rate_move(struct rate_entry *e, uint32_t window)
{
    if (e->window - window <= 1) /* this one, or a clock that was read a little earlier */
        return;
    e->previous = e->window + 1 == window ? e->cur + e->others : 0;
    e->cur = e->told = e->others = 0;
    e->window = window;
}

static struct rate_entry *rate_find(struct rate_entry set[RATE_WAYS], const struct digest *key)
{
    for (unsigned i = 0; i < RATE_WAYS; i++)
        if (set[i].window != 0 && digest_eq(&set[i].key, key))
            return &set[i];
    return NULL;
}

/* The key's entry; a new one takes the place of the one that has the least to forget. */
static struct rate_entry *rate_entry(struct rate_entry set[RATE_WAYS], const struct digest *key,
                                     uint32_t window)
{
    struct rate_entry *e = rate_find(set, key);
    if (e == NULL) {
        e = &set[0];
        for (unsigned i = 0; i < RATE_WAYS; i++) {
            if (set[i].window < e->window ||
                (set[i].window == e->window && set[i].cur + set[i].others < e->cur + e->others))
                e = &set[i];
        }
        *e = (struct rate_entry){.key = *key, .window = window};
    }
    rate_move(e, window);
    return e;
}

/* Two parts of a digest that others cannot foresee. */
static struct rate_shard *rate_shard(struct rate *r, const struct digest *key, unsigned *ret_set)
{
    uint8_t text[sizeof r->seed + DIGEST_SIZE];
    memcpy(text, r->seed, sizeof r->seed);
    memcpy(text + sizeof r->seed, key->bytes, DIGEST_SIZE);
    struct digest place = digest_of(text, sizeof text);
    *ret_set = place.bytes[1] % RATE_SETS;
    return &r->shards[place.bytes[0] % RATE_SHARDS];
}

/* --- taking ----------------------------------------------------------------------------------- */

/* When one more is within the limit again. cur and previous as they stand, passed_ms into the
 * window. */
static uint32_t rate_wait_ms(uint64_t cur, uint64_t previous, uint64_t limit, uint64_t passed_ms)
{
    uint64_t part;
    if (limit == 0)
        return RATE_WINDOW_MS;
    if (cur < limit) { /* as the window before fades */
        part = (limit - cur - 1) * RATE_WINDOW_MS / MAX(previous, UINT64_C(1));
        uint64_t due = RATE_WINDOW_MS - MIN(part, (uint64_t)RATE_WINDOW_MS);
        return due > passed_ms ? (uint32_t)(due - passed_ms) : 1;
    }
    part = (limit - 1) * RATE_WINDOW_MS / cur;
    return (uint32_t)(RATE_WINDOW_MS - passed_ms + RATE_WINDOW_MS -
                      MIN(part, (uint64_t)RATE_WINDOW_MS));
}

bool rate_take(struct rate *r, struct str key, uint32_t limit, int64_t real_ms,
               struct rate_state *ret)
{
    ASSERT(r != NULL && r->magic == RATE_MAGIC);
    struct digest digest = digest_of(key.data, key.size);
    uint32_t window = rate_window(real_ms);
    uint64_t passed_ms = (uint64_t)(real_ms % RATE_WINDOW_MS);
    unsigned set;
    struct rate_shard *shard = rate_shard(r, &digest, &set);
    (void)pthread_mutex_lock(&shard->lock);
    struct rate_entry *e = rate_entry(shard->entries[set], &digest, window);
    uint64_t cur = (uint64_t)e->cur + e->others;
    uint64_t previous = e->previous;
    uint64_t used = cur + (previous * (RATE_WINDOW_MS - passed_ms) + RATE_WINDOW_MS - 1) /
                              RATE_WINDOW_MS; /* a part of one is one */
    bool good = used < limit;
    if (good)
        e->cur++;
    (void)pthread_mutex_unlock(&shard->lock);
    ret->limit = limit;
    ret->remaining = good ? (uint32_t)(limit - used - 1) : 0;
    uint64_t wait_ms =
        good ? RATE_WINDOW_MS - passed_ms : rate_wait_ms(cur, previous, limit, passed_ms);
    ret->reset_s = (uint32_t)((wait_ms + 999) / 1000);
    return good;
}

/* --- sharing ---------------------------------------------------------------------------------- */

struct rate_told {
    struct rate *rate;
    struct digest key;
    uint32_t window;
    uint32_t count;
};

/* The counter's new value is what all have counted, this process included. */
static void rate_on_told(void *arg, int res, const struct bus_answer *answer)
{
    struct rate_told *t = arg;
    unsigned set;
    struct rate_shard *shard = rate_shard(t->rate, &t->key, &set);
    (void)pthread_mutex_lock(&shard->lock);
    struct rate_entry *e = rate_find(shard->entries[set], &t->key);
    if (e != NULL && e->window == t->window) {
        if (res < 0)
            e->told -= MIN(t->count, e->told); /* again the next time */
        else if (answer->kind == BUS_NUMBER && answer->number > e->told)
            e->others = (uint32_t)MIN(answer->number - e->told, (int64_t)RATE_LIMIT_MAX);
    }
    (void)pthread_mutex_unlock(&shard->lock);
    free(t);
}

static void rate_tell(struct rate *r, struct rate_entry *e, struct bus *bus)
{
    char key[64];
    char digest[DIGEST_TEXT_SIZE];
    struct rate_told *t = malloc(sizeof *t);
    if (t == NULL)
        return;
    *t = (struct rate_told){r, e->key, e->window, e->cur - e->told};
    digest_format(&e->key, digest);
    (void)snprintf(key, sizeof key, "rate:%s:%" PRIu32, digest, e->window);
    if (bus_count(bus, str_of(key), t->count, UINT64_C(2) * RATE_WINDOW_MS, rate_on_told, t) < 0)
        free(t);
    else
        e->told = e->cur;
}

void rate_share(struct rate *r, struct bus *bus, int64_t real_ms)
{
    ASSERT(r != NULL && r->magic == RATE_MAGIC);
    uint32_t window = rate_window(real_ms);
    unsigned told = 0;
    for (unsigned i = 0; i < RATE_SHARDS && told < RATE_SHARE_MAX; i++) {
        struct rate_shard *shard = &r->shards[r->next++ % RATE_SHARDS];
        (void)pthread_mutex_lock(&shard->lock); /* answers come on later turns of the loop */
        for (unsigned k = 0; k < RATE_SETS * RATE_WAYS; k++) {
            struct rate_entry *e = &shard->entries[k / RATE_WAYS][k % RATE_WAYS];
            if (e->window == window && e->cur > e->told) {
                rate_tell(r, e, bus);
                told++;
            }
        }
        (void)pthread_mutex_unlock(&shard->lock);
    }
}
