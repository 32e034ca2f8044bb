/* SPDX-License-Identifier: Apache-2.0 */
/* Purges: the caller waits, the writer puts all that wait into one transaction, and only once that
 * is on disk do the marks count and the sequence goes up. So no record ever carries a sequence that
 * a crash takes back. */
#include <errno.h>
#include <stdlib.h>
#include "base/log.h"
#include "store/index_priv.h"
#include "store/objects_priv.h"

#define PURGE_TRIES     8u /* of a transaction on a full disk, with records given up in between */
#define PURGE_FOLD_PART 8u /* of the marks become one when there are too many */

/* --- the writer's side ------------------------------------------------------------------------ */

struct purge_job {
    const struct objects_wish *wishes;
    struct objects_state state; /* what it will be */
    uint64_t above;             /* of a fold: marks up to this one go */
};

static int purge_mark(struct objects *o, MDB_txn *txn, struct purge_job *j,
                      const struct objects_purge *p, bool own)
{
    struct objects_mark_row row = {0};
    uint64_t before = 0, sum = 0;
    int r = objects_mark_row_get(o, txn, &p->tag, &row, &before);
    if (r < 0 && r != -ENOENT)
        return r;
    bool is_new = r == -ENOENT;
    objects_row_raise(&row, p->mark, own, j->state.sequence);
    r = objects_mark_row_put(o, txn, &p->tag, &row, &sum);
    if (r < 0)
        return r;
    j->state.marks += is_new ? 1 : 0;
    j->state.marks_sum ^= is_new ? sum : before ^ sum;
    return 0;
}

static int purge_body(struct objects *o, MDB_txn *txn, void *arg)
{
    struct purge_job *j = arg;
    j->state = o->state;
    j->state.sequence++;
    for (const struct objects_wish *w = j->wishes; w != NULL; w = w->next) {
        for (unsigned i = 0; i < w->count; i++) {
            int r = purge_mark(o, txn, j, &w->purges[i], w->own);
            if (r < 0)
                return r;
        }
        if (w->all != OBJECTS_STANDS)
            objects_row_raise(&j->state.floor, w->all, w->own, j->state.sequence);
    }
    return objects_state_put(o, txn, &j->state);
}

/* The file is no use any more, and the next start does not read it: RAM is all that counts. */
static void purge_broken(struct objects *o, struct purge_job *j)
{
    j->state = o->state;
    j->state.sequence++;
    for (const struct objects_wish *w = j->wishes; w != NULL; w = w->next) {
        if (w->all != OBJECTS_STANDS)
            objects_row_raise(&j->state.floor, w->all, w->own, j->state.sequence);
    }
}

static int purge_commit(struct objects *o, struct purge_job *j)
{
    int r = objects_marks_reserve(o, j->wishes);
    if (r < 0)
        return r;
    r = -EIO;
    for (unsigned i = 0; i < PURGE_TRIES && !atomic_load(&o->broken); i++) {
        r = objects_txn(o, purge_body, j);
        if (r == -EIO || r == -EBADMSG)
            objects_break(o, r);
        if (r != -ENOSPC && r != -EDQUOT)
            break;
        if (objects_make_room(o) < 0)
            break;
    }
    if (!atomic_load(&o->broken))
        return r;
    purge_broken(o, j);
    return 0;
}

/* --- too many marks --------------------------------------------------------------------------- */

struct purge_ages {
    uint64_t *ages;
    uint64_t count, max;
};

static int purge_age(void *arg, const struct objects_mark_slot *slot)
{
    struct purge_ages *a = arg;
    if (a->count < a->max)
        a->ages[a->count++] = objects_row_last(&slot->row);
    return 0;
}

static int purge_age_compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

struct purge_old {
    struct objects *o;
    MDB_txn *txn;
    struct purge_job *job;
};

static int purge_old_mark(void *arg, const struct objects_mark_slot *slot)
{
    struct purge_old *x = arg;
    struct objects_state *s = &x->job->state;
    if (objects_row_last(&slot->row) > x->job->above)
        return 0;
    struct objects_mark_row row;
    uint64_t sum = 0;
    int r = objects_mark_row_get(x->o, x->txn, &slot->tag, &row, &sum);
    MDB_val key = index_val(slot->tag.bytes, DIGEST_SIZE);
    if (r == 0)
        r = index_err(mdb_del(x->txn, x->o->dbs[OBJECTS_MARKS], &key, NULL));
    if (r < 0)
        return r;
    s->floor.hard = MAX(s->floor.hard, row.hard);
    s->floor.soft = MAX(s->floor.soft, row.soft);
    s->floor.own = MAX(s->floor.own, row.own);
    s->marks--;
    s->marks_sum ^= sum;
    return 0;
}

static int purge_oldest_body(struct objects *o, MDB_txn *txn, void *arg)
{
    struct purge_job *j = arg;
    struct purge_old x = {.o = o, .txn = txn, .job = j};
    j->state = o->state;
    int r = objects_marks_each(o, purge_old_mark, &x);
    return r < 0 ? r : objects_state_put(o, txn, &j->state);
}

