/* SPDX-License-Identifier: Apache-2.0 */
/* Between the tiers: a sweep over the warm volumes learns how warm what is there is, a second one
 * demotes what place_choose says. Promotions come from reads. */
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"
#include "store/keeper_priv.h"

#define MOVE_RECORDS   64u /* of a step, and at most: */
#define MOVE_BYTES     (UINT64_C(8) << 20)
#define MOVE_SWEEP_US  (UINT64_C(60) * 1000000)
#define MOVE_LOOK_US   (UINT64_C(1) * 1000000)
#define MOVE_HIGH      0.95 /* of the capacity; emptied down to: */
#define MOVE_LOW       0.90
#define MOVE_OF_SYSTEM 0.90 /* of a file system, where nothing is configured */

/* --- the tiers, as they are now --------------------------------------------------------------- */

static void move_look_warm(struct keeper *k, struct place_tier_state *t)
{
    struct store *s = k->store;
    *t = (struct place_tier_state){.here = true, .writable = true};
    for (unsigned i = 0; i < volume_devices(s->volumes); i++) {
        struct volume_device *d = volume_device(s->volumes, i);
        uint64_t free_size = 0, size = 0;
        struct volume_sums sums;
        if (d->kind != FORMAT_WARM)
            continue;
        volume_sums(s->volumes, d, &sums);
        t->used += sums.live;
        if (s->io->space(s->io, d->folder, &free_size, &size) == 0)
            t->capacity += (uint64_t)((double)(free_size + sums.live) * MOVE_OF_SYSTEM);
    }
    if (k->warm_max != 0)
        t->capacity = k->warm_max;
    t->high = (uint64_t)((double)t->capacity * MOVE_HIGH);
    t->low = (uint64_t)((double)t->capacity * MOVE_LOW);
}

static void move_look_cold(struct keeper *k, struct place_tier_state *t)
{
    struct store *s = k->store;
    *t = (struct place_tier_state){0};
    if (s->remote != NULL)
        t->here = t->writable = k->remote.failing == 0;
    for (unsigned i = 0; i < volume_devices(s->volumes); i++) {
        struct volume_device *d = volume_device(s->volumes, i);
        t->here = t->here || d->kind == FORMAT_COLD;
        t->writable = t->writable || (d->kind == FORMAT_COLD && !atomic_load(&d->failed));
    }
}

static void move_look(struct keeper *k, bool learnt)
{
    struct place_tier_state warm, cold;
    move_look_warm(k, &warm);
    move_look_cold(k, &cold);
    (void)pthread_mutex_lock(&k->lock);
    k->place.tiers[PLACE_WARM] = warm;
    k->place.tiers[PLACE_COLD] = cold;
    if (learnt)
        k->place.limits = place_threshold(&k->move.histogram, &k->place);
    (void)pthread_mutex_unlock(&k->lock);
}

static struct place_blob move_blob(struct keeper *k, const struct digest *d,
                                   const struct index_entry *e, enum place_tier tier)
{
    uint64_t now_s = (uint64_t)(clock_real_ms() / 1000), now_ms = clock_mono_ms();
    uint64_t age_ms = now_s > e->since_s ? (now_s - e->since_s) * 1000 : 0;
    /* No older than what is known of heat: a start must not make all look forgotten. */
    age_ms = MIN(age_ms, now_ms - k->move.began_ms);
    return (struct place_blob){.heat = heat_of(k->store->heat, d, now_ms),
                               .age_ms = age_ms,
                               .stay_ms = age_ms,
                               .size = format_record_size(e->length),
                               .tier = tier};
}

bool keeper_should_promote(struct keeper *k, const struct digest *d, const struct index_entry *e)
{
    if (k == NULL || k->store->heat == NULL || !k->works)
        return false;
    struct place_blob b = move_blob(k, d, e, PLACE_COLD);
    (void)pthread_mutex_lock(&k->lock);
    bool promote = place_choose(&b, &k->place) == PLACE_WARM;
    if (promote)
        k->place.tiers[PLACE_WARM].used += b.size;
    (void)pthread_mutex_unlock(&k->lock);
    return promote;
}

/* --- a sweep ---------------------------------------------------------------------------------- */

static int move_demote(struct keeper *k, const struct digest *d, const struct index_entry *e,
                       struct keeper_op *op)
{
    struct store *s = k->store;
    *op = (struct keeper_op){.commit = {.digest = *d}};
    if (s->remote != NULL) {
        op->commit.kind = COMMIT_INDEX;
        op->commit.apply = commit_errand_put;
        op->commit.flags = INDEX_DEMOTE;
        return 0;
    }
    op->commit.kind = COMMIT_MOVE;
    op->commit.device = FORMAT_COLD;
    op->commit.volume = e->volume;
    op->commit.offset = e->offset;
    op->commit.length = e->length;
    return volume_read_blob(s->volumes, k->queue, d, e, &op->commit.record);
}

