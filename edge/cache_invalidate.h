/* SPDX-License-Identifier: Apache-2.0 */
/* cache_invalidate: what an unsafe method has changed at the origin is forgotten here.
 *
 * Life:    none.
 * Owner:   struct cache.
 * Threads: any.
 * Errors:  a Location that is no URL of this host is passed over.
 * Units:   none.
 * Source:  RFC 9111 section 4.4. */
#pragma once
#include "edge/cache_request.h"

/* The request's own URL, and those of the answer's Location and Content-Location. */
void cache_invalidate(struct cache *c, const struct cache_request *r, const struct digest *primary,
                      const struct fields *answer);
