/* SPDX-License-Identifier: Apache-2.0 */
/* Step 1 of a batch: what became of the digest or the name since the caller looked, and where its
 * record goes. Nothing is written yet. */
#include <errno.h>
#include "base/clock.h"
#include "store/commit_priv.h"

/* --- what became of it ------------------------------------------------------------------------ */

static bool commit_same(struct rbuf *a, uint32_t a_length, struct rbuf *b, uint32_t b_length)
{
    uint32_t cap_size;
    if (a_length != b_length)
        return false;
    uint32_t at = format_payload_offset(a_length);
    return memcmp(rbuf_space(a, &cap_size) + at, rbuf_space(b, &cap_size) + at, a_length) == 0;
}

/* True: op->res stands, nothing to write. */
static bool commit_resolve_put(struct commit *c, struct commit_batch *b, struct commit_op *op)
{
    struct index_entry before;
    struct rbuf *there = NULL;
    for (unsigned i = 0; i < b->count; i++) {
        struct commit_op *other = b->ops[i];
        if (other->kind != COMMIT_PUT || !other->recorded ||
            !digest_eq(&other->digest, &op->digest))
            continue;
        if (commit_same(other->record, other->length, op->record, op->length))
            op->twin = other;
        else
            op->res = -EEXIST;
        return true;
    }
    int r = index_find(c->reader, &op->digest, &before);
    if (r < 0) {
        op->res = r == -ENOENT ? 0 : r;
        return r != -ENOENT;
    }
    if ((before.flags & INDEX_QUARANTINED) != 0 || before.volume == 0 ||
        volume_read_blob(c->options.volumes, c->queue, &op->digest, &before, &there) < 0)
        return false; /* damaged, away or remote only: this put repairs it */
    bool same = commit_same(there, before.length, op->record, op->length);
    rbuf_unref(there);
    op->res = same ? 0 : -EEXIST;
    op->touch = same && c->options.counts; /* an op of this batch may let go of it */
    return true;
}

/* A copy that is not where the caller read it has been replaced, or its blob is gone. */
static bool commit_resolve_move(struct commit *c, struct commit_op *op)
{
    struct index_entry e;
    int r = index_find(c->reader, &op->digest, &e);
    if (r == -ENOENT || (r == 0 && (e.volume != op->from_volume || e.offset != op->from_offset)))
        r = -ESTALE;
    op->res = r;
    return r < 0;
}

static bool commit_resolve_ref(struct commit *c, struct commit_op *op)
{
    struct index_ref now = {.gone = true};
    int r = index_find_ref_row(c->reader, str_of(op->name), &now);
    if (r < 0 && r != -ENOENT) {
        op->res = r;
        return true;
    }
    op->ref = now;
    if (op->kind == COMMIT_REF_MOVE) {
        bool stays = r == 0 && now.volume == op->from_volume && now.offset == op->from_offset;
        op->res = stays ? 0 : -ESTALE;
        return !stays;
    }
    op->ref.ref.generation = now.ref.generation + 1;
    op->ref.ref.changed_ms = clock_real_ms();
    op->ref.gone = op->kind == COMMIT_REF_DELETE;
    if (op->kind == COMMIT_REF_DELETE) {
        op->ref.ref.presentation = (struct digest){{0}};
        op->res = now.gone ? -ENOENT : 0;
    } else {
        uint64_t has = now.gone ? 0 : now.ref.generation;
        op->ref.ref.presentation = op->digest;
        op->res = op->expect != STORE_REF_ANY && op->expect != has ? -ESTALE : 0;
    }
    return op->res < 0;
}

/* Two moves of one name do not share a batch: the second must see the first in the index. */
static bool commit_ref_waits(const struct commit_batch *b, const struct commit_op *op)
{
    for (unsigned i = 0; i < b->count; i++) {
        const struct commit_op *other = b->ops[i];
        bool is_ref = other->kind == COMMIT_REF_PUT || other->kind == COMMIT_REF_DELETE ||
                      other->kind == COMMIT_REF_MOVE;
        if (is_ref && strcmp(other->name, op->name) == 0)
            return true;
    }
    return false;
}

