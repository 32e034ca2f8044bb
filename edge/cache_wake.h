/* SPDX-License-Identifier: Apache-2.0 */
/* cache_wake: one who waits on a loop for what happens on another.
 *
 * Life:    cache_waker_new -> (in a list of its source's) cache_waker_post* -> out of the list ->
 *          cache_waker_drop: no call after it.
 * Owner:   who waits; a message on its way holds a reference of its own.
 * Threads: post: any, while the waker is in the source's list, under the source's lock. The rest:
 *          the loop's.
 * Errors:  -ENOMEM.
 * Units:   none. */
#pragma once
#include <stdatomic.h>
#include "http/loop.h"

struct cache_waker {
    uint32_t magic;
#define CACHE_WAKER_MAGIC UINT32_C(0xca4e3a4e)
    _Atomic uint32_t refs;
    _Atomic bool posted; /* a message is on its way */
    bool armed;          /* the source's, under its lock: has found nothing and wants to know */
    struct cache_waker *next;
    struct loop *loop;
    loop_cb *cb; /* NULL once dropped */
    void *arg;
};

MUST_USE int cache_waker_new(struct loop *loop, loop_cb *cb, void *arg, struct cache_waker **ret);
struct cache_waker *cache_waker_drop(struct cache_waker *w); /* takes NULL, returns NULL */
void cache_waker_post(struct cache_waker *w);

/* Lists, under their owner's lock. */
void cache_wakers_remove(struct cache_waker **list, struct cache_waker *w);
void cache_wakers_post_armed(struct cache_waker *list);
