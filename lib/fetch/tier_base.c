/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/tier_base.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define TIER_MEMORY_WAIT_US 1000

static void tier_base_check(const struct tier_base *b)
{
    ASSERT(b != NULL);
    ASSERT(b->magic == TIER_BASE_MAGIC);
}

static void tier_op_check(const struct tier_op *op)
{
    ASSERT(op != NULL);
    ASSERT(op->magic == TIER_OP_MAGIC);
}

int tier_base_start(struct tier_base *b, const struct store_tier_ops *ops,
                    const struct engine_options *options)
{
    int r = engine_new(options, &b->engine);
    if (r < 0)
        return r;
    b->tier.ops = ops;
    b->magic = TIER_BASE_MAGIC;
    (void)pthread_mutex_init(&b->lock, NULL);
    (void)pthread_cond_init(&b->changed, NULL);
    return 0;
}

void tier_base_stop(struct tier_base *b)
{
    tier_base_check(b);
    /* Who submits and waits does so under the lock: either the engine has it by now, and ends it,
     * or it sees this. */
    (void)pthread_mutex_lock(&b->lock);
    b->closing = true;
    (void)pthread_mutex_unlock(&b->lock);
    b->engine = engine_free(b->engine);
    (void)pthread_mutex_lock(&b->lock);
    while (b->waiters > 0)
        (void)pthread_cond_wait(&b->changed, &b->lock);
    (void)pthread_mutex_unlock(&b->lock);
    (void)pthread_cond_destroy(&b->changed);
    (void)pthread_mutex_destroy(&b->lock);
    MAGIC_CLEAR(b);
}

static void tier_op_start(struct engine_job *j, int admission)
{
    struct tier_op *op = CONTAINER_OF(j, struct tier_op, job);
    tier_op_check(op);
    if (admission < 0)
        tier_op_end(op, admission);
    else
        op->begin(op);
}

struct tier_op *tier_op_new(struct tier_base *b, size_t size, const struct digest *d,
                            void (*begin)(struct tier_op *op))
{
    tier_base_check(b);
    ASSERT(size >= sizeof(struct tier_op));
    struct tier_op *op;
    while ((op = calloc(1, size)) == NULL)
        (void)usleep(TIER_MEMORY_WAIT_US);
    op->magic = TIER_OP_MAGIC;
    op->base = b;
    op->job.start = tier_op_start;
    op->begin = begin;
    if (d != NULL)
        op->digest = *d;
    return op;
}

struct tier_op *tier_op_free(struct tier_op *op)
{
    if (op == NULL)
        return NULL;
    tier_op_check(op);
    if (op->clear != NULL)
        op->clear(op);
    engine_call_clear(&op->call);
    MAGIC_CLEAR(op);
    free(op);
    return NULL;
}

void tier_op_submit(struct tier_op *op)
{
    tier_op_check(op);
    engine_submit(op->base->engine, &op->job);
}

void tier_op_answer(struct tier_op *op, int res)
{
    tier_op_check(op);
    store_tier_got *got = op->got;
    store_tier_done *done = op->done;
    op->got = NULL;
    op->done = NULL;
    if (got != NULL)
        got(op->arg, res, res == 0 ? op->call.blob : NULL);
    else if (done != NULL)
        done(op->arg, res);
}

void tier_op_end(struct tier_op *op, int res)
{
    tier_op_check(op);
    struct tier_base *b = op->base;
    if (op->job.admission == 0)
        engine_job_ended(b->engine); /* before the answer: there is room for what it brings about */
    if (!op->is_waited) {
        tier_op_answer(op, res);
        (void)tier_op_free(op);
        return;
    }
    (void)pthread_mutex_lock(&b->lock);
    op->res = res;
    op->is_done = true; /* its waiter may free it as soon as the lock is open */
    (void)pthread_cond_broadcast(&b->changed);
    (void)pthread_mutex_unlock(&b->lock);
}

int tier_base_enter(struct tier_base *b)
{
    tier_base_check(b);
    (void)pthread_mutex_lock(&b->lock);
    int r = b->closing ? -ECANCELED : 0;
    if (r == 0)
        b->waiters++;
    (void)pthread_mutex_unlock(&b->lock);
    return r;
}

void tier_base_leave(struct tier_base *b)
{
    (void)pthread_mutex_lock(&b->lock);
    ASSERT(b->waiters > 0);
    b->waiters--;
    (void)pthread_cond_broadcast(&b->changed);
    (void)pthread_mutex_unlock(&b->lock);
}

int tier_base_run(struct tier_op *op)
{
    struct tier_base *b = op->base;
    int r = -ECANCELED;
    op->is_waited = true;
    (void)pthread_mutex_lock(&b->lock);
    ASSERT(b->waiters > 0); /* entered */
    if (!b->closing) {
        ASSERT(!engine_is_own_thread(b->engine)); /* it would wait for itself */
        tier_op_submit(op);
        while (!op->is_done)
            (void)pthread_cond_wait(&b->changed, &b->lock);
        r = op->res;
    }
    (void)pthread_mutex_unlock(&b->lock);
    return r;
}
