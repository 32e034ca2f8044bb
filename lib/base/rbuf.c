/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rbuf.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"

#define RBUF_ARENA_MIN (UINT32_C(32) << 10) /* smaller ones are malloc's */
#define RBUF_IDLE_MAX  (UINT64_C(64) << 20)

struct rbuf {
    uint32_t magic;
#define RBUF_MAGIC UINT32_C(0x52b0f1a7)
    _Atomic uint32_t refs;
    _Atomic bool marked;
    _Atomic bool claimed;
    uint32_t cap_size;
    uint32_t offset;    /* where the bytes that count begin */
    uint32_t used_size; /* offset + used_size <= cap_size; changes only while refs == 1 */
    uint8_t *data;
    struct arena_block block; /* data is in it; size 0: data is malloc's */
};

static struct arena *rbuf_arena; /* NULL: malloc for all */
static pthread_once_t rbuf_arena_once = PTHREAD_ONCE_INIT;

static void rbuf_arena_make(void)
{
#ifndef WEIR_POOL_PASSTHROUGH /* a sanitizer shall see each use after the end */
    (void)!arena_new(RBUF_IDLE_MAX, ARENA_KEEP_MS, &rbuf_arena);
#endif
}

static void rbuf_check(const struct rbuf *b)
{
    ASSERT(b != NULL);
    ASSERT(b->magic == RBUF_MAGIC);
    ASSERT(b->offset <= b->cap_size);
    ASSERT(b->used_size <= b->cap_size - b->offset);
}

/* Acquire: reads by a holder that has just let go happen before the write that follows. */
static void rbuf_check_sole(struct rbuf *b)
{
    rbuf_check(b);
    ASSERT(atomic_load_explicit(&b->refs, memory_order_acquire) == 1);
}

int rbuf_new(uint32_t cap_size, struct rbuf **ret)
{
    ASSERT(ret != NULL);
    if (cap_size == 0 || cap_size > RBUF_CAP_MAX)
        return -EINVAL;
    struct rbuf *b = calloc(1, sizeof *b);
    if (b == NULL)
        return -ENOMEM;
    (void)pthread_once(&rbuf_arena_once, rbuf_arena_make);
    if (cap_size >= RBUF_ARENA_MIN && rbuf_arena != NULL &&
        arena_alloc(rbuf_arena, cap_size, &b->block) == 0)
        b->data = b->block.data;
    if (b->data == NULL) {
        /* Small ones are not worth a page: a playlist of 2 KiB would cost 8. */
        size_t align = cap_size >= RBUF_ALIGN ? RBUF_ALIGN : 64;
        b->data = aligned_alloc(align, (cap_size + align - 1) / align * align);
    }
    if (b->data == NULL) {
        free(b);
        return -ENOMEM;
    }
    b->magic = RBUF_MAGIC;
    b->cap_size = cap_size;
    atomic_init(&b->refs, 1);
    *ret = b;
    return 0;
}

int rbuf_append(struct rbuf *b, const void *source, uint32_t size)
{
    rbuf_check_sole(b);
    ASSERT(source != NULL || size == 0);
    if (size > b->cap_size - b->offset - b->used_size)
        return -ENOBUFS;
    if (size > 0)
        memcpy(b->data + b->offset + b->used_size, source, size);
    b->used_size += size;
    return 0;
}

int rbuf_copy(const void *source, size_t size, struct rbuf **ret)
{
    if (size > RBUF_CAP_MAX)
        return -EFBIG;
    struct rbuf *b = NULL;
    int r = rbuf_new(MAX((uint32_t)size, 1), &b);
    if (r < 0)
        return r;
    r = rbuf_append(b, source, (uint32_t)size);
    ASSERT(r == 0);
    *ret = b;
    return 0;
}

uint8_t *rbuf_space(struct rbuf *b, uint32_t *ret_cap_size)
{
    if (!atomic_load_explicit(&b->claimed, memory_order_relaxed))
        rbuf_check_sole(b);
    *ret_cap_size = b->cap_size;
    return b->data;
}

void rbuf_window(struct rbuf *b, uint32_t offset, uint32_t size)
{
    rbuf_check_sole(b);
    ASSERT(offset <= b->cap_size);
    ASSERT(size <= b->cap_size - offset);
    b->offset = offset;
    b->used_size = size;
}

const uint8_t *rbuf_data(const struct rbuf *b, uint32_t *ret_size)
{
    rbuf_check(b);
    *ret_size = b->used_size;
    return b->data + b->offset;
}

uint32_t rbuf_size(const struct rbuf *b)
{
    rbuf_check(b);
    return b->used_size;
}

uint32_t rbuf_cap(const struct rbuf *b)
{
    rbuf_check(b);
    return MAX(b->cap_size, b->block.size);
}

uint32_t rbuf_offset(const struct rbuf *b)
{
    rbuf_check(b);
    return b->offset;
}

bool rbuf_claim(struct rbuf *b)
{
    rbuf_check(b);
    return !atomic_exchange_explicit(&b->claimed, true, memory_order_acquire);
}

void rbuf_unclaim(struct rbuf *b)
{
    rbuf_check(b);
    atomic_store_explicit(&b->claimed, false, memory_order_release);
}

struct rbuf *rbuf_ref(struct rbuf *b)
{
    rbuf_check(b);
    uint32_t before = atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    ASSERT(before > 0);
    ASSERT(before < RBUF_REFS_MAX);
    return b;
}

struct rbuf *rbuf_unref(struct rbuf *b)
{
    if (b == NULL)
        return NULL;
    rbuf_check(b);
    uint32_t before = atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel);
    ASSERT(before > 0);
    if (before == 1) {
        MAGIC_CLEAR(b);
        if (b->block.size > 0)
            arena_free_block(rbuf_arena, &b->block);
        else
            free(b->data);
        free(b);
    }
    return NULL;
}

void rbuf_mark(struct rbuf *b)
{
    rbuf_check(b);
    atomic_store_explicit(&b->marked, true, memory_order_relaxed);
}

bool rbuf_take_mark(struct rbuf *b)
{
    rbuf_check(b);
    /* Mostly clear: looked at first, so that readers on many cores do not fight for the line. */
    return atomic_load_explicit(&b->marked, memory_order_relaxed) &&
           atomic_exchange_explicit(&b->marked, false, memory_order_relaxed);
}
