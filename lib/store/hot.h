/* SPDX-License-Identifier: Apache-2.0 */
/* hot: the RAM tier: whole verified blobs by digest; what it keeps is hot_policy's choice.
 *
 * Life:    hot_new -> hot_get, hot_insert -> hot_free.
 * Owner:   the store. A blob in it is referenced once; readers take their own reference.
 * Threads: any; a shard's lock is held for a few pointer moves, never across I/O.
 * Errors:  an insert that finds no memory is silently not made, nor one of a blob that is worth
 *          much less than what would have to go for it: it is a cache.
 * Units:   bytes, as blobs cost in memory (rbuf_cap), not as they are long. */
#pragma once
#include "base/digest.h"
#include "base/rbuf.h"

struct hot;

MUST_USE int hot_new(uint64_t size_max, struct hot **ret); /* 0: a tier that holds nothing */
struct hot *hot_free(struct hot *h);

struct rbuf *hot_get(struct hot *h, const struct digest *d);  /* a new reference, or NULL */
struct rbuf *hot_look(struct hot *h, const struct digest *d); /* the same, not counted as use */
/* Takes its own reference; what is there already stays. */
void hot_insert(struct hot *h, const struct digest *d, struct rbuf *blob);
/* The same of what no device has: it is kept for a while, whatever it is worth. */
void hot_insert_only(struct hot *h, const struct digest *d, struct rbuf *blob);
void hot_remove(struct hot *h, const struct digest *d);
uint64_t hot_bytes(const struct hot *h);

/* How a tier of this size is cut: for bench/evict, which replays its policy. */
uint32_t hot_shards_count(uint64_t size_max);
uint32_t hot_shard_number(const struct digest *d, uint32_t shards_count); /* shards_count > 0 */
