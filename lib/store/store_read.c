/* SPDX-License-Identifier: Apache-2.0 */
/* Reading: RAM, else one index look-up and one read of the whole record, checked block by block
 * before anybody sees a byte. Readers of one blob on one worker share the read. What no device has,
 * or has only damaged, is fetched from the remote tier or a peer, if they have it. */
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "store/store_priv.h"

#define STORE_READ_TRIES 4u /* of a look-up that meets a copy just moved, evicted or reclaimed */
#define STORE_READ_LARGE (UINT32_C(256) << 10)

struct store_waiter {
    struct store_event event; /* for an answer that needs no read */
    struct store_worker *worker;
    struct store_waiter *next;
    store_get_cb *cb;
    void *arg;
    unsigned flags;
    int res;
};

struct store_read {
    struct io_op io;
    struct store_event event; /* what was fetched from elsewhere has come */
    struct store_worker *worker;
    struct store_read *chain;
    struct digest digest;
    struct index_entry entry;
    struct volume *volume;
    struct rbuf *record; /* its window is the blob, once it is checked */
    uint64_t began_us;
    unsigned tries;
    int res;
    bool from_elsewhere;
    bool local; /* its waiters want no peer asked */
    struct store_waiter *first, **last;
};

static void store_waiter_answer(struct store_waiter *x, int res, struct rbuf *blob)
{
    store_get_cb *cb = x->cb;
    void *arg = x->arg;
    x->worker->under_way--;
    free(x);
    cb(arg, res, blob);
}

static void store_waiter_run(struct store_event *e)
{
    struct store_waiter *x = CONTAINER_OF(e, struct store_waiter, event);
    store_waiter_answer(x, x->res, NULL);
}

static void store_waiter_fail(struct store_waiter *x, int res)
{
    x->res = res;
    x->event.run = store_waiter_run;
    store_worker_post(x->worker, &x->event);
}

static struct store_read **store_read_bucket(struct store_worker *w, const struct digest *d)
{
    return &w->reads[d->bytes[DIGEST_SIZE - 1] % STORE_READ_BUCKETS];
}

/* --- the end of a read ------------------------------------------------------------------------ */

/* It may have been reclaimed just now, after which the committer took it out of RAM: then so do we.
 * If not, the committer has yet to do that. */
void store_hot_insert(struct store_worker *w, const struct digest *d, struct rbuf *blob)
{
    struct store *s = w->store;
    struct index_entry e;
    hot_insert(s->hot, d, blob);
    if (s->reclaims && index_find(w->reader, d, &e) == -ENOENT)
        hot_remove(s->hot, d);
}

/* Only what counts as asked for: our own comparing does not. */
static uint64_t store_read_answers(const struct store_read *x)
{
    uint64_t n = 0;
    for (const struct store_waiter *y = x->first; y != NULL; y = y->next)
        n += (y->flags & STORE_READ_QUIET) == 0;
    return n;
}

static struct metric *store_read_metric(const struct store_read *x)
{
    const struct store_metrics *m = &x->worker->store->metrics;
    if (x->from_elsewhere)
        return m->hits_remote;
    return x->volume->device->kind == FORMAT_COLD ? m->hits_cold : m->hits_warm;
}

/* Back to the warm tier with what is asked for again and again. */
static void store_read_promote(struct store_read *x)
{
    struct store *s = x->worker->store;
    bool is_warm = x->volume != NULL && x->volume->device->kind == FORMAT_WARM;
    if (s->heat == NULL || is_warm || (x->entry.flags & INDEX_QUARANTINED) != 0 ||
        (x->from_elsewhere && x->entry.volume != 0))
        return;
    if (keeper_should_promote(s->keeper, &x->digest, &x->entry))
        store_rewrite(s, COMMIT_MOVE, FORMAT_WARM, &x->digest, &x->entry, x->record);
}

