/* SPDX-License-Identifier: Apache-2.0 */
/* lease_copy: leases with texts of their own, for whoever passes them to another thread or a later
 * turn.
 *
 * Life:    lease_copy -> use -> lease_copies_clear (a zeroed struct too).
 * Owner:   the caller's struct.
 * Threads: one at a time.
 * Errors:  -ENOMEM.
 * Units:   none. */
#pragma once
#include "lease/lease.h"

struct lease_copies {
    struct lease *at;
    unsigned count;
    char *texts;
};

MUST_USE int lease_copy(const struct lease *leases, unsigned count, struct lease_copies *ret);
void lease_copies_clear(struct lease_copies *c);
