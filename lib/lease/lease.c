/* SPDX-License-Identifier: Apache-2.0 */
#include "lease/lease.h"
#include <errno.h>
#include <stdlib.h>
#include "lease/lease_backend.h"

static void leases_check(const struct leases *l)
{
    ASSERT(l != NULL);
    ASSERT(l->magic == LEASES_MAGIC);
}

/* Control characters part the fields of a record. */
static bool lease_text_ok(struct str s, bool is_needed)
{
    if (s.size > LEASE_TEXT_MAX || (is_needed && s.size == 0))
        return false;
    for (size_t i = 0; i < s.size; i++)
        if ((unsigned char)s.data[i] < 0x20 || s.data[i] == 0x7f)
            return false;
    return true;
}

static bool lease_ok(const struct lease *l)
{
    return lease_text_ok(l->user, true) && lease_text_ok(l->session, true) &&
           lease_text_ok(l->asset, false) && lease_text_ok(l->device, false) &&
           lease_text_ok(l->device_name, false) && l->until_ms >= 0 && l->limit <= LEASE_LIMIT_MAX;
}

/* --- ops -------------------------------------------------------------------------------------- */

static struct lease_op *lease_op_new(struct leases *l, unsigned states_count, lease_done *done,
                                     lease_renewed *renewed, void *arg)
{
    struct lease_op *op = calloc(1, sizeof *op + states_count * sizeof(enum lease_state));
    if (op == NULL)
        return NULL;
    op->magic = LEASE_OP_MAGIC;
    op->leases = l;
    op->count = states_count;
    op->states = (enum lease_state *)(void *)(op + 1);
    op->done = done;
    op->renewed = renewed;
    op->arg = arg;
    op->next = l->open;
    if (l->open != NULL)
        l->open->prev = op;
    l->open = op;
    return op;
}

static void lease_op_unlink(struct lease_op *op)
{
    if (op->leases == NULL)
        return;
    if (op->prev != NULL)
        op->prev->next = op->next;
    else
        op->leases->open = op->next;
    if (op->next != NULL)
        op->next->prev = op->prev;
    op->leases = NULL;
}

static void lease_op_free(struct lease_op *op)
{
    ASSERT(op->magic == LEASE_OP_MAGIC);
    lease_op_unlink(op);
    MAGIC_CLEAR(op);
    free(op);
}

void lease__finish(struct lease_op *op, int res, const struct lease *active, unsigned count)
{
    ASSERT(op->magic == LEASE_OP_MAGIC);
    bool is_dead = op->leases == NULL;
    lease_op_unlink(op);
    if (!is_dead)
        op->done(op->arg, res, active, count);
    lease_op_free(op);
}

void lease__finish_renew(struct lease_op *op, int res)
{
    ASSERT(op->magic == LEASE_OP_MAGIC);
    bool is_dead = op->leases == NULL;
    lease_op_unlink(op);
    if (!is_dead)
        op->renewed(op->arg, res, op->states, res < 0 ? 0 : op->count);
    lease_op_free(op);
}

void lease__finish_crowd(struct lease_op *op, int res, const struct str *users, unsigned count,
                         uint64_t next)
{
    ASSERT(op->magic == LEASE_OP_MAGIC);
    bool is_dead = op->leases == NULL;
    lease_op_unlink(op);
    if (!is_dead)
        op->crowd(op->arg, res, users, count, next);
    lease_op_free(op);
}

/* --- life ------------------------------------------------------------------------------------- */

void lease__init(struct leases *l, const struct lease_ops *ops, struct loop *loop)
{
    *l = (struct leases){.magic = LEASES_MAGIC, .ops = ops, .loop = loop, .life_ms = LEASE_LIFE_MS};
}

void leases_set_life(struct leases *l, uint32_t life_ms)
{
    leases_check(l);
    l->life_ms = life_ms;
}

struct leases *leases_close(struct leases *l)
{
    if (l == NULL)
        return NULL;
    leases_check(l);
    while (l->watches != NULL)
        lease_unwatch(l->watches);
    while (l->open != NULL) {
        struct lease_op *op = l->open;
        lease_op_unlink(op); /* dead: the backend frees it */
        if (op->done != NULL)
            op->done(op->arg, -ECANCELED, NULL, 0);
        else if (op->renewed != NULL)
            op->renewed(op->arg, -ECANCELED, NULL, 0);
        else
            op->crowd(op->arg, -ECANCELED, NULL, 0, 0);
    }
    l->ops->close(l);
    return NULL;
}

/* --- calls ------------------------------------------------------------------------------------ */

static int lease_op_begun(struct lease_op *op, int r)
{
    if (r < 0)
        lease_op_free(op);
    return r;
}

