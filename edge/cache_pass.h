/* SPDX-License-Identifier: Apache-2.0 */
/* cache_pass: an answer that goes past the cache to one client, as fast as that takes it.
 *
 * Life:    cache_pass_start, or cache_pass_adopt from within a fill's head -> reply -> freed when
 *          the answer and the upstream have both ended.
 * Owner:   itself; it holds the request and the fill.
 * Threads: the request's loop.
 * Errors:  answered to the client; what breaks off behind the head breaks the answer off.
 * Units:   bytes. */
#pragma once
#include "edge/cache_fill.h"

#define CACHE_PASS_MAX (256u << 10) /* kept for a slow client; then the upstream waits */

/* fwd: why, for Cache-Status. */
void cache_pass_start(struct cache_worker *w, struct http_req *req, struct cache_request *request,
                      const struct digest *primary, const char *fwd, const char *detail);

/* Takes over a fill whose head has just come. */
bool cache_pass_adopt(struct cache_worker *w, struct http_req *req, struct cache_fill *f,
                      const struct fetch_head *head, const char *fwd, const char *why);

/* 502, 503 or 504, as the error is; status other than 0: the upstream's own. */
void cache_reply_failed(struct http_req *req, int error, unsigned status, const char *fwd);
