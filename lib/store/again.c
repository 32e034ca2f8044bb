/* SPDX-License-Identifier: Apache-2.0 */
/* The sample is a table of words that a request changes without a lock, each of which is
 *
 *   63..32 birth, in ticks of the window | 31 asked for again | 30..28 size | 27..0 fingerprint
 *
 * and 0 where it is empty. A word's place and fingerprint are 40 bits of the digest; which digests
 * are in the sample is told by others. */
#include "store/again.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define AGAIN_PLACES      4096u
#define AGAIN_TICKS       256u   /* to a window */
#define AGAIN_SWEEP       32u    /* places, for each newcomer of the sample */
#define AGAIN_PRIOR       8.0f   /* newcomers that were not asked for again, to begin with */
#define AGAIN_MEMORY      256.0f /* newcomers of a size; what is older fades */
#define AGAIN_SAVED       64.0f  /* as many do saved shares count for */
#define AGAIN_LOOK        1024u  /* newcomers of the sample between two looks at how full it is */
#define AGAIN_CROWDED     512u   /* of these, that took a place too early: the sample is halved */
#define AGAIN_LONELY      32u    /* the same: it is doubled */
#define AGAIN_SAMPLE_BITS 24u
#define AGAIN_PAYS_OF     10u /* see again_pays */
#define AGAIN_PAYS        3u

#define AGAIN_BIT         (UINT64_C(1) << 31)
#define AGAIN_SIZE_SHIFT  28u
#define AGAIN_FINGERPRINT ((UINT32_C(1) << AGAIN_SIZE_SHIFT) - 1)

struct again_size {
    float came, again;
};

struct again {
    uint32_t magic;
#define AGAIN_MAGIC UINT32_C(0xa6a12c0d)
    _Atomic uint32_t sample; /* a digest is in it when these bits of it are clear */
    uint64_t window;
    _Atomic uint64_t bytes; /* of all newcomers */
    _Atomic uint8_t shares[AGAIN_SIZES];
    pthread_mutex_t lock; /* the rest but words; words are set under it */
    struct again_size sizes[AGAIN_SIZES];
    uint32_t swept;           /* the next place to look at */
    uint32_t looked, crowded; /* newcomers since the last look; of these, too early */
    _Atomic uint64_t words[AGAIN_PLACES];
};

int again_new(uint64_t window, struct again **ret)
{
    if (window == 0)
        return -EINVAL;
    struct again *a = calloc(1, sizeof *a);
    if (a == NULL)
        return -ENOMEM;
    a->magic = AGAIN_MAGIC;
    a->window = window;
    for (unsigned i = 0; i < AGAIN_SIZES; i++)
        a->sizes[i].came = AGAIN_PRIOR;
    (void)pthread_mutex_init(&a->lock, NULL); /* on Linux this does not fail */
    *ret = a;
    return 0;
}

struct again *again_free(struct again *a)
{
    if (a == NULL)
        return NULL;
    ASSERT(a->magic == AGAIN_MAGIC);
    (void)pthread_mutex_destroy(&a->lock);
    MAGIC_CLEAR(a);
    free(a);
    return NULL;
}

static unsigned again_size(uint32_t size)
{
    unsigned i = 0;
    for (uint32_t most = 4096; i + 1 < AGAIN_SIZES && size > most; most *= 4)
        i++;
    return i;
}

/* --- the sample ------------------------------------------------------------------------------- */

/* A digest is a hash already; its first bytes choose shards and buckets elsewhere. */
static uint32_t again_part(const struct digest *d, unsigned at)
{
    uint32_t n;
    memcpy(&n, d->bytes + at, sizeof n);
    return n;
}

static bool again_is_in(const struct again *a, const struct digest *d)
{
    ASSERT(a->magic == AGAIN_MAGIC);
    return (again_part(d, 4) & atomic_load_explicit(&a->sample, memory_order_relaxed)) == 0;
}

static uint32_t again_place(const struct digest *d)
{
    return again_part(d, 8) % AGAIN_PLACES;
}

static uint32_t again_fingerprint(const struct digest *d)
{
    return MAX(again_part(d, 12) & AGAIN_FINGERPRINT, 1u);
}

/* Wraps; only differences count. */
static uint32_t again_now(const struct again *a)
{
    uint64_t bytes = atomic_load_explicit(&a->bytes, memory_order_relaxed);
    return (uint32_t)(bytes / MAX(a->window / AGAIN_TICKS, 1));
}

static bool again_is_over(uint64_t word, uint32_t now)
{
    return now - (uint32_t)(word >> 32) > AGAIN_TICKS;
}

