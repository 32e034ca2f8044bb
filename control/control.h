/* SPDX-License-Identifier: Apache-2.0 */
/* control: the running daemon: database, pools, servers; and how a request gets from its loop to a
 * pool thread and back.
 *
 * Life:    control_start -> control_reload* -> control_stop.
 *          A request: api.c's handler -> job (copies what it needs) -> work on a pool thread ->
 *          posted back -> answered and freed.
 * Owner:   main owns the control; a job owns its copies, a reference to the request and one to the
 *          settings it began with.
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
#include "db/db.h"
#include "http/http.h"
#include "lease/lease.h"

/* Every hash takes a core for a quarter of a second: beyond this many waiting, answer 503. */
#define CONTROL_PASSWORDS_MAX 64

struct control {
    uint32_t magic;
#define CONTROL_MAGIC UINT32_C(0xc0217011)
    struct db *db;
    struct http_server *server;
    struct http_server *admin;
    struct metrics *metrics;
    struct metric *sign_ups;
    struct metric *log_ins;
    struct metric *log_ins_failed;
    struct metric *playbacks;
    struct metric *playbacks_over;       /* refused: over the limit */
    struct metric *leases_away;          /* calls that the leases' backend did not answer */
    const struct control_config *config; /* while starting */
    struct bus_hub *bus_hub;             /* without a Redis */
    struct lease_book *lease_book;
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

/* One a worker thread; the first has the timer. */
struct control_worker {
    struct control *control;
    struct loop *loop;
    struct loop_timer timer;
    struct bus *bus;
    struct leases *leases;
    struct stream *streams; /* stream.h */
};

struct job {
    uint32_t magic;
#define JOB_MAGIC UINT32_C(0x10bb0b01)
    struct control *control;
    struct http_req *req; /* touched on its loop only */
    struct loop *loop;
    struct live *live;
    int (*work)(struct job *job);
    bool hashes; /* runs in the passwords' pool */
    /* What comes behind the work, on the loop; it ends with job_finish. NULL: nothing. */
    void (*then)(struct job *job);
    uint64_t began_us;

    /* What was asked; texts are copies. */
    json_t *body;   /* NULL: none */
    char *session;  /* the token as sent; NULL: none */
    char *asset;    /* of the path; NULL: none */
    char *playback; /* of the path, or the one that is opened */
    char *cursor;
    unsigned limit;

    /* What the work found. */
    char *user_id;
    json_t *video;

    /* What is answered. */
    int error;
    struct fault fault;
    unsigned status;
    json_t *answer; /* NULL: an empty body */
    char cookie[SESSION_TOKEN_SIZE];
    bool sets_cookie; /* an empty one takes the cookie away */
};

MUST_USE int control_start(const struct control_config *config, struct err *err,
                           struct control **ret);
MUST_USE int control_reload(struct control *c, const struct control_config *config,
                            struct err *err);
struct control *control_stop(struct control *c); /* takes a half-started one */

struct live *control_live(struct control *c); /* a reference */

/* Takes the job over and runs its work on a pool; -EAGAIN: too many wait, the job stays the
 * caller's. */
MUST_USE int control_run(struct control *c, struct job *job);

/* api.c, playback_api.c */
MUST_USE int api_routes(struct control *c);
MUST_USE int playback_routes(struct control *c);
