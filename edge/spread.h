/* SPDX-License-Identifier: Apache-2.0 */
/* spread: calls something on every worker's loop.
 *
 * Life:    spread_new -> spread_join by each worker at its start -> spread_call* -> spread_leave at
 *          its stop -> spread_free.
 * Owner:   struct edge; a seat is its worker's.
 * Threads: spread_call from any; the rest on the worker's own.
 * Errors:  -ENOMEM: some workers were not called.
 * Units:   bytes.
 *
 * A worker is called in the order of the calls, not at all once it has left. */
#pragma once
#include "edge/edge.h"

struct spread;
struct spread_seat;

MUST_USE int spread_new(struct spread **ret);
struct spread *spread_free(struct spread *s);

MUST_USE int spread_join(struct spread *s, struct edge_worker *w, struct spread_seat **ret);
struct spread_seat *spread_leave(struct spread *s, struct spread_seat *seat); /* takes NULL */

/* cb gets a copy of data's size bytes. */
typedef void spread_cb(struct edge_worker *w, const void *data);
MUST_USE int spread_call(struct spread *s, spread_cb *cb, const void *data, size_t size);
