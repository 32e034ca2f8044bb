/* SPDX-License-Identifier: Apache-2.0 */
/* leave: ends all that a user plays, at every edge.
 *
 * Life:    leave_all -> the callback, once.
 * Owner:   -
 * Threads: the leases' loop.
 * Errors:  as lease.h; what ended meanwhile by itself is none.
 * Units:   - */
#pragma once
#include "lease/lease.h"

typedef void leave_done(void *arg, int res);

/* 0: cb comes, perhaps before this returns. */
MUST_USE int leave_all(struct leases *l, const char *user, leave_done *cb, void *arg);
