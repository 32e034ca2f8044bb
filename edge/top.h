/* SPDX-License-Identifier: Apache-2.0 */
/* top: which names were asked for most of late, in memory that does not grow with their number.
 *
 * Life:    tops_new -> top_new per worker -> top_count ... tops_list -> top_free -> tops_free.
 * Owner:   the edge owns the set, each worker its part.
 * Threads: top_count on its worker; tops_list from any thread.
 * Errors:  0 or -errno; what was asked for rarely may be absent, and a name that came into a full
 *          part late is told with the count of the one that it replaced, at most: `error`.
 * Units:   requests and bytes a second, of the last half minute or so: a request counts half
 *          TOP_HALF_LIFE_MS later, a quarter twice as late. Milliseconds of clock_mono_ms.
 * Source:  Metwally, Agrawal, El Abbadi, "Efficient computation of frequent and top-k elements in
 *          data streams", 2005 (space saving); Cormode et al., "Forward decay: a practical time
 *          decay model", 2009. */
#pragma once
#include "base/str.h"

#define TOP_ENTRIES      1024 /* names that a worker remembers */
#define TOP_NAME_MAX     223
#define TOP_HALF_LIFE_MS 10000
#define TOP_ROWS_MAX     1000

struct tops;
struct top;

MUST_USE int tops_new(struct tops **ret);
struct tops *tops_free(struct tops *t); /* after its parts */
MUST_USE int top_new(struct tops *set, struct top **ret);
struct top *top_free(struct top *t); /* takes NULL */

/* One request. group tells equal names of different kinds apart (the edge: the route's index). A
 * longer name is known by its last TOP_NAME_MAX bytes. Beyond some hundred requests a second one of
 * eight is taken, for eight: it is on the way of each. */
void top_count(struct top *t, uint32_t group, struct str name, uint64_t bytes, bool hit,
               uint64_t now_ms);

struct top_row {
    char name[TOP_NAME_MAX + 1];
    uint32_t group;
    double requests_per_s, bytes_per_s;
    double hit_ratio; /* of the requests that are surely its own */
    double error;     /* of requests_per_s, at most that much too high */
};

/* The first of all parts together, most requests first. rows_max <= TOP_ROWS_MAX. -ENOMEM. */
MUST_USE int tops_list(struct tops *set, unsigned rows_max, uint64_t now_ms, struct top_row *ret,
                       unsigned *ret_count);
