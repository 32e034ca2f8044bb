/* SPDX-License-Identifier: Apache-2.0 */
/* Making room. A store starts a new volume when the newest is full. A cache always keeps room for
 * one volume more within size_max, so that what was hit again can be written anew before its volume
 * goes. */
#include <errno.h>
#include <stdlib.h>
#include "base/log.h"
#include "store/commit_priv.h"
#include "store/place.h"

#define EVICT_EXTENTS     256u
#define EVICT_DEVICES_MAX 64u
#define EVICT_VOLUME_LESS                                                                          \
    (UINT64_C(64) << 20) /* a nearly full disk gets smaller volumes, to here */

static uint64_t evict_total(struct commit *c)
{
    struct volume_sums sums;
    volume_sums(c->options.volumes, NULL, &sums);
    return sums.size;
}

/* --- forgetting a volume ---------------------------------------------------------------------- */

struct evict_forgetting {
    uint32_t volume;
    const struct index_extent *extents;
    unsigned count;
};

static int evict_forget_blob(struct index_txn *t, uint32_t volume, const struct index_extent *x)
{
    struct index_entry e;
    int r = index_get(t, &x->digest, &e);
    if (r < 0 || e.volume != volume || e.offset != x->offset)
        return r == -ENOENT ? 0 : r;
    bool remote = (e.flags & INDEX_REMOTE) != 0;
    if (!remote && e.refs == 0)
        return index_delete(t, &x->digest);
    /* What something names keeps its count: put again it must stay. */
    if (!remote)
        e.flags |= INDEX_QUARANTINED;
    e.volume = 0;
    e.offset = 0;
    return index_put(t, &x->digest, &e);
}

static int evict_forget_body(struct index_txn *t, void *arg)
{
    const struct evict_forgetting *f = arg;
    int r = 0;
    for (unsigned i = 0; i < f->count && r == 0; i++) {
        if (f->extents[i].kind == FORMAT_BLOB)
            r = evict_forget_blob(t, f->volume, &f->extents[i]);
        if (r == 0)
            r = index_delete_extent(t, f->volume, f->extents[i].offset);
        if (r == -ENOENT)
            r = 0;
    }
    return r;
}

static int evict_delete_row_body(struct index_txn *t, void *arg)
{
    const uint32_t *volume = arg;
    int r = index_delete_holes(t, *volume);
    if (r == 0)
        r = index_delete_volume(t, *volume);
    return r == -ENOENT ? 0 : r;
}

int evict_delete_row(struct index *x, uint32_t volume)
{
    return index_run(x, evict_delete_row_body, &volume);
}

int evict_forget(struct index *x, struct index_reader *reader, uint32_t volume)
{
    struct index_extent *extents = calloc(EVICT_EXTENTS, sizeof *extents);
    struct evict_forgetting f = {.volume = volume, .extents = extents};
    int r = extents != NULL ? 0 : -ENOMEM;
    /* In pieces: LMDB limits what one transaction may touch. After a crash in between the volume is
     * merely emptier. */
    while (r == 0) {
        r = index_extents(reader, volume, 0, EVICT_EXTENTS, extents, &f.count);
        if (r < 0 || f.count == 0)
            break;
        r = index_run(x, evict_forget_body, &f);
    }
    free(extents);
    return r;
}

void evict_remove(struct commit *c, uint32_t volume)
{
    int r = volume_remove(c->options.volumes, volume);
    if (r == 0)
        r = evict_delete_row(c->options.index, volume);
    if (r < 0)
        log_warn("removing volume %08x: %s", volume, strerror(-r));
}

/* --- keeping what was hit --------------------------------------------------------------------- */

static void evict_kept(struct commit_op *op)
{
    rbuf_unref(op->record); /* written or not: one blob less in a cache is no loss */
    free(op);
}

static bool evict_was_hit(struct commit *c, struct volume *v, const struct index_extent *e)
{
    if (volume_was_hit(v, e->offset))
        return true;
    /* What RAM answers is never read from here, and is the hottest of all. */
    struct rbuf *hot = hot_look(c->options.hot, &e->digest);
    rbuf_unref(hot);
    return hot != NULL;
}

