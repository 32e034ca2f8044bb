/* SPDX-License-Identifier: Apache-2.0 */
/* Every record is read and checked in turn, volume by volume, at a pace. What is damaged is
 * quarantined, and written anew with what the remote tier or a peer has. */
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"
#include "store/keeper_priv.h"

#define SCRUB_RECORDS 16u /* a step, at most */

struct scrub_repair {
    struct store *store;
    struct digest digest;
    struct index_entry entry;
};

static void scrub_rescued(void *arg, int res, struct rbuf *blob)
{
    struct scrub_repair *x = arg;
    if (res == 0)
        store_rewrite(x->store, COMMIT_PUT, FORMAT_WARM, &x->digest, &x->entry, blob);
    atomic_fetch_sub(&x->store->rewriting, 1);
    free(x);
}

static void scrub_repair(struct store *s, const struct digest *d, const struct index_entry *e)
{
    struct scrub_repair *x = store_can_rescue(s, e, false) ? malloc(sizeof *x) : NULL;
    if (x == NULL)
        return;
    *x = (struct scrub_repair){.store = s, .digest = *d, .entry = *e};
    atomic_fetch_add(&s->rewriting, 1); /* the store does not close before it is over */
    store_rescue(s, d, e, false, scrub_rescued, x);
}

static void scrub_record(struct keeper *k, const struct digest *d, const struct index_entry *e)
{
    struct store *s = k->store;
    struct rbuf *record = NULL;
    struct index_entry now;
    bool flagged = (e->flags & INDEX_QUARANTINED) != 0;
    int r = flagged ? -EBADMSG : volume_read_blob(s->volumes, k->queue, d, e, &record);
    rbuf_unref(record);
    store_count(&s->counts.scrubbed_bytes, s->metrics.scrubbed_bytes,
                format_record_size(e->length));
    if (r != -EBADMSG && r != -EIO)
        return;
    /* Its space may have been given back while it was read. */
    if (index_find(k->reader, d, &now) < 0 || now.volume != e->volume || now.offset != e->offset)
        return;
    if (!flagged)
        log_warn("volume %08x is damaged at %llu: %s", e->volume, (unsigned long long)e->offset,
                 r == -EIO ? "it cannot be read" : "it has other bytes");
    if (!flagged && r == -EBADMSG)
        store_quarantine(s, d, e);
    scrub_repair(s, d, e);
}

/* The index knows what a ref's record should say: a damaged one is written anew from it. */
static void scrub_ref(struct keeper *k, const struct index_extent *x)
{
    struct store *s = k->store;
    struct keeper_op *op = &k->ops[0];
    struct index_ref now;
    int r = volume_check_ref(s->volumes, k->queue, k->scrub.volume, x);
    store_count(&s->counts.scrubbed_bytes, s->metrics.scrubbed_bytes, FORMAT_ALIGN);
    if ((r != -EBADMSG && r != -EIO) || index_find_ref_row(k->reader, str_of(x->name), &now) < 0 ||
        now.volume != k->scrub.volume || now.offset != x->offset)
        return;
    log_warn("volume %08x is damaged at %llu: the move of a ref", k->scrub.volume,
             (unsigned long long)x->offset);
    store_count(&s->counts.damaged, s->metrics.damaged, 1);
    *op = (struct keeper_op){
        .commit = {.kind = COMMIT_REF_MOVE, .volume = k->scrub.volume, .offset = x->offset}};
    if (str_copy(str_of(x->name), op->commit.name, sizeof op->commit.name) < 0)
        return;
    keeper_push(k, op);
    keeper_wait(k);
    op->commit.record = rbuf_unref(op->commit.record);
    if (op->commit.res == 0)
        store_count(&s->counts.repaired, s->metrics.repaired, 1);
}

/* False: not before the throttle lets us. */
static bool scrub_extent(struct keeper *k, const struct index_extent *x)
{
    struct index_entry e;
    if (x->kind != FORMAT_BLOB) {
        if (!keeper_may(k, &k->scrub_pace, FORMAT_ALIGN))
            return false;
        scrub_ref(k, x);
        return true;
    }
    if (index_find(k->reader, &x->digest, &e) < 0 || e.volume != k->scrub.volume ||
        e.offset != x->offset)
        return true;
    if (!keeper_may(k, &k->scrub_pace, format_record_size(e.length)))
        return false;
    scrub_record(k, &x->digest, &e);
    return true;
}

static void scrub_next_volume(struct keeper *k)
{
    struct keeper_scrub *x = &k->scrub;
    struct volume *v = volume_after(k->store->volumes, x->volume);
    x->volume = v != NULL ? v->id : 0; /* behind the last: from the first again */
    x->within = v != NULL;
    x->from = 0;
    volume_unref(v);
}

/* Never busy: it has no end that anybody could wait for. */
enum keeper_step keeper_scrub_step(struct keeper *k)
{
    struct keeper_scrub *x = &k->scrub;
    unsigned count = 0;
    if (!k->scrubs)
        return KEEPER_IDLE;
    if (!x->within) {
        scrub_next_volume(k);
        if (x->within)
            keeper_wake_at(k, clock_mono_us()); /* there is a rest only behind the last */
        return KEEPER_IDLE;
    }
    int r = index_extents(k->reader, x->volume, x->from, SCRUB_RECORDS, k->extents, &count);
    bool going = r == 0;
    for (unsigned i = 0; i < count && going; i++) {
        going = scrub_extent(k, &k->extents[i]);
        if (going)
            x->from = k->extents[i].offset + FORMAT_ALIGN;
    }
    x->within = r == 0 && count > 0;
    if (going && x->within)
        keeper_wake_at(k, clock_mono_us());
    return KEEPER_IDLE;
}