static void store_read_count(struct store_read *x)
{
    struct store *s = x->worker->store;
    uint64_t answers = store_read_answers(x);
    if (answers == 0)
        return;
    if (x->volume != NULL)
        volume_hit(x->volume, x->entry.offset);
    if (s->heat != NULL)
        heat_touch(s->heat, &x->digest, clock_mono_ms());
    if (s->again != NULL)
        again_used(s->again, &x->digest);
    store_hot_insert(x->worker, &x->digest, x->record);
    atomic_fetch_add_explicit(&s->counts.hits, answers, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->read_bytes, x->entry.length, memory_order_relaxed);
    metric_add(store_read_metric(x), answers);
    store_read_promote(x);
}

static void store_read_end(struct store_read *x, int res)
{
    struct store_worker *w = x->worker;
    struct store *s = w->store;
    struct store_read **at = store_read_bucket(w, &x->digest);
    while (*at != x)
        at = &(*at)->chain;
    *at = x->chain;
    w->reads_count--;
    atomic_fetch_sub_explicit(&s->reading, 1, memory_order_relaxed);
    metric_observe(s->metrics.get_latency, (double)(clock_mono_us() - x->began_us) / 1e6);
    if (res == 0)
        store_read_count(x);
    else if (res == -ENOENT && store_read_answers(x) > 0)
        store_count(&s->counts.misses, s->metrics.misses, 1);
    volume_unref(x->volume);
    for (struct store_waiter *y = x->first; y != NULL;) {
        struct store_waiter *next = y->next;
        store_waiter_answer(y, res, res == 0 ? x->record : NULL);
        y = next;
    }
    rbuf_unref(x->record);
    free(x);
}

/* --- from elsewhere --------------------------------------------------------------------------- */

static void store_read_over(struct store_event *e)
{
    struct store_read *x = CONTAINER_OF(e, struct store_read, event);
    /* A copy is damaged, away or lost. */
    bool repairs =
        x->from_elsewhere && (x->entry.volume != 0 || (x->entry.flags & INDEX_QUARANTINED) != 0);
    if (x->res == 0 && repairs)
        store_rewrite(x->worker->store, COMMIT_PUT, FORMAT_WARM, &x->digest, &x->entry, x->record);
    store_read_end(x, x->res);
}

/* Ends it from a later poll: from any thread, and also from within store_get. */
static void store_read_post(struct store_read *x, int res)
{
    x->res = res;
    x->event.run = store_read_over;
    store_worker_post(x->worker, &x->event);
}

/* On any thread. */
static void store_read_rescued(void *arg, int res, struct rbuf *blob)
{
    struct store_read *x = arg;
    x->record = blob != NULL ? rbuf_ref(blob) : NULL;
    if (res < 0 && (x->entry.volume != 0 || res == -ENOENT))
        res = x->res; /* the reason why we asked elsewhere says more */
    store_read_post(x, res);
}

/* res: what is wrong with our own copy. */
static void store_read_elsewhere(struct store_read *x, int res)
{
    struct store *s = x->worker->store;
    x->record = rbuf_unref(x->record);
    x->volume = volume_unref(x->volume);
    if (!store_can_rescue(s, &x->entry, x->local)) {
        store_read_post(x, res);
        return;
    }
    x->res = res;
    x->from_elsewhere = true;
    store_rescue(s, &x->digest, &x->entry, x->local, store_read_rescued, x);
}

/* --- from a device ---------------------------------------------------------------------------- */

static int store_read_check(struct store_read *x)
{
    uint32_t cap_size;
    struct format_record want = {.kind = FORMAT_BLOB,
                                 .digest = x->digest,
                                 .length = x->entry.length,
                                 .volume = x->entry.volume,
                                 .offset = x->entry.offset};
    uint8_t *bytes = rbuf_space(x->record, &cap_size);
    int r = format_record_check(bytes, format_record_size(x->entry.length), &want);
    if (r == 0)
        rbuf_window(x->record, format_payload_offset(x->entry.length), x->entry.length);
    return r;
}

/* Whether the copy that was read is still the one that the index names: else its space may have
 * been given back while it was read, and what looks like damage is none. */
static bool store_read_still_there(const struct store_read *x)
{
    struct index_entry now;
    int r = index_find(x->worker->reader, &x->digest, &now);
    return r == 0 && now.volume == x->entry.volume && now.offset == x->entry.offset;
}

