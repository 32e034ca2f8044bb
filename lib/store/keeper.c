/* SPDX-License-Identifier: Apache-2.0 */
/* Rounds: each task makes a step; a round in which none had anything to do is an idle one, and the
 * thread sleeps until it is woken or until a task's time has come. */
#include "store/keeper_priv.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include "base/clock.h"

#define KEEPER_ROUND_US   UINT64_C(1000000) /* sleeps no longer: what is due by the clock */
#define KEEPER_KEEP_RATE  (UINT64_C(64) << 20)
#define KEEPER_SCRUB_RATE (UINT64_C(4) << 20)

/* --- what tasks use --------------------------------------------------------------------------- */

bool keeper_stops(struct keeper *k)
{
    (void)pthread_mutex_lock(&k->lock);
    bool stops = k->stopping;
    (void)pthread_mutex_unlock(&k->lock);
    return stops;
}

bool keeper_settles(struct keeper *k)
{
    (void)pthread_mutex_lock(&k->lock);
    bool settles = k->settling > 0;
    (void)pthread_mutex_unlock(&k->lock);
    return settles;
}

/* On the committer's thread. */
static void keeper_op_done(struct commit_op *op)
{
    struct keeper *k = CONTAINER_OF(op, struct keeper_op, commit)->keeper;
    (void)pthread_mutex_lock(&k->lock);
    ASSERT(k->pushing > 0);
    k->pushing--;
    (void)pthread_cond_signal(&k->wake);
    (void)pthread_mutex_unlock(&k->lock);
}

void keeper_push(struct keeper *k, struct keeper_op *op)
{
    op->keeper = k;
    op->commit.done = keeper_op_done;
    (void)pthread_mutex_lock(&k->lock);
    k->pushing++;
    (void)pthread_mutex_unlock(&k->lock);
    if (commit_push(k->store->commit, &op->commit) < 0) {
        op->commit.res = -EAGAIN; /* the foreground has priority */
        keeper_op_done(&op->commit);
    }
}

void keeper_wait(struct keeper *k)
{
    (void)pthread_mutex_lock(&k->lock);
    while (k->pushing > 0)
        (void)pthread_cond_wait(&k->wake, &k->lock);
    (void)pthread_mutex_unlock(&k->lock);
}

void keeper_wake_at(struct keeper *k, uint64_t us)
{
    if (k->wake_us == 0 || us < k->wake_us)
        k->wake_us = us;
}

/* What the foreground reads of late. */
static void keeper_look(struct keeper *k, struct throttle *t, uint64_t now_us)
{
    const struct store *s = k->store;
    uint64_t bytes = atomic_load_explicit(&s->read_bytes, memory_order_relaxed);
    uint64_t passed_us = MAX(now_us - k->read_us, 1);
    uint64_t rate = (bytes - k->read_bytes) * 1000 / (passed_us / 1000 + 1);
    throttle_foreground(t, atomic_load_explicit(&s->reading, memory_order_relaxed), rate, now_us);
    if (passed_us > KEEPER_ROUND_US) {
        k->read_us = now_us;
        k->read_bytes = bytes;
    }
}

bool keeper_may(struct keeper *k, struct throttle *t, uint64_t bytes)
{
    uint64_t now_us = clock_mono_us();
    if (keeper_settles(k))
        return true;
    keeper_look(k, t, now_us);
    uint64_t wait_us = throttle_take(t, bytes, now_us);
    if (wait_us > 0)
        keeper_wake_at(k, now_us + wait_us);
    return wait_us == 0;
}

/* --- the thread ------------------------------------------------------------------------------- */

static bool keeper_round(struct keeper *k)
{
    static enum keeper_step (*const steps[])(struct keeper *) = {
        keeper_reclaim_step, keeper_remote_step, keeper_compact_step, keeper_move_step,
        keeper_scrub_step};
    bool more = false, busy = false;
    for (size_t i = 0; i < ARRAY_LEN(steps) && !keeper_stops(k); i++) {
        enum keeper_step step = steps[i](k);
        more = more || step == KEEPER_MORE;
        busy = busy || step == KEEPER_BUSY;
    }
    (void)pthread_mutex_lock(&k->lock);
    if (!more && !busy) {
        k->idle = k->started;
        (void)pthread_cond_broadcast(&k->settled);
    }
    (void)pthread_mutex_unlock(&k->lock);
    return more;
}

/* Under the lock. */
static void keeper_sleep(struct keeper *k)
{
    uint64_t now_us = clock_mono_us(), until_us = now_us + KEEPER_ROUND_US;
    if (k->wake_us != 0)
        until_us = MIN(until_us, MAX(k->wake_us, now_us + 1));
    struct timespec until = {.tv_sec = (time_t)(until_us / 1000000),
                             .tv_nsec = (long)(until_us % 1000000) * 1000};
    int e = 0;
    while (!k->woken && !k->stopping && e == 0)
        e = pthread_cond_timedwait(&k->wake, &k->lock, &until);
}