/* Whether op was made ready. */
static bool move_consider(struct keeper *k, const struct index_extent *x, struct keeper_op *op)
{
    struct index_entry e;
    if (x->kind != FORMAT_BLOB || index_find(k->reader, &x->digest, &e) < 0 ||
        e.volume != k->move.volume || e.offset != x->offset || (e.flags & INDEX_QUARANTINED) != 0)
        return false;
    enum place_tier tier = k->move.cold ? PLACE_COLD : PLACE_WARM;
    struct place_blob b = move_blob(k, &x->digest, &e, tier);
    if (k->move.pass == 1) {
        place_histogram_add(&k->move.histogram, &b, &k->place.options);
        return false;
    }
    (void)pthread_mutex_lock(&k->lock);
    bool demote = place_choose(&b, &k->place) == PLACE_COLD;
    if (demote)
        k->place.tiers[PLACE_WARM].used -= MIN(b.size, k->place.tiers[PLACE_WARM].used);
    (void)pthread_mutex_unlock(&k->lock);
    if (!demote || move_demote(k, &x->digest, &e, op) < 0)
        return false;
    k->move.debt += b.size;
    return true;
}

static unsigned move_some(struct keeper *k)
{
    struct keeper_move *x = &k->move;
    unsigned count = 0, pushed = 0;
    if (index_extents(k->reader, x->volume, x->from, MOVE_RECORDS, k->extents, &count) < 0)
        count = 0;
    for (unsigned i = 0; i < count && x->debt < MOVE_BYTES; i++) {
        x->from = k->extents[i].offset + FORMAT_ALIGN;
        if (move_consider(k, &k->extents[i], &k->ops[pushed]))
            keeper_push(k, &k->ops[pushed++]);
    }
    keeper_wait(k);
    struct store *s = k->store;
    for (unsigned i = 0; i < pushed; i++) {
        struct commit_op *op = &k->ops[i].commit;
        if (op->res == 0 && op->kind == COMMIT_MOVE)
            store_count(&s->counts.demoted, s->metrics.demoted, 1);
        op->record = rbuf_unref(op->record);
    }
    x->within = count > 0;
    return count;
}

static void move_next_volume(struct keeper *k)
{
    struct keeper_move *x = &k->move;
    struct volume *v;
    while ((v = volume_after(k->store->volumes, x->volume)) != NULL) {
        x->volume = v->id;
        x->from = 0;
        x->cold = v->device->kind == FORMAT_COLD;
        x->within = !x->cold || x->pass == 1; /* what is cold is learnt of, too */
        volume_unref(v);
        if (x->within)
            return;
    }
    /* The pass is over. */
    move_look(k, x->pass == 1);
    x->volume = 0;
    x->pass = x->pass == 1 ? 2 : 0;
    x->next_us = clock_mono_us() + MOVE_SWEEP_US;
}

/* Somebody waits for us to settle for whom no sweep was begun yet. */
static bool move_asked(struct keeper *k)
{
    struct keeper_move *x = &k->move;
    (void)pthread_mutex_lock(&k->lock);
    bool asked = k->settling > 0 && x->swept != k->settles;
    x->swept = k->settles;
    (void)pthread_mutex_unlock(&k->lock);
    return asked;
}

enum keeper_step keeper_move_step(struct keeper *k)
{
    struct keeper_move *x = &k->move;
    if (k->store->heat == NULL || !k->works)
        return KEEPER_IDLE;
    if (x->pass == 0) {
        uint64_t now_us = clock_mono_us();
        if (now_us < x->next_us && !move_asked(k)) {
            /* What reclaiming and the remote tier have freed meanwhile is room to promote to. */
            if (now_us >= x->look_us)
                move_look(k, false);
            x->look_us = now_us >= x->look_us ? now_us + MOVE_LOOK_US : x->look_us;
            return KEEPER_IDLE;
        }
        x->pass = 1;
        x->volume = 0;
        x->within = false;
        place_histogram_clear(&x->histogram);
        move_look(k, false);
        return KEEPER_MORE;
    }
    /* What the step before has moved is paid for now: only then is it known how much it was. */
    if (x->debt > 0 && !keeper_may(k, &k->work, x->debt))
        return KEEPER_BUSY;
    x->debt = 0;
    if (!x->within)
        move_next_volume(k);
    else
        (void)move_some(k);
    return KEEPER_MORE;
}
