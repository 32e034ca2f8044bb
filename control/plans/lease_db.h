/* SPDX-License-Identifier: Apache-2.0 */
/* lease_db: leases in the database, a document a user (lease_doc.h): where they are kept while
 * Redis is away. Slower than either of the others, and as exact: a change is written only over the
 * revision that it was made from.
 *
 * Life:    leases_open_db -> calls of lease.h -> leases_close. Work that is still on the pool when
 *          it is closed ends in peace: the pool ends before the loop does.
 * Owner:   the loop's thread; work runs on the pool's.
 * Threads: as lease.h. The state may be read by any.
 * Errors:  as lease.h; -EHOSTDOWN and others of db.h, -EBUSY (the pool, or a user's document that
 *          others change all the time).
 * Units:   milliseconds since 1970 by this host's clock. */
#pragma once
#include <stdatomic.h>
#include "base/pool.h"
#include "bus/bus.h"
#include "db/db.h"
#include "lease/lease.h"

struct lease_db_options {
    struct db *db;
    unsigned coll;
    struct bus *bus; /* ends are told there */
    /* Hands work to a pool; -EAGAIN: too much waits. */
    int (*run)(void *arg, pool_work *work, void *work_arg);
    void *arg;
    struct lease_db_state *state; /* NULL: nobody wants to know */
};

/* Whether documents wait to be brought back to Redis: lease_mend.h. */
struct lease_db_state {
    atomic_bool pending; /* there may be some */
    atomic_bool written; /* one was written since lease_mend has begun to read them */
};

MUST_USE int leases_open_db(const struct lease_db_options *options, struct leases **ret);

/* Keys of its collection: "until_ms" (documents below now are of no use), "crowd". */
#define LEASE_DB_MEMBERS "rev:i limit:i? until_ms:i crowd:i? sessions:a ended:a"
