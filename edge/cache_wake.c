/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/cache_wake.h"
#include <errno.h>
#include <stdlib.h>
#include "base/log.h"

int cache_waker_new(struct loop *loop, loop_cb *cb, void *arg, struct cache_waker **ret)
{
    struct cache_waker *w = calloc(1, sizeof *w);
    if (w == NULL)
        return -ENOMEM;
    w->magic = CACHE_WAKER_MAGIC;
    atomic_init(&w->refs, 1);
    w->loop = loop;
    w->cb = cb;
    w->arg = arg;
    *ret = w;
    return 0;
}

static void cache_waker_unref(struct cache_waker *w)
{
    ASSERT(w->magic == CACHE_WAKER_MAGIC);
    if (atomic_fetch_sub_explicit(&w->refs, 1, memory_order_acq_rel) > 1)
        return;
    MAGIC_CLEAR(w);
    free(w);
}

struct cache_waker *cache_waker_drop(struct cache_waker *w)
{
    if (w == NULL)
        return NULL;
    w->cb = NULL;
    cache_waker_unref(w);
    return NULL;
}

static void cache_waker_on_message(void *arg)
{
    struct cache_waker *w = arg;
    /* Before the call: what happens from here on is told anew. */
    atomic_store_explicit(&w->posted, false, memory_order_release);
    if (w->cb != NULL)
        w->cb(w->arg);
    cache_waker_unref(w);
}

void cache_waker_post(struct cache_waker *w)
{
    ASSERT(w->magic == CACHE_WAKER_MAGIC);
    if (atomic_exchange_explicit(&w->posted, true, memory_order_acq_rel))
        return;
    atomic_fetch_add_explicit(&w->refs, 1, memory_order_relaxed);
    if (loop_post(w->loop, cache_waker_on_message, w) == 0)
        return;
    atomic_fetch_sub_explicit(&w->refs, 1, memory_order_relaxed); /* its owner still holds it */
    atomic_store_explicit(&w->posted, false, memory_order_release);
    log_warn("a waiting reader could not be woken: out of memory"); /* the next piece will */
}

void cache_wakers_remove(struct cache_waker **list, struct cache_waker *w)
{
    while (*list != w)
        list = &(*list)->next;
    *list = w->next;
    w->next = NULL;
}

void cache_wakers_post_armed(struct cache_waker *list)
{
    for (struct cache_waker *w = list; w != NULL; w = w->next) {
        if (!w->armed)
            continue;
        w->armed = false;
        cache_waker_post(w);
    }
}