/* Puts a blob into the batch once more. -ENOSPC: the newest volume has no room. */
static int evict_keep(struct commit *c, struct commit_batch *b, struct volume *v,
                      const struct index_extent *extent, uint64_t *budget)
{
    struct index_entry e;
    struct rbuf *record = NULL;
    int r = index_find(c->reader, &extent->digest, &e);
    if (r < 0)
        return r;
    if (e.volume != v->id || e.offset != extent->offset || (e.flags & INDEX_QUARANTINED) != 0)
        return 0;
    uint32_t size = format_record_size(e.length);
    if (size > *budget)
        return -ENOSPC;
    r = volume_read_blob(c->options.volumes, c->queue, &extent->digest, &e, &record);
    if (r < 0)
        return r;
    struct commit_op *op = calloc(1, sizeof *op);
    if (op == NULL) {
        rbuf_unref(record);
        return -ENOMEM;
    }
    op->kind = COMMIT_MOVE;
    op->digest = extent->digest;
    op->length = e.length;
    op->record = record;
    op->volume = e.volume;
    op->offset = e.offset;
    op->done = evict_kept;
    bool added = commit_add(c, b, op);
    if (!added && b->count == COMMIT_BATCH_MAX) {
        commit_run(c, b);
        added = commit_add(c, b, op);
    }
    if (!added) {
        evict_kept(op);
        return -ENOSPC;
    }
    *budget -= size;
    return 0;
}

static void evict_keep_hits(struct commit *c, struct volume *v, uint64_t *budget)
{
    struct index_extent *extents = calloc(EVICT_EXTENTS, sizeof *extents);
    struct commit_batch *b = calloc(1, sizeof *b);
    unsigned count = 0;
    uint64_t from = 0, batch_bytes = 0;
    do {
        if (extents == NULL || b == NULL ||
            index_extents(c->reader, v->id, from, EVICT_EXTENTS, extents, &count) < 0)
            break;
        for (unsigned i = 0; i < count; i++) {
            if (extents[i].kind != FORMAT_BLOB || !evict_was_hit(c, v, &extents[i]))
                continue;
            uint64_t budget_before = *budget;
            /* A blob that cannot be kept is lost to the cache, as all of its volume is. */
            (void)evict_keep(c, b, v, &extents[i], budget);
            batch_bytes += budget_before - *budget;
            if (batch_bytes >= EVICT_VOLUME_LESS) {
                commit_run(c, b); /* bounds the memory of records that wait */
                batch_bytes = 0;
            }
        }
        /* The next offset is a page away. */
        from = count > 0 ? extents[count - 1].offset + FORMAT_ALIGN : from;
    } while (count == EVICT_EXTENTS);
    if (b != NULL && b->count > 0)
        commit_run(c, b);
    free(b);
    free(extents);
}

/* --- volumes come and go ---------------------------------------------------------------------- */

static int evict_oldest(struct commit *c, uint64_t *budget)
{
    struct volume *v = volume_oldest(c->options.volumes);
    ASSERT(v != NULL);
    uint32_t id = v->id;
    if (budget != NULL)
        evict_keep_hits(c, v, budget);
    int r = evict_forget(c->options.index, c->reader, id);
    if (r < 0)
        return r;
    evict_remove(c, id);
    atomic_fetch_add_explicit(c->options.evicted_volumes, 1, memory_order_relaxed);
    metric_add(c->options.evictions, 1);
    return 0;
}

/* By what is free; a device that does not answer comes last. NULL: none that works, or none that
 * has room, which *ret_res tells. */
static struct volume_device *evict_choose_device(struct commit *c, enum format_device_kind kind,
                                                 uint64_t size, int *ret_res)
{
    struct volume_table *t = c->options.volumes;
    struct place_device devices[EVICT_DEVICES_MAX];
    struct volume_device *of[EVICT_DEVICES_MAX];
    unsigned count = 0;
    *ret_res = -EIO;
    for (unsigned i = 0; i < volume_devices(t) && count < EVICT_DEVICES_MAX; i++) {
        struct volume_device *d = volume_device(t, i);
        uint64_t free_size = UINT64_MAX, whole = 0;
        if (d->kind != kind || atomic_load(&d->failed))
            continue;
        /* One that does not tell is tried. */
        (void)c->options.io->space(c->options.io, d->folder, &free_size, &whole);
        devices[count] = (struct place_device){.free = free_size, .need = size};
        of[count++] = d;
    }
    if (count == 0)
        return NULL;
    int i = place_device(devices, count);
    *ret_res = i;
    return i < 0 ? NULL : of[i];
}

