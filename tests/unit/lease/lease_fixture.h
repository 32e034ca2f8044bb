/* SPDX-License-Identifier: Apache-2.0 */
/* lease_fixture: a loop with leases of either backend, and calls that are waited for.
 *
 * Life:    fixture_open -> call_* -> fixture_close.
 * Owner:   the test.
 * Threads: one fixture a thread; server and book are shared.
 * Errors:  the test fails.
 * Units:   milliseconds. */
#pragma once
#include <errno.h>
#include "../bus/redis_cluster.h"
#include "base/clock.h"
#include "lease/lease.h"

#define WAIT_MS    60000 /* a MongoDB that syncs each write is slow */
#define TURN_MS    10
#define ACTIVE_MAX 64

struct backend {
    bool on_redis;
    bool is_cluster; /* that is a Redis Cluster */
    bool is_db;      /* control's database, alone or behind the Redis */
    bool is_mongo;   /* that database is a MongoDB */
    bool is_away;    /* the Redis never answers */
    struct redis_server server;
    struct redis_cluster cluster;
    struct bus_hub *hub;
    struct lease_book *book;
    struct db *db; /* lease_db_fixture.h */
};

struct fixture {
    struct backend *backend;
    struct loop *loop;
    struct bus *bus;
    struct leases *leases;
    struct pool *pool;
};

#ifdef LEASE_WITH_DB
#include "../control/plans/lease_db_fixture.h"
#else
static inline int backend_open_db(struct fixture *f)
{
    (void)f;
    return -EOPNOTSUPP;
}
static inline void backend_close_pool(struct fixture *f)
{
    (void)f;
}
static inline void backend_start_db(struct backend *b)
{
    (void)b;
    fail_msg("this program has no database");
}
static inline void backend_stop_db(struct backend *b)
{
    (void)b;
}
#endif

struct outcome {
    unsigned calls;
    int res;
    unsigned count;
    struct lease active[ACTIVE_MAX]; /* texts are in room */
    enum lease_state states[LEASE_BATCH_MAX];
    char room[16384];
};

static inline void fixture_open(struct backend *b, struct fixture *f)
{
    struct err err = {""};
    /* A Redis that is only slow must not look as if it were away. */
    struct bus_redis_options options = {.url = b->is_cluster ? b->cluster.url : b->server.url,
                                        .answer_ms = b->is_db ? WAIT_MS : 10000};
    f->backend = b;
    assert_int_equal(loop_new(&f->loop), 0);
    int r = b->on_redis ? bus_open_redis(&options, f->loop, &err, &f->bus)
                        : bus_open_local(b->hub, f->loop, &f->bus);
    assert_int_equal(r, 0);
    if (b->is_db)
        r = backend_open_db(f);
    else
        r = b->on_redis ? leases_open_redis(f->bus, &f->leases)
                        : leases_open_local(b->book, f->bus, &f->leases);
    assert_int_equal(r, 0);
}

static inline void fixture_close(struct fixture *f)
{
    leases_close(f->leases);
    bus_close(f->bus);
    backend_close_pool(f);
    loop_free(f->loop);
}

static inline void run_until(struct loop *l, const unsigned *calls, unsigned count)
{
    uint64_t until = clock_mono_ms() + WAIT_MS;
    while (*calls < count) {
        if (clock_mono_ms() > until)
            fail_msg("nothing came");
        loop_run_once(l, TURN_MS);
    }
}

static inline struct str keep(struct str s, char **at, const char *end)
{
    assert_true(s.size < (size_t)(end - *at));
    struct str copy = {*at, s.size};
    if (s.size > 0)
        memcpy(*at, s.data, s.size);
    *at += s.size;
    return copy;
}

static inline void on_done(void *arg, int res, const struct lease *active, unsigned count)
{
    struct outcome *o = arg;
    char *at = o->room;
    const char *end = o->room + sizeof o->room;
    o->calls++;
    o->res = res;
    o->count = count;
    assert_true(count <= ACTIVE_MAX);
    for (unsigned i = 0; i < count; i++) {
        struct lease *l = &o->active[i];
        *l = active[i];
        l->session = keep(l->session, &at, end);
        l->asset = keep(l->asset, &at, end);
        l->device = keep(l->device, &at, end);
        l->device_name = keep(l->device_name, &at, end);
    }
}

static inline void on_renewed(void *arg, int res, const enum lease_state *states, unsigned count)
{
    struct outcome *o = arg;
    o->calls++;
    o->res = res;
    o->count = count;
    if (count > 0)
        memcpy(o->states, states, count * sizeof *states);
}

static inline struct lease lease_of(const char *user, const char *session)
{
    return (struct lease){
        .user = str_of(user),
        .session = str_of(session),
        .asset = STR("film"),
        .device_name = STR("Wohnzimmer \xc3\xa4\"'\\|:"),
        .until_ms = clock_real_ms() + 3600 * 1000,
    };
}

static inline int call_open(struct fixture *f, const struct lease *l, unsigned limit,
                            struct outcome *o)
{
    memset(o, 0, sizeof *o);
    assert_int_equal(lease_open(f->leases, l, limit, on_done, o), 0);
    assert_int_equal(o->calls, 0);
    run_until(f->loop, &o->calls, 1);
    return o->res;
}

static inline int call_list(struct fixture *f, const char *user, struct outcome *o)
{
    memset(o, 0, sizeof *o);
    assert_int_equal(lease_list(f->leases, str_of(user), on_done, o), 0);
    run_until(f->loop, &o->calls, 1);
    return o->res;
}

static inline int call_trim(struct fixture *f, const char *user, unsigned limit, struct outcome *o)
{
    memset(o, 0, sizeof *o);
    assert_int_equal(lease_trim(f->leases, str_of(user), limit, on_done, o), 0);
    run_until(f->loop, &o->calls, 1);
    return o->res;
}

static inline int call_end(struct fixture *f, const char *user, const char *session)
{
    struct outcome o = {0};
    assert_int_equal(lease_end(f->leases, str_of(user), str_of(session), on_done, &o), 0);
    run_until(f->loop, &o.calls, 1);
    return o.res;
}

/* One session's state, or the error. */
static inline int call_renew(struct fixture *f, const struct lease *l)
{
    struct outcome o = {0};
    assert_int_equal(lease_renew(f->leases, l, 1, on_renewed, &o), 0);
    run_until(f->loop, &o.calls, 1);
    return o.res < 0 ? o.res : (int)o.states[0];
}
