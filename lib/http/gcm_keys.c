/* SPDX-License-Identifier: Apache-2.0 */
/* A key as libipsec-mb wants it is a kilobyte: round keys, and powers of the hash key. A TLS
 * connection has two, and most connections of an edge are idle. So a key's owner keeps the key
 * itself, and each thread what the last used ones are expanded to, in places by the keys' numbers;
 * what has lost its place is expanded again, which takes less time than the memory would to come
 * from afar.
 *
 * A place is wiped when its key is forgotten on the same thread, when another key takes it, and at
 * the thread's end. */
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "http/gcm_priv.h"

#define GCM_PLACES 256u

struct gcm_place {
    _Alignas(64) struct gcm_key_data key;
    uint64_t number; /* 0: empty */
};

static __thread struct gcm_place *gcm_places;
static pthread_key_t gcm_places_key;
static pthread_once_t gcm_places_once = PTHREAD_ONCE_INIT;
static int gcm_places_result;
static _Atomic uint64_t gcm_numbers;

static void gcm_places_free(void *places)
{
    OPENSSL_cleanse(places, GCM_PLACES * sizeof(struct gcm_place));
    free(places);
    gcm_places = NULL;
}

static void gcm_places_make_key(void)
{
    gcm_places_result = -pthread_key_create(&gcm_places_key, gcm_places_free);
}

/* This thread's; NULL: out of memory. */
static struct gcm_place *gcm_places_get(void)
{
    if (gcm_places != NULL)
        return gcm_places;
    (void)pthread_once(&gcm_places_once, gcm_places_make_key); /* fails for a bad argument only */
    if (gcm_places_result < 0)
        return NULL;
    struct gcm_place *places = aligned_alloc(64, GCM_PLACES * sizeof *places);
    if (places == NULL)
        return NULL;
    memset(places, 0, GCM_PLACES * sizeof *places);
    if (pthread_setspecific(gcm_places_key, places) != 0) {
        free(places);
        return NULL;
    }
    gcm_places = places;
    return places;
}

void gcm__key_set(struct gcm_key *k, const uint8_t *key)
{
    memcpy(k->bytes, key, k->engine->key_size);
    k->number =
        atomic_fetch_add_explicit(&gcm_numbers, 1, memory_order_relaxed) + 1; /* no secret */
}

const struct gcm_key_data *gcm__key(const struct gcm_key *k)
{
    ASSERT(k->number != 0);
    struct gcm_place *places = gcm_places_get();
    if (places == NULL)
        return NULL;
    struct gcm_place *place = &places[k->number % GCM_PLACES];
    if (place->number != k->number) {
        k->engine->expand(k->bytes, &place->key);
        place->number = k->number;
    }
    return &place->key;
}

void gcm__key_forget(const struct gcm_key *k)
{
    if (k->number == 0 || gcm_places == NULL)
        return;
    struct gcm_place *place = &gcm_places[k->number % GCM_PLACES];
    if (place->number == k->number)
        OPENSSL_cleanse(place, sizeof *place);
}
