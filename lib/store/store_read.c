/* SPDX-License-Identifier: Apache-2.0 */
/* Reading: RAM, else one index look-up and one read of the whole record, checked block by block
 * before anybody sees a byte. Readers of one blob on one worker share the read. */
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "store/store_priv.h"

#define STORE_READ_TRIES 4 /* of a look-up that meets a volume just evicted */

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
    struct store_worker *worker;
    struct store_read *chain;
    struct digest digest;
    struct index_entry entry;
    struct volume *volume;
    struct rbuf *record;
    uint64_t began_us;
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

static void store_quarantined(struct commit_op *op)
{
    free(op);
}

/* So that a put of the same digest writes it anew, and nobody reads it again. */
static void store_read_quarantine(struct store_read *x)
{
    struct store *s = x->worker->store;
    atomic_fetch_add_explicit(&s->damaged, 1, memory_order_relaxed);
    metric_add(s->metrics.damaged, 1);
    struct commit_op *op = calloc(1, sizeof *op);
    if (op == NULL)
        return; /* the next reader finds the damage again */
    op->kind = COMMIT_QUARANTINE;
    op->digest = x->digest;
    op->volume = x->entry.volume;
    op->offset = x->entry.offset;
    op->done = store_quarantined;
    if (commit_push(s->commit, op) < 0)
        free(op);
}

static int store_read_check(struct store_read *x, int res)
{
    uint32_t cap_size;
    if (res == 0) {
        struct format_record want = {.kind = FORMAT_BLOB,
                                     .digest = x->digest,
                                     .length = x->entry.length,
                                     .volume = x->entry.volume,
                                     .offset = x->entry.offset};
        uint8_t *bytes = rbuf_space(x->record, &cap_size);
        res = format_record_check(bytes, format_record_size(x->entry.length), &want);
    }
    if (res == -ENODATA)
        res = -EBADMSG; /* the file ends before the record does */
    if (res == -EBADMSG)
        store_read_quarantine(x);
    if (res == 0)
        rbuf_window(x->record, format_payload_offset(x->entry.length), x->entry.length);
    return res;
}

static void store_read_done(struct io_op *io, int res)
{
    struct store_read *x = CONTAINER_OF(io, struct store_read, io);
    struct store_worker *w = x->worker;
    struct store *s = w->store;
    bool quiet = true;
    uint64_t answers = 0;
    struct store_read **at = store_read_bucket(w, &x->digest);
    while (*at != x)
        at = &(*at)->chain;
    *at = x->chain;
    w->reads_count--;
    res = store_read_check(x, res);
    metric_observe(s->metrics.get_latency, (double)(clock_mono_us() - x->began_us) / 1e6);
    for (struct store_waiter *y = x->first; y != NULL; y = y->next) {
        quiet = quiet && (y->flags & STORE_READ_QUIET) != 0;
        answers += (y->flags & STORE_READ_QUIET) == 0;
    }
    if (res == 0 && !quiet) {
        volume_hit(x->volume, x->entry.offset);
        hot_insert(s->hot, &x->digest, x->record);
        store_metrics_refresh(s);
        atomic_fetch_add_explicit(&s->hits, answers, memory_order_relaxed);
        metric_add(s->metrics.hits_warm, answers);
    }
    volume_unref(x->volume);
    for (struct store_waiter *y = x->first; y != NULL;) {
        struct store_waiter *next = y->next;
        store_waiter_answer(y, res, res == 0 ? x->record : NULL);
        y = next;
    }
    rbuf_unref(x->record);
    free(x);
}

/* The entry, and a reference to its volume. */
static int store_read_find(struct store_worker *w, const struct digest *d, struct index_entry *e,
                           struct volume **ret)
{
    for (int i = 0; i < STORE_READ_TRIES; i++) {
        int r = index_find(w->reader, d, e);
        if (r < 0)
            return r;
        if ((e->flags & INDEX_QUARANTINED) != 0)
            return -EBADMSG; /* not absent: damaged, until somebody puts it again */
        struct volume *v = volume_get(w->store->volumes, e->volume);
        if (v == NULL)
            continue; /* evicted since the look-up: it may have been kept elsewhere */
        if (e->offset < FORMAT_RECORDS || e->offset >= v->size ||
            format_record_size(e->length) > v->size - e->offset) {
            volume_unref(v);
            return -EBADMSG;
        }
        *ret = v;
        return 0;
    }
    return -ENOENT;
}

static int store_read_start(struct store_worker *w, const struct digest *d, struct store_waiter *y)
{
    struct index_entry e;
    struct volume *v = NULL;
    if (w->reads_count >= STORE_READS_MAX)
        return -EAGAIN;
    int r = store_read_find(w, d, &e, &v);
    if (r < 0)
        return r;
    uint32_t size = format_record_size(e.length), cap_size;
    struct store_read *x = calloc(1, sizeof *x);
    if (x == NULL || rbuf_new(size, &x->record) < 0) {
        free(x);
        volume_unref(v);
        return -ENOMEM;
    }
    x->worker = w;
    x->digest = *d;
    x->entry = e;
    x->volume = v;
    x->began_us = clock_mono_us();
    x->first = y;
    x->last = &y->next;
    x->chain = *store_read_bucket(w, d);
    *store_read_bucket(w, d) = x;
    w->reads_count++;
    x->io = (struct io_op){.kind = IO_READ,
                           .fd = v->fd,
                           .data = rbuf_space(x->record, &cap_size),
                           .size = size,
                           .offset = e.offset,
                           .done = store_read_done};
    io_submit(w->queue, &x->io);
    io_flush(w->queue);
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
        if (digest_eq(&x->digest, d)) {
            *x->last = y;
            x->last = &y->next;
            return;
        }
    }
    int r = store_read_start(w, d, y);
    if (r == -ENOENT && (flags & STORE_READ_QUIET) == 0) {
        atomic_fetch_add_explicit(&w->store->misses, 1, memory_order_relaxed);
        metric_add(w->store->metrics.misses, 1);
    }
    if (r < 0)
        store_waiter_fail(y, r);
}

struct rbuf *store_peek(struct store_worker *w, const struct digest *d)
{
    ASSERT(w->magic == STORE_WORKER_MAGIC);
    struct store *s = w->store;
    struct rbuf *blob = hot_get(s->hot, d);
    if (blob != NULL) {
        atomic_fetch_add_explicit(&s->hot_hits, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&s->hits, 1, memory_order_relaxed);
        metric_add(s->metrics.hits_hot, 1);
    }
    return blob;
}

void store_get(struct store_worker *w, const struct digest *d, store_get_cb *cb, void *arg)
{
    struct rbuf *blob = store_peek(w, d);
    if (blob != NULL) {
        cb(arg, 0, blob);
        rbuf_unref(blob);
        return;
    }
    store_read(w, d, 0, cb, arg);
}

bool store_has(struct store_worker *w, const struct digest *d)
{
    struct index_entry e;
    ASSERT(w->magic == STORE_WORKER_MAGIC);
    return index_find(w->reader, d, &e) == 0 && (e.flags & INDEX_QUARANTINED) == 0;
}
