/* SPDX-License-Identifier: Apache-2.0 */
/* A call: a turn with copies of what was given -> its work on a pool thread: read, change, write
 * over the revision that was read, once more where somebody was quicker -> back on the loop. */
#include "control/plans/lease_db.h"
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"
#include "control/plans/lease_doc.h"
#include "lease/lease_backend.h"
#include "lease/lease_copy.h"

#define LEASE_DB_TRIES 400

struct lease_db {
    struct leases leases;
    struct lease_db_options options;
    unsigned turns;
    bool is_closed;
};

struct db_turn {
    struct lease_db *of;
    struct lease_op *op;
    int (*work)(struct db_turn *t);
    struct lease_copies given; /* one, or those of a renewal */
    unsigned limit;
    unsigned run; /* of a renewal: how many leases the present change is about */
    uint32_t life_ms;
    int64_t cursor;
    enum lease_state *states;

    int res;
    struct lease_doc_list list;  /* answered */
    struct lease_doc_list ended; /* told */
    struct str *users;           /* of a page of the crowd */
    unsigned users_count;
    uint64_t next;
};

static void turn_free(struct db_turn *t)
{
    lease_copies_clear(&t->given);
    lease_doc_list_clear(&t->list);
    lease_doc_list_clear(&t->ended);
    free(t->states);
    free(t->users);
    free(t);
}

/* --- on a pool thread ------------------------------------------------------------------------- */

/* Below 0: an error; what it has done to doc is written all the same where it is -EDQUOT. */
typedef int db_change(struct db_turn *t, const struct lease *l, json_t *doc, bool *ret_changed);

static int db_write(const struct lease_db_options *o, json_t *doc, bool is_new)
{
    json_t *before = json_incref(json_object_get(doc, "rev"));
    int r = lease_doc_seal(doc);
    if (r == 0)
        r = is_new ? db_insert(o->db, o->coll, doc)
                   : db_replace_if(o->db, o->coll, doc, "rev", before);
    json_decref(before);
    if (r == 0 && o->state != NULL) {
        atomic_store(&o->state->written, true);
        atomic_store(&o->state->pending, true);
    }
    return r;
}

static int db_change_once(struct db_turn *t, const struct lease *l, db_change *change)
{
    const struct lease_db_options *o = &t->of->options;
    char user[DB_ID_SIZE_MAX + 1];
    json_t *doc = NULL;
    bool is_changed = false;
    if (str_copy(l->user, user, sizeof user) < 0)
        return -EINVAL;
    int found = db_get(o->db, o->coll, user, &doc);
    if (found == -ENOENT)
        found = lease_doc_new(l->user, &doc) == 0 ? -ENOENT : -EINVAL;
    if (found < 0 && found != -ENOENT)
        return found;
    int r = change(t, l, doc, &is_changed);
    if (is_changed && (r == 0 || r == -EDQUOT)) {
        int w = db_write(o, doc, found == -ENOENT);
        r = w < 0 ? w : r;
    }
    json_decref(doc);
    return r;
}

static bool db_was_late(int r)
{
    return r == -ESTALE || r == -EEXIST;
}

static int db_change_user(struct db_turn *t, const struct lease *l, db_change *change)
{
    for (unsigned i = 0; i < LEASE_DB_TRIES; i++) {
        int r = db_change_once(t, l, change);
        if (!db_was_late(r))
            return r;
        lease_doc_list_clear(&t->list);
        lease_doc_list_clear(&t->ended);
    }
    return -EBUSY;
}

static int change_open(struct db_turn *t, const struct lease *l, json_t *doc, bool *ret_changed)
{
    int r = lease_doc_open(doc, l, t->limit, clock_real_ms(), t->life_ms, &t->list, &t->ended);
    *ret_changed = r == 0 || t->ended.count > 0; /* a refusal is no reason to write */
    return r;
}

static int work_open(struct db_turn *t)
{
    return db_change_user(t, &t->given.at[0], change_open);
}

static int change_list(struct db_turn *t, const struct lease *l, json_t *doc, bool *ret_changed)
{
    (void)l, (void)ret_changed;
    return lease_doc_list(doc, clock_real_ms(), &t->list);
}

static int work_list(struct db_turn *t)
{
    return db_change_user(t, &t->given.at[0], change_list);
}

static int change_end(struct db_turn *t, const struct lease *l, json_t *doc, bool *ret_changed)
{
    (void)t;
    *ret_changed = true;
    return lease_doc_end(doc, l->session, clock_real_ms());
}

