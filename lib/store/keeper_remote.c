/* SPDX-License-Identifier: Apache-2.0 */
/* Errands at the remote tier, some at once. Each has a row in the index until it is done, so that a
 * crash only has it done again; a blob that is to go to the remote tier alone keeps its copy on the
 * device until the tier has said that it has it. */
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"
#include "store/keeper_priv.h"

#define REMOTE_RETRY_US     UINT64_C(500000) /* doubles with each failure, up to: */
#define REMOTE_RETRY_MAX_US (UINT64_C(60) * 1000000)
#define REMOTE_LOOK         64u

/* --- who waits -------------------------------------------------------------------------------- */

void keeper_await_upload(struct keeper *k, const struct digest *d, keeper_uploaded *done, void *arg)
{
    struct keeper_waiter *w = malloc(sizeof *w);
    if (w == NULL) {
        done(arg, -ENOMEM);
        return;
    }
    *w = (struct keeper_waiter){.digest = *d, .done = done, .arg = arg};
    (void)pthread_mutex_lock(&k->lock);
    bool stopping = k->stopping;
    if (!stopping) {
        w->next = k->waiters;
        k->waiters = w;
        k->woken = true;
        (void)pthread_cond_signal(&k->wake);
    }
    (void)pthread_mutex_unlock(&k->lock);
    if (stopping) {
        free(w);
        done(arg, -ECANCELED);
    }
}

/* d NULL: all. */
static void remote_answer(struct keeper *k, const struct digest *d, int res)
{
    struct keeper_waiter *answered = NULL;
    (void)pthread_mutex_lock(&k->lock);
    for (struct keeper_waiter **at = &k->waiters; *at != NULL;) {
        struct keeper_waiter *w = *at;
        if (d != NULL && !digest_eq(&w->digest, d)) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        w->next = answered;
        answered = w;
    }
    (void)pthread_mutex_unlock(&k->lock);
    while (answered != NULL) {
        struct keeper_waiter *next = answered->next;
        answered->done(answered->arg, res);
        free(answered);
        answered = next;
    }
}

/* Those whose blob has no errand are answered by what the index says of it: there, or gone. */
static void remote_answer_settled(struct keeper *k)
{
    struct digest waiting[REMOTE_LOOK];
    unsigned count = 0;
    (void)pthread_mutex_lock(&k->lock);
    for (struct keeper_waiter *w = k->waiters; w != NULL && count < REMOTE_LOOK; w = w->next)
        waiting[count++] = w->digest;
    (void)pthread_mutex_unlock(&k->lock);
    for (unsigned i = 0; i < count; i++) {
        struct index_entry e;
        int r = index_find(k->reader, &waiting[i], &e);
        if (r < 0)
            remote_answer(k, &waiting[i], r);
        else if ((e.flags & INDEX_REMOTE) != 0)
            remote_answer(k, &waiting[i], 0);
    }
}

/* --- flights ---------------------------------------------------------------------------------- */

/* On the tier's thread. */
static void remote_over(void *arg, int res)
{
    struct keeper_flight *f = arg;
    struct keeper *k = f->keeper;
    (void)pthread_mutex_lock(&k->lock);
    f->res = res;
    f->over = true;
    k->woken = true;
    (void)pthread_cond_signal(&k->wake);
    (void)pthread_mutex_unlock(&k->lock);
}

static int remote_bytes(struct keeper *k, const struct digest *d, struct rbuf **ret)
{
    struct store *s = k->store;
    struct index_entry e;
    struct rbuf *blob = hot_look(s->hot, d);
    int r = 0;
    if (blob == NULL) {
        r = index_find(k->reader, d, &e);
        if (r == 0 && (e.flags & INDEX_REMOTE) != 0)
            return -EALREADY;
        if (r == 0 && (e.volume == 0 || (e.flags & INDEX_QUARANTINED) != 0))
            r = -EBADMSG;
        if (r == 0)
            r = volume_read_blob(s->volumes, k->queue, d, &e, &blob);
        if (r == 0)
            rbuf_window(blob, format_payload_offset(e.length), e.length);
    }
    if (r == 0)
        *ret = blob;
    return r;
}

static void remote_start(struct keeper *k, struct keeper_flight *f, const struct index_errand *e)
{
    struct store_tier *t = k->store->remote;
    struct rbuf *blob = NULL;
    *f = (struct keeper_flight){.keeper = k, .errand = *e, .used = true};
    if (e->kind == INDEX_REMOVE) {
        t->ops->remove(t, &e->digest, remote_over, f);
        return;
    }
    int r = remote_bytes(k, &e->digest, &blob);
    if (r == 0)
        t->ops->put(t, &e->digest, blob, remote_over, f);
    else
        remote_over(f, r);
    rbuf_unref(blob);
}

