/* SPDX-License-Identifier: Apache-2.0 */
/* fixture: a folder and control's database in it, new for each test. */
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include "base/file.h"
#include "control/model.h"
#include "db/db.h"
#include "../unit.h"

struct fixture {
    char folder[64];
    struct db *db;
};

static inline int fixture_set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    char path[128];
    struct err err = {""};
    if (f == NULL || str_copy(STR("/tmp/weir-control-XXXXXX"), f->folder, sizeof f->folder) < 0 ||
        mkdtemp(f->folder) == NULL)
        return -1;
    (void)snprintf(path, sizeof path, "%s/control.db", f->folder);
    if (db_open(path, &model_schema, &err, &f->db) < 0) {
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
