/* SPDX-License-Identifier: Apache-2.0 */
/* migrate: accounts and log-ins of earlier versions.
 *
 * Life:    a call while the database is opened.
 * Owner:   -
 * Threads: one.
 * Errors:  as db.h, and a sentence; may be run again after one.
 * Units:   - */
#pragma once
#include "db/db.h"

/* Version 1 to 2: accounts get a role; log-ins are of another form, so people log in anew. */
MUST_USE int people_migrate(struct db *db, struct err *err);
