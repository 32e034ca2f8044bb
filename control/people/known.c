/* SPDX-License-Identifier: Apache-2.0 */
#include "control/people/known.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include "base/clock.h"

#define KNOWN_DIGEST 32

struct known_entry {
    uint8_t digest[KNOWN_DIGEST]; /* of the credential: in a dump of memory it logs nobody in */
    uint64_t added_ms;            /* 0: empty */
    int64_t expires_ms;
    struct caller caller;
};

struct known {
    uint32_t magic;
#define KNOWN_MAGIC UINT32_C(0x7e140304)
    pthread_mutex_t lock; /* guards what follows */
    uint64_t forgotten;   /* how often */
    struct known_entry *entries[KNOWN_SLOTS];
};

int known_new(struct known **ret)
{
    struct known *k = calloc(1, sizeof *k);
    if (k == NULL)
        return -ENOMEM;
    k->magic = KNOWN_MAGIC;
    (void)pthread_mutex_init(&k->lock, NULL); /* default attributes: cannot fail */
    *ret = k;
    return 0;
}

static void known_drop(struct known_entry *e)
{
    if (e == NULL)
        return;
    caller_clear(&e->caller);
    free(e);
}

struct known *known_free(struct known *k)
{
    if (k == NULL)
        return NULL;
    ASSERT(k->magic == KNOWN_MAGIC);
    for (unsigned i = 0; i < KNOWN_SLOTS; i++)
        known_drop(k->entries[i]);
    (void)pthread_mutex_destroy(&k->lock);
    MAGIC_CLEAR(k);
    free(k);
    return NULL;
}

static unsigned known_digest(struct str credential, uint8_t out[KNOWN_DIGEST])
{
    unsigned size = 0;
    int ok = EVP_Digest(credential.data, credential.size, out, &size, EVP_sha256(), NULL);
    ASSERT(ok == 1); /* fails only where OpenSSL has no SHA-256: nothing works then */
    ASSERT(size == KNOWN_DIGEST);
    return (out[0] | (unsigned)out[1] << 8) * KNOWN_WAYS % KNOWN_SLOTS;
}

/* Of the slots from `first` on the one that has it, or -1. */
static int known_slot(const struct known *k, unsigned first, const uint8_t digest[KNOWN_DIGEST])
{
    for (unsigned i = first; i < first + KNOWN_WAYS; i++)
        if (k->entries[i] != NULL &&
            CRYPTO_memcmp(k->entries[i]->digest, digest, KNOWN_DIGEST) == 0)
            return (int)i;
    return -1;
}

/* Where a new one goes: in place of none, or of the oldest. */
static unsigned known_victim(const struct known *k, unsigned first)
{
    unsigned victim = first;
    for (unsigned i = first; i < first + KNOWN_WAYS; i++) {
        if (k->entries[i] == NULL)
            return i;
        if (k->entries[i]->added_ms < k->entries[victim]->added_ms)
            victim = i;
    }
    return victim;
}

/* References of JSON are counted for one thread: what leaves or enters is a copy. */
static bool known_copy(const struct caller *from, struct caller *to)
{
    *to = *from;
    to->document = NULL;
    to->scopes = from->scopes != NULL ? json_deep_copy(from->scopes) : NULL;
    return from->scopes == NULL || to->scopes != NULL;
}

int known_find(struct known *k, struct str credential, int64_t now_ms, uint64_t fresh_ms,
               struct caller *ret)
{
    uint8_t digest[KNOWN_DIGEST];
    int r = -ENOENT;
    ASSERT(k != NULL && k->magic == KNOWN_MAGIC);
    unsigned first = known_digest(credential, digest);
    uint64_t now_mono = clock_mono_ms();
    (void)pthread_mutex_lock(&k->lock);
    int slot = known_slot(k, first, digest);
    const struct known_entry *e = slot < 0 ? NULL : k->entries[slot];
    if (e != NULL && now_mono - e->added_ms < fresh_ms && e->expires_ms > now_ms)
        r = known_copy(&e->caller, ret) ? 0 : -ENOENT;
    (void)pthread_mutex_unlock(&k->lock);
    return r;
}

uint64_t known_begin(struct known *k)
{
    ASSERT(k != NULL && k->magic == KNOWN_MAGIC);
    (void)pthread_mutex_lock(&k->lock);
    uint64_t begun = k->forgotten;
    (void)pthread_mutex_unlock(&k->lock);
    return begun;
}

void known_add(struct known *k, uint64_t begun, struct str credential, int64_t expires_ms,
               const struct caller *caller)
{
    ASSERT(k != NULL && k->magic == KNOWN_MAGIC);
    struct known_entry *e = calloc(1, sizeof *e);
    if (e == NULL || !known_copy(caller, &e->caller)) {
        free(e); /* then it is looked up again */
        return;
    }
    unsigned first = known_digest(credential, e->digest);
    e->added_ms = clock_mono_ms();
    e->expires_ms = expires_ms;
    struct known_entry *old = e;
    (void)pthread_mutex_lock(&k->lock);
    if (k->forgotten == begun) {
        int slot = known_slot(k, first, e->digest);
        unsigned to = slot >= 0 ? (unsigned)slot : known_victim(k, first);
        old = k->entries[to];
        k->entries[to] = e;
    }
    (void)pthread_mutex_unlock(&k->lock);
    known_drop(old);
}

void known_forget(struct known *k, const char *id)
{
    ASSERT(k != NULL && k->magic == KNOWN_MAGIC);
    (void)pthread_mutex_lock(&k->lock);
    k->forgotten++;
    for (unsigned i = 0; i < KNOWN_SLOTS; i++) {
        struct known_entry *e = k->entries[i];
        if (e == NULL ||
            (id != NULL && strcmp(e->caller.user, id) != 0 && strcmp(e->caller.session, id) != 0))
            continue;
        known_drop(e);
        k->entries[i] = NULL;
    }
    (void)pthread_mutex_unlock(&k->lock);
}
