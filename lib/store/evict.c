/* SPDX-License-Identifier: Apache-2.0 */
/* Making room. A store starts a new volume when the newest is full. A cache always keeps room for
 * one volume more within size_max, so that what was hit again can be written anew before its volume
 * goes. */
#include <errno.h>
#include <stdlib.h>
#include "store/commit_priv.h"

#define EVICT_EXTENTS 256u
#define EVICT_VOLUME_LESS                                                                          \
    (UINT64_C(64) << 20) /* a nearly full disk gets smaller volumes, to here */

static uint64_t evict_total(struct commit *c)
{
    struct volume_sums sums;
    volume_table_sums(c->options.volumes, &sums);
    return sums.size;
}

/* --- forgetting a volume ---------------------------------------------------------------------- */

static int evict_forget_some(struct index *x, uint32_t volume, const struct index_extent *extents,
                             unsigned count)
{
    struct index_txn *t = NULL;
    int r = index_begin(x, &t);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < count && r == 0; i++) {
        struct index_entry e;
        r = index_get(t, &extents[i].digest, &e);
        if (r == 0 && e.volume == volume && e.offset == extents[i].offset)
            r = index_delete(t, &extents[i].digest);
        if (r == 0 || r == -ENOENT)
            r = index_delete_extent(t, volume, extents[i].offset);
    }
    if (r < 0) {
        index_abort(t);
        return r;
    }
    return index_commit(t);
}

int evict_forget(struct index *x, uint32_t volume)
{
    struct index_extent extents[EVICT_EXTENTS];
    struct index_txn *t = NULL;
    unsigned count = 0;
    /* In pieces: LMDB limits what one transaction may touch. After a crash in between the volume is
     * merely emptier. */
    for (;;) {
        int r = index_extents(x, volume, 0, EVICT_EXTENTS, extents, &count);
        if (r == 0 && count > 0)
            r = evict_forget_some(x, volume, extents, count);
        if (r < 0)
            return r;
        if (count == 0)
            break;
    }
    int r = index_begin(x, &t);
    if (r < 0)
        return r;
    r = index_delete_volume(t, volume);
    if (r < 0 && r != -ENOENT) {
        index_abort(t);
        return r;
    }
    return index_commit(t);
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
    r = commit_read(c, &extent->digest, &e, &record);
    if (r < 0)
        return r;
    struct commit_op *op = calloc(1, sizeof *op);
    if (op == NULL) {
        rbuf_unref(record);
        return -ENOMEM;
    }
    op->kind = COMMIT_PUT;
    op->digest = extent->digest;
    op->length = e.length;
    op->record = record;
    op->rewrite = true;
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
    struct index_extent extents[EVICT_EXTENTS];
    struct commit_batch *b = calloc(1, sizeof *b);
    unsigned count = 0;
    uint64_t from = 0, batch_bytes = 0;
    if (b == NULL)
        return;
    do {
        if (index_extents(c->options.index, v->id, from, EVICT_EXTENTS, extents, &count) < 0)
            break;
        for (unsigned i = 0; i < count; i++) {
            from = extents[i].offset + 1;
            if (!evict_was_hit(c, v, &extents[i]))
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
    if (b->count > 0)
        commit_run(c, b);
    free(b);
}

/* --- volumes come and go ---------------------------------------------------------------------- */

static int evict_oldest(struct commit *c, uint64_t *budget)
{
    struct volume *v = volume_oldest(c->options.volumes);
    ASSERT(v != NULL);
    uint32_t id = v->id;
    if (budget != NULL)
        evict_keep_hits(c, v, budget);
    int r = evict_forget(c->options.index, id);
    if (r < 0)
        return r;
    r = volume_remove(c->options.volumes, id);
    atomic_fetch_add_explicit(c->options.evicted_volumes, 1, memory_order_relaxed);
    metric_add(c->options.evictions, 1);
    return r;
}

static int evict_create(struct commit *c, uint64_t size)
{
    struct volume *newest = volume_newest(c->options.volumes);
    struct index_txn *t = NULL;
    struct index_volume row = {
        .id = newest != NULL ? newest->id + 1 : 1, .size = size, .end = FORMAT_RECORDS};
    if (row.id == 0)
        return -ENOSPC; /* 4 G volumes since the store began */
    /* The row first: a volume file that the index does not know is never ours. */
    int r = index_begin(c->options.index, &t);
    if (r < 0)
        return r;
    r = index_put_volume(t, &row);
    if (r < 0) {
        index_abort(t);
        return r;
    }
    r = index_commit(t);
    if (r < 0)
        return r;
    r = volume_create(c->options.volumes, c->queue, &row);
    if (r < 0) {
        int forgot = evict_forget(c->options.index, row.id);
        (void)forgot; /* if not: the next volume takes the row over, or the next start removes it */
        return r;
    }
    c->must_roll = false;
    return 0;
}

int evict_roll(struct commit *c, uint32_t record_size)
{
    uint64_t need = (uint64_t)FORMAT_RECORDS + record_size;
    uint64_t size = MAX(c->options.volume_size, need);
    uint64_t size_max = c->options.size_max;
    if (size_max > 0 && size > size_max)
        return -ENOSPC; /* larger than the whole cache */
    for (;;) {
        while (size_max > 0 && evict_total(c) + size > size_max) {
            int r = evict_oldest(c, NULL);
            if (r < 0)
                return r;
        }
        int r = evict_create(c, size);
        if (r == 0)
            break;
        if (r != -ENOSPC)
            return r;
        uint64_t less = MAX(size / 2, need) / FORMAT_ALIGN * FORMAT_ALIGN;
        if (size_max > 0 && volume_oldest(c->options.volumes) != NULL)
            r = evict_oldest(c, NULL);
        else if (less < size && less >= EVICT_VOLUME_LESS)
            size = less;
        else
            return -ENOSPC;
        if (r < 0 && r != -ENOSPC)
            return r;
    }
    uint64_t budget = size / 2;
    while (size_max > 0 && evict_total(c) + c->options.volume_size > size_max &&
           volume_oldest(c->options.volumes) != volume_newest(c->options.volumes)) {
        int r = evict_oldest(c, &budget);
        if (r < 0)
            break; /* the new volume stands; the next roll tries again */
    }
    return 0;
}
