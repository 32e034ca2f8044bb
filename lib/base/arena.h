/* SPDX-License-Identifier: Apache-2.0 */
/* arena: memory for large buffers that come and go: pieces of huge pages, used again while they are
 * still mapped. Fresh memory costs a page fault for each 4 KiB, and reading a disk into small pages
 * costs the kernel and the device an entry for each; neither is paid here.
 *
 * Life:    arena_new -> arena_alloc -> arena_free_block -> arena_free once all blocks are back.
 * Owner:   whoever has a struct arena_block has its memory.
 * Threads: any; a lock is held for some tens of instructions, and while memory is given back.
 * Errors:  -ENOMEM, -EINVAL (size 0 or above ARENA_BLOCK_MAX); *ret is untouched then.
 * Units:   bytes. Blocks are multiples of ARENA_UNIT and aligned to it; their contents are what the
 *          holder before left. */
#pragma once
#include "base/base.h"

#define ARENA_UNIT      UINT32_C(4096)
#define ARENA_BLOCK_MAX (UINT32_C(128) << 20)

struct arena;
struct arena_region;

struct arena_block {
    uint8_t *data;
    uint32_t size; /* at most a sixteenth above what was asked for */
    struct arena_region *region;
};

/* idle_max: about how much memory that no block uses stays mapped for the next ones. What a burst
 * leaves is often what the next one needs: up to ARENA_BURST times as much stays for keep_ms, and
 * goes, as further blocks come back, if it was of no use in that time. */
#define ARENA_BURST   4
#define ARENA_KEEP_MS 1000
MUST_USE int arena_new(uint64_t idle_max, uint32_t keep_ms, struct arena **ret);
struct arena *arena_free(struct arena *a); /* takes NULL, returns NULL */

MUST_USE int arena_alloc(struct arena *a, uint32_t size, struct arena_block *ret);
void arena_free_block(struct arena *a, const struct arena_block *b);

struct arena_stat {
    uint64_t used;    /* in blocks */
    uint64_t idle;    /* mapped and in no block */
    uint64_t regions; /* of address space */
};
void arena_stat(struct arena *a, struct arena_stat *ret);
