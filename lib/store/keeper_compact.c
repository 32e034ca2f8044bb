/* SPDX-License-Identifier: Apache-2.0 */
/* A volume of which less than half is live is emptied, record by record, into the newest one, and
 * goes; one on a device that failed is emptied in any case. What is damaged stays where it is and
 * keeps its volume: it may be all that is left of the blob. */
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"
#include "store/keeper_priv.h"

#define COMPACT_RECORDS    64u /* moved in a step, and at most */
#define COMPACT_BYTES      (UINT64_C(8) << 20)
#define COMPACT_SKIP_US    (UINT64_C(600) * 1000000)
#define COMPACT_WAIT_US    UINT64_C(10000)   /* while the foreground writes a lot */
#define COMPACT_LOOK_US    UINT64_C(1000000) /* looks at all volumes no oftener */
#define COMPACT_LIVE_BELOW 2u                /* end over live */

/* --- which volume ----------------------------------------------------------------------------- */

/* So many could not be emptied that it is no matter of one volume. */
static bool compact_all_skipped(struct keeper *k)
{
    struct keeper_compact *x = &k->compact;
    if (x->skip_count > 0 && clock_mono_us() >= x->skip_until_us)
        x->skip_count = 0;
    return x->skip_count == ARRAY_LEN(x->skip);
}

static bool compact_skipped(const struct keeper *k, uint32_t id)
{
    const struct keeper_compact *x = &k->compact;
    for (unsigned i = 0; i < x->skip_count; i++) {
        if (x->skip[i] == id)
            return true;
    }
    return false;
}

/* The next one has its turn; with too many of them nothing does for a while. */
static enum keeper_step compact_skip(struct keeper *k, uint32_t id)
{
    struct keeper_compact *x = &k->compact;
    x->volume = 0;
    if (x->skip_count == ARRAY_LEN(x->skip))
        return KEEPER_IDLE;
    x->skip[x->skip_count++] = id;
    x->skip_until_us = clock_mono_us() + COMPACT_SKIP_US;
    return KEEPER_MORE;
}

/* Those that are appended to now have the highest numbers of their kinds. */
static bool compact_is_open(struct keeper *k, const struct volume *v)
{
    struct volume *next = volume_after(k->store->volumes, v->id);
    bool open = true;
    while (next != NULL && open) {
        uint32_t id = next->id;
        open = next->device->kind != v->device->kind || atomic_load(&next->device->failed);
        volume_unref(next);
        next = open ? volume_after(k->store->volumes, id) : NULL;
    }
    return open && !atomic_load(&v->device->failed);
}

/* How much of it there is for each live byte; 0: leave it. */
static double compact_gain(struct keeper *k, struct volume *v)
{
    struct index_volume row;
    volume_get_row(k->store->volumes, v, &row);
    uint64_t used = row.end - FORMAT_RECORDS;
    if (compact_skipped(k, v->id) || compact_is_open(k, v))
        return 0;
    if (atomic_load(&v->device->failed))
        return 1e12;
    if (row.live * COMPACT_LIVE_BELOW >= used && row.live > 0)
        return 0;
    return (double)(used + 1) / (double)(row.live + 1);
}

/* Rounds come with each group that is committed, and there may be ten thousand volumes: as long as
 * there was none to be emptied it is time enough to look again in a while. */
static bool compact_choose(struct keeper *k)
{
    double best = 0;
    uint32_t id = 0;
    struct volume *v;
    uint64_t now_us = clock_mono_us();
    if (now_us < k->compact.look_us && !keeper_settles(k))
        return false;
    k->compact.volume = 0;
    while ((v = volume_after(k->store->volumes, id)) != NULL) {
        id = v->id;
        double gain = compact_gain(k, v);
        if (gain > best) {
            best = gain;
            k->compact.volume = id;
            k->compact.from = 0;
            k->compact.stuck = false;
        }
        volume_unref(v);
    }
    k->compact.look_us = k->compact.volume != 0 ? 0 : now_us + COMPACT_LOOK_US;
    return k->compact.volume != 0;
}

/* --- emptying it ------------------------------------------------------------------------------ */

