/* SPDX-License-Identifier: Apache-2.0 */
/* evict_list: queues of objects by number; an object is in at most one of those that share links.
 *
 * Life:    evict_links_new -> queues as plain values -> free.
 * Owner:   the simulation.
 * Threads: one.
 * Errors:  NULL when out of memory.
 * Units:   bytes and objects. */
#pragma once
#include <stdlib.h>
#include "evict_trace.h"

#define EVICT_NONE UINT32_MAX

struct evict_link {
    uint32_t newer, older;
};

struct evict_list {
    uint32_t newest, oldest, count;
    uint64_t bytes;
};

#define EVICT_LIST_EMPTY ((struct evict_list){EVICT_NONE, EVICT_NONE, 0, 0})

static inline void evict_list_push(struct evict_list *l, struct evict_link *links, uint32_t object,
                                   uint32_t size)
{
    links[object] = (struct evict_link){EVICT_NONE, l->newest};
    *(l->newest != EVICT_NONE ? &links[l->newest].newer : &l->oldest) = object;
    l->newest = object;
    l->count++;
    l->bytes += size;
}

static inline void evict_list_pull(struct evict_list *l, struct evict_link *links, uint32_t object,
                                   uint32_t size)
{
    struct evict_link at = links[object];
    *(at.newer != EVICT_NONE ? &links[at.newer].older : &l->newest) = at.older;
    *(at.older != EVICT_NONE ? &links[at.older].newer : &l->oldest) = at.newer;
    ASSERT(l->count > 0 && l->bytes >= size);
    l->count--;
    l->bytes -= size;
}
