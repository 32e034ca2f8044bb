/* SPDX-License-Identifier: Apache-2.0 */
/* A batch goes through these steps; a crash after each leaves:
 * 1. placed: records get their offsets behind the newest volume's end.      nothing
 * 2. written and synced.                                                    bytes behind the end
 * 3. index transaction: entries, refs and the volume's new end, together.   the whole batch
 * 4. answered.
 * So the index never names bytes that are not durable, and bytes behind `end` are nobody's: the
 * next batch writes over them. */
#include "store/commit.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include "base/clock.h"
#include "store/commit_priv.h"

#define COMMIT_WAITING_MAX (UINT64_C(256) << 20) /* bytes in the queue; one put always fits */
#define COMMIT_GROUP_BYTES (UINT64_C(64) << 20)
#define COMMIT_DEPTH       64u

/* --- reading what is there -------------------------------------------------------------------- */

int commit_read(struct commit *c, const struct digest *d, const struct index_entry *e,
                struct rbuf **ret)
{
    uint32_t size = format_record_size(e->length), cap_size;
    struct rbuf *b = NULL;
    struct volume *v = volume_get(c->options.volumes, e->volume);
    if (v == NULL)
        return -ENOENT;
    int r = rbuf_new(size, &b);
    if (r == 0)
        r = io_run(c->queue, IO_READ, v->fd, rbuf_space(b, &cap_size), size, e->offset);
    volume_unref(v);
    if (r == 0) {
        struct format_record want = {.kind = FORMAT_BLOB,
                                     .digest = *d,
                                     .length = e->length,
                                     .volume = e->volume,
                                     .offset = e->offset};
        r = format_record_check(rbuf_space(b, &cap_size), size, &want);
    }
    if (r < 0) {
        rbuf_unref(b);
        return r == -ENODATA ? -EBADMSG : r;
    }
    *ret = b;
    return 0;
}

static bool commit_same(struct rbuf *a, uint32_t a_length, struct rbuf *b, uint32_t b_length)
{
    uint32_t cap_size;
    if (a_length != b_length)
        return false;
    uint32_t at = format_payload_offset(a_length);
    return memcmp(rbuf_space(a, &cap_size) + at, rbuf_space(b, &cap_size) + at, a_length) == 0;
}

/* --- step 1: placing -------------------------------------------------------------------------- */

/* What became of the digest since the worker looked. True: op->res stands, nothing to write. */
static bool commit_resolve_put(struct commit *c, struct commit_batch *b, struct commit_op *op)
{
    for (unsigned i = 0; i < b->count; i++) {
        struct commit_op *other = b->ops[i];
        if (other->kind != COMMIT_PUT || !other->active || !digest_eq(&other->digest, &op->digest))
            continue;
        if (commit_same(other->record, other->length, op->record, op->length))
            op->twin = other;
        else
            op->res = -EEXIST;
        return true;
    }
    int r = index_find(c->reader, &op->digest, &op->before);
    if (r == -ENOENT)
        return false;
    if (r < 0) {
        op->res = r;
        return true;
    }
    struct rbuf *there = NULL;
    if (op->rewrite || (op->before.flags & INDEX_QUARANTINED) != 0)
        return false;
    if (commit_read(c, &op->digest, &op->before, &there) < 0)
        return false; /* damaged or unreadable: this put repairs it */
    op->res = commit_same(there, op->before.length, op->record, op->length) ? 0 : -EEXIST;
    rbuf_unref(there);
    return true;
}

static bool commit_resolve_ref(struct commit *c, struct commit_op *op)
{
    struct store_ref now = {.generation = 0};
    int r = index_find_ref(c->reader, str_of(op->name), &now);
    if (r < 0 && r != -ENOENT) {
        op->res = r;
    } else if (op->kind == COMMIT_REF_DELETE) {
        op->res = r;
        op->ref = (struct store_ref){.generation = 0, .changed_ms = clock_real_ms()};
    } else if (op->expect != STORE_REF_ANY && op->expect != now.generation) {
        op->res = -ESTALE;
    } else {
        op->ref.presentation = op->digest;
        op->ref.generation = now.generation + 1;
        op->ref.changed_ms = clock_real_ms();
        op->res = 0;
    }
    return op->res < 0;
}

