/* SPDX-License-Identifier: Apache-2.0 */
/* lease_db_fixture: what lease_fixture.h needs for leases in control's database: the database in a
 * folder of its own, and a pool for each fixture.
 *
 * Life:    backend_start_db -> fixtures -> backend_stop_db.
 * Owner:   the test.
 * Threads: the database is shared by all fixtures.
 * Errors:  the test fails.
 * Units:   none. */
#pragma once
#include "control/plans/lease_db.h"
#include "lease/lease_both.h"
#include "../../db/mongo_server.h"

static const struct db_collection backend_collections[] = {
    {
        .name = "leases",
        .keys = {{"until_ms", false}, {"crowd", false}},
        .keys_count = 2,
    },
};
static const struct db_schema backend_schema = {
    .version = 1, .collections = backend_collections, .collections_count = 1};
static char backend_folder[64];
static struct lease_db_state backend_state;

static struct mongo_server backend_mongo;

static inline void backend_start_db(struct backend *b)
{
    char path[128];
    struct err err = {""};
    assert_int_equal(str_copy(STR("/tmp/weir-lease-XXXXXX"), backend_folder, sizeof backend_folder),
                     0);
    assert_non_null(mkdtemp(backend_folder));
    (void)snprintf(path, sizeof path, "%s/control.db", backend_folder);
    if (b->is_mongo) {
        mongo_server_start(&backend_mongo);
        (void)snprintf(path, sizeof path, "mongodb://%s/weir", backend_mongo.address);
    }
    if (db_open(path, &backend_schema, &err, &b->db) < 0)
        fail_msg("%s", err.text);
}

static inline void backend_stop_db(struct backend *b)
{
    b->db = db_close(b->db);
    if (b->is_mongo)
        mongo_server_stop(&backend_mongo);
    assert_int_equal(file_remove_all(backend_folder), 0);
}

static inline int backend_run(void *arg, pool_work *work, void *work_arg)
{
    return pool_run(arg, work, work_arg);
}

static inline int backend_open_db(struct fixture *f)
{
    struct leases *redis = NULL;
    struct leases *db = NULL;
    int r = pool_new(2, &f->pool);
    if (r < 0)
        return r;
    const struct lease_db_options options = {.db = f->backend->db,
                                             .bus = f->bus,
                                             .run = backend_run,
                                             .arg = f->pool,
                                             .state = &backend_state};
    r = leases_open_db(&options, &db);
    if (r < 0 || !f->backend->on_redis) {
        f->leases = db;
        return r;
    }
    r = leases_open_redis(f->bus, &redis);
    return r < 0 ? r
                 : leases_open_both(redis, db, f->backend->book, &backend_state.pending, f->loop,
                                    &f->leases);
}

static inline void backend_close_pool(struct fixture *f)
{
    f->pool = pool_free(f->pool);
}
