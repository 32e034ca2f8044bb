/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of upstreams whose head has not come, by the key of what they ask for. A shard has few
 * at a time, so a list will do. */
#include <errno.h>
#include "edge/cache_fill.h"

static struct cache_asks *cache_asks_of(struct cache *c, const struct digest *key)
{
    return &c->asks[key->bytes[3] % CACHE_ASK_SHARDS];
}

static void cache_asks_remove(struct cache_asks *a, struct cache_fill *f)
{
    struct cache_fill **at = &a->first;
    while (*at != f)
        at = &(*at)->ask_next;
    *at = f->ask_next;
    f->asked = false;
}

/* With the lock held. What was asked before a purge is no answer to who comes after it; which tags
 * it falls under is not known yet, so any purge parts them. */
static struct cache_fill *cache_asks_find(struct cache *c, struct cache_asks *a,
                                          const struct digest *key)
{
    struct cache_fill *f = a->first;
    while (f != NULL && !digest_eq(&f->key, key))
        f = f->ask_next;
    if (f == NULL)
        return NULL;
    bool of_now = c->objects == NULL || f->sequence == objects_sequence(c->objects);
    if (of_now && !atomic_load_explicit(&f->invalidated, memory_order_relaxed))
        return f;
    cache_asks_remove(a, f); /* those who wait for it go on to; nobody else will */
    return NULL;
}

static void cache_ask_wait(struct cache_fill *f, struct cache_waker *waker)
{
    atomic_fetch_add_explicit(&f->waiters, 1, memory_order_relaxed);
    if (waker == NULL)
        return;
    waker->armed = true;
    if (f->answer.outcome != CACHE_PENDING) {
        cache_waker_post(waker);
        return;
    }
    waker->next = f->waiting;
    f->waiting = waker;
}

int cache_ask_join(struct cache_worker *w, const struct cache_fill_want *want,
                   struct cache_waker *waker, struct cache_fill **ret, bool *ret_started)
{
    struct cache *c = w->cache;
    struct cache_asks *a = cache_asks_of(c, &want->key);
    (void)pthread_mutex_lock(&a->lock);
    struct cache_fill *f = cache_asks_find(c, a, &want->key);
    if (f != NULL) {
        cache_fill_ref(f);
        cache_ask_wait(f, waker);
    }
    (void)pthread_mutex_unlock(&a->lock);
    *ret_started = f == NULL;
    if (f != NULL) {
        *ret = f;
        return 0;
    }
    /* An answer is in the table before it leaves the list: so it is not missed between the two. */
    if (want->look_again) {
        CLEAN(cache_object_unref)
        struct cache_object *kept = cache_table_find(c->table, &want->key);
        if (kept != NULL)
            return -EALREADY;
    }
    /* Two workers may start at once: the second one finds the first in the list below. */
    int r = cache_fill_start(w, want, &f);
    if (r < 0)
        return r;
    (void)pthread_mutex_lock(&a->lock);
    struct cache_fill *other = cache_asks_find(c, a, &want->key);
    struct cache_fill *mine = f;
    if (other != NULL) {
        f = cache_fill_ref(other);
    } else {
        f->ask_next = a->first;
        a->first = f;
        f->asked = true;
    }
    cache_ask_wait(f, waker);
    (void)pthread_mutex_unlock(&a->lock);
    if (other != NULL) {
        cache_fill_cancel(mine, -ECANCELED); /* nothing of it has left yet but a timer */
        cache_fill_unref(mine);
        *ret_started = false;
    }
    *ret = f;
    return 0;
}

void cache_ask_leave(struct cache_fill *f, struct cache_waker *waker)
{
    struct cache_asks *a = cache_asks_of(f->cache, &f->key);
    (void)pthread_mutex_lock(&a->lock);
    for (struct cache_waker *w = f->waiting; w != NULL; w = w->next) {
        if (w == waker) {
            cache_wakers_remove(&f->waiting, waker);
            break;
        }
    }
    /* Once it has ended its loop may be gone: hence under the lock that it ends under. */
    if (atomic_fetch_sub_explicit(&f->waiters, 1, memory_order_acq_rel) == 1 && !f->ended)
        f->front.poke(&f->front);
    (void)pthread_mutex_unlock(&a->lock);
    cache_fill_unref(f);
}

struct cache_answer cache_ask_answer(struct cache_fill *f)
{
    struct cache_asks *a = cache_asks_of(f->cache, &f->key);
    (void)pthread_mutex_lock(&a->lock);
    struct cache_answer answer = f->answer;
    (void)pthread_mutex_unlock(&a->lock);
    return answer;
}

void cache_ask_settle(struct cache_fill *f, const struct cache_answer *answer)
{
    struct cache_asks *a = cache_asks_of(f->cache, &f->key);
    (void)pthread_mutex_lock(&a->lock);
    ASSERT(f->answer.outcome == CACHE_PENDING);
    if (f->asked)
        cache_asks_remove(a, f);
    f->answer = *answer;
    while (f->waiting != NULL) {
        struct cache_waker *w = f->waiting;
        f->waiting = w->next;
        w->next = NULL;
        cache_waker_post(w);
    }
    (void)pthread_mutex_unlock(&a->lock);
}

void cache_ask_end(struct cache_fill *f)
{
    struct cache_asks *a = cache_asks_of(f->cache, &f->key);
    (void)pthread_mutex_lock(&a->lock);
    f->ended = true;
    (void)pthread_mutex_unlock(&a->lock);
}

void cache_ask_invalidate(struct cache *c, const struct digest *primary)
{
    for (unsigned i = 0; i < CACHE_ASK_SHARDS; i++) { /* variants may be in any */
        struct cache_asks *a = &c->asks[i];
        (void)pthread_mutex_lock(&a->lock);
        for (struct cache_fill *f = a->first; f != NULL; f = f->ask_next)
            if (digest_eq(&f->primary, primary))
                atomic_store_explicit(&f->invalidated, true, memory_order_relaxed);
        (void)pthread_mutex_unlock(&a->lock);
    }
}

bool cache_ask_is_busy(struct cache *c, const struct digest *key)
{
    struct cache_asks *a = cache_asks_of(c, key);
    (void)pthread_mutex_lock(&a->lock);
    bool busy = cache_asks_find(c, a, key) != NULL;
    (void)pthread_mutex_unlock(&a->lock);
    return busy;
}
