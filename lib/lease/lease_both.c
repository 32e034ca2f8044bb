/* SPDX-License-Identifier: Apache-2.0 */
/* Two backends as one: the first is asked, and while it is away the second.
 *
 * What this process has seen of either is noted in a book of its own (`known`). Before the second
 * decides about a user, it takes up what the book knows of them: so a user who plays as much as
 * they may gets no more by the first one's fall. What other processes have seen comes with their
 * heartbeats. The way back is not made here: whoever owns the second hands what it has taken up to
 * the first, once that answers again. */
#include "lease/lease_both.h"
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "lease/lease_backend.h"
#include "lease/lease_book.h"
#include "lease/lease_copy.h"

#define BOTH_OF_SECOND (UINT64_C(1) << 63) /* of a cursor: the second gave it */

struct lease_both {
    struct leases leases;
    struct leases *first;
    struct leases *second;
    struct lease_book *known;
    const atomic_bool *pending;
};

enum both_kind { BOTH_OPEN, BOTH_LIST, BOTH_END, BOTH_RENEW, BOTH_TRIM, BOTH_CROWDED };

struct both_call {
    struct lease_both *of;
    struct lease_op *op;
    enum both_kind kind;
    struct lease_copies given; /* one, or those of a renewal */
    unsigned limit;
    uint64_t cursor;
};

bool lease_is_away(int res)
{
    return res == -EHOSTDOWN || res == -ETIMEDOUT || res == -ECONNRESET || res == -EBADMSG ||
           res == -EACCES || res == -EPROTO;
}

/* --- what this process knows ------------------------------------------------------------------ */

static void both_forget(struct lease_both *b, const struct lease *l)
{
    /* Not known is as good. */
    if (book__end(b->known, l->user, l->session, clock_real_ms()) == -ENOMEM)
        return;
}

static void both_note_open(struct lease_both *b, const struct lease *l)
{
    struct book_list full = {0};
    struct book_list ended = {0};
    int r =
        book__open(b->known, l, LEASE_LIMIT_MAX, clock_real_ms(), b->leases.life_ms, &full, &ended);
    (void)r; /* not noted: it comes with its heartbeat */
    book__list_clear(&full);
    book__list_clear(&ended);
}

static void both_note_renewals(struct lease_both *b, const struct lease_copies *given,
                               const enum lease_state *states, unsigned count)
{
    int64_t now_ms = clock_real_ms();
    for (unsigned i = 0; i < count; i++) {
        struct lease l = given->at[i];
        l.limit = 0;
        if (states[i] == LEASE_LIVE)
            (void)book__renew(b->known, &l, now_ms, b->leases.life_ms);
        else if (states[i] != LEASE_UNSURE)
            both_forget(b, &l);
    }
}

/* --- answers ---------------------------------------------------------------------------------- */

static void both_call_free(struct both_call *c)
{
    lease_copies_clear(&c->given);
    free(c);
}

static void both_fail(struct both_call *c, int res)
{
    if (c->kind == BOTH_RENEW)
        lease__finish_renew(c->op, res);
    else if (c->kind == BOTH_CROWDED)
        lease__finish_crowd(c->op, res, NULL, 0, 0);
    else
        lease__finish(c->op, res, NULL, 0);
    both_call_free(c);
}

static bool both_is_closed(const struct both_call *c)
{
    return c->op->leases == NULL;
}

static void both_note(struct both_call *c, int res, const struct lease *list, unsigned count)
{
    const struct lease *l = &c->given.at[0];
    if (c->kind == BOTH_OPEN && res == 0)
        both_note_open(c->of, l);
    if (c->kind == BOTH_END && (res == 0 || res == -ENOENT))
        both_forget(c->of, l);
    for (unsigned i = 0; c->kind == BOTH_TRIM && res == 0 && i < count; i++)
        both_forget(c->of, &(struct lease){.user = l->user, .session = list[i].session});
}

static void both_on_second(void *arg, int res, const struct lease *list, unsigned count)
{
    struct both_call *c = arg;
    if (!both_is_closed(c))
        both_note(c, res, list, count);
    lease__finish(c->op, res, list, count);
    both_call_free(c);
}

static void both_on_second_renew(void *arg, int res, const enum lease_state *states, unsigned count)
{
    struct both_call *c = arg;
    if (count > 0)
        memcpy(c->op->states, states, count * sizeof *states);
    if (!both_is_closed(c))
        both_note_renewals(c->of, &c->given, states, count);
    lease__finish_renew(c->op, res);
    both_call_free(c);
}