static void remote_note(struct keeper *k, const struct index_errand *e)
{
    struct keeper_op *op = &k->ops[0];
    *op = (struct keeper_op){.commit = {.kind = COMMIT_INDEX,
                                        .apply = commit_errand_done,
                                        .digest = e->digest,
                                        .flags = (unsigned)e->kind}};
    keeper_push(k, op);
    keeper_wait(k);
}

static void remote_land(struct keeper *k, struct keeper_flight *f)
{
    struct store *s = k->store;
    struct keeper_remote *x = &k->remote;
    bool gone = f->res == -ENOENT || f->res == -EBADMSG; /* of the blob here, not of the tier */
    f->used = false;
    if (f->res == 0 || f->res == -EALREADY) {
        x->failures = 0;
        x->failing = 0;
        if (f->errand.kind != INDEX_REMOVE && f->res == 0)
            store_count(&s->counts.uploaded, s->metrics.uploaded, 1);
        if (f->errand.kind == INDEX_DEMOTE)
            store_count(&s->counts.demoted, s->metrics.demoted, 1);
        remote_note(k, &f->errand);
        remote_answer(k, &f->errand.digest, 0);
        return;
    }
    if (!gone) {
        uint64_t wait_us = REMOTE_RETRY_US << MIN(x->failures, 7);
        x->retry_us = clock_mono_us() + MIN(wait_us, REMOTE_RETRY_MAX_US);
        x->failures++;
        if (x->failing != f->res)
            log_warn("the remote tier %s does not take what is for it: %s", s->remote->ops->name,
                     strerror(-f->res));
        x->failing = f->res;
    }
    remote_answer(k, &f->errand.digest, f->res);
}

/* --- the step --------------------------------------------------------------------------------- */

static bool remote_in_flight(const struct keeper_remote *x, const struct digest *d)
{
    for (unsigned i = 0; i < KEEPER_FLIGHTS; i++) {
        if (x->flights[i].used && digest_eq(&x->flights[i].errand.digest, d))
            return true;
    }
    return false;
}

static unsigned remote_land_all(struct keeper *k)
{
    unsigned flying = 0;
    for (unsigned i = 0; i < KEEPER_FLIGHTS; i++) {
        struct keeper_flight *f = &k->remote.flights[i];
        (void)pthread_mutex_lock(&k->lock);
        bool over = f->used && f->over;
        (void)pthread_mutex_unlock(&k->lock);
        if (over)
            remote_land(k, f);
        flying += f->used;
    }
    return flying;
}

/* How many errands were begun. */
static unsigned remote_start_some(struct keeper *k)
{
    struct index_errand errands[REMOTE_LOOK];
    unsigned count = 0, begun = 0, slot = 0;
    if (index_errands(k->reader, NULL, REMOTE_LOOK, errands, &count) < 0)
        return 0;
    for (unsigned i = 0; i < count && slot < KEEPER_FLIGHTS; i++) {
        if (remote_in_flight(&k->remote, &errands[i].digest))
            continue;
        while (slot < KEEPER_FLIGHTS && k->remote.flights[slot].used)
            slot++;
        if (slot == KEEPER_FLIGHTS)
            break;
        remote_start(k, &k->remote.flights[slot], &errands[i]);
        begun++;
    }
    return begun;
}

enum keeper_step keeper_remote_step(struct keeper *k)
{
    if (k->store->remote == NULL)
        return KEEPER_IDLE;
    unsigned flying = remote_land_all(k);
    remote_answer_settled(k);
    if (clock_mono_us() < k->remote.retry_us) {
        keeper_wake_at(k, k->remote.retry_us);
        return flying > 0 ? KEEPER_BUSY : KEEPER_IDLE;
    }
    flying += remote_start_some(k);
    return flying > 0 ? KEEPER_BUSY : KEEPER_IDLE;
}

void keeper_remote_finish(struct keeper *k)
{
    for (unsigned i = 0; i < KEEPER_FLIGHTS; i++) {
        struct keeper_flight *f = &k->remote.flights[i];
        (void)pthread_mutex_lock(&k->lock);
        while (f->used && !f->over)
            (void)pthread_cond_wait(&k->wake, &k->lock);
        (void)pthread_mutex_unlock(&k->lock);
        if (f->used)
            remote_land(k, f);
    }
    remote_answer(k, NULL, -ECANCELED);
}
