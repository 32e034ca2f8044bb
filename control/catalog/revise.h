/* SPDX-License-Identifier: Apache-2.0 */
/* revise: writes a changed document back: only the members that differ, and only if nobody else
 * has changed it: so counts, which others keep in the same document, are left alone.
 *
 * Life:    read -> a deep copy is changed -> revise.
 * Owner:   the caller's documents; *ret is the caller's.
 * Threads: any; blocks on the database.
 * Errors:  -ESTALE the document's rev is another by now; else as db.h.
 * Units:   milliseconds since 1970. */
#pragma once
#include "db/db.h"

/* Adds 1 to rev and sets updated_ms, unless nothing differs. ret: as it is now. */
MUST_USE int revise(struct db *db, unsigned coll, const json_t *before, const json_t *after,
                    int64_t now_ms, json_t **ret);

/* The members of after that differ from before, those that it lacks as null. NULL: no memory. */
json_t *revise_difference(const json_t *before, const json_t *after);
