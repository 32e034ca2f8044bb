/* SPDX-License-Identifier: Apache-2.0 */
/* cache_block: which blocks of a body cover which bytes. Pure.
 *
 * Life:    none.
 * Owner:   the caller's memory.
 * Threads: any.
 * Errors:  none; block_size > 0, size > 0 unless stated.
 * Units:   bytes; blocks are counted from 0. */
#pragma once
#include "base/str.h"

#define CACHE_SIZE_UNKNOWN   UINT64_MAX
#define CACHE_BLOCK_SIZE_MIN (UINT32_C(64) << 10)
#define CACHE_BLOCK_SIZE_MAX (UINT32_C(32) << 20)
#define CACHE_BLOCKS_MAX     (UINT32_C(1) << 20) /* of one body: 1 TiB of 1 MiB blocks */
#define CACHE_END_OPEN       UINT64_MAX          /* up to the body's end, wherever that is */

static inline uint32_t cache_block_of(uint64_t offset, uint32_t block_size)
{
    return (uint32_t)(offset / block_size);
}

static inline uint64_t cache_block_start(uint32_t block, uint32_t block_size)
{
    return (uint64_t)block * block_size;
}

/* UINT32_MAX: more than a uint32_t tells. A body of no bytes has no block. */
uint32_t cache_blocks_count(uint64_t size, uint32_t block_size);

/* Of block, the last one of which is shorter. */
uint32_t cache_block_length(uint64_t size, uint32_t block_size, uint32_t block);

/* What to ask an upstream for on behalf of a Range field while the body's size is not known: whole
 * blocks around the first range. False: all of it (there is no range that we read, or it begins
 * with the first byte and has no end). Of the last n bytes: the first block, which tells the
 * size. */
bool cache_block_ask(struct str range, uint32_t block_size, uint64_t *ret_first,
                     uint64_t *ret_last); /* *ret_last: CACHE_END_OPEN */

/* "bytes 0-99/200"; "*" for the size is -EINVAL: nothing can be made of it. */
MUST_USE int cache_block_content_range(struct str value, uint64_t *ret_first, uint64_t *ret_last,
                                       uint64_t *ret_size);
