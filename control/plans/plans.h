/* SPDX-License-Identifier: Apache-2.0 */
/* plans: the installation's list of plans: a document in the database, and a copy of it in memory
 * that is at most PLANS_FRESH_MS old.
 *
 * Life:    plans_new (the first start seeds the document) -> plans_get, plans_set* -> plans_free.
 * Owner:   the control service. Lists answered are the caller's copies (plan_list_free).
 * Threads: any; every call may block on the database.
 * Errors:  -EPROTO with the fault filled: 412 PLANS_CHANGED, and those of plan_list_parse; as db.h.
 * Units:   -
 *
 * {"id": "plans", "rev": raised with each change, "plans": [lowest first, as plan_json]}: one
 * document, so that a change of one plan is checked against its neighbours in the same step. */
#pragma once
#include "control/plans/plan.h"
#include "db/db.h"

#define PLANS_FRESH_MS 2000

struct plans;

MUST_USE int plans_new(struct db *db, unsigned coll, struct plans **ret);
struct plans *plans_free(struct plans *p); /* takes NULL, returns NULL */

/* rev may be NULL. */
MUST_USE int plans_get(struct plans *p, struct plan_list **ret, int64_t *ret_rev);

/* The whole list anew. rev: the one that was read, or 0: whatever it is. *ret_rev: the new one. */
MUST_USE int plans_set(struct plans *p, const json_t *array, int64_t rev, int64_t *ret_rev,
                       struct fault *fault);