void again_used(struct again *a, const struct digest *d)
{
    if (!again_is_in(a, d))
        return;
    _Atomic uint64_t *at = &a->words[again_place(d)];
    uint64_t word = atomic_load_explicit(at, memory_order_relaxed);
    if ((word & AGAIN_FINGERPRINT) != again_fingerprint(d) || (word & AGAIN_BIT) != 0 ||
        again_is_over(word, again_now(a)))
        return;
    /* Where another took the place just now it says nothing about that one. */
    (void)atomic_compare_exchange_strong_explicit(at, &word, word | AGAIN_BIT, memory_order_relaxed,
                                                  memory_order_relaxed);
}

/* --- what became of them, with the lock held -------------------------------------------------- */

static void again_judge(struct again *a, uint64_t word)
{
    unsigned i = (unsigned)(word >> AGAIN_SIZE_SHIFT) & 7u;
    ASSERT(i < AGAIN_SIZES);
    struct again_size *x = &a->sizes[i];
    if (x->came >= AGAIN_MEMORY) {
        x->came /= 2;
        x->again /= 2;
    }
    x->came += 1;
    x->again += (word & AGAIN_BIT) != 0 ? 1 : 0;
    atomic_store_explicit(&a->shares[i], (uint8_t)(x->again / x->came * UINT8_MAX),
                          memory_order_relaxed);
}

static void again_sweep(struct again *a, uint32_t now)
{
    for (unsigned i = 0; i < AGAIN_SWEEP; i++) {
        a->swept = (a->swept + 1) % AGAIN_PLACES;
        uint64_t word = atomic_load_explicit(&a->words[a->swept], memory_order_relaxed);
        if (word == 0 || !again_is_over(word, now))
            continue;
        again_judge(a, word);
        atomic_store_explicit(&a->words[a->swept], 0, memory_order_relaxed);
    }
}

/* Who is watched now was chosen otherwise: all begin anew. */
static void again_resample(struct again *a, uint32_t sample)
{
    atomic_store_explicit(&a->sample, sample, memory_order_relaxed);
    for (unsigned i = 0; i < AGAIN_PLACES; i++)
        atomic_store_explicit(&a->words[i], 0, memory_order_relaxed);
}

static void again_look(struct again *a)
{
    uint32_t sample = atomic_load_explicit(&a->sample, memory_order_relaxed);
    if (++a->looked < AGAIN_LOOK)
        return;
    if (a->crowded >= AGAIN_CROWDED && sample >> AGAIN_SAMPLE_BITS == 0)
        again_resample(a, sample << 1 | 1);
    else if (a->crowded < AGAIN_LONELY && sample > 0)
        again_resample(a, sample >> 1);
    a->looked = a->crowded = 0;
}

void again_came(struct again *a, const struct digest *d, uint32_t size)
{
    atomic_fetch_add_explicit(&a->bytes, size, memory_order_relaxed);
    if (!again_is_in(a, d))
        return;
    (void)pthread_mutex_lock(&a->lock);
    uint32_t now = again_now(a);
    again_sweep(a, now);
    _Atomic uint64_t *at = &a->words[again_place(d)];
    uint64_t word =
        (uint64_t)now << 32 | (uint64_t)again_size(size) << AGAIN_SIZE_SHIFT | again_fingerprint(d);
    uint64_t before = atomic_exchange_explicit(at, word, memory_order_relaxed);
    if (before != 0 && again_is_over(before, now))
        again_judge(a, before);
    else if (before != 0)
        a->crowded++;
    again_look(a);
    (void)pthread_mutex_unlock(&a->lock);
}

/* --- what follows from it --------------------------------------------------------------------- */

bool again_pays(const struct again *a, uint32_t size)
{
    ASSERT(a->magic == AGAIN_MAGIC);
    uint64_t share = atomic_load_explicit(&a->shares[again_size(size)], memory_order_relaxed);
    return share * ((uint64_t)size + AGAIN_REQUEST) * AGAIN_PAYS_OF >=
           (uint64_t)AGAIN_PAYS * UINT8_MAX * size;
}

void again_export(const struct again *a, uint8_t shares[AGAIN_SIZES])
{
    ASSERT(a->magic == AGAIN_MAGIC);
    for (unsigned i = 0; i < AGAIN_SIZES; i++)
        shares[i] = atomic_load_explicit(&a->shares[i], memory_order_relaxed);
}

void again_import(struct again *a, const uint8_t shares[AGAIN_SIZES])
{
    ASSERT(a->magic == AGAIN_MAGIC);
    (void)pthread_mutex_lock(&a->lock);
    for (unsigned i = 0; i < AGAIN_SIZES; i++) {
        a->sizes[i].came = AGAIN_SAVED;
        a->sizes[i].again = AGAIN_SAVED * (float)shares[i] / UINT8_MAX;
        atomic_store_explicit(&a->shares[i], shares[i], memory_order_relaxed);
    }
    (void)pthread_mutex_unlock(&a->lock);
}
