/* SPDX-License-Identifier: Apache-2.0 */
/* fixture: a folder and control's database in it, new for each test. With WEIR_FIXTURE=mongodb in
 * the environment it is in a real server of that protocol, one for the test program. */
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include "base/file.h"
#include "control/model.h"
#include "db/db.h"
#include "../db/mongo_server.h"
#include "../unit.h"

struct fixture {
    char folder[64];
    char address[128]; /* of db */
    struct db *db;
};

static struct mongo_server fixture_server;

static inline void fixture_end(void)
{
    mongo_server_stop(&fixture_server);
}

/* An address at which there is nothing yet. */
static inline void fixture_address(const struct fixture *f, char *out, size_t size)
{
    static unsigned number;
    const char *kind = getenv("WEIR_FIXTURE");
    if (kind == NULL || strcmp(kind, "mongodb") != 0) {
        (void)snprintf(out, size, "%s/control%u.db", f->folder, number++);
        return;
    }
    if (fixture_server.pid == 0) {
        mongo_server_start(&fixture_server);
        assert_int_equal(atexit(fixture_end), 0);
    }
    (void)snprintf(out, size, "mongodb://%s/control%u", fixture_server.address, number++);
}

static inline int fixture_set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct err err = {""};
    if (f == NULL || str_copy(STR("/tmp/weir-control-XXXXXX"), f->folder, sizeof f->folder) < 0 ||
        mkdtemp(f->folder) == NULL)
        return -1;
    fixture_address(f, f->address, sizeof f->address);
    if (db_open(f->address, &model_schema, &err, &f->db) < 0) {
        print_error("%s\n", err.text);
        return -1;
    }
    *state = f;
    return 0;
}

static inline int fixture_tear_down(void **state)
{
    struct fixture *f = *state;
    db_close(f->db);
    int r = file_remove_all(f->folder);
    free(f);
    return r;
}
#define FIXTURE_CASE(test) cmocka_unit_test_setup_teardown(test, fixture_set_up, fixture_tear_down)