/* op is made ready to move the extent; -ESTALE: nothing is there any more. */
static int compact_move(struct keeper *k, const struct index_extent *x, struct keeper_op *op)
{
    struct store *s = k->store;
    struct index_entry e;
    *op = (struct keeper_op){.commit = {.volume = k->compact.volume, .offset = x->offset}};
    if (x->kind != FORMAT_BLOB) {
        op->commit.kind = COMMIT_REF_MOVE;
        return str_copy(str_of(x->name), op->commit.name, sizeof op->commit.name);
    }
    int r = index_find(k->reader, &x->digest, &e);
    if (r == -ENOENT || (r == 0 && (e.volume != k->compact.volume || e.offset != x->offset)))
        return -ESTALE;
    if (r == 0 && (e.flags & INDEX_QUARANTINED) != 0)
        return -EBADMSG;
    if (r == 0)
        r = volume_read_blob(s->volumes, k->queue, &x->digest, &e, &op->commit.record);
    if (r == -EBADMSG)
        store_quarantine(s, &x->digest, &e);
    if (r < 0)
        return r;
    struct volume *v = volume_get(s->volumes, k->compact.volume);
    op->commit.kind = COMMIT_MOVE;
    op->commit.device = v != NULL ? v->device->kind : FORMAT_WARM;
    volume_unref(v);
    op->commit.digest = x->digest;
    op->commit.length = e.length;
    return 0;
}

/* Some extents from x->from on; how many there were. -EAGAIN: the committer has enough to do for
 * the foreground; what it did not take is next. */
static int compact_some(struct keeper *k, unsigned *ret_count, bool *ret_stuck)
{
    struct keeper_compact *x = &k->compact;
    unsigned count = 0, pushed = 0;
    uint64_t bytes = 0, offsets[COMPACT_RECORDS];
    int r = index_extents(k->reader, x->volume, x->from, COMPACT_RECORDS, k->extents, &count);
    unsigned done = 0;
    while (done < count && r == 0 && bytes < COMPACT_BYTES) {
        const struct index_extent *extent = &k->extents[done++];
        int moved = compact_move(k, extent, &k->ops[pushed]);
        x->from = extent->offset + FORMAT_ALIGN;
        if (moved < 0) {
            x->stuck = x->stuck || moved != -ESTALE; /* the rest of it may well be moved */
            continue;
        }
        bytes += k->ops[pushed].commit.length;
        offsets[pushed] = extent->offset;
        keeper_push(k, &k->ops[pushed++]);
    }
    keeper_wait(k);
    for (unsigned i = 0; i < pushed; i++) {
        struct commit_op *op = &k->ops[i].commit;
        op->record = rbuf_unref(op->record);
        if (op->res == -EAGAIN && r == 0) {
            x->from = offsets[i];
            r = -EAGAIN;
        }
        *ret_stuck = *ret_stuck || (op->res < 0 && op->res != -ESTALE && op->res != -EAGAIN);
    }
    *ret_count = done;
    return r;
}

static int compact_drop(struct keeper *k)
{
    struct keeper_op *op = &k->ops[0];
    *op = (struct keeper_op){
        .commit = {.kind = COMMIT_INDEX, .apply = commit_drop_volume, .volume = k->compact.volume}};
    keeper_push(k, op);
    keeper_wait(k);
    return op->commit.res;
}

enum keeper_step keeper_compact_step(struct keeper *k)
{
    struct store *s = k->store;
    unsigned count = 0;
    bool stuck = false;
    if (s->is_cache || !k->works) /* a cache gives whole volumes up */
        return KEEPER_IDLE;
    if (k->compact.volume == 0 && (compact_all_skipped(k) || !compact_choose(k)))
        return KEEPER_IDLE;
    if (!keeper_may(k, &k->work, COMPACT_BYTES))
        return KEEPER_BUSY;
    uint32_t id = k->compact.volume;
    int r = compact_some(k, &count, &stuck);
    if (r == -EAGAIN && !stuck) {
        keeper_wake_at(k, clock_mono_us() + COMPACT_WAIT_US);
        return KEEPER_BUSY;
    }
    if (r < 0 || stuck) {
        log_warn("volume %08x cannot be emptied now: %s", id,
                 r < 0 ? strerror(-r) : "there is no room for it");
        return compact_skip(k, id);
    }
    if (count > 0)
        return KEEPER_MORE;
    if (k->compact.stuck) {
        log_warn("volume %08x stays: some of it cannot be read", id);
        return compact_skip(k, id);
    }
    r = compact_drop(k);
    if (r < 0)
        return compact_skip(k, id);
    store_count(&s->counts.compacted_volumes, s->metrics.compacted, 1);
    k->compact.volume = 0;
    return KEEPER_MORE;
}
