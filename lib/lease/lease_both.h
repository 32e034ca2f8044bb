/* SPDX-License-Identifier: Apache-2.0 */
/* lease_both: leases in one place, and in another while the first is away.
 *
 * Life:    leases_open_both takes the two over -> calls of lease.h -> leases_close closes both.
 * Owner:   the loop's thread. The book is shared by all loops of the process and outlives them.
 * Threads: as lease.h.
 * Errors:  as lease.h: those of the second while the first is away.
 * Units:   none. */
#pragma once
#include <stdatomic.h>
#include "lease/lease.h"

/* known: a book for this alone: what this process has seen of either. Notices of ends are the first
 * one's. What the second holds is its owner's to bring back; while *pending (NULL: never) it has
 * leases that are not back yet, and what it has of a user is handed to the first before that opens
 * one more. The second honours expires_ms of a renewal: what is only taken up lives no longer than
 * it did. */
MUST_USE int leases_open_both(struct leases *first, struct leases *second, struct lease_book *known,
                              const atomic_bool *pending, struct loop *loop, struct leases **ret);

/* Whether an answer means that the backend is away, rather than what it says. */
bool lease_is_away(int res);