static int work_end(struct db_turn *t)
{
    return db_change_user(t, &t->given.at[0], change_end);
}

static int change_trim(struct db_turn *t, const struct lease *l, json_t *doc, bool *ret_changed)
{
    (void)l;
    int r = lease_doc_trim(doc, t->limit, clock_real_ms(), &t->ended);
    *ret_changed = t->ended.count > 0;
    return r;
}

static int work_trim(struct db_turn *t)
{
    return db_change_user(t, &t->given.at[0], change_trim);
}

/* All that stand together of one user, in one step. */
static int change_renew(struct db_turn *t, const struct lease *l, json_t *doc, bool *ret_changed)
{
    int r = 0;
    for (unsigned i = (unsigned)(l - t->given.at), n = 0; r == 0 && n < t->run; i++, n++) {
        r = lease_doc_renew(doc, &t->given.at[i], clock_real_ms(), t->life_ms, &t->states[i]);
        *ret_changed = *ret_changed || (r == 0 && t->states[i] == LEASE_LIVE);
    }
    return r;
}

/* How many from there on are of the same user. */
static unsigned renew_run(const struct lease_copies *given, unsigned first)
{
    unsigned n = 1;
    while (first + n < given->count && str_eq(given->at[first + n].user, given->at[first].user))
        n++;
    return n;
}

/* An error is the answer only where no session has a better one. */
static int work_renew(struct db_turn *t)
{
    int error = 0;
    bool any = false;
    for (unsigned i = 0; i < t->given.count; i += t->run) {
        t->run = renew_run(&t->given, i);
        int r = db_change_user(t, &t->given.at[i], change_renew);
        if (r < 0) {
            memset(&t->states[i], 0, t->run * sizeof *t->states); /* LEASE_UNSURE */
            error = r;
        }
        any = any || r == 0;
    }
    return any ? 0 : error;
}

static int work_crowded(struct db_turn *t)
{
    json_t *docs = NULL;
    json_t *from = json_integer(t->cursor);
    char *cursor = NULL;
    size_t i;
    const json_t *doc;
    const struct db_list list = {.key = "crowd", .limit = LEASE_CROWD_MAX, .from = from};
    int r = from == NULL ? -ENOMEM
                         : db_list(t->of->options.db, t->of->options.coll, &list, &docs, &cursor);
    free(cursor);
    json_decref(from);
    if (r < 0)
        return r;
    t->list.from = docs; /* the texts' owner */
    t->users = calloc(MAX(json_array_size(docs), (size_t)1), sizeof *t->users);
    if (t->users == NULL)
        return -ENOMEM;
    int64_t last = 0;
    json_array_foreach(docs, i, doc)
    {
        const json_t *id = json_object_get(doc, "id");
        t->users[t->users_count++] = (struct str){json_string_value(id), json_string_length(id)};
        last = json_integer_value(json_object_get(doc, "crowd"));
    }
    t->next = t->users_count < LEASE_CROWD_MAX ? 0 : (uint64_t)last + 1;
    return 0;
}

/* --- back on the loop ------------------------------------------------------------------------- */

static void db_free_if_done(struct lease_db *l)
{
    if (!l->is_closed || l->turns > 0)
        return;
    MAGIC_CLEAR(&l->leases);
    free(l);
}

static void db_on_told(void *arg, int res, const struct bus_answer *answer)
{
    (void)arg, (void)res, (void)answer; /* who misses a notice learns it at the next renewal */
}

static void db_tell(struct lease_db *l, const struct lease *at, unsigned count)
{
    for (unsigned i = 0; i < count && !l->is_closed; i++)
        if (bus_publish(l->options.bus, STR(LEASE_CHANNEL), at[i].session, db_on_told, NULL) < 0)
            log_debug("nobody was told that a session was ended");
}

static void turn_on_loop(void *arg)
{
    struct db_turn *t = arg;
    struct lease_db *l = t->of;
    struct lease_op *op = t->op;
    bool is_trim = t->work == work_trim;
    if (t->work == work_end && t->res == 0)
        db_tell(l, t->given.at, 1);
    if (t->res == 0 || t->res == -EDQUOT)
        db_tell(l, t->ended.at, t->ended.count);
    if (op->renewed != NULL) {
        memcpy(op->states, t->states, op->count * sizeof *t->states);
        lease__finish_renew(op, t->res);
    } else if (op->crowd != NULL) {
        lease__finish_crowd(op, t->res, t->users, t->users_count, t->next);
    } else {
        const struct lease_doc_list *list = is_trim ? &t->ended : &t->list;
        lease__finish(op, t->res, list->at, list->count);
    }
    turn_free(t);
    l->turns--;
    db_free_if_done(l);
}

