/* SPDX-License-Identifier: Apache-2.0 */
/* A batch goes through these steps; a crash after each leaves:
 * 1. placed: records get their offsets behind the newest volumes' ends.     nothing
 *    (commit_place.c)
 * 2. written and synced.                                                    bytes behind the ends
 * 3. index transaction: entries, refs and the volumes' new ends, together.  the whole batch
 *    (commit_index.c, commit_refs.c)
 * 4. answered.
 * So the index never names bytes that are not durable, and bytes behind `end` are nobody's: the
 * next batch writes over them. While a batch of puts is in steps 3 and 4, on a thread of their own
 * (commit_later.c), the next one goes through steps 1 and 2. */
#include "store/commit.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"
#include "store/commit_priv.h"

#define COMMIT_WAITING_MAX (UINT64_C(256) << 20) /* bytes in the queue; one put always fits */
#define COMMIT_GROUP_BYTES (UINT64_C(64) << 20)
#define COMMIT_DEPTH       64u

/* --- step 2: writing -------------------------------------------------------------------------- */

static void commit_written(struct io_op *io, int res)
{
    struct commit_op *op = CONTAINER_OF(io, struct commit_op, io);
    if (res < 0 && op->commit->write_res[op->device] == 0)
        op->commit->write_res[op->device] = res;
    op->commit->writing--;
}

static void commit_write_all(struct commit *c, struct commit_batch *b)
{
    uint32_t cap_size;
    for (unsigned i = 0; i < b->count; i++) {
        struct commit_op *op = b->ops[i];
        if (!op->recorded)
            continue;
        struct volume *v = volume_newest(c->options.volumes, op->device);
        ASSERT(v != NULL);
        ASSERT(v->id == op->volume);
        op->io = (struct io_op){.kind = IO_WRITE,
                                .fd = v->fd,
                                .data = rbuf_space(op->record, &cap_size),
                                .size = format_record_size(op->length),
                                .offset = op->offset,
                                .done = commit_written};
        c->writing++;
        atomic_fetch_add_explicit(c->options.written_bytes, op->io.size, memory_order_relaxed);
        metric_add(c->options.written, op->io.size);
        io_submit(c->queue, &op->io);
    }
    io_flush(c->queue);
    while (c->writing > 0)
        io_reap(c->queue, true);
}

static int commit_device_failed(struct index_txn *t, void *arg)
{
    const struct volume_device *d = arg;
    struct index_device row = {.id = d->id, .kind = d->kind, .flags = INDEX_DEVICE_FAILED};
    int r = str_copy(str_of(d->folder), row.path, sizeof row.path);
    return r < 0 ? r : index_put_device(t, &row);
}

/* Where there is another device, one that fails is left alone from now on; the only one is tried
 * again, in another file. */
void commit_failed_on(struct commit *c, struct volume_device *d, int res)
{
    unsigned others = 0;
    for (unsigned i = 0; i < volume_devices(c->options.volumes); i++) {
        const struct volume_device *x = volume_device(c->options.volumes, i);
        others += x != d && x->kind == d->kind && !atomic_load(&x->failed);
    }
    log_error("writing to %s failed: %s", d->folder, strerror(-res));
    c->must_roll[d->kind] = true;
    if (others == 0)
        return;
    atomic_store(&d->failed, true);
    log_error("nothing more is written to %s", d->folder);
    if (index_run(c->options.index, commit_device_failed, d) < 0)
        log_warn("that %s failed could not be noted", d->folder);
}

/* *ret_again: a device is left alone now, and there is another one that the batch may go to. */
static int commit_write(struct commit *c, struct commit_batch *b, bool *ret_again)
{
    int first = 0;
    memset(c->write_res, 0, sizeof c->write_res);
    commit_write_all(c, b);
    for (unsigned i = 0; i < FORMAT_DEVICE_KINDS; i++) {
        struct volume *v = volume_newest(c->options.volumes, (enum format_device_kind)i);
        if (b->end[i] == 0)
            continue;
        ASSERT(v != NULL);
        int r = c->write_res[i];
        if (r == 0)
            r = io_run(c->queue, IO_SYNC, v->fd, NULL, 0, 0);
        /* After a failed sync nobody knows which bytes are down. */
        if (r < 0 && r != -ENOSPC) {
            commit_drain(c);
            commit_failed_on(c, v->device, r);
        }
        *ret_again = *ret_again || (r < 0 && atomic_load(&v->device->failed));
        first = first == 0 ? r : first;
    }
    return first;
}

/* --- step 4, and the thread ------------------------------------------------------------------- */

static void commit_fail(struct commit_batch *b, bool recorded_only, int res)
{
    for (unsigned i = 0; i < b->count; i++) {
        struct commit_op *op = b->ops[i];
        if (!op->active || (recorded_only && !op->recorded))
            continue;
        op->active = false;
        op->res = res;
    }
}

/* A ref's move that is refused must not come back: a rebuild would take its record, which is down,
 * for the last word. Before anybody is told. */