/* A move that names what is missing is refused before its record is written: a rebuild would take
 * that for the last word. True: it must wait for what the batch does first. */
static bool commit_names_wait(struct commit *c, const struct commit_batch *b, struct commit_op *op)
{
    if (op->kind != COMMIT_REF_PUT || !op->active || !c->options.counts)
        return false;
    int r = index_find_all(c->reader, &op->digest, 1);
    if (r == 0)
        r = index_find_all(c->reader, op->links, op->links_count);
    for (unsigned i = 0; i < b->count; i++) {
        const struct commit_op *other = b->ops[i];
        bool reclaims = other->kind == COMMIT_INDEX && other->apply == commit_reclaim;
        if (reclaims || (r == -ENOENT && other->kind == COMMIT_PUT))
            return true;
    }
    op->active = r == 0;
    op->res = r;
    return false;
}

/* --- where it goes ---------------------------------------------------------------------------- */

static bool commit_place(struct commit *c, struct commit_batch *b, struct commit_op *op,
                         enum format_kind kind, const struct digest *d)
{
    struct volume *v = volume_newest(c->options.volumes, op->device);
    struct index_volume row;
    uint32_t size = format_record_size(op->length), cap_size;
    if (v == NULL)
        return false;
    volume_get_row(c->options.volumes, v, &row);
    if (c->must_roll[op->device] && row.end > FORMAT_RECORDS)
        return false;
    uint64_t end = b->end[op->device];
    bool behind = end == 0 && c->later.handed && c->later.end[op->device] != 0;
    if (end == 0)
        end = behind ? c->later.end[op->device] : row.end;
    if (size > v->size - end)
        return false;
    b->behind = b->behind || behind;
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
    b->end[op->device] = end + size;
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
    op->device = FORMAT_WARM;
    op->record = rbuf_unref(op->record); /* of an attempt that found no room */
    op->length = format_ref_write(str_of(op->name), &op->ref.ref, payload);
    struct digest d = digest_of(payload, op->length);
    if (rbuf_new(format_record_size(op->length), &op->record) < 0) {
        op->res = -ENOMEM;
        op->active = false;
        return true;
    }
    format_record_fill(payload, op->length, rbuf_space(op->record, &cap_size));
    return commit_place(c, b, op, op->ref.gone ? FORMAT_REF_GONE : FORMAT_REF, &d);
}

static bool commit_is_move(const struct commit_op *op)
{
    return op->kind == COMMIT_MOVE || op->kind == COMMIT_REF_MOVE;
}

bool commit_add(struct commit *c, struct commit_batch *b, struct commit_op *op)
{
    bool placed = true;
    if (b->count == COMMIT_BATCH_MAX)
        return false;
    if (commit_is_move(op) && op->commit == NULL) {
        op->from_volume = op->volume;
        op->from_offset = op->offset;
    }
    op->commit = c;
    op->res = 0;
    op->twin = NULL;
    op->recorded = false;
    op->touch = false;
    switch (op->kind) {
    case COMMIT_PUT:
        op->active = !commit_resolve_put(c, b, op);
        placed = !op->active || commit_place(c, b, op, FORMAT_BLOB, &op->digest);
        op->active = op->active || op->touch;
        break;
    case COMMIT_MOVE:
        op->active = !commit_resolve_move(c, op);
        placed = !op->active || commit_place(c, b, op, FORMAT_BLOB, &op->digest);
        break;
    case COMMIT_REF_PUT:
    case COMMIT_REF_DELETE:
    case COMMIT_REF_MOVE:
        if (commit_ref_waits(b, op))
            return false;
        op->active = !commit_resolve_ref(c, op);
        if (commit_names_wait(c, b, op))
            return false;
        placed = !op->active || commit_place_ref(c, b, op);
        break;
    case COMMIT_INDEX:
        op->active = true;
        break;
    }
    if (placed)
        b->ops[b->count++] = op;
    return placed;
}
