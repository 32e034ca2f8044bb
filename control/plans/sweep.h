/* SPDX-License-Identifier: Apache-2.0 */
/* sweep: ends, each minute, what users play beyond what their plans allow now: after a downgrade, a
 * plan that has run out, or a limit that an administrator lowered. The oldest sessions go first;
 * the player hears of it with its next heartbeat (410, reason PLAN_LIMIT), the edges at once.
 *
 * Life:    sweep_new -> sweep_soon* -> sweep_free, before the leases.
 * Owner:   the first worker. Several controls sweep the same users: the second finds nothing.
 * Threads: its loop's; rights are read on a pool thread. sweep_soon: any.
 * Errors:  logged; the next minute has another go.
 * Units:   seconds. */
#pragma once
#include <stdatomic.h>
#include "control/plans/plans.h"
#include "control/plans/lease_db.h"
#include "lease/lease.h"

struct control;
struct sweep;

MUST_USE int sweep_new(struct control *c, struct leases *leases, struct loop *loop,
                       uint32_t every_s, struct sweep **ret);
struct sweep *sweep_free(struct sweep *s); /* takes NULL, returns NULL */
