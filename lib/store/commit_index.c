/* SPDX-License-Identifier: Apache-2.0 */
/* Step 3 of a batch: one index transaction for all of it. */
#include <errno.h>
#include "base/clock.h"
#include "store/commit_priv.h"

/* --- volume rows ------------------------------------------------------------------------------ */

struct index_volume *commit_row(struct commit *c, struct commit_batch *b, uint32_t id)
{
    struct commit_rows *rows = &b->rows;
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

static void commit_row_uncount(struct index_volume *row, uint32_t length)
{
    row->blobs -= MIN(row->blobs, 1);
    row->bytes -= MIN(row->bytes, length);
}

static void commit_row_free(struct index_volume *row, uint32_t length, bool is_blob,
                            bool quarantined)
{
    row->live -= MIN(row->live, format_record_size(length));
    if (is_blob && !quarantined)
        commit_row_uncount(row, length);
}

/* Of a volume that is away with its device: its row must be true when it comes back, and then
 * compaction finds what is dead in it. */
static int commit_free_away(struct index_txn *t, uint32_t volume, uint32_t length, bool is_blob,
                            bool quarantined)
{
    struct index_volume row;
    int r = index_get_volume(t, volume, &row);
    if (r < 0)
        return r == -ENOENT ? 0 : r; /* gone for good */
    commit_row_free(&row, length, is_blob, quarantined);
    return index_put_volume(t, &row);
}

int commit_free_record(struct commit *c, struct commit_batch *b, struct index_txn *t,
                       uint32_t volume, uint64_t offset, uint32_t length, bool is_blob,
                       bool quarantined)
{
    uint32_t size = format_record_size(length);
    struct index_hole hole = {.volume = volume, .offset = offset, .size = size};
    int r = index_delete_extent(t, volume, offset);
    if (r < 0 && r != -ENOENT)
        return r;
    struct index_volume *row = commit_row(c, b, volume);
    if (row == NULL)
        return commit_free_away(t, volume, length, is_blob, quarantined);
    commit_row_free(row, length, is_blob, quarantined);
    return index_put_hole(t, &hole);
}

/* The bytes of an op that came to nothing after it had been written. */
static int commit_waste(struct index_txn *t, const struct commit_op *op)
{
    struct index_hole hole = {
        .volume = op->volume, .offset = op->offset, .size = format_record_size(op->length)};
    return op->recorded ? index_put_hole(t, &hole) : 0;
}

/* --- blobs ------------------------------------------------------------------------------------ */

static int commit_index_record(struct commit *c, struct commit_batch *b, struct index_txn *t,
                               struct commit_op *op, struct index_entry *e)
{
    struct index_extent extent = {.offset = op->offset, .kind = FORMAT_BLOB, .digest = op->digest};
    int r = 0;
    if (e->volume != 0)
        r = commit_free_record(c, b, t, e->volume, e->offset, e->length, true,
                               (e->flags & INDEX_QUARANTINED) != 0);
    if (r < 0)
        return r;
    e->volume = op->volume;
    e->offset = op->offset;
    e->length = op->length;
    e->flags &= ~(uint32_t)INDEX_QUARANTINED;
    r = index_put_extent(t, op->volume, &extent);
    if (r == 0)
        r = index_put(t, &op->digest, e);
    struct index_volume *row = commit_row(c, b, op->volume);
    ASSERT(row != NULL); /* the newest of its kind */
    row->blobs++;
    row->bytes += op->length;
    row->live += format_record_size(op->length);
    return r;
}

/* A blob that every put of is to reach the remote tier. */
static int commit_want_upload(struct commit *c, struct index_txn *t, const struct digest *d,
                              const struct index_entry *e)
{
    struct index_errand errand = {.digest = *d, .kind = INDEX_UPLOAD};
    if (!c->options.uploads || (e->flags & INDEX_REMOTE) != 0)
        return 0;
    return index_put_errand(t, &errand);
}

static int commit_index_put(struct commit *c, struct commit_batch *b, struct index_txn *t,
                            struct commit_op *op)
{
    struct index_entry e = {.since_s = b->now_s};
    /* Looked up again: an op earlier in this batch may have changed it. */
    int r = index_get(t, &op->digest, &e);
    if (r < 0 && r != -ENOENT)
        return r;
    if (!op->recorded) {
        op->res = r; /* a touch: -ENOENT: reclaimed just now, the caller puts it again */
        return r == 0 && e.refs == 0 ? commit_orphan(c, b, t, &op->digest, &e, false) : 0;
    }
    if (op->remote_bad && (e.volume == 0 || (e.flags & INDEX_QUARANTINED) != 0))
        e.flags &= ~(uint32_t)INDEX_REMOTE;
    r = commit_want_upload(c, t, &op->digest, &e);
    if (r == 0)
        r = commit_index_record(c, b, t, op, &e);
    if (r == 0 && e.refs == 0)
        r = commit_orphan(c, b, t, &op->digest, &e, false);
    return r;
}

static int commit_index_move(struct commit *c, struct commit_batch *b, struct index_txn *t,
                             struct commit_op *op)
{
    struct index_entry e;
    int r = index_get(t, &op->digest, &e);
    if (r < 0 && r != -ENOENT)
        return r;
    if (r == -ENOENT || e.volume != op->from_volume || e.offset != op->from_offset) {
        op->res = -ESTALE;
        return commit_waste(t, op);
    }
    return commit_index_record(c, b, t, op, &e);
}

int commit_quarantine(struct commit *c, struct commit_batch *b, struct index_txn *t,
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
    struct index_volume *row = commit_row(c, b, e.volume);
    if (row != NULL)
        commit_row_uncount(row, e.length);
    return index_put(t, &op->digest, &e);
}

int commit_touch(struct commit *c, struct commit_batch *b, struct index_txn *t,
                 struct commit_op *op)
{
    struct index_entry e;
    int r = index_get(t, &op->digest, &e);
    if (r < 0 && r != -ENOENT)
        return r;
    op->res = r;
    if (r == 0)
        r = commit_want_upload(c, t, &op->digest, &e);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    return e.refs == 0 ? commit_orphan(c, b, t, &op->digest, &e, false) : 0;
}

/* What nothing names any more goes, from wherever it is. */
int commit_reclaim(struct commit *c, struct commit_batch *b, struct index_txn *t,
                   struct commit_op *op)
{
    struct index_entry e;
    struct index_orphan orphan = {.due_s = op->due_s, .digest = op->digest};
    struct index_errand errand = {.digest = op->digest, .kind = INDEX_REMOVE};
    enum index_errand_kind under_way;
    ASSERT(c->options.counts);
    op->res = -ENOENT;
    int r = index_delete_orphan(t, &orphan);
    if (r == 0)
        r = index_get(t, &op->digest, &e);
    if (r == -ENOENT || (r == 0 && e.refs > 0))
        return 0;
    if (r == 0 && commit_due(c, &e) > b->now_s) {
        orphan.due_s = commit_due(c, &e);
        return index_put_orphan(t, &orphan);
    }
    if (r == 0 && e.volume != 0)
        r = commit_free_record(c, b, t, e.volume, e.offset, e.length, true,
                               (e.flags & INDEX_QUARANTINED) != 0);
    if (r == 0)
        r = index_delete(t, &op->digest);
    if (r < 0)
        return r;
    op->res = 0;
    op->length = e.length;
    op->unhot = true;
    r = index_get_errand(t, &op->digest, &under_way);
    if (r < 0 && r != -ENOENT)
        return r;
    bool there = r == 0 || (e.flags & INDEX_REMOTE) != 0; /* or on its way there */
    if (there && !c->options.remote_keeps)
        return index_put_errand(t, &errand);
    return r == 0 ? index_delete_errand(t, &op->digest) : 0;
}

int commit_detach(struct commit *c, struct commit_batch *b, struct index_txn *t,
                  struct commit_op *op)
{
    struct index_entry e;
    int r = index_get(t, &op->digest, &e);
    if (r < 0 && r != -ENOENT)
        return r;
    op->res = -ESTALE;
    if (r == -ENOENT || e.volume == 0 || e.volume != op->volume || e.offset != op->offset ||
        (e.flags & (INDEX_REMOTE | INDEX_QUARANTINED)) == 0)
        return 0;
    op->res = 0;
    r = commit_free_record(c, b, t, e.volume, e.offset, e.length, true,
                           (e.flags & INDEX_QUARANTINED) != 0);
    e.volume = 0;
    e.offset = 0;
    if ((e.flags & INDEX_REMOTE) != 0)
        e.flags &= ~(uint32_t)INDEX_QUARANTINED; /* the copy that counts is the other one */
    return r < 0 ? r : index_put(t, &op->digest, &e);
}

/* --- errands, holes, volumes ------------------------------------------------------------------ */

int commit_errand_put(struct commit *c, struct commit_batch *b, struct index_txn *t,
                      struct commit_op *op)
{
    (void)c;
    (void)b;
    struct index_entry e;
    struct index_errand errand = {.digest = op->digest, .kind = (enum index_errand_kind)op->flags};
    int r = index_get(t, &op->digest, &e);
    if (r == -ENOENT)
        return 0;
    return r < 0 ? r : index_put_errand(t, &errand);
}

int commit_errand_drop(struct commit *c, struct commit_batch *b, struct index_txn *t,
                       struct commit_op *op)
{
    (void)c;
    (void)b;
    struct index_entry e;
    enum index_errand_kind now;
    int r = index_get_errand(t, &op->digest, &now);
    if (r < 0 || (unsigned)now != op->flags)
        return r == -ENOENT ? 0 : r;
    r = index_get(t, &op->digest, &e);
    if (r < 0 && r != -ENOENT)
        return r;
    /* It may have been put anew meanwhile. */
    bool here = r == 0 && e.volume != 0 && (e.flags & INDEX_QUARANTINED) == 0;
    return here ? 0 : index_delete_errand(t, &op->digest);
}

int commit_errand_done(struct commit *c, struct commit_batch *b, struct index_txn *t,
                       struct commit_op *op)
{
    struct index_entry e;
    enum index_errand_kind now;
    int r = index_get_errand(t, &op->digest, &now);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    if ((unsigned)now == op->flags)
        r = index_delete_errand(t, &op->digest);
    if (r < 0)
        return r;
    r = index_get(t, &op->digest, &e);
    if (r < 0)
        return r == -ENOENT ? 0 : r; /* reclaimed meanwhile: its removal is an errand of its own */
    if (op->flags == INDEX_REMOVE) {
        e.flags &= ~(uint32_t)INDEX_REMOTE;
        return index_put(t, &op->digest, &e);
    }
    e.flags |= INDEX_REMOTE;
    r = index_put(t, &op->digest, &e);
    if (r < 0 || op->flags != INDEX_DEMOTE || now != INDEX_DEMOTE)
        return r;
    op->volume = e.volume;
    op->offset = e.offset;
    return commit_detach(c, b, t, op);
}

int commit_hole_done(struct commit *c, struct commit_batch *b, struct index_txn *t,
                     struct commit_op *op)
{
    (void)c;
    (void)b;
    struct index_hole hole = {.volume = op->volume, .offset = op->offset};
    int r = index_delete_hole(t, &hole);
    return r == -ENOENT ? 0 : r;
}

int commit_drop_volume(struct commit *c, struct commit_batch *b, struct index_txn *t,
                       struct commit_op *op)
{
    bool used = true;
    op->res = -EBUSY;
    for (unsigned i = 0; i < FORMAT_DEVICE_KINDS; i++) {
        struct volume *newest = volume_newest(c->options.volumes, (enum format_device_kind)i);
        if (newest != NULL && newest->id == op->volume)
            return 0; /* records of this very batch may be in it */
    }
    int r = index_has_extents(t, op->volume, &used);
    if (r < 0 || used || b->dropped != 0)
        return r;
    r = index_delete_holes(t, op->volume);
    if (r < 0)
        return r;
    b->dropped = op->volume;
    op->res = 0;
    return 0;
}

/* --- the transaction -------------------------------------------------------------------------- */

static int commit_index_op(struct commit *c, struct commit_batch *b, struct index_txn *t,
                           struct commit_op *op)
{
    switch (op->kind) {
    case COMMIT_PUT:
        return commit_index_put(c, b, t, op);
    case COMMIT_MOVE:
        return commit_index_move(c, b, t, op);
    case COMMIT_REF_PUT:
    case COMMIT_REF_DELETE:
    case COMMIT_REF_MOVE:
        return commit_index_ref(c, b, t, op);
    case COMMIT_INDEX:
        return op->apply(c, b, t, op);
    }
    return -EINVAL;
}

struct commit_indexing {
    struct commit *commit;
    struct commit_batch *batch;
};

static int commit_index_body(struct index_txn *t, void *arg)
{
    struct commit_indexing *x = arg;
    struct commit *c = x->commit;
    struct commit_batch *b = x->batch;
    int r = 0;
    b->rows.count = 0;
    b->dropped = 0;
    b->now_s = (uint32_t)(clock_real_ms() / 1000);
    for (unsigned i = 0; i < b->count && r == 0; i++) {
        struct commit_op *op = b->ops[i];
        if (!op->active)
            continue;
        op->res = 0;
        op->unhot = false;
        r = commit_index_op(c, b, t, op);
        if (!op->recorded)
            continue;
        struct index_volume *row = commit_row(c, b, op->volume);
        ASSERT(row != NULL);
        row->end = MAX(row->end, op->offset + format_record_size(op->length));
    }
    for (unsigned i = 0; i < b->rows.count && r == 0; i++)
        r = index_put_volume(t, &b->rows.rows[i]);
    return r;
}

int commit_index(struct commit *c, struct commit_batch *b)
{
    struct commit_indexing x = {.commit = c, .batch = b};
    int r = index_run(c->options.index, commit_index_body, &x);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < b->rows.count; i++) {
        struct volume *v = volume_get(c->options.volumes, b->rows.rows[i].id);
        ASSERT(v != NULL);
        volume_set_row(c->options.volumes, v, &b->rows.rows[i]);
        volume_unref(v);
    }
    for (unsigned i = 0; i < b->count; i++) {
        if (b->ops[i]->unhot)
            hot_remove(c->options.hot, &b->ops[i]->digest);
    }
    if (b->dropped != 0)
        evict_remove(c, b->dropped);
    return 0;
}
