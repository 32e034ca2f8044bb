/* SPDX-License-Identifier: Apache-2.0 */
/* db_stored: a schema as JSON, kept in the database itself, so that tools can open what a program
 * has made without having the program's schema.
 *
 * Life:    db_stored_write at each open; db_stored_read -> db_stored_free.
 * Owner:   a schema read belongs to the caller, and must outlive the database opened with it.
 * Threads: any.
 * Errors:  -EBADMSG what is stored is no schema; -ENOMEM.
 * Units:   - */
#pragma once
#include "db/db.h"

MUST_USE int db_stored_write(const struct db_schema *schema, char **ret); /* free */
MUST_USE int db_stored_read(struct str text, struct db_schema **ret);
struct db_schema *db_stored_free(struct db_schema *schema); /* takes NULL, returns NULL */
DEFINE_CLEAN(struct db_schema *, db_stored_free)

/* One collection's keys and words as text: other than before, they are to be made anew. */
MUST_USE int db_stored_derived(const struct db_collection *c, char **ret); /* free */
