/* SPDX-License-Identifier: Apache-2.0 */
/* db_backend: what a backend of lib/db implements. db.c has checked all arguments: ids and keys are
 * of the promised form, fields are keys of the collection, texts are within their limits.
 *
 * Life:    a static table of functions per backend; its state begins with struct db.
 * Owner:   the backend allocates and frees its struct db.
 * Threads: as db.h: any, at once.
 * Errors:  as db.h.
 * Units:   as db.h. */
#pragma once
#include "base/buf.h"
#include "db/db.h"

/* Where a list goes on: the key's value and the id of the last document shown. */
struct db_place {
    json_t *value; /* string or integer; NULL when ordered by id */
    const char *id;
};

enum db_write { DB_INSERT, DB_REPLACE, DB_PUT };

/* id is doc's; text is doc as JSON. */
struct db_change {
    enum db_write how;
    const char *id;
    struct str text;
    const char *if_field; /* DB_REPLACE only; NULL: whatever it is */
    const json_t *if_equal;
};

struct db_backend_ops {
    int (*write)(struct db *db, unsigned coll, const struct db_change *change);
    int (*get)(struct db *db, unsigned coll, const char *id, json_t **ret);
    int (*find)(struct db *db, unsigned coll, unsigned key, const json_t *value, json_t **ret);
    int (*remove)(struct db *db, unsigned coll, const char *id);
    int (*remove_below)(struct db *db, unsigned coll, unsigned key, int64_t limit,
                        uint64_t *ret_count);
    /* key < 0: by id. Appends at most list->limit documents to the array `into`. */
    int (*list)(struct db *db, unsigned coll, int key, const struct db_list *list,
                const struct db_place *after, json_t *into);
    void (*close)(struct db *db);
};

struct db {
    uint32_t magic;
#define DB_MAGIC UINT32_C(0xdb0c5e7a)
    const struct db_backend_ops *ops;
    const struct db_schema *schema;
};

/* Calls schema->migrate for each step from `stored`; for backends' open. */
int db_migrate(struct db *db, unsigned from, struct err *err);

int db_sqlite_open(const char *path, const struct db_schema *schema, struct err *err,
                   struct db **ret);