/* Two moves of one name do not share a batch: the second must see the first in the index. */
static bool commit_ref_waits(const struct commit_batch *b, const struct commit_op *op)
{
    for (unsigned i = 0; i < b->count; i++) {
        const struct commit_op *other = b->ops[i];
        bool is_ref = other->kind == COMMIT_REF_PUT || other->kind == COMMIT_REF_DELETE;
        if (is_ref && strcmp(other->name, op->name) == 0)
            return true;
    }
    return false;
}

static bool commit_place(struct commit *c, struct commit_batch *b, struct commit_op *op,
                         enum format_kind kind, const struct digest *d)
{
    struct volume *v = volume_newest(c->options.volumes);
    uint32_t size = format_record_size(op->length), cap_size;
    if (v == NULL || (c->must_roll && v->row.end > FORMAT_RECORDS))
        return false;
    uint64_t end = b->end != 0 ? b->end : v->row.end;
    if (size > v->size - end)
        return false;
    ASSERT(c->sequence < UINT32_MAX); /* commit_renew saw to it */
    struct format_record head = {.kind = kind,
                                 .digest = *d,
                                 .length = op->length,
                                 .volume = v->id,
                                 .epoch = c->options.epoch,
                                 .sequence = c->sequence++,
                                 .offset = end};
    format_record_place(&head, rbuf_space(op->record, &cap_size));
    ASSERT(cap_size >= size);
    op->volume = v->id;
    op->offset = end;
    op->recorded = true;
    b->end = end + size;
    return true;
}

/* Refs live in the index; their moves are written to the volumes too, so that volumes are enough to
 * make a new index. A cache, which gives volumes up, keeps no such record. */
static bool commit_place_ref(struct commit *c, struct commit_batch *b, struct commit_op *op)
{
    uint8_t payload[FORMAT_REF_MAX];
    uint32_t cap_size;
    if (c->options.size_max > 0 || op->index_only)
        return true;
    op->record = rbuf_unref(op->record); /* of an attempt that found no room */
    op->length = format_ref_write(str_of(op->name), &op->ref, payload);
    struct digest d = digest_of(payload, op->length);
    if (rbuf_new(format_record_size(op->length), &op->record) < 0) {
        op->res = -ENOMEM;
        op->active = false;
        return true;
    }
    format_record_fill(payload, op->length, rbuf_space(op->record, &cap_size));
    return commit_place(c, b, op, FORMAT_REF, &d);
}

bool commit_add(struct commit *c, struct commit_batch *b, struct commit_op *op)
{
    if (b->count == COMMIT_BATCH_MAX)
        return false;
    op->commit = c;
    op->res = 0;
    op->twin = NULL;
    op->active = false;
    op->recorded = false;
    switch (op->kind) {
    case COMMIT_PUT:
        op->active = !commit_resolve_put(c, b, op);
        if (op->active && !commit_place(c, b, op, FORMAT_BLOB, &op->digest))
            return false;
        break;
    case COMMIT_REF_PUT:
    case COMMIT_REF_DELETE:
        if (commit_ref_waits(b, op))
            return false;
        op->active = !commit_resolve_ref(c, op);
        if (op->active && !commit_place_ref(c, b, op))
            return false;
        break;
    case COMMIT_QUARANTINE:
        op->active = true;
        break;
    }
    b->ops[b->count++] = op;
    return true;
}

/* --- step 2: writing -------------------------------------------------------------------------- */

static void commit_written(struct io_op *io, int res)
{
    struct commit_op *op = CONTAINER_OF(io, struct commit_op, io);
    if (res < 0 && op->commit->write_res == 0)
        op->commit->write_res = res;
    op->commit->writing--;
}