/* The oldest marks become a floor. When it cannot be done there are too many marks for a while. */
static void purge_fold(struct objects *o)
{
    struct purge_job j = {0};
    uint64_t count = atomic_load(&o->marks_count);
    struct purge_ages a = {.ages = calloc(count, sizeof *a.ages), .max = count};
    if (a.ages == NULL)
        return;
    int r = objects_marks_each(o, purge_age, &a);
    qsort(a.ages, a.count, sizeof *a.ages, purge_age_compare);
    j.above = a.ages[count - o->marks_max + o->marks_max / PURGE_FOLD_PART - 1];
    free(a.ages);
    if (r == 0)
        r = objects_txn(o, purge_oldest_body, &j);
    if (r < 0) {
        log_warn("the oldest marks of purges stay: %s", strerror(-r));
        return;
    }
    o->state = j.state;
    objects_floor_raise(o, &j.state.floor);
    objects_marks_cut(o, j.above);
}

void objects_purges_run(struct objects *o, struct objects_wish *wishes)
{
    struct purge_job j = {.wishes = wishes};
    int r = purge_commit(o, &j);
    for (const struct objects_wish *w = wishes; w != NULL && r == 0; w = w->next) {
        for (unsigned i = 0; i < w->count; i++)
            objects_marks_set(o, &w->purges[i].tag, w->purges[i].mark, w->own, j.state.sequence);
    }
    if (r == 0) {
        o->state = j.state;
        objects_floor_raise(o, &j.state.floor);
        atomic_store(&o->sequence, j.state.sequence);
    }
    (void)pthread_mutex_lock(&o->lock);
    while (wishes != NULL) {
        struct objects_wish *next = wishes->next; /* once done it is the caller's again */
        wishes->res = r;
        wishes->done = true;
        wishes = next;
    }
    (void)pthread_cond_broadcast(&o->done);
    (void)pthread_mutex_unlock(&o->lock);
    if (atomic_load(&o->marks_count) > o->marks_max && !atomic_load(&o->broken))
        purge_fold(o);
    metric_set(o->m_marks, (int64_t)atomic_load(&o->marks_count));
}

/* --- the callers' side ------------------------------------------------------------------------ */

static int purge_wait(struct objects *o, struct objects_wish *w)
{
    ASSERT(o->magic == OBJECTS_MAGIC);
    if (w->count == 0 && w->all == OBJECTS_STANDS)
        return 0;
    (void)pthread_mutex_lock(&o->lock);
    if (o->stopping) {
        (void)pthread_mutex_unlock(&o->lock);
        return -EROFS;
    }
    w->next = o->wishes;
    o->wishes = w;
    (void)pthread_cond_signal(&o->wake);
    while (!w->done)
        (void)pthread_cond_wait(&o->done, &o->lock);
    (void)pthread_mutex_unlock(&o->lock);
    return w->res;
}

int objects_purge(struct objects *o, const struct digest *tags, unsigned count, bool soft)
{
    struct objects_purge *purges = calloc(MAX(count, 1u), sizeof *purges);
    if (purges == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < count; i++)
        purges[i] = (struct objects_purge){tags[i], soft ? OBJECTS_SOFT : OBJECTS_HARD};
    struct objects_wish w = {.purges = purges, .count = count, .own = true};
    int r = purge_wait(o, &w);
    free(purges);
    return r;
}

int objects_purge_all(struct objects *o, bool soft)
{
    struct objects_wish w = {.all = soft ? OBJECTS_SOFT : OBJECTS_HARD, .own = true};
    return purge_wait(o, &w);
}

int objects_purge_taken(struct objects *o, const struct objects_purge *purges, unsigned count,
                        enum objects_mark all)
{
    for (unsigned i = 0; i < count; i++) {
        if (purges[i].mark != OBJECTS_SOFT && purges[i].mark != OBJECTS_HARD)
            return -EINVAL;
    }
    struct objects_wish w = {.purges = purges, .count = count, .all = all};
    return purge_wait(o, &w);
}

uint64_t objects_sequence(const struct objects *o)
{
    return atomic_load(&o->sequence);
}

struct purge_listing {
    uint64_t after;
    objects_purged_each *each;
    void *arg;
};

static int purge_list(void *arg, const struct objects_mark_slot *slot)
{
    const struct purge_listing *l = arg;
    if (slot->row.own <= l->after)
        return 0;
    struct objects_purge p = {.tag = slot->tag,
                              .mark = slot->row.hard > l->after ? OBJECTS_HARD : OBJECTS_SOFT};
    return l->each(l->arg, &p);
}

int objects_purged(struct objects *o, uint64_t after, objects_purged_each *each, void *arg,
                   struct objects_purged *ret)
{
    struct objects_purged told = {.sequence = objects_sequence(o)}; /* before the marks are read */
    struct purge_listing l = {.after = after, .each = each, .arg = arg};
    int r = told.sequence > after ? objects_marks_each(o, purge_list, &l) : 0;
    /* After the marks: one that has gone from the table by now is in the floor. */
    if (atomic_load(&o->floor_own) > after)
        told.all = atomic_load(&o->floor_hard) > after ? OBJECTS_HARD : OBJECTS_SOFT;
    memcpy(told.id, o->id, sizeof told.id);
    if (r == 0)
        *ret = told;
    return r;
}
