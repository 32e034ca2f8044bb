/* SPDX-License-Identifier: Apache-2.0 */
/* rate: how many requests a key (a user, an address) may make in a minute: a window that slides. Of
 * the minute before as much counts as the window still covers.
 *
 * Where several processes serve one installation, each counts for itself and tells the others
 * through counters on a bus, about twice a second: nothing waits for that, and a limit is exceeded
 * by at most what comes in between. With the bus away each goes on with its own count.
 *
 * Life:    rate_new -> rate_take*, rate_share* -> rate_free.
 * Owner:   whoever made it.
 * Threads: rate_take: any. rate_share: one loop's.
 * Errors:  rate_new: -ENOMEM. Memory is bounded: of too many keys the idlest are forgotten.
 * Units:   milliseconds of a clock that does not jump (windows of several processes are told apart
 *          by real time); requests. */
#pragma once
#include "base/str.h"
#include "bus/bus.h"

#define RATE_WINDOW_MS 60000
#define RATE_SHARE_MS  500
#define RATE_LIMIT_MAX 1000000000

struct rate;

struct rate_state {
    uint32_t limit;     /* in a minute */
    uint32_t remaining; /* after this one */
    uint32_t reset_s;   /* until more is to be had; of one refused: until it would be let in */
};

MUST_USE int rate_new(struct rate **ret);
struct rate *rate_free(struct rate *r); /* after the bus that it shared by is closed */

/* Counts one request of the key unless that would be over the limit: false then. real_ms: now. */
bool rate_take(struct rate *r, struct str key, uint32_t limit, int64_t real_ms,
               struct rate_state *ret);

/* Tells what was counted since, and hears what the others have. */
void rate_share(struct rate *r, struct bus *bus, int64_t real_ms);