static int commit_write(struct commit *c, struct commit_batch *b)
{
    struct volume *v = volume_newest(c->options.volumes);
    uint32_t cap_size;
    if (b->end == 0)
        return 0;
    c->write_res = 0;
    for (unsigned i = 0; i < b->count; i++) {
        struct commit_op *op = b->ops[i];
        if (!op->recorded)
            continue;
        op->io = (struct io_op){.kind = IO_WRITE,
                                .fd = v->fd,
                                .data = rbuf_space(op->record, &cap_size),
                                .size = format_record_size(op->length),
                                .offset = op->offset,
                                .done = commit_written};
        c->writing++;
        io_submit(c->queue, &op->io);
    }
    io_flush(c->queue);
    while (c->writing > 0)
        io_reap(c->queue, true);
    int r = c->write_res;
    if (r == 0)
        r = io_run(c->queue, IO_SYNC, v->fd, NULL, 0, 0);
    /* After a failed sync nobody knows which bytes are down: go on in another file. */
    if (r < 0 && r != -ENOSPC)
        c->must_roll = true;
    return r;
}

/* --- step 3: the index ------------------------------------------------------------------------ */

/* The row of a volume as this batch leaves it; NULL when the volume is gone. */
static struct index_volume *commit_row(struct commit *c, struct commit_rows *rows, uint32_t id)
{
    for (unsigned i = 0; i < rows->count; i++) {
        if (rows->rows[i].id == id)
            return &rows->rows[i];
    }
    struct volume *v = volume_get(c->options.volumes, id);
    if (v == NULL)
        return NULL;
    ASSERT(rows->count < ARRAY_LEN(rows->rows));
    rows->rows[rows->count] = v->row;
    volume_unref(v);
    return &rows->rows[rows->count++];
}

static void commit_row_take(struct index_volume *row, uint32_t length)
{
    if (row == NULL)
        return;
    row->blobs -= MIN(row->blobs, 1);
    row->bytes -= MIN(row->bytes, length);
}

static int commit_index_put(struct commit *c, struct commit_batch *b, struct index_txn *t,
                            struct commit_op *op)
{
    struct index_entry e = {.volume = op->volume, .offset = op->offset, .length = op->length};
    struct index_extent extent = {.offset = op->offset, .digest = op->digest};
    struct index_entry before = {0};
    /* Not op->before: a quarantine earlier in this batch may have changed the entry since. */
    int r = index_get(t, &op->digest, &before);
    bool replaces = r == 0;
    if (r == 0 || r == -ENOENT)
        r = index_put(t, &op->digest, &e);
    if (r == 0)
        r = index_put_extent(t, op->volume, &extent);
    if (r == 0 && replaces) {
        r = index_delete_extent(t, before.volume, before.offset);
        if (r == -ENOENT)
            r = 0;
        if ((before.flags & INDEX_QUARANTINED) == 0)
            commit_row_take(commit_row(c, &b->rows, before.volume), before.length);
    }
    struct index_volume *row = commit_row(c, &b->rows, op->volume);
    ASSERT(row != NULL);
    row->blobs++;
    row->bytes += op->length;
    return r;
}

static int commit_index_quarantine(struct commit *c, struct commit_batch *b, struct index_txn *t,
                                   struct commit_op *op)
{
    struct index_entry e;
    int r = index_get(t, &op->digest, &e);
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return r;
    /* It may have been repaired, or flagged by another reader, meanwhile. */
    if (e.volume != op->volume || e.offset != op->offset || (e.flags & INDEX_QUARANTINED) != 0)
        return 0;
    e.flags |= INDEX_QUARANTINED;
    commit_row_take(commit_row(c, &b->rows, e.volume), e.length);
    return index_put(t, &op->digest, &e);
}

static int commit_index_op(struct commit *c, struct commit_batch *b, struct index_txn *t,
                           struct commit_op *op)
{
    switch (op->kind) {
    case COMMIT_PUT:
        return commit_index_put(c, b, t, op);
    case COMMIT_REF_PUT:
        return index_put_ref(t, str_of(op->name), &op->ref);
    case COMMIT_REF_DELETE:
        return index_delete_ref(t, str_of(op->name));
    case COMMIT_QUARANTINE:
        return commit_index_quarantine(c, b, t, op);
    }
    return -EINVAL;
}