static void turn_on_pool(void *arg)
{
    struct db_turn *t = arg;
    t->res = t->work(t);
    if (loop_post(t->of->leases.loop, turn_on_loop, t) < 0)
        log_error("out of memory: the answer of a session's call is lost");
}

static int db_start(struct leases *l, int (*work)(struct db_turn *t), const struct lease *given,
                    struct lease_op *op, struct db_turn **ret)
{
    struct lease_db *d = (struct lease_db *)l;
    unsigned count = MAX(op->count, 1U);
    struct db_turn *t = calloc(1, sizeof *t);
    if (t == NULL)
        return -ENOMEM;
    *t = (struct db_turn){.of = d, .op = op, .work = work, .life_ms = l->life_ms};
    t->states = calloc(count, sizeof *t->states);
    int r = t->states == NULL ? -ENOMEM : lease_copy(given, count, &t->given);
    if (r < 0) {
        turn_free(t);
        return r;
    }
    *ret = t;
    return 0;
}

static int db_submit(struct db_turn *t)
{
    struct lease_db *l = t->of;
    l->turns++;
    int r = l->options.run(l->options.arg, turn_on_pool, t);
    if (r < 0) {
        l->turns--;
        turn_free(t);
        return r == -EAGAIN ? -ENOBUFS : r;
    }
    return 0;
}

/* --- the table -------------------------------------------------------------------------------- */

static int lease_db_open(struct leases *l, const struct lease *lease, unsigned limit,
                         struct lease_op *op)
{
    struct db_turn *t = NULL;
    int r = db_start(l, work_open, lease, op, &t);
    if (r < 0)
        return r;
    t->limit = limit;
    return db_submit(t);
}

static int lease_db_list(struct leases *l, struct str user, struct lease_op *op)
{
    struct db_turn *t = NULL;
    int r = db_start(l, work_list, &(struct lease){.user = user}, op, &t);
    return r < 0 ? r : db_submit(t);
}

static int lease_db_end(struct leases *l, struct str user, struct str session, struct lease_op *op)
{
    struct db_turn *t = NULL;
    int r = db_start(l, work_end, &(struct lease){.user = user, .session = session}, op, &t);
    return r < 0 ? r : db_submit(t);
}

static int lease_db_renew(struct leases *l, const struct lease *leases, struct lease_op *op)
{
    struct db_turn *t = NULL;
    int r = db_start(l, work_renew, leases, op, &t);
    return r < 0 ? r : db_submit(t);
}

static int lease_db_trim(struct leases *l, struct str user, unsigned limit, struct lease_op *op)
{
    struct db_turn *t = NULL;
    int r = db_start(l, work_trim, &(struct lease){.user = user}, op, &t);
    if (r < 0)
        return r;
    t->limit = limit;
    return db_submit(t);
}

static int lease_db_crowded(struct leases *l, uint64_t cursor, struct lease_op *op)
{
    struct db_turn *t = NULL;
    if (cursor > INT64_MAX)
        return -EINVAL;
    int r = db_start(l, work_crowded, &(struct lease){0}, op, &t);
    if (r < 0)
        return r;
    t->cursor = (int64_t)cursor;
    return db_submit(t);
}

static int lease_db_watch(struct leases *l, struct lease_watch *w)
{
    return lease__watch_bus(((struct lease_db *)l)->options.bus, w);
}

static void lease_db_unwatch(struct leases *l, struct lease_watch *w)
{
    (void)l;
    lease__unwatch_bus(w);
}

static void lease_db_close(struct leases *l)
{
    struct lease_db *d = (struct lease_db *)l;
    d->is_closed = true;
    db_free_if_done(d);
}

int leases_open_db(const struct lease_db_options *options, struct leases **ret)
{
    static const struct lease_ops ops = {
        .close = lease_db_close,
        .open = lease_db_open,
        .list = lease_db_list,
        .end = lease_db_end,
        .renew = lease_db_renew,
        .trim = lease_db_trim,
        .crowded = lease_db_crowded,
        .watch = lease_db_watch,
        .unwatch = lease_db_unwatch,
    };
    struct lease_db *d = calloc(1, sizeof *d);
    if (d == NULL)
        return -ENOMEM;
    lease__init(&d->leases, &ops, bus_loop(options->bus));
    d->options = *options;
    *ret = &d->leases;
    return 0;
}