static void commit_unwrite_refs(struct commit *c, struct commit_batch *b)
{
    for (unsigned i = 0; i < b->count; i++) {
        struct commit_op *op = b->ops[i];
        uint32_t cap_size;
        bool is_ref = op->kind == COMMIT_REF_PUT || op->kind == COMMIT_REF_DELETE;
        if (!is_ref || !op->recorded || op->res == 0)
            continue;
        struct volume *v = volume_get(c->options.volumes, op->volume);
        if (v == NULL)
            continue;
        uint8_t *page = rbuf_space(op->record, &cap_size);
        memset(page, 0, FORMAT_ALIGN);
        int r = io_run(c->queue, IO_WRITE, v->fd, page, FORMAT_ALIGN, op->offset);
        if (r == 0)
            r = io_run(c->queue, IO_SYNC, v->fd, NULL, 0, 0);
        if (r < 0)
            log_warn("the record of a refused move of %s stays: %s", op->name, strerror(-r));
        volume_unref(v);
    }
}

static void commit_clear(struct commit_batch *b)
{
    b->count = 0;
    b->behind = false;
    memset(b->end, 0, sizeof b->end);
}

static void commit_group(struct commit *c, struct commit_batch *b, struct commit_op *list);

/* Nothing of it is in the index: all of it is looked at and placed anew. Ends, for each time there
 * is a device less, or it lay behind a batch that failed and then lies behind none. */
static void commit_again(struct commit *c, struct commit_batch *b)
{
    struct commit_op *list = NULL;
    for (unsigned i = b->count; i > 0; i--) {
        b->ops[i - 1]->next = list;
        list = b->ops[i - 1];
    }
    bool rest = c->rest;
    commit_clear(b);
    commit_group(c, b, list);
    c->rest = rest;
}

int commit_end(struct commit *c, struct commit_batch *b)
{
    bool any = false;
    for (unsigned i = 0; i < b->count; i++)
        any = any || b->ops[i]->active;
    int r = any ? commit_index(c, b) : 0;
    if (r < 0)
        commit_fail(b, false, r);
    commit_unwrite_refs(c, b);
    for (unsigned i = 0; i < b->count; i++) {
        if (b->ops[i]->twin != NULL)
            b->ops[i]->res = b->ops[i]->twin->res;
    }
    metric_observe(c->options.latency, (double)(clock_mono_us() - b->began_us) / 1e6);
    metric_add(c->options.groups, 1);
    /* An op may be freed by done: no look back at a twin from here on. */
    for (unsigned i = 0; i < b->count; i++)
        b->ops[i]->done(b->ops[i]);
    commit_clear(b);
    if (c->options.committed != NULL)
        c->options.committed(c->options.committed_arg);
    return r;
}

void commit_run(struct commit *c, struct commit_batch *b)
{
    bool failed = false;
    b->began_us = clock_mono_us();
    int r = commit_write(c, b, &failed);
    bool again = r < 0 && failed;
    if (b->behind) {
        commit_drain(c);
        again = again || c->later.res < 0; /* what it lies behind is not part of the volume */
    }
    if (again && b->may_move) {
        commit_again(c, b);
        return;
    }
    if (r < 0)
        commit_fail(b, true, r);
    if (r == 0 && commit_hand_over(c, b))
        return;
    commit_drain(c);
    (void)commit_end(c, b); /* each op was told */
}

/* What makes the index larger, while it can hardly grow any more. */
static bool commit_refused(struct commit *c, struct commit_batch *b, const struct commit_op *op)
{
    if ((op->kind != COMMIT_PUT && op->kind != COMMIT_REF_PUT) ||
        !index_room_was_low(c->options.index))
        return false;
    commit_drain(c);
    if (!index_room_low(c->options.index))
        return false;
    if (b->count > 0)
        commit_run(c, b); /* the batch may hold what makes room */
    commit_drain(c);
    return evict_for_index(c) < 0;
}

static void commit_group(struct commit *c, struct commit_batch *b, struct commit_op *list)
{
    while (list != NULL) {
        struct commit_op *op = list;
        struct commit_op *next = op->next;
        c->rest = true;
        /* What may have to be placed anew is puts alone: a ref's record would be left where it was
         * written first, and a rebuild believe it. */
        if (op->kind != COMMIT_PUT && b->behind)
            commit_run(c, b);
        if (commit_must_see(c, op))
            commit_drain(c);
        if (commit_refused(c, b, op)) {
            op->res = -ENOSPC;
            op->done(op);
            list = next;
            continue;
        }
        if (commit_add(c, b, op)) {
            list = next;
            continue;
        }
        if (b->count > 0) {
            commit_run(c, b);
            continue;
        }
        ASSERT(op->kind != COMMIT_INDEX); /* always fits an empty batch */
        bool is_ref = op->kind == COMMIT_REF_PUT || op->kind == COMMIT_REF_DELETE;
        commit_drain(c);
        int r = evict_roll(c, op->device, format_record_size(op->length));
        if (r < 0 && is_ref) {
            /* A full disk must not keep films from being unpublished. A record that is only to lie
             * elsewhere stays where it is: a rebuild needs it. */
            op->index_only = true;
        } else if (r < 0) {
            op->res = r;
            op->done(op);
            list = next;
        }
    }
    c->rest = false;
    if (b->count > 0)
        commit_run(c, b);
}