static int commit_index(struct commit *c, struct commit_batch *b)
{
    struct index_txn *t = NULL;
    b->rows.count = 0;
    int r = index_begin(c->options.index, &t);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < b->count && r == 0; i++) {
        struct commit_op *op = b->ops[i];
        if (op->active)
            r = commit_index_op(c, b, t, op);
        if (op->active && op->recorded) {
            struct index_volume *row = commit_row(c, &b->rows, op->volume);
            ASSERT(row != NULL);
            row->end = MAX(row->end, op->offset + format_record_size(op->length));
        }
    }
    for (unsigned i = 0; i < b->rows.count && r == 0; i++)
        r = index_put_volume(t, &b->rows.rows[i]);
    if (r < 0) {
        index_abort(t);
        return r;
    }
    r = index_commit(t);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < b->rows.count; i++) {
        struct volume *v = volume_get(c->options.volumes, b->rows.rows[i].id);
        ASSERT(v != NULL);
        v->row = b->rows.rows[i];
        volume_unref(v);
    }
    volume_publish(c->options.volumes);
    return 0;
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

void commit_run(struct commit *c, struct commit_batch *b)
{
    uint64_t began_us = clock_mono_us();
    bool any = false;
    int r = commit_write(c, b);
    if (r < 0)
        commit_fail(b, true, r);
    for (unsigned i = 0; i < b->count; i++)
        any = any || b->ops[i]->active;
    r = any ? commit_index(c, b) : 0;
    if (r < 0)
        commit_fail(b, false, r);
    for (unsigned i = 0; i < b->count; i++) {
        if (b->ops[i]->twin != NULL)
            b->ops[i]->res = b->ops[i]->twin->res;
    }
    metric_observe(c->options.latency, (double)(clock_mono_us() - began_us) / 1e6);
    metric_add(c->options.groups, 1);
    /* An op may be freed by done: no look back at a twin from here on. */
    for (unsigned i = 0; i < b->count; i++)
        b->ops[i]->done(b->ops[i]);
    b->count = 0;
    b->end = 0;
}

static void commit_group(struct commit *c, struct commit_batch *b, struct commit_op *list)
{
    while (list != NULL) {
        struct commit_op *op = list;
        struct commit_op *next = op->next;
        if (commit_add(c, b, op)) {
            list = next;
            continue;
        }
        if (b->count > 0) {
            commit_run(c, b);
            continue;
        }
        ASSERT(op->kind != COMMIT_QUARANTINE); /* always fits an empty batch */
        int r = evict_roll(c, format_record_size(op->length));
        if (r < 0 && op->kind != COMMIT_PUT) {
            /* A full disk must not keep films from being unpublished. */
            op->index_only = true;
        } else if (r < 0) {
            op->res = r;
            op->done(op);
            list = next;
        }
    }
    if (b->count > 0)
        commit_run(c, b);
}

/* Sequence numbers are not used twice: long before they run out a new epoch begins. */
static void commit_renew(struct commit *c)
{
    uint32_t epoch = 0;
    if (c->sequence < UINT32_MAX / 2)
        return;
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
    free(b);
    return NULL;
}

int commit_push(struct commit *c, struct commit_op *op)
{
    int r = 0;
    (void)pthread_mutex_lock(&c->lock);
    ASSERT(!c->stopping);
    uint64_t bytes = commit_cost(op);
    if (bytes > 0 && c->waiting_bytes > 0 && c->waiting_bytes + bytes > COMMIT_WAITING_MAX) {
        r = -EAGAIN;
    } else {
        op->next = NULL;
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

struct commit *commit_stop(struct commit *c)
{
    if (c == NULL)
        return NULL;
    ASSERT(c->magic == COMMIT_MAGIC);
    (void)pthread_mutex_lock(&c->lock);
    c->stopping = true;
    (void)pthread_cond_signal(&c->wake);
    (void)pthread_mutex_unlock(&c->lock);
    (void)pthread_join(c->thread, NULL);
    commit_free(c);
    return NULL;
}