static void both_on_second_crowd(void *arg, int res, const struct str *users, unsigned count,
                                 uint64_t next)
{
    struct both_call *c = arg;
    lease__finish_crowd(c->op, res, users, count, next != 0 ? next | BOTH_OF_SECOND : 0);
    both_call_free(c);
}

/* --- asking ----------------------------------------------------------------------------------- */

static int both_ask(struct both_call *c, struct leases *l, lease_done *done, lease_renewed *renewed,
                    lease_crowd *crowd)
{
    const struct lease *given = c->given.at;
    switch (c->kind) {
    case BOTH_OPEN:
        return lease_open(l, given, c->limit, done, c);
    case BOTH_LIST:
        return lease_list(l, given->user, done, c);
    case BOTH_END:
        return lease_end(l, given->user, given->session, done, c);
    case BOTH_RENEW:
        return lease_renew(l, given, c->given.count, renewed, c);
    case BOTH_TRIM:
        return lease_trim(l, given->user, c->limit, done, c);
    case BOTH_CROWDED:
        break;
    }
    return lease_crowded(l, c->cursor, crowd, c);
}

static void both_ask_second(struct both_call *c)
{
    int r = both_ask(c, c->of->second, both_on_second, both_on_second_renew, both_on_second_crowd);
    if (r < 0)
        both_fail(c, r);
}

static void both_on_taken_up(void *arg, int res, const enum lease_state *states, unsigned count)
{
    struct both_call *c = arg;
    (void)states, (void)count;
    if (both_is_closed(c) || res < 0)
        both_fail(c, res < 0 ? res : -ECANCELED);
    else
        both_ask_second(c);
}

/* What is known of the user goes to the second before the call does. */
static void both_fall_back(struct both_call *c)
{
    struct book_list known = {0};
    struct str user = c->given.count > 0 ? c->given.at[0].user : STR_NONE;
    int r = 0;
    if (c->kind == BOTH_OPEN || c->kind == BOTH_LIST || c->kind == BOTH_END || c->kind == BOTH_TRIM)
        r = book__list(c->of->known, user, clock_real_ms(), &known);
    for (unsigned i = 0; i < known.count; i++) { /* with its times: it has not been renewed */
        known.at[i].user = user;
        known.at[i].limit = 0;
    }
    if (r == 0 && known.count > 0) {
        unsigned count = MIN(known.count, (unsigned)LEASE_BATCH_MAX);
        r = lease_renew(c->of->second, known.at, count, both_on_taken_up, c);
    } else if (r == 0) {
        both_ask_second(c);
    }
    book__list_clear(&known);
    if (r < 0)
        both_fail(c, r);
}

static void both_on_first(void *arg, int res, const struct lease *list, unsigned count)
{
    struct both_call *c = arg;
    if (lease_is_away(res) && !both_is_closed(c)) {
        both_fall_back(c);
        return;
    }
    if (!both_is_closed(c))
        both_note(c, res, list, count);
    lease__finish(c->op, res, list, count);
    both_call_free(c);
}

static void both_on_first_renew(void *arg, int res, const enum lease_state *states, unsigned count)
{
    struct both_call *c = arg;
    if (lease_is_away(res) && !both_is_closed(c)) {
        both_fall_back(c);
        return;
    }
    if (!both_is_closed(c))
        both_note_renewals(c->of, &c->given, states, count);
    both_on_second_renew(arg, res, states, count);
}

static void both_on_first_crowd(void *arg, int res, const struct str *users, unsigned count,
                                uint64_t next)
{
    struct both_call *c = arg;
    if (lease_is_away(res) && !both_is_closed(c)) {
        c->cursor = 0; /* the first one's is of no use to the second */
        both_fall_back(c);
        return;
    }
    lease__finish_crowd(c->op, res, users, count, next);
    both_call_free(c);
}

/* --- the first is back, and the second still has leases --------------------------------------- */

static void both_ask_first(struct both_call *c)
{
    int r = both_ask(c, c->of->first, both_on_first, both_on_first_renew, both_on_first_crowd);
    if (r < 0)
        both_fail(c, r);
}

static void both_on_handed_over(void *arg, int res, const enum lease_state *states, unsigned count)
{
    struct both_call *c = arg;
    (void)states, (void)count;
    if (both_is_closed(c))
        both_fail(c, -ECANCELED);
    else if (lease_is_away(res))
        both_fall_back(c);
    else
        both_ask_first(c);
}

