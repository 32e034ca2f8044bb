/* SPDX-License-Identifier: Apache-2.0 */
/* db_shape: a collection's declaration taken apart, and documents held against it.
 *
 * Life:    db_shapes_new from a schema -> asked -> db_shapes_free.
 * Owner:   the database.
 * Threads: any; not changed once made.
 * Errors:  -EINVAL what the declaration, or db.h, forbids; -ENOMEM.
 * Units:   - */
#pragma once
#include "db/db.h"

#define DB_NAME_SIZE  33 /* of members and collections, with the zero */
#define DB_TEXT_MAX   8
#define DB_FACETS_MAX 16
#define DB_WHERE_MAX  256 /* values that a filter may name */

struct db_member {
    char name[DB_NAME_SIZE];
    char type; /* as in db_collection.members */
    bool optional;
};

struct db_key_shape {
    char fields[DB_KEY_FIELDS_MAX][DB_NAME_SIZE];
    char types[DB_KEY_FIELDS_MAX]; /* 's', 'i', or 0: not declared */
    unsigned fields_count;
    bool unique;
};

struct db_shape {
    const char *name; /* the schema's */
    struct db_member members[DB_MEMBERS_MAX];
    unsigned members_count;
    bool open; /* nothing is declared: any member is taken */
    struct db_key_shape keys[DB_KEYS_MAX];
    unsigned keys_count;
    char text[DB_TEXT_MAX][DB_NAME_SIZE];
    unsigned text_count;
};

/* A name of a member or a collection. */
bool db_name_ok(const char *name);
/* NULL: the schema may be; else what is wrong with it. */
const char *db_schema_fault(const struct db_schema *schema);
MUST_USE int db_shapes_new(const struct db_schema *schema, struct db_shape **ret);

/* The key declared by this text, or NULL. */
const struct db_key_shape *db_shape_key(const struct db_shape *shape, const char *fields);
/* The member's declared type, 's' for "id", 0: nothing is known of it. */
char db_shape_type(const struct db_shape *shape, const char *name);
bool db_shape_has(const struct db_shape *shape, const char *name);

bool db_id_ok(const char *id);
bool db_value_ok(const json_t *value); /* that a keyed field may have */

MUST_USE int db_shape_check(const struct db_shape *shape, const json_t *doc);
