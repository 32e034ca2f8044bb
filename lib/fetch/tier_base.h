/* SPDX-License-Identifier: Apache-2.0 */
/* tier_base: what the S3 tier and the peer tier have in common: an engine, operations that are
 * answered once, and callers that wait.
 *
 * Life:    tier_base_start -> operations -> tier_base_stop, once for each start that said 0.
 *          An operation: tier_op_new -> tier_op_submit -> begin, on the engine's thread -> ... ->
 *          tier_op_end, which answers and frees it.
 * Owner:   the tier, which begins with it.
 * Threads: tier_op_end: the engine's. The rest: any.
 * Errors:  as store/tier.h.
 * Units:   none. */
#pragma once
#include <pthread.h>
#include "fetch/engine.h"
#include "store/tier.h"

struct tier_base {
    struct store_tier tier; /* first: what the store sees */
    uint32_t magic;
#define TIER_BASE_MAGIC UINT32_C(0x71e2ba5e)
    struct engine *engine;
    pthread_mutex_t lock; /* covers what follows, and is_done of operations that are waited for */
    pthread_cond_t changed;
    unsigned waiters;
    bool closing;
};

struct tier_op {
    uint32_t magic;
#define TIER_OP_MAGIC UINT32_C(0x71e20b01)
    struct engine_job job;
    struct engine_call call; /* freed with it; its blob is what a get is answered with */
    struct tier_base *base;
    struct digest digest;
    uint32_t length; /* of a get; 0: not known */
    store_tier_got *got;
    store_tier_done *done; /* got or done; neither: it has been answered */
    void *arg;
    void (*begin)(struct tier_op *op);
    void (*clear)(struct tier_op *op); /* NULL: nothing to free but the call */
    bool is_waited, is_done;
    int res;
};

MUST_USE int tier_base_start(struct tier_base *b, const struct store_tier_ops *ops,
                             const struct engine_options *options);
void tier_base_stop(struct tier_base *b);

/* size: of the struct that begins with the operation; zeroed. Never NULL: there would be nobody to
 * tell, so it waits until there is memory. */
struct tier_op *tier_op_new(struct tier_base *b, size_t size, const struct digest *d,
                            void (*begin)(struct tier_op *op));
void tier_op_submit(struct tier_op *op);
void tier_op_end(struct tier_op *op, int res);
void tier_op_answer(struct tier_op *op, int res); /* early: what it does from now on is its own */

/* For calls that block: enter, then run* (submit and wait; op is the caller's to look at and then
 * to tier_op_free), then leave. */
MUST_USE int tier_base_enter(struct tier_base *b); /* -ECANCELED */
void tier_base_leave(struct tier_base *b);
MUST_USE int tier_base_run(struct tier_op *op);
struct tier_op *tier_op_free(struct tier_op *op); /* takes NULL, returns NULL */
DEFINE_CLEAN(struct tier_op *, tier_op_free)
