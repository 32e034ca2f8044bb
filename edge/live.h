/* SPDX-License-Identifier: Apache-2.0 */
/* live: what an edge reads anew at SIGHUP: the routes' key rings and the geo file, as one set.
 *
 * Life:    live_open -> handed out with a reference each -> live_unref by the last.
 * Owner:   reference holders: struct edge, and each worker until its next request.
 * Threads: read-only once open; references from any thread.
 * Errors:  -EINVAL or -errno with a sentence; then the former set stays.
 * Units:   none.
 *
 * A request that is being answered goes on with the set it has begun with: nothing waits for it. */
#pragma once
#include <stdatomic.h>
#include "geo/geo.h"
#include "edge/route.h"

struct live {
    uint32_t magic;
#define LIVE_MAGIC UINT32_C(0x11fe5e75)
    _Atomic uint32_t refs;
    unsigned count;
    struct token_ring *rings[ROUTES_MAX]; /* by route; NULL: open to all */
    struct geo *geo;                      /* NULL: none */
};

MUST_USE int live_open(const struct routes *routes, const char *geo_file, struct err *err,
                       struct live **ret);
struct live *live_ref(struct live *l);
struct live *live_unref(struct live *l); /* takes NULL */
