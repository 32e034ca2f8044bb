/* SPDX-License-Identifier: Apache-2.0 */
/* rights: what a user has: a plan and until when, a stream limit of their own, and grants (what was
 * rented or bought). Whoever takes money writes here; whoever lets people watch reads.
 *
 * Life:    a document a user, from the first right on.
 * Owner:   the database; documents answered are the caller's (json_decref).
 * Threads: any; every call blocks on the database.
 * Errors:  as db.h; -EBUSY others change it all the time.
 * Units:   milliseconds since 1970.
 *
 * {"id": the user, "rev", "plan", "plan_until_ms", "stream_limit", "grants": [{"asset", "from_ms",
 * "until_ms", "height_max"}], "updated_ms"}; what is not there is not had. */
#pragma once
#include "control/plans/entitle.h"
#include "db/db.h"

#define RIGHTS_GRANTS_MAX 1000 /* of a user; the ones that have run out go first */

/* *ret is NULL for a user without rights. */
MUST_USE int rights_get(struct db *db, const char *user, json_t **ret);

/* Those of many at once: an array as long as users, null where there are none. */
MUST_USE int rights_get_many(struct db *db, const char *const *users, unsigned count, json_t **ret);

/* plan NULL: none. until_ms 0: for ever. own_limit: 0: none, < 0: as it is. */
MUST_USE int rights_set_plan(struct db *db, const char *user, const char *plan, int64_t until_ms,
                             int own_limit, int64_t now_ms, json_t **ret);

MUST_USE int rights_grant(struct db *db, const char *user, const struct entitle_grant *grant,
                          int64_t now_ms);

/* Puts them into ask; its texts borrow from doc (may be NULL). grants has room for
 * RIGHTS_GRANTS_MAX, or is NULL: they do not matter. */
void rights_fill(const json_t *doc, struct entitle_ask *ask, struct entitle_grant *grants);
