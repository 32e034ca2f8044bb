/* SPDX-License-Identifier: Apache-2.0 */
/* A block's state is a byte: CACHE_UNKNOWN, CACHE_NAMED once its digest is set and CACHE_KNOWN
 * while the store is believed to have it. A block that the store has lost goes back from known to
 * named: the digest stays, and bytes that come anew must have it, or the representation has
 * changed. */
#include "edge/cache_body.h"
#include <errno.h>
#include <stdlib.h>

enum { CACHE_UNKNOWN, CACHE_NAMED, CACHE_KNOWN };

static void cache_body_check(const struct cache_body *b)
{
    ASSERT(b != NULL);
    ASSERT(b->magic == CACHE_BODY_MAGIC);
}

static void cache_lock(struct cache_body *b)
{
    cache_body_check(b);
    (void)pthread_mutex_lock(&b->lock);
}

static void cache_unlock(struct cache_body *b)
{
    (void)pthread_mutex_unlock(&b->lock);
}

int cache_body_new(uint64_t size, uint32_t block_size, struct cache_body **ret)
{
    ASSERT(block_size > 0);
    uint32_t count = size == CACHE_SIZE_UNKNOWN ? 1 : cache_blocks_count(size, block_size);
    if (count > CACHE_BLOCKS_MAX)
        return -EFBIG;
    struct cache_body *b = calloc(1, sizeof *b);
    if (b == NULL)
        return -ENOMEM;
    b->digests = &b->one_digest;
    b->known = &b->one_known;
    b->cap = 1;
    if (count > 1) {
        b->digests = calloc(count, sizeof *b->digests);
        b->known = calloc(count, 1);
        b->cap = count;
        if (b->digests == NULL || b->known == NULL) {
            free(b->digests);
            free(b->known);
            free(b);
            return -ENOMEM;
        }
    }
    b->magic = CACHE_BODY_MAGIC;
    atomic_init(&b->refs, 1);
    atomic_init(&b->size, size);
    atomic_init(&b->settled, size == 0);
    b->block_size = block_size;
    (void)pthread_mutex_init(&b->lock, NULL);
    *ret = b;
    return 0;
}

struct cache_body *cache_body_ref(struct cache_body *b)
{
    cache_body_check(b);
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

struct cache_body *cache_body_unref(struct cache_body *b)
{
    if (b == NULL)
        return NULL;
    cache_body_check(b);
    if (atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) > 1)
        return NULL;
    ASSERT(b->fronts == NULL && b->landing == NULL && b->readers == NULL);
    (void)pthread_mutex_destroy(&b->lock);
    if (b->digests != &b->one_digest) {
        free(b->digests);
        free(b->known);
    }
    MAGIC_CLEAR(b);
    free(b);
    return NULL;
}

uint64_t cache_body_size(const struct cache_body *b)
{
    return atomic_load_explicit(&b->size, memory_order_acquire);
}

uint32_t cache_body_count(const struct cache_body *b)
{
    uint64_t size = cache_body_size(b);
    return size == CACHE_SIZE_UNKNOWN ? 0 : cache_blocks_count(size, b->block_size);
}

bool cache_body_settled(const struct cache_body *b)
{
    return atomic_load_explicit(&b->settled, memory_order_acquire);
}

/* With the lock held. */
static bool cache_is_complete(const struct cache_body *b)
{
    uint64_t size = cache_body_size(b);
    return size != CACHE_SIZE_UNKNOWN && b->known_count == cache_blocks_count(size, b->block_size);
}

static void cache_settle(struct cache_body *b)
{
    bool settled = b->error == 0 && b->landing == NULL && b->fronts == NULL && cache_is_complete(b);
    atomic_store_explicit(&b->settled, settled, memory_order_release);
}

bool cache_body_complete(struct cache_body *b)
{
    cache_lock(b);
    bool complete = b->error == 0 && cache_is_complete(b);
    cache_unlock(b);
    return complete;
}

uint64_t cache_body_known_bytes(struct cache_body *b)
{
    uint64_t size = cache_body_size(b);
    cache_lock(b);
    uint64_t bytes = cache_is_complete(b) ? size : (uint64_t)b->known_count * b->block_size;
    cache_unlock(b);
    return bytes;
}

int cache_body_error(struct cache_body *b)
{
    cache_lock(b);
    int error = b->error;
    cache_unlock(b);
    return error;
}

/* --- readers ---------------------------------------------------------------------------------- */

static void cache_piece_of(struct rbuf *bytes, uint64_t start, struct cache_piece *ret)
{
    ret->bytes = rbuf_ref(bytes);
    ret->data = rbuf_data(bytes, &ret->size);
    ret->start = start;
}

static bool cache_look_landing(struct cache_body *b, uint32_t block, struct cache_piece *ret)
{
    for (struct cache_landing *l = b->landing; l != NULL; l = l->next) {
        if (l->block == block) {
            cache_piece_of(l->bytes, cache_block_start(block, b->block_size), ret);
            return true;
        }
    }
    return false;
}

