/* SPDX-License-Identifier: Apache-2.0 */
/* A call is done at once; its callback waits for the loop's next turn, as with any backend. */
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "lease/lease_backend.h"
#include "lease/lease_book.h"

struct local_turn {
    struct local_turn *next, *prev;
    struct lease_local *of;
    struct lease_op *op;
    int res;
    struct book_list list;
    struct book_crowd crowd;
};

struct lease_local {
    struct leases leases;
    struct lease_book *book;
    struct bus *bus;
    unsigned turns;
    bool is_closed;
};

static void local_free_if_done(struct lease_local *l)
{
    if (!l->is_closed || l->turns > 0)
        return;
    MAGIC_CLEAR(&l->leases);
    free(l);
}

static void local_on_turn(void *arg)
{
    struct local_turn *t = arg;
    struct lease_local *l = t->of;
    if (t->op->done != NULL)
        lease__finish(t->op, t->res, t->list.at, t->list.count);
    else if (t->op->renewed != NULL)
        lease__finish_renew(t->op, t->res);
    else
        lease__finish_crowd(t->op, t->res, t->crowd.users, t->crowd.count, t->crowd.next);
    book__list_clear(&t->list);
    book__crowd_clear(&t->crowd);
    free(t);
    l->turns--;
    local_free_if_done(l);
}

/* Before the call's effect, so that it cannot fail behind it. */
static int local_begin(struct leases *l, struct lease_op *op, struct local_turn **ret)
{
    struct local_turn *t = calloc(1, sizeof *t);
    if (t == NULL)
        return -ENOMEM;
    t->of = (struct lease_local *)l;
    t->op = op;
    int r = loop_post(l->loop, local_on_turn, t);
    if (r < 0) {
        free(t);
        return r;
    }
    t->of->turns++;
    *ret = t;
    return 0;
}

static void local_on_told(void *arg, int res, const struct bus_answer *answer)
{
    (void)arg, (void)res, (void)answer; /* who misses a notice learns it at the next renewal */
}

static int local_tell(struct lease_local *l, struct str session)
{
    return bus_publish(l->bus, STR(LEASE_CHANNEL), session, local_on_told, NULL);
}

static int local_open(struct leases *l, const struct lease *lease, unsigned limit,
                      struct lease_op *op)
{
    struct local_turn *t;
    struct book_list ended = {0};
    int r = local_begin(l, op, &t);
    if (r < 0)
        return r;
    t->res = book__open(t->of->book, lease, limit, clock_real_ms(), l->life_ms, &t->list, &ended);
    for (unsigned i = 0; i < ended.count; i++) {
        r = local_tell(t->of, ended.at[i].session);
        if (r < 0 && t->res == 0)
            t->res = r;
    }
    book__list_clear(&ended);
    return 0;
}

static int local_list(struct leases *l, struct str user, struct lease_op *op)
{
    struct local_turn *t;
    int r = local_begin(l, op, &t);
    if (r == 0)
        t->res = book__list(t->of->book, user, clock_real_ms(), &t->list);
    return r;
}

static int local_end(struct leases *l, struct str user, struct str session, struct lease_op *op)
{
    struct local_turn *t;
    int r = local_begin(l, op, &t);
    if (r < 0)
        return r;
    t->res = book__end(t->of->book, user, session, clock_real_ms());
    if (t->res == 0)
        t->res = local_tell(t->of, session);
    return 0;
}

static int local_trim(struct leases *l, struct str user, unsigned limit, struct lease_op *op)
{
    struct local_turn *t;
    int r = local_begin(l, op, &t);
    if (r < 0)
        return r;
    t->res = book__trim(t->of->book, user, limit, clock_real_ms(), &t->list);
    for (unsigned i = 0; i < t->list.count; i++) {
        r = local_tell(t->of, t->list.at[i].session);
        if (r < 0 && t->res == 0)
            t->res = r;
    }
    return 0;
}

static int local_crowded(struct leases *l, uint64_t cursor, struct lease_op *op)
{
    struct local_turn *t;
    int r = local_begin(l, op, &t);
    if (r == 0)
        t->res = book__crowded(t->of->book, cursor, clock_real_ms(), &t->crowd);
    return r;
}

static int local_renew(struct leases *l, const struct lease *leases, struct lease_op *op)
{
    struct local_turn *t;
    int r = local_begin(l, op, &t);
    if (r < 0)
        return r;
    int64_t now_ms = clock_real_ms();
    for (unsigned i = 0; i < op->count; i++)
        op->states[i] = book__renew(t->of->book, &leases[i], now_ms, l->life_ms);
    return 0;
}

static int local_watch(struct leases *l, struct lease_watch *w)
{
    return lease__watch_bus(((struct lease_local *)l)->bus, w);
}

static void local_unwatch(struct leases *l, struct lease_watch *w)
{
    (void)l;
    lease__unwatch_bus(w);
}

static void local_close(struct leases *l)
{
    struct lease_local *ll = (struct lease_local *)l;
    ll->is_closed = true;
    local_free_if_done(ll);
}

int leases_open_local(struct lease_book *book, struct bus *bus, struct leases **ret)
{
    static const struct lease_ops ops = {
        .close = local_close,
        .open = local_open,
        .list = local_list,
        .end = local_end,
        .renew = local_renew,
        .trim = local_trim,
        .crowded = local_crowded,
        .watch = local_watch,
        .unwatch = local_unwatch,
    };
    struct lease_local *l = calloc(1, sizeof *l);
    if (l == NULL)
        return -ENOMEM;
    lease__init(&l->leases, &ops, bus_loop(bus));
    l->book = book;
    l->bus = bus;
    *ret = &l->leases;
    return 0;
}
