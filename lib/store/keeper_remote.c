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
#define REMOTE_SKIP_US      (UINT64_C(10) * 1000000)
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

static unsigned remote_waiting(struct keeper *k, struct digest **ret)
{
    unsigned count = 0, n = 0;
    *ret = NULL;
    (void)pthread_mutex_lock(&k->lock);
    for (const struct keeper_waiter *w = k->waiters; w != NULL; w = w->next)
        count++;
    struct digest *waiting = count > 0 ? calloc(count, sizeof *waiting) : NULL;
    for (const struct keeper_waiter *w = k->waiters; w != NULL && waiting != NULL; w = w->next)
        waiting[n++] = w->digest;
    (void)pthread_mutex_unlock(&k->lock);
    *ret = waiting;
    return n;
}

static bool remote_in_flight(const struct keeper_remote *x, const struct digest *d)
{
    for (unsigned i = 0; i < KEEPER_FLIGHTS; i++) {
        if (x->flights[i].used && digest_eq(&x->flights[i].errand.digest, d))
            return true;
    }
    return false;
}

static void remote_commit(struct keeper *k, commit_apply *apply, const struct index_errand *e)
{
    struct keeper_op *op = &k->ops[0];
    *op = (struct keeper_op){
        .commit = {
            .kind = COMMIT_INDEX, .apply = apply, .digest = e->digest, .flags = (unsigned)e->kind}};
    keeper_push(k, op);
    keeper_wait(k);
}

/* Those whose upload is over are told so by the index: there, or gone. resting: the tier failed,
 * and is not asked now: what waits for it fails too, rather than wait as long as that takes. */
