/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_health: asks the servers of all upstreams, and other edges, whether they are well.
 *
 * Life:    upstream_health_new -> (checks) -> upstream_health_free.
 * Owner:   the worker that has it: the first one.
 * Threads: that worker's loop; what it finds is told by upstream_server.h to all.
 * Errors:  none: a check that cannot be made has failed.
 * Units:   milliseconds.
 *
 * A server is well when it answers health.path with 200 to 399; another edge when it answers GET
 * /blob/ with 204 (peer.h). Servers without a health.path are not asked. */
#pragma once
#include "edge/edge.h"

struct upstream_health;

MUST_USE int upstream_health_new(struct edge *e, struct loop *loop, struct upstream_health **ret);
struct upstream_health *upstream_health_free(struct upstream_health *h);