static void store_read_issue(struct store_read *x);

static void store_read_done(struct io_op *io, int res)
{
    struct store_read *x = CONTAINER_OF(io, struct store_read, io);
    /* Verifying a large one takes as long as the disk takes for some: what was begun goes first. */
    if (io->size >= STORE_READ_LARGE)
        io_flush(x->worker->queue);
    if (res == 0)
        res = store_read_check(x);
    if (res == -ENODATA)
        res = -EBADMSG; /* the file ends before the record does */
    bool moved = res < 0 && !store_read_still_there(x);
    if (res == 0) {
        store_read_end(x, 0);
    } else if (moved && x->tries < STORE_READ_TRIES) {
        x->record = rbuf_unref(x->record);
        x->volume = volume_unref(x->volume);
        store_read_issue(x);
    } else {
        if (moved)
            res = -EAGAIN; /* again and again: it says nothing about the copy that there is */
        else if (res == -EBADMSG)
            store_quarantine(x->worker->store, &x->digest, &x->entry);
        store_read_elsewhere(x, res);
    }
}

/* A volume that the process which writes has made since we opened the store. */
static struct volume *store_read_follow(struct store *s, struct index_reader *reader, uint32_t id)
{
    struct volume_opening v = {.res = 0};
    struct io_queue *q = NULL;
    if (s->commit != NULL && !atomic_load(&s->yielded))
        return NULL; /* nobody else makes any */
    int r = index_find_volume(reader, id, &v.row);
    if (r == 0)
        r = io_queue_new(s->io, 1, -1, &q); /* the worker's own would call back from within */
    if (r < 0)
        return NULL;
    volume_open(s->volumes, q, &v, 1, true);
    io_queue_free(q);
    return v.res == 0 || v.res == -EEXIST ? volume_get(s->volumes, id) : NULL;
}

/* The entry, and a reference to its volume; entry.volume 0: no device has it. */
static int store_read_find(struct store_read *x)
{
    struct store_worker *w = x->worker;
    struct index_entry *e = &x->entry;
    do {
        int r = index_find(w->reader, &x->digest, e);
        if (r < 0)
            return r;
        if ((e->flags & INDEX_QUARANTINED) != 0)
            return -EBADMSG; /* not absent: damaged, until somebody puts it again */
        if (e->volume == 0)
            return -EIO; /* the remote tier has it */
        struct volume *v = volume_get(w->store->volumes, e->volume);
        if (v == NULL)
            v = store_read_follow(w->store, w->reader, e->volume);
        if (v == NULL)
            continue; /* evicted or compacted since the look-up, or away with its device */
        if (e->offset < FORMAT_RECORDS || e->offset >= v->size ||
            format_record_size(e->length) > v->size - e->offset) {
            volume_unref(v);
            return -EBADMSG;
        }
        x->volume = v;
        return 0;
    } while (x->tries++ < STORE_READ_TRIES);
    return w->store->is_cache ? -ENOENT : -EIO;
}

static void store_read_issue(struct store_read *x)
{
    struct store_worker *w = x->worker;
    uint32_t cap_size;
    x->tries++;
    int r = store_read_find(x);
    if (r == -EBADMSG || r == -EIO) {
        store_read_elsewhere(x, r);
        return;
    }
    uint32_t size = r == 0 ? format_record_size(x->entry.length) : 0;
    if (r == 0)
        r = rbuf_new(size, &x->record);
    if (r < 0) {
        store_read_post(x, r);
        return;
    }
    x->io = (struct io_op){.kind = IO_READ,
                           .fd = x->volume->fd,
                           .data = rbuf_space(x->record, &cap_size),
                           .size = size,
                           .offset = x->entry.offset,
                           .done = store_read_done};
    io_submit(w->queue, &x->io);
    if (!w->polling)
        io_flush(w->queue); /* else at the end of the poll, for all that it begins */
}

