/* SPDX-License-Identifier: Apache-2.0 */
/* cache_body: the bytes of one representation as blocks in the store: which are known, which are on
 * their way, and who waits for them. It has no bytes itself but those that are being written.
 *
 * Life:    cache_body_new -> readers look, fills write -> the last unref frees.
 *          A block: unknown -> a front writes it -> landing (on its way into the store) -> stored;
 *          back to unknown when the store has lost it.
 * Owner:   objects, readers and fills hold references.
 * Threads: any; a lock is held for some instructions. A body that is settled (all known, nothing
 *          landing) is read without it: a digest never changes once it is set.
 * Errors:  cache_body_look tells; a body that has failed gives its error for ever.
 * Units:   bytes. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include "base/digest.h"
#include "base/rbuf.h"
#include "edge/cache_block.h"
#include "edge/cache_wake.h"

/* Where a fill writes. In its fill, linked into the body; all of it under the body's lock. */
struct cache_front {
    struct cache_front *next;
    uint32_t block, end; /* being written; the first that it does not write */
    struct rbuf *bytes;  /* of the block; NULL: none yet */
    const uint8_t *space;
    uint32_t available; /* bytes of it that readers may have: they do not change any more */
    void (*poke)(struct cache_front *f); /* readers have gone on, or left: with the lock held */
};

struct cache_landing {
    struct cache_landing *next;
    uint32_t block;
    struct rbuf *bytes;
};

struct cache_body {
    uint32_t magic;
#define CACHE_BODY_MAGIC UINT32_C(0xcab0d1e5)
    _Atomic uint32_t refs;
    _Atomic bool settled;
    _Atomic uint32_t fronts_count;
    _Atomic uint64_t size; /* CACHE_SIZE_UNKNOWN until its end has come */
    uint32_t block_size;
    pthread_mutex_t lock; /* covers what follows */
    uint32_t cap;         /* blocks that there is room for */
    uint32_t known_count;
    struct digest *digests;
    uint8_t *known; /* 0: no; see cache_body.c */
    struct digest one_digest;
    uint8_t one_known;
    int error;
    struct cache_front *fronts;
    struct cache_landing *landing;
    struct cache_waker *readers;
    uint32_t readers_count;
    uint32_t furthest; /* block that a reader has come to */
};

MUST_USE int cache_body_new(uint64_t size, uint32_t block_size, struct cache_body **ret);
struct cache_body *cache_body_ref(struct cache_body *b);
struct cache_body *cache_body_unref(struct cache_body *b); /* takes NULL, returns NULL */
uint64_t cache_body_size(const struct cache_body *b);
uint32_t cache_body_count(const struct cache_body *b); /* of blocks; 0 while it is not known */
bool cache_body_settled(const struct cache_body *b);
bool cache_body_complete(struct cache_body *b); /* all blocks known */
uint64_t cache_body_known_bytes(struct cache_body *b);
int cache_body_error(struct cache_body *b);

/* --- readers ---------------------------------------------------------------------------------- */

struct cache_piece {    /* of one block */
    struct rbuf *bytes; /* a new reference, or NULL: in the store under digest */
    const uint8_t *data;
    uint64_t start; /* the offset that data begins at */
    uint32_t size;
    struct digest digest;
};

/* What there is at offset. 0; -EAGAIN: a fill is on its way there (waker, which must be in the
 * body, is called as it goes on); -ENOENT: nobody is fetching it; -ENODATA: behind the end; or the
 * error that the body has failed with. waker NULL: only to look. */
MUST_USE int cache_body_look(struct cache_body *b, uint64_t offset, struct cache_waker *waker,
                             struct cache_piece *ret);
void cache_body_enter(struct cache_body *b, struct cache_waker *w);
void cache_body_leave(struct cache_body *b, struct cache_waker *w);

/* The store has lost it. */
void cache_body_lost(struct cache_body *b, uint32_t block, const struct digest *d);

/* --- fills ------------------------------------------------------------------------------------ */

/* f->block: where to begin; f->end: where it would like to end, which becomes the first block that
 * is known or that another fill writes. -EALREADY: it is known or being written. */
MUST_USE int cache_body_claim(struct cache_body *b, struct cache_front *f);
void cache_body_leave_front(struct cache_body *b,
                            struct cache_front *f); /* its readers look anew */
void cache_body_buffer(struct cache_body *b, struct cache_front *f, struct rbuf *bytes,
                       const uint8_t *space, uint32_t available);
void cache_body_available(struct cache_body *b, struct cache_front *f, uint32_t available);

/* The front's block is whole: bytes land, the front goes on to the next. -EBADMSG: it was there
 * before with other bytes; -ENOMEM, -EFBIG. */
MUST_USE int cache_body_block(struct cache_body *b, struct cache_front *f, const struct digest *d,
                              struct rbuf *bytes);
void cache_body_landed(struct cache_body *b, uint32_t block, const struct digest *d,
                       bool is_stored);
void cache_body_end(struct cache_body *b, uint64_t size); /* of one whose size was not known */
void cache_body_fail(struct cache_body *b, int error);
void cache_body_readers(struct cache_body *b, uint32_t *ret_count, uint32_t *ret_furthest);

/* --- records ---------------------------------------------------------------------------------- */

/* Runs of known blocks: each(arg, first, count, digests) under the lock. */
void cache_body_runs(struct cache_body *b,
                     void (*each)(void *arg, uint32_t first, uint32_t count,
                                  const struct digest *digests),
                     void *arg);
MUST_USE int cache_body_set(struct cache_body *b, uint32_t first, uint32_t count,
                            const uint8_t *digests); /* while nobody else knows it. -EINVAL */
