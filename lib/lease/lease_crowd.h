/* SPDX-License-Identifier: Apache-2.0 */
/* lease_crowd: in Redis, all users who have had two sessions at once, by when the tokens of those
 * expire: CROWD_SHARDS sorted sets, "weir:lease:crowd:{0}" and so on, so that no node of a cluster
 * has all of them. They are written behind a user's hash and apart from it (they need not be on one
 * node): whoever was missed is found with their next opening.
 *
 * Life:    calls on a bus; what is under way ends with it.
 * Owner:   lease_redis.
 * Threads: the bus's loop.
 * Errors:  those of bus_script.
 * Units:   milliseconds since 1970. */
#pragma once
#include "lease/lease_backend.h"

#define CROWD_SHARDS 16

/* Nothing waits for it. */
void lease_crowd_note(struct bus *bus, struct str user, int64_t until_ms);
MUST_USE int lease_crowd_forget(struct bus *bus, struct str user, bus_done *cb, void *arg);

/* As lease_crowded; cursor is (shard << 32) + rank. */
MUST_USE int lease_crowd_page(struct bus *bus, uint64_t cursor, struct lease_op *op);
