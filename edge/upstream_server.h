/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_server: one server of an upstream, or one edge beside or above us: whether it is well.
 *
 *   well --failures in a row--> down --checks that succeed, or time--> well
 *
 * A request that fails and a check that fails count the same. Where it is checked, checks alone
 * bring it back; where it is not, it is tried again after UPSTREAM_DOWN_MS, and the first failure
 * then takes it out again.
 *
 * Life:    part of struct upstream.
 * Owner:   struct upstream.
 * Threads: any; the state is atomic, and a lost race costs one request too many.
 * Errors:  none.
 * Units:   milliseconds, seconds in metrics. */
#pragma once
#include <stdatomic.h>
#include "edge/upstream.h"

#define UPSTREAM_DOWN_MS 2000

struct upstream_server {
    const char *url;
    const struct upstream *upstream;
    enum upstream_role role;
    struct digest id; /* of its URL */
    bool is_checked;
    unsigned failures_max, successes_min;
    _Atomic unsigned failures;      /* in a row */
    _Atomic unsigned successes;     /* checks in a row */
    _Atomic uint64_t down_until_ms; /* monotonic; 0: well */
    struct metric *healthy, *requests, *failed, *seconds;
};

bool upstream_server_is_up(const struct upstream_server *s, uint64_t now_ms);
void upstream_server_answered(struct upstream_server *s); /* a request */
void upstream_server_failed(struct upstream_server *s, const char *why);
void upstream_server_checked(struct upstream_server *s, bool ok, const char *why);
