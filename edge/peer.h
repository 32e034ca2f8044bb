/* SPDX-License-Identifier: Apache-2.0 */
/* peer: what other edges ask of this one: siblings, and those that we are a parent or a server of.
 *
 *   GET /blob/<digest>?upstream=NAME   the blob, fetched if it is not here
 *   GET /ref/<asset>?upstream=NAME     {"asset", "presentation", "stale"}, no older than 250 ms
 *   GET /blob/                         204: the credential is right and we are well
 *   any URL of a route                 as for a viewer, past token and rules
 *
 * all with `Authorization: Bearer <the upstream's peer credential>`. Without upstream= the only
 * weir upstream counts, so that an edge can be a server of another one, for which it is an origin.
 * Without the credential nothing is different: these paths are the viewers' then.
 *
 * Life:    peer_serve, peer_is per request.
 * Owner:   the request's.
 * Threads: the request's loop.
 * Errors:  508 LOOP for what has been here before (RFC 8586); 421 PURGES_UNKNOWN while the asker
 *          knows of purges that we do not (purge.h); 421 NO_ROUTE for what we are not
 *          configured for, so that a 404 is always the origin's word.
 * Units:   none. */
#pragma once
#include "edge/edge.h"
#include "edge/gate.h"

/* True: it was one of these, or has come round in a circle, and is answered. Before any route. */
bool peer_serve(struct http_req *req, struct edge_worker *w, const struct gate_pass *pass);

/* Whether it comes from another edge of this upstream, by its credential. Its Authorization is
 * between us then, no business of a cache's rules nor of the upstream. */
bool peer_is(const struct http_req *req, const struct upstream *u);

/* What the viewer spoke: another edge tells it, for it may speak http to us where its viewer spoke
 * https, and keys of a cache have it. */
struct str peer_scheme(const struct http_req *req, const struct upstream *u);

/* Whether it comes from another edge at all, for which there is no route. */
bool peer_is_any(const struct http_req *req, const struct edge *e);