static int cache_look_front(struct cache_body *b, uint64_t offset, struct cache_piece *ret)
{
    uint32_t block = cache_block_of(offset, b->block_size);
    for (struct cache_front *f = b->fronts; f != NULL; f = f->next) {
        if (block < f->block || block >= f->end)
            continue;
        uint64_t start = cache_block_start(block, b->block_size);
        if (block > f->block || offset - start >= f->available)
            return -EAGAIN;
        ret->bytes = rbuf_ref(f->bytes);
        ret->data = f->space;
        ret->size = f->available;
        ret->start = start;
        return 0;
    }
    return -ENOENT;
}

static int cache_look(struct cache_body *b, uint64_t offset, struct cache_piece *ret)
{
    uint32_t block = cache_block_of(offset, b->block_size);
    if (b->error < 0)
        return b->error;
    if (offset >= cache_body_size(b))
        return -ENODATA;
    if (block < b->cap && b->known[block] == CACHE_KNOWN) {
        ret->digest = b->digests[block];
        ret->bytes = NULL;
        (void)cache_look_landing(b, block, ret);
        return 0;
    }
    return cache_look_front(b, offset, ret);
}

/* With the lock held: fills that wait for readers are told. */
static void cache_poke(struct cache_body *b)
{
    for (struct cache_front *f = b->fronts; f != NULL; f = f->next)
        f->poke(f);
}

int cache_body_look(struct cache_body *b, uint64_t offset, struct cache_waker *waker,
                    struct cache_piece *ret)
{
    struct cache_piece piece = {0};
    if (cache_body_settled(b)) { /* nothing here changes until it is not settled any more */
        uint64_t size = cache_body_size(b);
        if (offset >= size)
            return -ENODATA;
        piece.digest = b->digests[cache_block_of(offset, b->block_size)];
        *ret = piece;
        return 0;
    }
    cache_lock(b);
    int r = cache_look(b, offset, &piece);
    uint32_t block = cache_block_of(offset, b->block_size);
    if (waker != NULL && r != -ENODATA && block > b->furthest) {
        b->furthest = block;
        cache_poke(b);
    }
    if (waker != NULL && r == -EAGAIN)
        waker->armed = true;
    cache_unlock(b);
    if (r == 0)
        *ret = piece;
    return r;
}

void cache_body_enter(struct cache_body *b, struct cache_waker *w)
{
    cache_lock(b);
    w->next = b->readers;
    b->readers = w;
    b->readers_count++;
    cache_unlock(b);
}

void cache_body_leave(struct cache_body *b, struct cache_waker *w)
{
    cache_lock(b);
    cache_wakers_remove(&b->readers, w);
    b->readers_count--;
    if (b->readers_count == 0)
        cache_poke(b);
    cache_unlock(b);
}

void cache_body_lost(struct cache_body *b, uint32_t block, const struct digest *d)
{
    cache_lock(b);
    if (block < b->cap && b->known[block] == CACHE_KNOWN && digest_eq(&b->digests[block], d)) {
        b->known[block] = CACHE_NAMED;
        b->known_count--;
        cache_settle(b);
    }
    cache_unlock(b);
}

/* --- fills ------------------------------------------------------------------------------------ */

/* With the lock held. */
static bool cache_is_taken(const struct cache_body *b, uint32_t block)
{
    if (block < b->cap && b->known[block] == CACHE_KNOWN)
        return true;
    for (const struct cache_front *f = b->fronts; f != NULL; f = f->next)
        if (block >= f->block && block < f->end)
            return true;
    return false;
}

int cache_body_claim(struct cache_body *b, struct cache_front *f)
{
    int r = 0;
    cache_lock(b);
    uint32_t count = cache_body_count(b);
    if (b->error < 0)
        r = b->error;
    else if (cache_is_taken(b, f->block))
        r = -EALREADY;
    if (r == 0) {
        if (count > 0)
            f->end = MIN(f->end, count);
        uint32_t end = f->block + 1;
        while (end < f->end && end < b->cap && b->known[end] != CACHE_KNOWN)
            end++;
        if (end < f->end && end < b->cap)
            f->end = end;
        for (const struct cache_front *o = b->fronts; o != NULL; o = o->next)
            if (o->block > f->block)
                f->end = MIN(f->end, o->block);
        f->next = b->fronts;
        b->fronts = f;
        atomic_fetch_add_explicit(&b->fronts_count, 1, memory_order_relaxed);
        atomic_store_explicit(&b->settled, false, memory_order_release);
    }
    cache_unlock(b);
    return r;
}

void cache_body_leave_front(struct cache_body *b, struct cache_front *f)
{
    cache_lock(b);
    struct cache_front **at = &b->fronts;
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    struct rbuf *bytes = f->bytes;
    f->bytes = NULL;
    atomic_fetch_sub_explicit(&b->fronts_count, 1, memory_order_relaxed);
    cache_settle(b);
    cache_wakers_post_armed(b->readers);
    cache_unlock(b);
    rbuf_unref(bytes);
}

void cache_body_buffer(struct cache_body *b, struct cache_front *f, struct rbuf *bytes,
                       const uint8_t *space, uint32_t available)
{
    cache_lock(b);
    struct rbuf *old = f->bytes;
    f->bytes = bytes;
    f->space = space;
    f->available = available;
    cache_unlock(b);
    rbuf_unref(old);
}

