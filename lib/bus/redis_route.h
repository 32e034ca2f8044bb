/* SPDX-License-Identifier: Apache-2.0 */
/* redis_route: which Redis a call goes to. Of one Redis it is that one; of a Redis Cluster the node
 * that has the key's slot. What it is it finds out itself: whoever answers first of the addresses
 * in the configuration is asked for its map of slots.
 *
 *   call -> waiting (it is not known yet what is there) -> a node -> end
 *                                                           |-> MOVED, ASK: another node
 *                                                           `-> CLUSTERDOWN, TRYAGAIN: again, after
 *                                                               a pause, until its time is over
 *
 * Life:    redis_route_new -> redis_route_call* -> redis_route_free, which ends the rest with
 *          -ECANCELED; nothing is called meanwhile.
 * Owner:   the bus. A call is the route's from redis_route_call until `end`, which comes on a later
 *          turn, or from redis_route_free.
 * Threads: the loop's.
 * Errors:  of `end`: those of bus.h, or 0 with what was answered; then error, if it has data, is
 *          Redis's own text.
 * Units:   milliseconds.
 * Source:  https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/ */
#pragma once
#include "bus/redis_node.h"

struct redis_route;

struct redis_route_ops {
    void (*end)(void *arg, struct redis_call *c, int res, const struct bus_answer *answer,
                struct str error);
    void (*on_map)(void *arg); /* which nodes there are is known anew */
};

MUST_USE int redis_route_new(struct loop *loop, const struct redis_target *target,
                             const struct redis_node_limits *limits,
                             const struct redis_route_ops *ops, void *arg,
                             struct redis_route **ret);
struct redis_route *redis_route_free(struct redis_route *r); /* takes NULL, returns NULL */

/* c->slot, words and script are set. */
void redis_route_call(struct redis_route *r, struct redis_call *c);

/* For a connection that any node will do for: where its next attempt goes, and whether a node is
 * still one of those. */
void redis_route_pick(const struct redis_route *r, unsigned tries, struct redis_address *ret,
                      unsigned *ret_turn);
bool redis_route_knows(const struct redis_route *r, const struct redis_address *node);
