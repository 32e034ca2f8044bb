/* SPDX-License-Identifier: Apache-2.0 */
/* tier: a place for blobs outside the store's own devices: a bucket, or another origin. The daemon
 * makes one and hands it in; the store decides what goes there and comes back.
 *
 * Life:    made by its library -> calls, each answered once -> ops->free, which answers what is
 *          still under way with -ECANCELED, then returns. Nothing is called after free.
 * Owner:   the daemon. The store borrows it from store_open to store_close.
 * Threads: every call from any thread; done comes on any thread, never within the call itself, and
 *          must not block.
 * Errors:  -ENOENT absent; -EACCES refused (credentials, signature, clock); -EHOSTDOWN not tried or
 *          given up on (circuit open, retries spent); -ETIMEDOUT; -ECONNRESET broke off; -EBADMSG
 *          an answer that is none; -EROFS the tier only reads; -ENOSPC it is full; -EAGAIN too much
 *          waits; -ENOMEM; -ECANCELED.
 * Units:   bytes. */
#pragma once
#include "base/digest.h"
#include "base/err.h"
#include "base/rbuf.h"

struct store_tier;

/* res 0: blob is lent for the call. It has `length` bytes, if that was given; whether they are the
 * right ones is the store's to check. */
typedef void store_tier_got(void *arg, int res, struct rbuf *blob);
typedef void store_tier_done(void *arg, int res);
typedef bool store_tier_each(void *arg, const struct digest *d, uint64_t length);

struct store_tier_ops {
    const char *name; /* for logs and metrics: "s3", "peer" */
    /* length: as the index has it; 0: not known. */
    void (*get)(struct store_tier *t, const struct digest *d, uint32_t length, store_tier_got *done,
                void *arg);
    /* Durable there when done says 0. Takes its own reference. */
    void (*put)(struct store_tier *t, const struct digest *d, struct rbuf *blob,
                store_tier_done *done, void *arg);
    /* 0 also when it was not there. */
    void (*remove)(struct store_tier *t, const struct digest *d, store_tier_done *done, void *arg);
    /* Blocks; calls each for every blob there, until it returns false. -EOPNOTSUPP: cannot. */
    int (*list)(struct store_tier *t, store_tier_each *each, void *arg, struct err *err);
    /* Blocks for one cheap request: 0 when it answers and may be used, else a sentence in err. */
    int (*check)(struct store_tier *t, struct err *err);
    struct store_tier *(*free)(struct store_tier *t); /* takes NULL, returns NULL */
};

/* What every tier begins with; the rest is its library's. */
struct store_tier {
    const struct store_tier_ops *ops;
};