static void both_on_left(void *arg, int res, const struct lease *list, unsigned count)
{
    struct both_call *c = arg;
    if (both_is_closed(c) || res < 0) {
        both_fail(c, res < 0 ? res : -ECANCELED);
        return;
    }
    struct lease_copies left = {0};
    int r = lease_copy(list, MIN(count, (unsigned)LEASE_BATCH_MAX), &left);
    for (unsigned i = 0; r == 0 && i < left.count; i++)
        left.at[i].user = c->given.at[0].user;
    if (r == 0 && left.count > 0)
        r = lease_renew(c->of->first, left.at, left.count, both_on_handed_over, c);
    else if (r == 0)
        both_ask_first(c);
    lease_copies_clear(&left);
    if (r < 0)
        both_fail(c, r);
}

/* 0: under way. */
static int both_begin(struct both_call *c)
{
    const atomic_bool *pending = c->of->pending;
    if (c->kind == BOTH_OPEN && pending != NULL && atomic_load(pending))
        return lease_list(c->of->second, c->given.at[0].user, both_on_left, c);
    return both_ask(c, c->of->first, both_on_first, both_on_first_renew, both_on_first_crowd);
}

static int both_start(struct leases *l, enum both_kind kind, const struct lease *given,
                      unsigned count, unsigned limit, uint64_t cursor, struct lease_op *op)
{
    struct both_call *c = calloc(1, sizeof *c);
    if (c == NULL)
        return -ENOMEM;
    *c = (struct both_call){(struct lease_both *)l, op, kind, {0}, limit, cursor};
    int r = lease_copy(given, count, &c->given);
    c->of->first->life_ms = c->of->second->life_ms = l->life_ms;
    if (r == 0 && (cursor & BOTH_OF_SECOND) != 0) {
        c->cursor = cursor & ~BOTH_OF_SECOND;
        r = both_ask(c, c->of->second, both_on_second, both_on_second_renew, both_on_second_crowd);
    } else if (r == 0) {
        r = both_begin(c);
    }
    if (r < 0)
        both_call_free(c);
    return r;
}

/* --- the table -------------------------------------------------------------------------------- */

static int both_open(struct leases *l, const struct lease *lease, unsigned limit,
                     struct lease_op *op)
{
    return both_start(l, BOTH_OPEN, lease, 1, limit, 0, op);
}

static int both_list(struct leases *l, struct str user, struct lease_op *op)
{
    return both_start(l, BOTH_LIST, &(struct lease){.user = user}, 1, 0, 0, op);
}

static int both_end(struct leases *l, struct str user, struct str session, struct lease_op *op)
{
    return both_start(l, BOTH_END, &(struct lease){.user = user, .session = session}, 1, 0, 0, op);
}

static int both_renew(struct leases *l, const struct lease *leases, struct lease_op *op)
{
    return both_start(l, BOTH_RENEW, leases, op->count, 0, 0, op);
}

static int both_trim(struct leases *l, struct str user, unsigned limit, struct lease_op *op)
{
    return both_start(l, BOTH_TRIM, &(struct lease){.user = user}, 1, limit, 0, op);
}

static int both_crowded(struct leases *l, uint64_t cursor, struct lease_op *op)
{
    return both_start(l, BOTH_CROWDED, NULL, 0, 0, cursor, op);
}

static int both_watch(struct leases *l, struct lease_watch *w)
{
    struct lease_both *b = (struct lease_both *)l;
    struct lease_watch *of_first = NULL;
    int r = lease_watch(b->first, w->on_ended, w->on_gap, w->arg, &of_first);
    if (r == 0)
        w->of_backend = of_first;
    return r;
}

static void both_unwatch(struct leases *l, struct lease_watch *w)
{
    (void)l;
    w->of_backend = lease_unwatch(w->of_backend);
}

/* The ops are dead by now: closing the two calls back what is open, which frees them. */
static void both_close(struct leases *l)
{
    struct lease_both *b = (struct lease_both *)l;
    leases_close(b->first);
    leases_close(b->second);
    MAGIC_CLEAR(&b->leases);
    free(b);
}

int leases_open_both(struct leases *first, struct leases *second, struct lease_book *known,
                     const atomic_bool *pending, struct loop *loop, struct leases **ret)
{
    static const struct lease_ops ops = {
        .close = both_close,
        .open = both_open,
        .list = both_list,
        .end = both_end,
        .renew = both_renew,
        .trim = both_trim,
        .crowded = both_crowded,
        .watch = both_watch,
        .unwatch = both_unwatch,
    };
    struct lease_both *b = calloc(1, sizeof *b);
    if (b == NULL)
        return -ENOMEM;
    lease__init(&b->leases, &ops, loop);
    b->first = first;
    b->second = second;
    b->known = known;
    b->pending = pending;
    *ret = &b->leases;
    return 0;
}
