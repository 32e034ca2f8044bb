/* SPDX-License-Identifier: Apache-2.0 */
/* db_doc: what db.h promises about a document in hand, the same for every backend: filters and
 * changes.
 *
 * Life:    none.
 * Owner:   documents given are only read; new ones are the caller's.
 * Threads: any.
 * Errors:  -EINVAL a filter or change that db.h does not allow; -ENOMEM.
 * Units:   - */
#pragma once
#include "db/db_shape.h"

/* where: of the form that db.h describes, of members that the collection has; NULL is. */
MUST_USE int db_where_check(const struct db_shape *shape, const json_t *where);
/* where has been checked; doc is any JSON. */
bool db_where_holds(const json_t *where, const json_t *doc);

/* A scalar that a filter may name: no object, no array, not null. */
bool db_scalar(const json_t *value);
/* Numbers by their value, all else as JSON. */
bool db_scalar_equal(const json_t *a, const json_t *b);

MUST_USE int db_update_check(const struct db_shape *shape, const struct db_update *update);
/* *ret: a changed copy; the stored one is not touched. -EINVAL what is stored cannot be changed so:
 * no integer to add to, an overflow, no array to push to. */
MUST_USE int db_update_apply(const struct db_update *update, const json_t *doc, json_t **ret);
