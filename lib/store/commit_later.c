/* SPDX-License-Identifier: Apache-2.0 */
/* The index transaction of a batch of puts is two syncs of a file other than the volume. It is made
 * by a thread of its own, so that the records of the next batch are written meanwhile. One batch at
 * a time is on its way, and only puts: whatever else comes waits for it first, so that it finds the
 * index as if batches had come one after the other. docs/decisions/0110-groups-overlap.md */
#include <errno.h>
#include <signal.h>
#include "store/commit_priv.h"

/* Opening a store looks so far for what a crash left behind a volume's end: volume_tail.c. */
#define LATER_BYTES_MAX (UINT64_C(16) << 20)

static void *commit_later_thread(void *arg)
{
    struct commit *c = arg;
    struct commit_later *l = &c->later;
    (void)pthread_mutex_lock(&l->lock);
    for (;;) {
        while (!l->busy && !l->stopping)
            (void)pthread_cond_wait(&l->wake, &l->lock);
        if (!l->busy)
            break;
        (void)pthread_mutex_unlock(&l->lock);
        int r = commit_end(c, &l->batch);
        (void)pthread_mutex_lock(&l->lock);
        l->last = r;
        l->busy = false;
        (void)pthread_cond_signal(&l->idle);
    }
    (void)pthread_mutex_unlock(&l->lock);
    return NULL;
}

void commit_drain(struct commit *c)
{
    struct commit_later *l = &c->later;
    if (!l->handed)
        return;
    (void)pthread_mutex_lock(&l->lock);
    while (l->busy)
        (void)pthread_cond_wait(&l->idle, &l->lock);
    l->res = l->last;
    (void)pthread_mutex_unlock(&l->lock);
    l->handed = false;
}

bool commit_must_see(const struct commit *c, const struct commit_op *op)
{
    const struct commit_later *l = &c->later;
    bool must = l->handed && op->kind != COMMIT_PUT;
    for (unsigned i = 0; l->handed && !must && i < l->digests_count; i++)
        must = digest_eq(&l->digests[i], &op->digest);
    return must;
}

/* A lone put with nothing behind it is answered sooner without a change of threads. */
static bool commit_later_pays(struct commit *c, const struct commit_batch *b)
{
    uint64_t bytes = 0;
    if (!b->may_move)
        return false;
    for (unsigned i = 0; i < b->count; i++) {
        if (b->ops[i]->kind != COMMIT_PUT)
            return false;
        bytes += b->ops[i]->recorded ? format_record_size(b->ops[i]->length) : 0;
    }
    if (bytes > LATER_BYTES_MAX)
        return false;
    if (b->count > 1 || c->rest)
        return true;
    (void)pthread_mutex_lock(&c->lock);
    bool waits = c->first != NULL;
    (void)pthread_mutex_unlock(&c->lock);
    return waits;
}

bool commit_hand_over(struct commit *c, struct commit_batch *b)
{
    struct commit_later *l = &c->later;
    if (!commit_later_pays(c, b))
        return false;
    commit_drain(c);
    l->digests_count = b->count;
    for (unsigned i = 0; i < b->count; i++)
        l->digests[i] = b->ops[i]->digest;
    memcpy(l->end, b->end, sizeof l->end);
    memcpy(l->batch.ops, b->ops, b->count * sizeof b->ops[0]);
    memcpy(l->batch.end, b->end, sizeof b->end);
    l->batch.count = b->count;
    l->batch.began_us = b->began_us;
    b->count = 0;
    b->behind = false;
    memset(b->end, 0, sizeof b->end);
    (void)pthread_mutex_lock(&l->lock);
    l->busy = true;
    (void)pthread_cond_signal(&l->wake);
    (void)pthread_mutex_unlock(&l->lock);
    l->handed = true;
    return true;
}

int commit_later_start(struct commit *c)
{
    struct commit_later *l = &c->later;
    (void)pthread_mutex_init(&l->lock, NULL); /* does not fail on Linux with default attributes */
    (void)pthread_cond_init(&l->wake, NULL);
    (void)pthread_cond_init(&l->idle, NULL);
    /* Signals are for the daemon's main thread. */
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = -pthread_create(&l->thread, NULL, commit_later_thread, c);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    l->started = r == 0;
    if (r < 0) {
        (void)pthread_cond_destroy(&l->idle);
        (void)pthread_cond_destroy(&l->wake);
        (void)pthread_mutex_destroy(&l->lock);
    }
    return r;
}

void commit_later_stop(struct commit *c)
{
    struct commit_later *l = &c->later;
    if (!l->started)
        return;
    (void)pthread_mutex_lock(&l->lock);
    l->stopping = true;
    (void)pthread_cond_signal(&l->wake);
    (void)pthread_mutex_unlock(&l->lock);
    (void)pthread_join(l->thread, NULL);
    (void)pthread_cond_destroy(&l->idle);
    (void)pthread_cond_destroy(&l->wake);
    (void)pthread_mutex_destroy(&l->lock);
    l->started = false;
}
