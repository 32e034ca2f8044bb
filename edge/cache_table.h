/* SPDX-License-Identifier: Apache-2.0 */
/* cache_table: objects by key: in RAM up to a limit, behind it as records on disk.
 *
 * Life:    cache_table_new -> find, put, remove, keep -> cache_table_free.
 * Owner:   struct cache. What it gives out is a new reference.
 * Threads: any; a shard's lock is held for some instructions, and never while a record is read.
 * Errors:  a record that is damaged or does not fit is as if it were not there.
 * Units:   bytes. */
#pragma once
#include "edge/cache_object.h"
#include "store/objects.h"

struct cache_table;

/* records NULL: RAM alone. */
MUST_USE int cache_table_new(uint64_t memory_max, struct objects *records,
                             struct cache_table **ret);
struct cache_table *cache_table_free(struct cache_table *t);

struct cache_object *cache_table_find(struct cache_table *t, const struct digest *key);
void cache_table_put(struct cache_table *t, struct cache_object *o); /* instead of what is there */

/* The record too. only: not if another object has taken its place; NULL: whatever is there. */
void cache_table_remove(struct cache_table *t, const struct digest *key,
                        const struct cache_object *only);

/* Writes the record of the object that has this body by now; nothing if there is none. */
void cache_table_keep(struct cache_table *t, const struct cache_object *o);
void cache_table_stat(struct cache_table *t, uint64_t *ret_objects, uint64_t *ret_bytes);