static int evict_create_row(struct index_txn *t, void *arg)
{
    struct index_volume *row = arg;
    int r = index_next_volume(t, &row->id);
    return r < 0 ? r : index_put_volume(t, row);
}

/* Nothing is written to it any more: the rest of it is given back, and with it what a failed group
 * left there. */
static void evict_close_volume(struct commit *c, const struct volume *v)
{
    const struct io_ops *io = c->options.io;
    if (v == NULL || v->row.end >= v->size)
        return;
    int r = io->punch(io, v->fd, v->row.end, v->size - v->row.end);
    if (r < 0 && r != -EOPNOTSUPP)
        log_warn("giving the rest of volume %08x back: %s", v->id, strerror(-r));
}

static int evict_create(struct commit *c, enum format_device_kind kind, uint64_t size)
{
    struct index_volume row = {.size = size, .end = FORMAT_RECORDS};
    bool left = false;
    int r = 0;
    struct volume_device *d = evict_choose_device(c, kind, size, &r);
    if (d == NULL)
        return r;
    struct volume *before = volume_newest(c->options.volumes, kind);
    row.device = d->id;
    /* The row first: a volume file that the index does not know is never ours. */
    r = index_run(c->options.index, evict_create_row, &row);
    if (r < 0)
        return r;
    r = volume_create(c->options.volumes, c->queue, &row, &left);
    if (r < 0) {
        int forgot = left ? 0 : evict_delete_row(c->options.index, row.id);
        (void)forgot; /* if not: the next start forgets it, or has an empty volume */
        if (r != -ENOSPC && r != -ENOMEM)
            commit_failed_on(c, d, r);
        return r;
    }
    c->must_roll[kind] = false;
    evict_close_volume(c, before);
    return 0;
}

/* Smaller and smaller where the disk is nearly full; a cache gives its oldest up instead. */
static int evict_make(struct commit *c, enum format_device_kind kind, uint64_t size, uint64_t need)
{
    unsigned devices = volume_devices(c->options.volumes);
    for (;;) {
        int r = evict_create(c, kind, size);
        if (r < 0 && r != -ENOSPC && r != -ENOMEM && devices-- > 1)
            continue; /* it is left alone now: another one may work */
        if (r != -ENOSPC)
            return r;
        uint64_t less = MAX(size / 2, need) / FORMAT_ALIGN * FORMAT_ALIGN;
        if (c->options.size_max > 0 && volume_oldest(c->options.volumes) != NULL) {
            r = evict_oldest(c, NULL);
            if (r < 0)
                return r;
        } else if (less < size && less >= EVICT_VOLUME_LESS) {
            size = less;
        } else {
            return -ENOSPC;
        }
    }
}

int evict_for_index(struct commit *c)
{
    int r = 0;
    while (r == 0 && index_room_low(c->options.index)) {
        if (c->options.size_max == 0 || volume_oldest(c->options.volumes) == NULL)
            return -ENOSPC;
        r = evict_oldest(c, NULL);
    }
    return r;
}

int evict_roll(struct commit *c, enum format_device_kind kind, uint32_t record_size)
{
    uint64_t need = (uint64_t)FORMAT_RECORDS + record_size;
    uint64_t size = MAX(c->options.volume_size, need);
    uint64_t size_max = c->options.size_max;
    if (size_max > 0 && size > size_max)
        return -ENOSPC; /* larger than the whole cache */
    while (size_max > 0 && evict_total(c) + size > size_max) {
        int r = evict_oldest(c, NULL);
        if (r < 0)
            return r;
    }
    int r = evict_make(c, kind, size, need);
    if (r < 0)
        return r;
    uint64_t budget = size / 2;
    while (size_max > 0 && evict_total(c) + c->options.volume_size > size_max &&
           volume_oldest(c->options.volumes) != volume_newest(c->options.volumes, kind)) {
        r = evict_oldest(c, &budget);
        if (r < 0)
            break; /* the new volume stands; the next roll tries again */
    }
    return 0;
}
