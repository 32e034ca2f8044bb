/* SPDX-License-Identifier: Apache-2.0 */
/* redis_link: one connection to Redis that is made again whenever it breaks.
 *
 * Life:    redis_link_new -> on_up, on_answer*, on_down, again and again -> redis_link_free (no
 *          callback). The first callback comes on a later turn of the loop.
 * Owner:   the bus.
 * Threads: the loop's; a host's name is resolved on a thread of its own.
 * Errors:  on_down: -EHOSTUNREACH (no such name), -ECONNREFUSED, -ETIMEDOUT, -ECONNRESET, -EBADMSG,
 *          -EACCES (Redis does not let us in, or TLS does not trust it).
 * Units:   milliseconds, bytes.
 *
 * hiredis frames the commands and parses the answers. Its own asynchronous connections are not
 * used: Debian 12's has no TLS, and it resolves names on the caller's thread. */
#pragma once
#include "bus/redis_target.h"

struct redis_link;

struct redis_link_ops {
    /* Where the next attempt goes; tries counts all of them, from 0. turn: which of the addresses
     * of the host's name. */
    void (*pick)(void *arg, unsigned tries, struct redis_address *ret, unsigned *ret_turn);
    void (*on_up)(void *arg); /* let in: commands may be sent */
    /* error: Redis's own text, such as "NOSCRIPT ...", else STR_NONE. */
    void (*on_answer)(void *arg, const struct bus_answer *answer, struct str error);
    void (*on_down)(void *arg, int error); /* broke, or was not made; tried again later */
};

MUST_USE int redis_link_new(struct loop *loop, const struct redis_target *target,
                            uint32_t connect_ms, const struct redis_link_ops *ops, void *arg,
                            struct redis_link **ret);
struct redis_link *redis_link_free(struct redis_link *l);

/* Of the present or the last attempt. */
const struct redis_address *redis_link_address(const struct redis_link *l);
bool redis_link_is_up(const struct redis_link *l);
/* The last attempt failed: who has to wait for the next one may not want to. */
bool redis_link_is_away(const struct redis_link *l);

/* While it is up. Sent at the end of the loop's turn. */
MUST_USE int redis_link_send(struct redis_link *l, const struct str *words, unsigned count);

/* Ends the connection as if it had broken; on_down comes before this returns. */
void redis_link_break(struct redis_link *l, int error);
