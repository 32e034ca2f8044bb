/* SPDX-License-Identifier: Apache-2.0 */
/* redis_sub: the connection that messages come by. It is asked for a sign of life, so that one that
 * has died silently is noticed. In a cluster any node will do, because they pass messages on to
 * each other; one that is no part of it any more is left.
 *
 * Life:    redis_sub_new with the first subscription -> redis_sub_add, redis_sub_remove ->
 *          redis_sub_free with the bus.
 * Owner:   the bus, which frees it before the route; what is subscribed stands in bus->subs.
 * Threads: the loop's.
 * Errors:  none reach the caller: a broken connection is made again and subscribes anew.
 * Units:   milliseconds. */
#pragma once
#include "bus/bus_priv.h"
#include "bus/redis_route.h"

struct redis_sub;

MUST_USE int redis_sub_new(struct bus *b, const struct redis_target *target,
                           const struct redis_node_limits *limits, const struct redis_route *route,
                           struct redis_sub **ret);
struct redis_sub *redis_sub_free(struct redis_sub *s); /* takes NULL, returns NULL */

/* Which nodes there are is known anew. */
void redis_sub_look(struct redis_sub *s);

void redis_sub_add(struct redis_sub *s, struct str channel);
/* The subscription is out of bus->subs already. */
void redis_sub_remove(struct redis_sub *s, struct str channel);
