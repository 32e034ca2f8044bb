/* SPDX-License-Identifier: Apache-2.0 */
/* redis_node: one Redis process: the connection to it and the calls that it is to answer, in order.
 *
 *   redis_node_call -> waiting (no connection yet) -> sent -> on_answer
 *                         |                            `-> the connection breaks: -ECONNRESET
 *                         `-> the attempt fails: -EHOSTDOWN
 *
 * Life:    redis_node_new -> redis_node_call* -> redis_node_free (not in its own callbacks), which
 *          ends what it has with -ECANCELED.
 * Owner:   the route. A call is the node's from redis_node_call until on_answer or on_end.
 * Threads: the loop's.
 * Errors:  on_end: as above, and -ETIMEDOUT when the first has waited for answer_ms.
 * Units:   milliseconds. */
#pragma once
#include "bus/redis_call.h"
#include "bus/redis_link.h"

struct redis_node;

struct redis_node_ops {
    void (*pick)(void *arg, unsigned tries, struct redis_address *ret, unsigned *ret_turn);
    void (*on_up)(void *arg);
    /* error: Redis's own text, else STR_NONE. */
    void (*on_answer)(void *arg, struct redis_call *c, const struct bus_answer *answer,
                      struct str error);
    void (*on_end)(void *arg, struct redis_call *c, int res);
    void (*on_down)(void *arg); /* behind the on_end of its calls */
};

struct redis_node_limits {
    uint32_t connect_ms;
    uint32_t answer_ms;
};

MUST_USE int redis_node_new(struct loop *loop, const struct redis_target *target,
                            const struct redis_node_limits *limits,
                            const struct redis_node_ops *ops, void *arg, struct redis_node **ret);
struct redis_node *redis_node_free(struct redis_node *n); /* takes NULL, returns NULL */

/* Sent, or kept until it is connected. An error leaves the call to the caller. */
MUST_USE int redis_node_call(struct redis_node *n, struct redis_call *c);

void redis_node_break(struct redis_node *n, int error); /* ends what was sent, before it returns */
const struct redis_address *redis_node_address(const struct redis_node *n);
bool redis_node_is_up(const struct redis_node *n);
bool redis_node_is_away(const struct redis_node *n); /* the last attempt failed */
bool redis_node_has_calls(const struct redis_node *n);