void cache_body_available(struct cache_body *b, struct cache_front *f, uint32_t available)
{
    cache_lock(b);
    f->available = available;
    cache_wakers_post_armed(b->readers);
    cache_unlock(b);
}

/* With the lock held. The old arrays are nobody else's: a body that grows is not settled. */
static int cache_grow(struct cache_body *b, uint32_t block)
{
    if (block < b->cap)
        return 0;
    if (block >= CACHE_BLOCKS_MAX)
        return -EFBIG;
    uint32_t cap = MAX(b->cap * 2, 16u);
    while (cap <= block)
        cap *= 2;
    bool inlined = b->digests == &b->one_digest;
    struct digest *digests = calloc(cap, sizeof *digests);
    uint8_t *known = calloc(cap, 1);
    if (digests == NULL || known == NULL) {
        free(digests);
        free(known);
        return -ENOMEM;
    }
    memcpy(digests, b->digests, b->cap * sizeof *digests);
    memcpy(known, b->known, b->cap);
    if (!inlined) {
        free(b->digests);
        free(b->known);
    }
    b->digests = digests;
    b->known = known;
    b->cap = cap;
    return 0;
}

int cache_body_block(struct cache_body *b, struct cache_front *f, const struct digest *d,
                     struct rbuf *bytes)
{
    struct cache_landing *l = calloc(1, sizeof *l);
    if (l == NULL)
        return -ENOMEM;
    cache_lock(b);
    uint32_t block = f->block;
    int r = cache_grow(b, block);
    if (r == 0 && b->known[block] != CACHE_UNKNOWN && !digest_eq(&b->digests[block], d))
        r = -EBADMSG;
    struct rbuf *old = NULL;
    if (r == 0) {
        if (b->known[block] == CACHE_UNKNOWN)
            b->digests[block] = *d;
        if (b->known[block] != CACHE_KNOWN)
            b->known_count++;
        b->known[block] = CACHE_KNOWN;
        *l = (struct cache_landing){.next = b->landing, .block = block, .bytes = rbuf_ref(bytes)};
        b->landing = l;
        old = f->bytes;
        f->bytes = NULL;
        f->space = NULL;
        f->available = 0;
        f->block++;
        cache_wakers_post_armed(b->readers);
    }
    cache_unlock(b);
    rbuf_unref(old);
    if (r < 0)
        free(l);
    return r;
}

void cache_body_landed(struct cache_body *b, uint32_t block, const struct digest *d, bool is_stored)
{
    cache_lock(b);
    struct cache_landing **at = &b->landing;
    while ((*at)->block != block)
        at = &(*at)->next;
    struct cache_landing *l = *at;
    *at = l->next;
    if (!is_stored && b->known[block] == CACHE_KNOWN && digest_eq(&b->digests[block], d)) {
        b->known[block] = CACHE_NAMED;
        b->known_count--;
    }
    cache_settle(b);
    cache_unlock(b);
    rbuf_unref(l->bytes);
    free(l);
}

void cache_body_end(struct cache_body *b, uint64_t size)
{
    cache_lock(b);
    atomic_store_explicit(&b->size, size, memory_order_release);
    cache_settle(b);
    cache_wakers_post_armed(b->readers);
    cache_unlock(b);
}

void cache_body_fail(struct cache_body *b, int error)
{
    cache_lock(b);
    if (b->error == 0)
        b->error = error;
    cache_settle(b);
    cache_wakers_post_armed(b->readers);
    cache_poke(b);
    cache_unlock(b);
}

void cache_body_readers(struct cache_body *b, uint32_t *ret_count, uint32_t *ret_furthest)
{
    cache_lock(b);
    *ret_count = b->readers_count;
    *ret_furthest = b->furthest;
    cache_unlock(b);
}

/* --- records ---------------------------------------------------------------------------------- */

void cache_body_runs(struct cache_body *b,
                     void (*each)(void *arg, uint32_t first, uint32_t count,
                                  const struct digest *digests),
                     void *arg)
{
    cache_lock(b);
    for (uint32_t i = 0; i < b->cap;) {
        uint32_t end = i;
        while (end < b->cap && b->known[end] == CACHE_KNOWN)
            end++;
        if (end > i)
            each(arg, i, end - i, b->digests + i);
        i = end + 1;
    }
    cache_unlock(b);
}

int cache_body_set(struct cache_body *b, uint32_t first, uint32_t count, const uint8_t *digests)
{
    cache_body_check(b);
    if (count == 0 || first >= cache_body_count(b) || count > cache_body_count(b) - first)
        return -EINVAL;
    for (uint32_t i = 0; i < count; i++) {
        if (b->known[first + i] != CACHE_UNKNOWN)
            return -EINVAL;
        memcpy(b->digests[first + i].bytes, digests + (size_t)i * DIGEST_SIZE, DIGEST_SIZE);
        b->known[first + i] = CACHE_KNOWN;
    }
    b->known_count += count;
    cache_settle(b);
    return 0;
}
