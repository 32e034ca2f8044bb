/* SPDX-License-Identifier: Apache-2.0 */
/* rbuf: fixed-capacity, reference-counted byte buffer; carries one blob from disk to socket.
 *
 * Life:    rbuf_new (1 reference) -> rbuf_append* -> rbuf_ref/rbuf_unref -> the last unref frees.
 * Owner:   every reference holder; take a reference before giving b to a CQE or another thread.
 * Threads: append and space: only by the holder of the sole reference (asserted). The rest: any.
 * Errors:  0 or -errno; *ret is written on success only. Caller bugs assert; input sizes never do.
 * Units:   bytes. 0 < cap_size <= RBUF_CAP_MAX; the capacity never changes. Memory is aligned to
 *          RBUF_ALIGN so that O_DIRECT reads land in it. */
#pragma once
#include "base/base.h"

#define RBUF_CAP_MAX  (UINT32_C(65) << 20) /* the largest blob (64 MiB) and its record around it */
#define RBUF_REFS_MAX UINT32_C(1048576)    /* more holders than this is a leak */
#define RBUF_ALIGN    UINT32_C(4096)

struct rbuf;

MUST_USE int rbuf_new(uint32_t cap_size, struct rbuf **ret);                 /* -EINVAL, -ENOMEM */
MUST_USE int rbuf_append(struct rbuf *b, const void *source, uint32_t size); /* -ENOBUFS: no copy */

/* A buffer that holds a copy of the bytes. size may be 0. */
MUST_USE int rbuf_copy(const void *source, size_t size, struct rbuf **ret); /* -EFBIG, -ENOMEM */

/* The whole capacity, to be filled from outside (disk, socket), then rbuf_window says what counts:
 * offset <= capacity, size <= capacity - offset. */
uint8_t *rbuf_space(struct rbuf *b, uint32_t *ret_cap_size);
void rbuf_window(struct rbuf *b, uint32_t offset, uint32_t size);

const uint8_t *rbuf_data(const struct rbuf *b,
                         uint32_t *ret_size); /* valid while b is referenced */
uint32_t rbuf_size(const struct rbuf *b);
uint32_t rbuf_cap(const struct rbuf *b); /* what it costs in memory, about */

/* Around the window there may be room for what a holder writes beside the bytes that count. One at
 * a time may claim it and then use rbuf_space outside of the window while others read within. */
uint32_t rbuf_offset(const struct rbuf *b); /* of the window */
bool rbuf_claim(struct rbuf *b);            /* false: somebody has it */
void rbuf_unclaim(struct rbuf *b);

/* One bit for whoever fills a buffer and whoever finds it later; clear at first. Any thread; of
 * those who take it at once one gets true. */
void rbuf_mark(struct rbuf *b);
bool rbuf_take_mark(struct rbuf *b);
struct rbuf *rbuf_ref(struct rbuf *b);   /* returns b */
struct rbuf *rbuf_unref(struct rbuf *b); /* takes NULL, returns NULL */
DEFINE_CLEAN(struct rbuf *, rbuf_unref)  /* use: CLEAN(rbuf_unref) struct rbuf *b = NULL; */
