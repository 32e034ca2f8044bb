/* SPDX-License-Identifier: Apache-2.0 */
/* load: a whole blob into memory: from RAM or disk, else from the origin.
 *
 * Life:    load_blob -> cb exactly once.
 * Owner:   the blob is lent for the call of cb.
 * Threads: the worker's loop.
 * Errors:  cb res: as store_get and fill_read.
 * Units:   none. */
#pragma once
#include "edge/edge.h"

/* may_fetch false: from this host's tiers only. cb may run before load_blob returns. */
void load_blob(struct edge_worker *w, const struct upstream *u, const struct digest *d,
               bool may_fetch, store_get_cb *cb, void *arg);