static void *keeper_thread(void *arg)
{
    struct keeper *k = arg;
    bool more = false;
    (void)pthread_mutex_lock(&k->lock);
    while (!k->stopping) {
        if (!more)
            keeper_sleep(k);
        k->woken = false;
        k->started++;
        (void)pthread_mutex_unlock(&k->lock);
        k->wake_us = 0;
        more = keeper_round(k);
        (void)pthread_mutex_lock(&k->lock);
    }
    (void)pthread_cond_broadcast(&k->settled);
    (void)pthread_mutex_unlock(&k->lock);
    keeper_remote_finish(k);
    return NULL;
}

void keeper_wake(struct keeper *k)
{
    (void)pthread_mutex_lock(&k->lock);
    k->woken = true;
    (void)pthread_cond_signal(&k->wake);
    (void)pthread_mutex_unlock(&k->lock);
}

int keeper_settle(struct keeper *k)
{
    int r = 0;
    (void)pthread_mutex_lock(&k->lock);
    uint64_t want = k->started + 1;
    k->settling++;
    k->settles++;
    while (k->idle < want && !k->stopping) {
        k->woken = true;
        (void)pthread_cond_signal(&k->wake);
        (void)pthread_cond_wait(&k->settled, &k->lock);
    }
    k->settling--;
    if (k->idle < want)
        r = -ECANCELED;
    (void)pthread_mutex_unlock(&k->lock);
    return r;
}

/* --- life ------------------------------------------------------------------------------------- */

static void keeper_set_paces(struct keeper *k, const struct store_options *o)
{
    uint64_t now_us = clock_mono_us();
    k->works = o->keep_rate != STORE_RATE_NONE;
    k->scrubs = o->scrub_rate != STORE_RATE_NONE;
    struct throttle_options work = {.rate = o->keep_rate != 0 ? o->keep_rate : KEEPER_KEEP_RATE};
    struct throttle_options scrub = {.rate =
                                         o->scrub_rate != 0 ? o->scrub_rate : KEEPER_SCRUB_RATE};
    throttle_init(&k->work, &work, now_us);
    throttle_init(&k->scrub_pace, &scrub, now_us);
    k->warm_max = o->warm_max;
    k->move.began_ms = clock_mono_ms();
    k->place.options = place_options_default();
    k->place.options.demote_after_ms = (uint64_t)o->demote_after_s * 1000;
    if (o->promote_after_s != 0)
        k->place.options.stay_ms =
            o->promote_after_s == STORE_AT_ONCE ? 0 : (uint64_t)o->promote_after_s * 1000;
}

int keeper_start(struct store *s, const struct store_options *o, struct keeper **ret)
{
    struct keeper *k = calloc(1, sizeof *k);
    pthread_condattr_t attr;
    if (k == NULL)
        return -ENOMEM;
    k->magic = KEEPER_MAGIC;
    k->store = s;
    (void)pthread_mutex_init(&k->lock, NULL); /* these do not fail on Linux */
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&k->wake, &attr);
    (void)pthread_cond_init(&k->settled, &attr);
    (void)pthread_condattr_destroy(&attr);
    keeper_set_paces(k, o);
    k->extents = calloc(KEEPER_EXTENTS, sizeof *k->extents);
    k->ops = calloc(KEEPER_OPS, sizeof *k->ops);
    int r = k->extents != NULL && k->ops != NULL ? 0 : -ENOMEM;
    if (r == 0)
        r = io_queue_new(s->io, 4, -1, &k->queue);
    if (r == 0)
        r = index_reader_new(s->index, &k->reader);
    *ret = k; /* before the thread: the committer looks for it from then on */
    if (r == 0) {
        /* Signals are for the daemon's main thread. */
        sigset_t all, before;
        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before);
        r = -pthread_create(&k->thread, NULL, keeper_thread, k);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        k->running = r == 0;
    }
    if (r < 0)
        *ret = keeper_free(k);
    return r;
}

void keeper_finish(struct keeper *k)
{
    ASSERT(k->magic == KEEPER_MAGIC);
    (void)pthread_mutex_lock(&k->lock);
    k->stopping = true;
    (void)pthread_cond_signal(&k->wake);
    (void)pthread_mutex_unlock(&k->lock);
    if (k->running)
        (void)pthread_join(k->thread, NULL);
    k->running = false;
}

struct keeper *keeper_free(struct keeper *k)
{
    if (k == NULL)
        return NULL;
    ASSERT(k->magic == KEEPER_MAGIC);
    ASSERT(!k->running);
    io_queue_free(k->queue);
    index_reader_free(k->reader);
    free(k->extents);
    free(k->ops);
    (void)pthread_cond_destroy(&k->wake);
    (void)pthread_cond_destroy(&k->settled);
    (void)pthread_mutex_destroy(&k->lock);
    MAGIC_CLEAR(k);
    free(k);
    return NULL;
}