/* Sequence numbers are not used twice: long before they run out a new epoch begins. */
static void commit_renew(struct commit *c)
{
    uint32_t epoch = 0;
    if (c->sequence < UINT32_MAX / 2)
        return;
    commit_drain(c);
    if (index_next_epoch(c->options.index, &epoch) < 0)
        return; /* the index is full: there are 2 G tries more */
    c->options.epoch = epoch;
    c->sequence = 0;
}

static uint64_t commit_cost(const struct commit_op *op)
{
    return op->record != NULL ? rbuf_cap(op->record) : 0;
}

/* As much as makes a good group; NULL when there is nothing and never will be. */
static struct commit_op *commit_take(struct commit *c)
{
    uint64_t bytes = 0;
    unsigned n = 0;
    (void)pthread_mutex_lock(&c->lock);
    while (c->first == NULL && !c->stopping)
        (void)pthread_cond_wait(&c->wake, &c->lock);
    struct commit_op *list = c->first, **end = &list;
    while (*end != NULL && n < COMMIT_BATCH_MAX && (n == 0 || bytes < COMMIT_GROUP_BYTES)) {
        bytes += commit_cost(*end);
        n++;
        end = &(*end)->next;
    }
    c->first = *end;
    if (c->first == NULL)
        c->last = &c->first;
    *end = NULL;
    c->waiting_bytes -= bytes;
    (void)pthread_mutex_unlock(&c->lock);
    return list;
}

static void *commit_thread(void *arg)
{
    struct commit *c = arg;
    struct commit_op *list;
    struct commit_batch *b = calloc(1, sizeof *b);
    while ((list = commit_take(c)) != NULL) {
        if (b == NULL)
            b = calloc(1, sizeof *b);
        commit_renew(c);
        if (b != NULL) {
            b->may_move = true;
            commit_group(c, b, list);
            continue;
        }
        while (list != NULL) {
            struct commit_op *next = list->next;
            list->res = -ENOMEM;
            list->done(list);
            list = next;
        }
    }
    commit_drain(c);
    free(b);
    return NULL;
}

int commit_push(struct commit *c, struct commit_op *op)
{
    int r = 0;
    (void)pthread_mutex_lock(&c->lock);
    uint64_t bytes = commit_cost(op);
    if (c->stopping) {
        r = -EROFS;
    } else if (bytes > 0 && c->waiting_bytes > 0 && c->waiting_bytes + bytes > COMMIT_WAITING_MAX) {
        r = -EAGAIN;
    } else {
        op->next = NULL;
        op->commit = NULL;
        op->index_only = false;
        *c->last = op;
        c->last = &op->next;
        c->waiting_bytes += bytes;
        (void)pthread_cond_signal(&c->wake);
    }
    (void)pthread_mutex_unlock(&c->lock);
    return r;
}

static void commit_free(struct commit *c)
{
    commit_later_stop(c);
    io_queue_free(c->queue);
    index_reader_free(c->reader);
    (void)pthread_cond_destroy(&c->wake);
    (void)pthread_mutex_destroy(&c->lock);
    MAGIC_CLEAR(c);
    free(c);
}

int commit_start(const struct commit_options *options, struct commit **ret)
{
    struct commit *c = calloc(1, sizeof *c);
    if (c == NULL)
        return -ENOMEM;
    c->magic = COMMIT_MAGIC;
    c->options = *options;
    c->last = &c->first;
    (void)pthread_mutex_init(&c->lock, NULL); /* does not fail on Linux with default attributes */
    (void)pthread_cond_init(&c->wake, NULL);
    int r = io_queue_new(options->io, COMMIT_DEPTH, -1, &c->queue);
    if (r == 0)
        r = index_reader_new(options->index, &c->reader);
    if (r == 0)
        r = commit_later_start(c);
    if (r == 0) {
        /* Signals are for the daemon's main thread. */
        sigset_t all, before;
        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before);
        r = -pthread_create(&c->thread, NULL, commit_thread, c);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (r < 0) {
        commit_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

void commit_finish(struct commit *c)
{
    ASSERT(c->magic == COMMIT_MAGIC);
    (void)pthread_mutex_lock(&c->lock);
    bool is_running = !c->stopping;
    c->stopping = true;
    (void)pthread_cond_signal(&c->wake);
    (void)pthread_mutex_unlock(&c->lock);
    if (is_running)
        (void)pthread_join(c->thread, NULL);
}

struct commit *commit_stop(struct commit *c)
{
    if (c == NULL)
        return NULL;
    commit_finish(c);
    commit_free(c);
    return NULL;
}
