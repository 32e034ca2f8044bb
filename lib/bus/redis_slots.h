/* SPDX-License-Identifier: Apache-2.0 */
/* redis_slots: what a Redis Cluster says of itself: the slot of a key, the map of slots, and the
 * answers that send a call to another node.
 *
 * Life:    none: functions of their arguments.
 * Owner:   none.
 * Threads: any.
 * Errors:  -EBADMSG: not of the form; nothing was called or written then.
 * Units:   none.
 * Source:  https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/ and
 *          https://redis.io/docs/latest/commands/cluster-slots/ */
#pragma once
#include "bus/redis_target.h"

#define REDIS_SLOTS 16384

/* CRC-16/XMODEM of what is between the first '{' and the next '}', if that is anything, else of
 * all of the key. */
uint16_t redis_slot_of(struct str key);

/* Each node of each range of an answer to CLUSTER SLOTS; the range's primary comes first. from:
 * who has answered; a node without a host has the same. each NULL: only looked at. */
typedef void redis_slots_each(void *arg, uint16_t first, uint16_t last,
                              const struct redis_address *node, bool is_primary);
MUST_USE int redis_slots_read(const struct bus_answer *answer, const struct redis_address *from,
                              redis_slots_each *each, void *arg);

/* "MOVED 3999 127.0.0.1:6381" or "ASK ...". */
struct redis_redirect {
    uint16_t slot;
    bool is_ask;
    struct redis_address to;
};
bool redis_is_redirect(struct str error);
MUST_USE int redis_redirect_read(struct str error, const struct redis_address *from,
                                 struct redis_redirect *ret);
