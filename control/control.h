/* SPDX-License-Identifier: Apache-2.0 */
/* control: the running daemon: database, pools, servers. How a request is answered: api/gate.h.
 *
 * Life:    control_start -> control_reload* -> control_stop.
 * Owner:   main owns the control.
 * Threads: handlers and answers on the request's loop; works on pool threads; start, reload and
 *          stop on the main thread.
 * Errors:  0 or -errno and a sentence; a work gives -EPROTO with the fault filled, or -errno.
 * Units:   milliseconds since 1970. */
#pragma once
#include <pthread.h>
#include "base/metrics.h"
#include "base/pool.h"
#include "control/fault.h"
#include "control/live.h"
#include "control/plans/lease_db.h"
#include "control/plans/plans.h"
#include "db/db.h"
#include "http/http.h"
#include "lease/lease.h"

/* Every hash takes a core for a quarter of a second: beyond this many waiting, answer 503. */
#define CONTROL_PASSWORDS_MAX 64

struct gate;
struct upkeep;
struct uploads;
struct fetch;
struct people;
struct memory;

struct control {
    uint32_t magic;
#define CONTROL_MAGIC UINT32_C(0xc0217011)
    struct db *db;
    struct gate *gate;
    struct upkeep *upkeep; /* of the catalogue */
    struct uploads *uploads;
    struct memory *memory; /* of the database */
    struct people *people;
    struct http_server *server;
    struct http_server *admin;
    struct metrics *metrics;
    struct metric *sign_ups;
    struct metric *log_ins;
    struct metric *log_ins_failed;
    struct metric *playbacks;
    struct metric *playbacks_over;       /* refused: over the limit */
    struct metric *playbacks_swept;      /* ended: over a limit that has become lower */
    struct metric *leases_away;          /* calls that the leases' backend did not answer */
    const struct control_config *config; /* while starting */
    struct bus_hub *bus_hub;             /* without a Redis */
    struct lease_book *lease_book;       /* with one: what this process has seen of it */
    struct plans *plans;
    atomic_bool sweep_wanted;           /* a limit has become lower: not only in a minute */
    struct lease_db_state leases_in_db; /* Redis was away: lease_mend.h */
    unsigned audit_days;
    struct metric *work_seconds;
    _Atomic bool db_fails; /* the last operation failed by the database's fault: not ready */
    _Atomic unsigned passwords_waiting;
    atomic_bool is_stopping; /* passwords that wait are answered 503 */

    pthread_mutex_t lock; /* guards what follows */
    struct live *live;
    struct pool *pool;      /* database; NULL once stopping */
    struct pool *passwords; /* bcrypt, apart so that it never keeps the rest waiting */
};

struct stream;
struct sweep;
struct lease_mend;

/* One a worker thread; the first has the timers. */
struct control_worker {
    struct control *control;
    struct loop *loop;
    struct loop_timer timer;
    struct loop_timer rate_timer;
    struct bus *bus;
    struct leases *leases;
    struct cache *cache;     /* api/cache.h */
    struct fetch *uploads;   /* to ingest */
    struct stream *streams;  /* stream.h */
    struct sweep *sweep;     /* the first worker's; so is mend */
    struct lease_mend *mend; /* NULL without a Redis */
};

MUST_USE int control_start(const struct control_config *config, struct err *err,
                           struct control **ret);
MUST_USE int control_reload(struct control *c, const struct control_config *config,
                            struct err *err);
struct control *control_stop(struct control *c); /* takes a half-started one */

struct live *control_live(struct control *c); /* a reference */

/* Runs work(arg) on a pool thread, hashes: of those for passwords; ends with control_worked there.
 * -EAGAIN: too many wait, or the service stops. */
MUST_USE int control_run(struct control *c, bool hashes, pool_work *work, void *arg);
/* r: what the work came to; a failure of the database makes the service not ready. */
void control_worked(struct control *c, bool hashes, int r);

/* people/auth_ops.c: what is not below /api/. */
MUST_USE int people_routes(struct control *c);
