/* SPDX-License-Identifier: Apache-2.0 */
/* What nothing names and whose time has come goes out of the index; then the space of what went is
 * given back. The row of a hole stands until that is done: a crash in between only has it done
 * again. */
#include <errno.h>
#include "base/clock.h"
#include "base/log.h"
#include "store/keeper_priv.h"

static unsigned keeper_reclaim_orphans(struct keeper *k)
{
    struct index_orphan due[KEEPER_OPS];
    struct store *s = k->store;
    unsigned count = 0;
    if (!s->reclaims)
        return 0; /* rows of a run that counted may be there: a ref may name their blobs by now */
    uint32_t now_s = (uint32_t)(clock_real_ms() / 1000);
    int r = index_orphans(k->reader, now_s, KEEPER_OPS, due, &count);
    if (r < 0) {
        log_warn("reading what is to be reclaimed: %s", strerror(-r));
        return 0;
    }
    for (unsigned i = 0; i < count; i++) {
        struct keeper_op *op = &k->ops[i];
        *op = (struct keeper_op){.commit = {.kind = COMMIT_INDEX,
                                            .apply = commit_reclaim,
                                            .digest = due[i].digest,
                                            .due_s = due[i].due_s}};
        keeper_push(k, op);
    }
    keeper_wait(k);
    unsigned failed = 0;
    for (unsigned i = 0; i < count; i++) {
        const struct commit_op *op = &k->ops[i].commit;
        failed += op->res < 0 && op->res != -ENOENT;
        if (op->res < 0)
            continue;
        store_count(&s->counts.reclaimed, s->metrics.reclaimed, 1);
        store_count(&s->counts.reclaimed_bytes, s->metrics.reclaimed_bytes, op->length);
    }
    return count - failed;
}

static int keeper_punch(struct keeper *k, const struct index_hole *h)
{
    const struct io_ops *io = k->store->io;
    struct volume *v = volume_get(k->store->volumes, h->volume);
    if (v == NULL)
        return 0; /* gone with its volume; or away with its device, and is found by compaction */
    int r = 0;
    if (h->offset >= FORMAT_RECORDS && h->offset < v->size && h->size <= v->size - h->offset)
        r = io->punch(io, v->fd, h->offset, h->size);
    volume_unref(v);
    if (r == -ENOSPC)
        return r; /* of the file system's own: there will be some once others went */
    if (r < 0 && r != -EOPNOTSUPP)
        log_warn("giving space in volume %08x back: %s", h->volume, strerror(-r));
    return 0; /* whatever it was: compaction gets the space then, and others are next in line */
}

static unsigned keeper_punch_holes(struct keeper *k)
{
    struct index_hole holes[KEEPER_OPS];
    unsigned count = 0, done = 0;
    int r = index_holes(k->reader, KEEPER_OPS, holes, &count);
    for (unsigned i = 0; i < count && r == 0; i++) {
        r = keeper_punch(k, &holes[i]);
        if (r < 0)
            break;
        struct keeper_op *op = &k->ops[done++];
        *op = (struct keeper_op){.commit = {.kind = COMMIT_INDEX,
                                            .apply = commit_hole_done,
                                            .volume = holes[i].volume,
                                            .offset = holes[i].offset}};
        keeper_push(k, op);
    }
    keeper_wait(k);
    for (unsigned i = 0; i < done && r == 0; i++)
        r = k->ops[i].commit.res;
    if (r < 0)
        log_warn("giving space back: %s", strerror(-r));
    return r < 0 ? 0 : done;
}

enum keeper_step keeper_reclaim_step(struct keeper *k)
{
    unsigned done = keeper_reclaim_orphans(k);
    if (!keeper_stops(k))
        done += keeper_punch_holes(k);
    return done > 0 ? KEEPER_MORE : KEEPER_IDLE;
}
