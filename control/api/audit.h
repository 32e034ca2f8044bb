/* SPDX-License-Identifier: Apache-2.0 */
/* audit: every act of an administrator: who, when, what, from where, what came of it. It is
 * written before the act, so that there is none without a record, and completed after; one that
 * says "begun" was cut short by a crash.
 *
 * Life:    audit_begin -> the act, its answer rendered -> audit_end.
 * Owner:   the database has the records; a line of the log goes with each.
 * Threads: a pool thread; audit_refused, audit_event, audit_attack: any.
 * Errors:  as db.h.
 * Units:   milliseconds since 1970. */
#pragma once
#include "control/api/call.h"

/* Does nothing for operations that are not audited: x-weir-audit, and all that administrators
 * change. */
MUST_USE int audit_begin(struct call *c);
void audit_end(struct call *c);

/* Somebody who may not: a line of the log, also of what administrators only read (whoever guesses
 * at the admin credential need change nothing to find out), and a record where it is known who. */
void audit_refused(const struct call *c);

/* One line of the log for who looks after the installation: what, whom it is about (NULL: nobody
 * known). */
void audit_event(const struct call *c, const char *what, const char *user);
/* The same, and a record: what may be an attack. Of the same from the same there is one record in a
 * quarter of an hour. */
void audit_attack(const struct call *c, const char *what, const char *user);

MUST_USE int audit_purge(struct db *db, int64_t before_ms, uint64_t *ret_count);

extern const struct op_handler audit_ops[];
