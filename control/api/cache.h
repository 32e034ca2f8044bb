/* SPDX-License-Identifier: Apache-2.0 */
/* cache: answers that are the same for all who may have them, kept for a moment by the loop that
 * gave them: the next one who asks is answered without a pool thread and the database.
 *
 * An operation says so in the document (x-weir-cache: what it shows, and for how long); operations
 * that change such things say that too (x-weir-changes): what this process changes is seen at once,
 * what others change after that time at most. What is kept for which caller: gate_cache.h.
 *
 * Life:    cache_new -> cache_find, cache_put -> cache_free.
 * Owner:   a worker; a struct cached is lent until the next call.
 * Threads: the worker's loop; cache_changed: any.
 * Errors:  none: what does not fit is not kept.
 * Units:   milliseconds of a monotonic clock; bytes. */
#pragma once
#include <stdatomic.h>
#include "base/str.h"

#define CACHE_SETS      32768 /* of slots; an answer may be in any of its set's */
#define CACHE_WAYS      4
#define CACHE_SIZE_MAX  ((size_t)128 << 20) /* of one worker's answers */
#define CACHE_ENTRY_MAX ((size_t)256 << 10)
#define CACHE_KINDS     16   /* things that operations name */
#define CACHE_DOCUMENTS 4096 /* and single ones, some of which share a count */

/* How often things of each kind have changed. */
struct cache_changes {
    _Atomic uint64_t counts[CACHE_KINDS + CACHE_DOCUMENTS];
};

struct cached {
    struct str bytes;
    struct str etag; /* STR_NONE: none */
    unsigned used;   /* the coding that it has in the end: a small one is not packed */
    bool told;       /* the etag is for If-Match alone: it comes as it is, in its quotes */
};

struct cache;

MUST_USE int cache_new(const struct cache_changes *changes, struct cache **ret);
struct cache *cache_free(struct cache *c);

/* variant: what else the bytes depend on, their coding for one: another one is another answer. */
bool cache_find(struct cache *c, struct str path, struct str query, uint32_t variant,
                uint64_t now_ms, struct cached *ret);

/* changed: the kind's count from before the answer was made. */
void cache_put(struct cache *c, struct str path, struct str query, uint32_t variant, unsigned kind,
               uint64_t changed, uint64_t due_ms, const struct cached *answer);
