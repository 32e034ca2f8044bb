/* SPDX-License-Identifier: Apache-2.0 */
/* seen: what an edge tells of its traffic: requests, bytes and first bytes by route and tier, and
 * what is asked for most.
 *
 * Life:    seen_new at start -> seen_worker_new per worker -> per request seen_route, seen_asset,
 *          seen_as -> seen_done once it is over -> seen_worker_free -> seen_free.
 * Owner:   struct edge; each worker its part. What is noted of a request is in its http_req_room.
 * Threads: the request's loop; seen_admin's answers on the admin server's.
 * Errors:  0 or -errno; what cannot be counted breaks no request.
 * Units:   bytes. */
#pragma once
#include "edge/edge.h"

/* Where an answer came from. */
enum seen_tier {
    SEEN_NONE, /* refused, failed, or not said */
    SEEN_RAM,
    SEEN_DISK,
    SEEN_VIEW,        /* rendered here */
    SEEN_STALE,       /* kept, given out though stale */
    SEEN_REVALIDATED, /* kept, and the upstream said that it stands */
    SEEN_MISS,
    SEEN_COLLAPSED, /* waited for another's miss */
    SEEN_PASS,      /* the upstream's, not kept */
    SEEN_TIERS,
};

struct seen;
struct seen_worker;

MUST_USE int seen_new(struct edge *e, struct seen **ret); /* its routes are open */
struct seen *seen_free(struct seen *s);
MUST_USE int seen_worker_new(struct edge_worker *w, struct seen_worker **ret);
struct seen_worker *seen_worker_free(struct seen_worker *w);

/* path: without the token. The request counts for its folder, unless seen_asset names another; an
 * empty one: for none. */
void seen_route(struct http_req *req, const struct route *route, struct str path);
void seen_asset(struct http_req *req, struct str asset);
void seen_as(struct http_req *req, enum seen_tier tier);

/* As seen_as, and Server-Timing: cache;desc=TIER;dur=, or cache;desc=TIER, upstream;dur= where the
 * upstream was asked: how long it took until now. Before the reply. */
void seen_timed(struct http_req *req, enum seen_tier tier);

/* http_options.request_done; arg: the edge. */
void seen_done(void *arg, struct http_req *req, const struct http_done *done);

/* GET /edge/stat, /edge/top and /edge/hot on the admin server. */
MUST_USE int seen_admin(struct edge *e);
