/* SPDX-License-Identifier: Apache-2.0 */
/* lease_backend: the table behind lease.h: what a backend does. An edge adds one of its own, which
 * asks control over HTTP.
 *
 * Life:    a backend embeds struct leases first. A call makes a struct lease_op; lease__finish*
 *          calls back and frees it. leases_close calls back what is open and leaves the ops, dead,
 *          to the backend: finishing a dead one only frees it. close comes then.
 * Owner:   the backend.
 * Threads: the loop's.
 * Errors:  as lease.h; the arguments have been checked.
 * Units:   milliseconds. */
#pragma once
#include "lease/lease.h"

struct lease_op {
    uint32_t magic;
#define LEASE_OP_MAGIC UINT32_C(0x1ea5e0b0)
    struct leases *leases; /* NULL: dead */
    struct lease_op *next, *prev;
    lease_done *done; /* one of the three is not NULL */
    lease_renewed *renewed;
    lease_crowd *crowd;
    void *arg;
    enum lease_state *states; /* of a renewal: count of them, ours */
    unsigned count;
    unsigned left; /* for the backend: parts that have no answer yet */
    int error;     /* for the backend: of a part */
};

/* Every call gets its op ready made; an error leaves it to the caller. trim and crowded may be
 * NULL: -EOPNOTSUPP. */
struct lease_ops {
    void (*close)(struct leases *l);
    int (*open)(struct leases *l, const struct lease *lease, unsigned limit, struct lease_op *op);
    int (*list)(struct leases *l, struct str user, struct lease_op *op);
    int (*end)(struct leases *l, struct str user, struct str session, struct lease_op *op);
    int (*renew)(struct leases *l, const struct lease *leases, struct lease_op *op);
    int (*trim)(struct leases *l, struct str user, unsigned limit, struct lease_op *op);
    int (*crowded)(struct leases *l, uint64_t cursor, struct lease_op *op);
    /* w->is_fresh may be set again, then lease__gap. */
    int (*watch)(struct leases *l, struct lease_watch *w);
    void (*unwatch)(struct leases *l, struct lease_watch *w);
};

struct leases {
    uint32_t magic;
#define LEASES_MAGIC UINT32_C(0x1ea5e511)
    const struct lease_ops *ops;
    struct loop *loop;
    uint32_t life_ms;
    struct lease_op *open;
    struct lease_watch *watches;
};

struct lease_watch {
    uint32_t magic;
#define LEASE_WATCH_MAGIC UINT32_C(0x1ea5e3a7)
    struct leases *leases;
    struct lease_watch *next;
    void (*on_ended)(void *arg, struct str session);
    void (*on_gap)(void *arg);
    void *arg;
    void *of_backend;
};

void lease__init(struct leases *l, const struct lease_ops *ops, struct loop *loop);
void lease__finish(struct lease_op *op, int res, const struct lease *active, unsigned count);
void lease__finish_renew(struct lease_op *op, int res); /* states are in op */
void lease__finish_crowd(struct lease_op *op, int res, const struct str *users, unsigned count,
                         uint64_t next);

/* "weir:lease:ended" of a bus as a watch: for backends that have one. */
MUST_USE int lease__watch_bus(struct bus *bus, struct lease_watch *w);
void lease__unwatch_bus(struct lease_watch *w);