static int store_read_start(struct store_worker *w, const struct digest *d, struct store_waiter *y)
{
    struct store_read *x = w->reads_count < STORE_READS_MAX ? calloc(1, sizeof *x) : NULL;
    if (x == NULL)
        return w->reads_count < STORE_READS_MAX ? -ENOMEM : -EAGAIN;
    x->worker = w;
    x->digest = *d;
    x->local = (y->flags & STORE_READ_LOCAL) != 0;
    x->began_us = clock_mono_us();
    x->first = y;
    x->last = &y->next;
    x->chain = *store_read_bucket(w, d);
    *store_read_bucket(w, d) = x;
    w->reads_count++;
    atomic_fetch_add_explicit(&w->store->reading, 1, memory_order_relaxed);
    store_read_issue(x);
    return 0;
}

void store_read(struct store_worker *w, const struct digest *d, unsigned flags, store_get_cb *cb,
                void *arg)
{
    struct store_waiter *y = calloc(1, sizeof *y);
    if (y == NULL) {
        cb(arg, -ENOMEM, NULL); /* no memory to answer later */
        return;
    }
    *y = (struct store_waiter){.worker = w, .cb = cb, .arg = arg, .flags = flags};
    w->under_way++;
    for (struct store_read *x = *store_read_bucket(w, d); x != NULL; x = x->chain) {
        if (digest_eq(&x->digest, d) && x->local == ((flags & STORE_READ_LOCAL) != 0)) {
            *x->last = y;
            x->last = &y->next;
            return;
        }
    }
    int r = store_read_start(w, d, y);
    if (r < 0)
        store_waiter_fail(y, r);
}

struct rbuf *store_peek(struct store_worker *w, const struct digest *d)
{
    ASSERT(w->magic == STORE_WORKER_MAGIC);
    struct store *s = w->store;
    struct rbuf *blob = hot_get(s->hot, d);
    if (blob != NULL) {
        atomic_fetch_add_explicit(&s->counts.hot_hits, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&s->counts.hits, 1, memory_order_relaxed);
        metric_add(s->metrics.hits_hot, 1);
        if (s->heat != NULL)
            heat_touch(s->heat, d, clock_mono_ms());
        if (s->again != NULL)
            again_used(s->again, d);
        if (s->admit != NULL && rbuf_take_mark(blob))
            store_put_admitted(w, d, blob);
    }
    return blob;
}

struct rbuf *store_peek_own(struct store_worker *w, const struct digest *d)
{
    ASSERT(w->magic == STORE_WORKER_MAGIC);
    return hot_look(w->store->hot, d);
}

static void store_get_by(struct store_worker *w, const struct digest *d, unsigned flags,
                         store_get_cb *cb, void *arg)
{
    struct rbuf *blob = store_peek(w, d);
    if (blob != NULL) {
        cb(arg, 0, blob);
        rbuf_unref(blob);
        return;
    }
    store_read(w, d, flags, cb, arg);
}

void store_get(struct store_worker *w, const struct digest *d, store_get_cb *cb, void *arg)
{
    store_get_by(w, d, 0, cb, arg);
}

void store_get_local(struct store_worker *w, const struct digest *d, store_get_cb *cb, void *arg)
{
    store_get_by(w, d, STORE_READ_LOCAL, cb, arg);
}

void store_get_own(struct store_worker *w, const struct digest *d, store_get_cb *cb, void *arg)
{
    struct rbuf *blob = store_peek_own(w, d);
    if (blob != NULL) {
        cb(arg, 0, blob);
        rbuf_unref(blob);
        return;
    }
    store_read(w, d, STORE_READ_QUIET, cb, arg);
}

bool store_indexed(struct store_worker *w, const struct digest *d)
{
    struct index_entry e;
    ASSERT(w->magic == STORE_WORKER_MAGIC);
    return index_find(w->reader, d, &e) == 0 && (e.flags & INDEX_QUARANTINED) == 0;
}

bool store_has(struct store_worker *w, const struct digest *d)
{
    if (store_indexed(w, d))
        return true;
    struct rbuf *hot = w->store->admit != NULL ? hot_look(w->store->hot, d) : NULL;
    rbuf_unref(hot);
    return hot != NULL; /* not written yet: asked for once only */
}