int lease_open(struct leases *l, const struct lease *lease, unsigned limit, lease_done *cb,
               void *arg)
{
    leases_check(l);
    ASSERT(cb != NULL);
    if (!lease_ok(lease) || limit == 0 || limit > LEASE_LIMIT_MAX)
        return -EINVAL;
    struct lease_op *op = lease_op_new(l, 0, cb, NULL, arg);
    if (op == NULL)
        return -ENOMEM;
    return lease_op_begun(op, l->ops->open(l, lease, limit, op));
}

int lease_list(struct leases *l, struct str user, lease_done *cb, void *arg)
{
    leases_check(l);
    ASSERT(cb != NULL);
    if (!lease_text_ok(user, true))
        return -EINVAL;
    struct lease_op *op = lease_op_new(l, 0, cb, NULL, arg);
    if (op == NULL)
        return -ENOMEM;
    return lease_op_begun(op, l->ops->list(l, user, op));
}

int lease_end(struct leases *l, struct str user, struct str session, lease_done *cb, void *arg)
{
    leases_check(l);
    ASSERT(cb != NULL);
    if (!lease_text_ok(user, true) || !lease_text_ok(session, true))
        return -EINVAL;
    struct lease_op *op = lease_op_new(l, 0, cb, NULL, arg);
    if (op == NULL)
        return -ENOMEM;
    return lease_op_begun(op, l->ops->end(l, user, session, op));
}

int lease_renew(struct leases *l, const struct lease *leases, unsigned count, lease_renewed *cb,
                void *arg)
{
    leases_check(l);
    ASSERT(cb != NULL);
    if (count == 0 || count > LEASE_BATCH_MAX)
        return -EINVAL;
    for (unsigned i = 0; i < count; i++)
        if (!lease_ok(&leases[i]))
            return -EINVAL;
    struct lease_op *op = lease_op_new(l, count, NULL, cb, arg);
    if (op == NULL)
        return -ENOMEM;
    return lease_op_begun(op, l->ops->renew(l, leases, op));
}

int lease_trim(struct leases *l, struct str user, unsigned limit, lease_done *cb, void *arg)
{
    leases_check(l);
    ASSERT(cb != NULL);
    if (l->ops->trim == NULL)
        return -EOPNOTSUPP;
    if (!lease_text_ok(user, true) || limit == 0 || limit > LEASE_LIMIT_MAX)
        return -EINVAL;
    struct lease_op *op = lease_op_new(l, 0, cb, NULL, arg);
    if (op == NULL)
        return -ENOMEM;
    return lease_op_begun(op, l->ops->trim(l, user, limit, op));
}

int lease_crowded(struct leases *l, uint64_t cursor, lease_crowd *cb, void *arg)
{
    leases_check(l);
    ASSERT(cb != NULL);
    if (l->ops->crowded == NULL)
        return -EOPNOTSUPP;
    struct lease_op *op = lease_op_new(l, 0, NULL, NULL, arg);
    if (op == NULL)
        return -ENOMEM;
    op->crowd = cb;
    return lease_op_begun(op, l->ops->crowded(l, cursor, op));
}

/* --- notices ---------------------------------------------------------------------------------- */

int lease_watch(struct leases *l, void (*on_ended)(void *arg, struct str session),
                void (*on_gap)(void *arg), void *arg, struct lease_watch **ret)
{
    leases_check(l);
    ASSERT(on_ended != NULL);
    struct lease_watch *w = calloc(1, sizeof *w);
    if (w == NULL)
        return -ENOMEM;
    *w = (struct lease_watch){
        .magic = LEASE_WATCH_MAGIC,
        .leases = l,
        .on_ended = on_ended,
        .on_gap = on_gap,
        .arg = arg,
    };
    int r = l->ops->watch(l, w);
    if (r < 0) {
        free(w);
        return r;
    }
    w->next = l->watches;
    l->watches = w;
    *ret = w;
    return 0;
}

struct lease_watch *lease_unwatch(struct lease_watch *w)
{
    if (w == NULL)
        return NULL;
    ASSERT(w->magic == LEASE_WATCH_MAGIC);
    struct lease_watch **at = &w->leases->watches;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    w->leases->ops->unwatch(w->leases, w);
    MAGIC_CLEAR(w);
    free(w);
    return NULL;
}

static void lease_on_message(void *arg, struct str text)
{
    struct lease_watch *w = arg;
    if (lease_text_ok(text, true)) /* the channel is anybody's who is let into Redis */
        w->on_ended(w->arg, text);
}

static void lease_on_gap(void *arg)
{
    struct lease_watch *w = arg;
    if (w->on_gap != NULL)
        w->on_gap(w->arg);
}

int lease__watch_bus(struct bus *bus, struct lease_watch *w)
{
    struct bus_sub *sub = NULL;
    int r = bus_subscribe(bus, STR(LEASE_CHANNEL), lease_on_message, lease_on_gap, w, &sub);
    if (r == 0)
        w->of_backend = sub;
    return r;
}

void lease__unwatch_bus(struct lease_watch *w)
{
    w->of_backend = bus_unsubscribe(w->of_backend);
}