static void remote_answer_settled(struct keeper *k, bool resting)
{
    struct digest *waiting;
    unsigned count = remote_waiting(k, &waiting);
    for (unsigned i = 0; i < count; i++) {
        struct index_entry e;
        struct index_errand errand = {.digest = waiting[i], .kind = INDEX_UPLOAD};
        int r = index_find(k->reader, &waiting[i], &e);
        bool there = r == 0 && (e.flags & INDEX_REMOTE) != 0;
        if (r < 0 || there)
            remote_answer(k, &waiting[i], r);
        else if (resting && !remote_in_flight(&k->remote, &waiting[i]))
            remote_answer(k, &waiting[i], k->remote.failing != 0 ? k->remote.failing : -EHOSTDOWN);
        else if (index_find_errand(k->reader, &waiting[i], &errand.kind) == -ENOENT)
            remote_commit(k, commit_errand_put, &errand); /* put by a run that did not upload */
    }
    free(waiting);
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

/* -EALREADY: the tier has it; -ENODATA: there is nothing here to be put there; else it could not be
 * read now. */
static int remote_bytes(struct keeper *k, const struct digest *d, struct rbuf **ret)
{
    struct store *s = k->store;
    struct index_entry e;
    int r = index_find(k->reader, d, &e);
    if (r < 0)
        return r == -ENOENT ? -ENODATA : r;
    if ((e.flags & INDEX_REMOTE) != 0)
        return -EALREADY;
    if (e.volume == 0 || (e.flags & INDEX_QUARANTINED) != 0)
        return -ENODATA;
    struct rbuf *blob = hot_look(s->hot, d);
    if (blob == NULL) {
        r = volume_read_blob(s->volumes, k->queue, d, &e, &blob);
        if (r == 0)
            rbuf_window(blob, format_payload_offset(e.length), e.length);
    }
    if (r == -EBADMSG)
        store_quarantine(s, d, &e);
    if (r == 0)
        *ret = blob;
    return r == -EBADMSG ? -ENODATA : r;
}

/* Set aside for a while: it must not keep the others from being done. */
static void remote_skip(struct keeper_remote *x, const struct digest *d)
{
    if (x->skip_count < REMOTE_SKIP)
        x->skip[x->skip_count++] = *d;
    x->skip_until_us = clock_mono_us() + REMOTE_SKIP_US;
}

static bool remote_skipped(struct keeper_remote *x, const struct digest *d)
{
    for (unsigned i = 0; i < x->skip_count; i++) {
        if (digest_eq(&x->skip[i], d))
            return true;
    }
    return false;
}

/* It never left: the tier has it, or this host has nothing to put there. */
static void remote_over_here(struct keeper *k, const struct index_errand *e, int res)
{
    struct store *s = k->store;
    if (res == -EALREADY) {
        if (e->kind == INDEX_DEMOTE)
            store_count(&s->counts.demoted, s->metrics.demoted, 1);
        remote_commit(k, commit_errand_done, e);
        remote_answer(k, &e->digest, 0);
    } else if (res == -ENODATA) {
        remote_commit(k, commit_errand_drop, e);
        remote_answer(k, &e->digest, -EBADMSG);
    } else {
        log_warn("a blob for the remote tier %s cannot be read: %s", s->remote->ops->name,
                 strerror(-res));
        remote_skip(&k->remote, &e->digest);
        remote_answer(k, &e->digest, res);
    }
}

/* Whether it flies. */
static bool remote_start(struct keeper *k, struct keeper_flight *f, const struct index_errand *e)
{
    struct store_tier *t = k->store->remote;
    struct rbuf *blob = NULL;
    int r = e->kind == INDEX_REMOVE ? 0 : remote_bytes(k, &e->digest, &blob);
    if (r < 0) {
        remote_over_here(k, e, r);
        return false;
    }
    *f = (struct keeper_flight){.keeper = k, .errand = *e, .used = true};
    if (e->kind == INDEX_REMOVE)
        t->ops->remove(t, &e->digest, remote_over, f);
    else
        t->ops->put(t, &e->digest, blob, remote_over, f);
    rbuf_unref(blob);
    return true;
}

/* Each failure of those that flew together counts once. */
static void remote_failed(struct keeper *k, const struct keeper_flight *f)
{
    struct keeper_remote *x = &k->remote;
    uint64_t now_us = clock_mono_us();
    if (now_us >= x->retry_us) {
        uint64_t wait_us = REMOTE_RETRY_US << MIN(x->failures, 7);
        x->retry_us = now_us + MIN(wait_us, REMOTE_RETRY_MAX_US);
        x->failures++;
    }
    if (x->failing != f->res)
        log_warn("the remote tier %s does not take what is for it: %s", k->store->remote->ops->name,
                 strerror(-f->res));
    x->failing = f->res;
    x->after = f->errand.digest; /* the others first, next time */
}

static void remote_land(struct keeper *k, struct keeper_flight *f)
{
    struct store *s = k->store;
    bool removed = f->errand.kind == INDEX_REMOVE; /* which nobody waits for */
    f->used = false;
    if (f->res < 0) {
        remote_failed(k, f);
        if (!removed)
            remote_answer(k, &f->errand.digest, f->res);
        return;
    }
    k->remote.failures = 0;
    k->remote.failing = 0;
    if (!removed)
        store_count(&s->counts.uploaded, s->metrics.uploaded, 1);
    if (f->errand.kind == INDEX_DEMOTE)
        store_count(&s->counts.demoted, s->metrics.demoted, 1);
    remote_commit(k, commit_errand_done, &f->errand);
    if (!removed)
        remote_answer(k, &f->errand.digest, 0);
}

/* --- the step --------------------------------------------------------------------------------- */

/* How many are under way; *ret_landed: how many came to an end. */
static unsigned remote_land_all(struct keeper *k, unsigned *ret_landed)
{
    unsigned flying = 0;
    for (unsigned i = 0; i < KEEPER_FLIGHTS; i++) {
        struct keeper_flight *f = &k->remote.flights[i];
        (void)pthread_mutex_lock(&k->lock);
        bool over = f->used && f->over;
        (void)pthread_mutex_unlock(&k->lock);
        if (over)
            remote_land(k, f);
        *ret_landed += over;
        flying += f->used;
    }
    return flying;
}

static struct keeper_flight *remote_free_flight(struct keeper_remote *x)
{
    for (unsigned i = 0; i < KEEPER_FLIGHTS; i++) {
        if (!x->flights[i].used)
            return &x->flights[i];
    }
    return NULL;
}

/* Errands behind `after` (NULL: from the first), as far as there are flights for them. */
static void remote_start_behind(struct keeper *k, const struct digest *after)
{
    struct index_errand errands[REMOTE_LOOK];
    struct digest last = {{0}};
    unsigned count = 0;
    do {
        if (index_errands(k->reader, after, REMOTE_LOOK, errands, &count) < 0)
            return;
        for (unsigned i = 0; i < count; i++) {
            struct keeper_flight *f = remote_free_flight(&k->remote);
            if (f == NULL || keeper_stops(k))
                return;
            if (!remote_in_flight(&k->remote, &errands[i].digest) &&
                !remote_skipped(&k->remote, &errands[i].digest))
                (void)remote_start(k, f, &errands[i]);
        }
        if (count > 0)
            last = errands[count - 1].digest;
        after = &last;
    } while (count == REMOTE_LOOK);
}

static void remote_start_some(struct keeper *k)
{
    struct keeper_remote *x = &k->remote;
    if (x->skip_count > 0 && clock_mono_us() >= x->skip_until_us)
        x->skip_count = 0;
    if (x->skip_count == REMOTE_SKIP)
        return; /* this host has other troubles */
    remote_start_behind(k, &x->after);
    remote_start_behind(k, NULL);
}

/* Once after a start: what was put by a run that did not upload, or is known from a rebuild, which
 * knows of no errands. False: that is over. */
static bool remote_catch_up(struct keeper *k)
{
    struct keeper_remote *x = &k->remote;
    struct index_blob *blobs = NULL;
    unsigned count = 0, pushed = 0;
    if (k->store->durability == STORE_LOCAL || x->caught_up)
        return false;
    blobs = calloc(KEEPER_OPS, sizeof *blobs);
    int r = blobs != NULL ? index_blobs(k->reader, &x->seen, x->seen_any, KEEPER_OPS, blobs, &count)
                          : -ENOMEM;
    for (unsigned i = 0; i < count && r == 0; i++) {
        const struct index_entry *e = &blobs[i].entry;
        enum index_errand_kind kind;
        if ((e->flags & (INDEX_REMOTE | INDEX_QUARANTINED)) != 0 || e->volume == 0 ||
            index_find_errand(k->reader, &blobs[i].digest, &kind) != -ENOENT)
            continue;
        struct keeper_op *op = &k->ops[pushed++];
        *op = (struct keeper_op){.commit = {.kind = COMMIT_INDEX,
                                            .apply = commit_errand_put,
                                            .digest = blobs[i].digest,
                                            .flags = INDEX_UPLOAD}};
        keeper_push(k, op);
    }
    keeper_wait(k);
    for (unsigned i = 0; i < pushed && r == 0; i++)
        r = k->ops[i].commit.res;
    if (r < 0) {
        log_warn("looking for what the remote tier has not got: %s", strerror(-r));
        free(blobs);
        return false; /* from here on again, in a later round */
    }
    x->caught_up = count < KEEPER_OPS;
    x->seen_any = true;
    if (count > 0)
        x->seen = blobs[count - 1].digest;
    free(blobs);
    return !x->caught_up;
}

enum keeper_step keeper_remote_step(struct keeper *k)
{
    unsigned landed = 0;
    if (k->store->remote == NULL)
        return KEEPER_IDLE;
    bool more = remote_catch_up(k);
    unsigned flying = remote_land_all(k, &landed);
    bool resting = clock_mono_us() < k->remote.retry_us;
    remote_answer_settled(k, resting);
    if (resting) {
        keeper_wake_at(k, k->remote.retry_us);
    } else {
        remote_start_some(k);
        flying = KEEPER_FLIGHTS;
        for (unsigned i = 0; i < KEEPER_FLIGHTS; i++)
            flying -= !k->remote.flights[i].used;
    }
    if (flying > 0)
        return KEEPER_BUSY;
    return landed > 0 || more ? KEEPER_MORE : KEEPER_IDLE;
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
