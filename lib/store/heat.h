/* SPDX-License-Identifier: Apache-2.0 */
/* heat: how often each blob was asked for of late, in memory that does not grow: reads, of which
 * half are forgotten after each half-life.
 *
 * Life:    heat_new -> heat_touch and heat_of -> heat_free once nobody uses it.
 * Owner:   whoever made it.
 * Threads: heat_touch, heat_of: any, without locks. A touch that races another of the same blob
 *          may be lost. One that goes back in time counts as made at the latest time seen.
 * Errors:  -EINVAL, -ENOMEM from heat_new. What is told is an estimate: see below.
 * Units:   milliseconds of one clock that does not jump (clock_mono_ms); heat in reads.
 * Source:  Cormode, Muthukrishnan, "An improved data stream summary: the count-min sketch", 2005;
 *          Estan, Varghese, "New directions in traffic measurement and accounting", 2002
 *          (conservative update); Morris, "Counting large numbers of events in small registers",
 *          1978; Cormode et al., "Forward decay: a practical time decay model", 2009. */
#pragma once
#include "base/digest.h"

#define HEAT_HALF_LIFE_MS     (UINT64_C(6) * 3600 * 1000)
#define HEAT_HALF_LIFE_MIN_MS UINT64_C(1000)
#define HEAT_COUNTERS         (UINT64_C(1) << 22)
#define HEAT_COUNTERS_MIN     UINT64_C(24)
#define HEAT_COUNTERS_MAX     (UINT64_C(1) << 32)

struct heat;

/* counters, half_life_ms: 0 for the defaults above. With four counters for each blob that is read
 * within some half-lives (twenty times each, Zipf) one blob in fifty is told clearly too warm, with
 * eight one in five hundred. A counter costs 4/3 byte: heat_bytes(). */
MUST_USE int heat_new(uint64_t counters, uint64_t half_life_ms, struct heat **ret);
struct heat *heat_free(struct heat *h); /* takes NULL, returns NULL */
uint64_t heat_bytes(const struct heat *h);

void heat_touch(struct heat *h, const struct digest *d, uint64_t now_ms); /* it was read */

/* Reads, each counted 2^(-age / half-life); 0 when less than a sixteenth of one may be left. Up to
 * a million. The standard error of a single blob is a tenth for few reads, a fifth for many; what
 * other blobs add by sharing its counters comes on top. Time goes in eighths of the half-life. */
double heat_of(const struct heat *h, const struct digest *d, uint64_t now_ms);
