/* SPDX-License-Identifier: Apache-2.0 */
/* ahead: fills that no viewer waits for: for prefetch.c and warm.c.
 *
 * Life:    ahead_blob or ahead_url -> done exactly once, on a later turn of the loop, unless
 *          cancelled; gone then.
 * Owner:   whoever started it cancels it before the worker stops.
 * Threads: the worker's loop.
 * Errors:  -EALREADY: it is here, or on its way for somebody. done res: as fills; -ENOENT the
 *          upstream has no such thing, -EIO it failed, -EPERM it is not for keeping.
 * Units:   bytes.
 *
 * An answer that is no 200 is not kept: nobody has asked. What is larger than CACHE_SMALL is not
 * filled to its end without a reader. Cancelling lets the fill itself go on. */
#pragma once
#include "edge/edge.h"

struct ahead;
struct cache_request;
typedef void ahead_cb(void *arg, int res, uint64_t size);

/* keep: on disk, even if nobody asks for it. */
MUST_USE int ahead_blob(struct edge_worker *w, const struct upstream *u, const struct digest *d,
                        bool keep, ahead_cb *done, void *arg, struct ahead **ret);

/* r->is_ahead is set; a reference is taken. */
MUST_USE int ahead_url(struct edge_worker *w, struct cache_request *r, ahead_cb *done, void *arg,
                       struct ahead **ret);
void ahead_cancel(struct ahead *a);
