/* SPDX-License-Identifier: Apache-2.0 */
/* lease_mend: brings back what the database took up while Redis was away. As soon as Redis answers
 * again each user's document goes there, sessions with the time they began, and ended ones as
 * ended; then the document is deleted, unless it has changed meanwhile (the next round has it).
 * Every step may be done twice, so a crash in between only means that it is done again: at the
 * start, and now and then for documents of a control that is no more.
 *
 * Life:    lease_mend_new -> lease_mend_free, before the bus.
 * Owner:   the first worker.
 * Threads: its loop's; the database is read on a pool thread.
 * Errors:  logged; tried again.
 * Units:   milliseconds. */
#pragma once
#include "control/plans/lease_db.h"

#define LEASE_MEND_LOOK_MS 1000
#define LEASE_MEND_ALL_MS  (10 * 60 * 1000)

struct lease_mend;

/* options: as of the database's leases; the state is needed. */
MUST_USE int lease_mend_new(const struct lease_db_options *options, struct lease_mend **ret);
struct lease_mend *lease_mend_free(struct lease_mend *m); /* takes NULL, returns NULL */
