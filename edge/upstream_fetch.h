/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_fetch: one question to an upstream, and one answer, whoever gives it: the sibling that
 * owns the key, a parent, or one of the servers, each tried when those before it are away.
 *
 * Life:    upstream_fetch_start -> on_head? -> on_data* -> on_done exactly once, unless cancelled:
 *          after upstream_fetch_cancel no callback comes. As with fetch.h the first callback comes
 *          on the loop's next turn or later; start, cancel and pause may be called from any.
 * Owner:   whoever started it cancels it before the worker stops; it is gone after on_done.
 * Threads: the worker's loop.
 * Errors:  on_done res as fetch.h's; of the last that was tried.
 * Units:   none.
 *
 * How it is used, by fill.c, assets.c and the http routes:
 *
 *     const struct upstream_ask ask = {
 *         .upstream = route->upstream,
 *         .key = key,                        // the URL's or the blob's: names its owner
 *         .path = STR("/live/a.m3u8?x=1"),   // instead of the request's URL
 *         .host = http_req_authority(req),   // for other edges, which route by it
 *         .came = http_req_fields(req),      // of these CDN-Loop is read
 *         .request = &(struct fetch_request){.method = "GET", .fields = fields, .on_head = ...},
 *     };
 *     r = upstream_fetch_start(w, &ask, &op);
 *
 * What it sees to:
 *  - The answer that on_head is told of is the one that counts: before it, whoever refuses the
 *    connection, breaks off or times out is passed over at once, and so is a server that answers
 *    500, 502, 503 or 504 while there is another, and an edge that answers 401, 403, 421 or 5xx.
 *    When all have failed to answer, the servers are asked again, `retries` times with backoff.
 *    After the head nothing is tried again: on_done tells the failure.
 *  - Methods other than GET and HEAD go to the servers alone, and to the next one only where the
 *    one before cannot have seen it. So do requests with an Authorization of their own, and
 *    `direct`.
 *  - Authorization, CDN-Loop, traceparent, and for edges Host, are set here.
 *  - No loops: CDN-Loop names each edge that a request went through (peer.h refuses those that come
 *    back), a sibling's question is never passed to another sibling, and only siblings that come
 *    before ourselves in the key's order are asked.
 *  - Health, circuit breakers and weir_edge_upstream_* metrics. */
#pragma once
#include "edge/edge.h"

struct upstream_fetch;
struct upstream_worker;

struct upstream_ask {
    const struct upstream *upstream;
    struct digest key;
    struct str path;      /* and query, as sent to a server */
    struct str peer_path; /* to another edge; STR_NONE: path */
    struct str host;      /* to another edge; STR_NONE: its own name */
    struct fields came;   /* with the request that this is for; none: our own question */
    bool direct;          /* past other edges: it cannot be stored anyway */
    const struct fetch_request *request; /* its url, bearer and unix_socket are not read */
};

/* -EINVAL: request or path are not to be sent; -ENOMEM. */
MUST_USE int upstream_fetch_start(struct edge_worker *w, const struct upstream_ask *ask,
                                  struct upstream_fetch **ret);
void upstream_fetch_cancel(struct upstream_fetch *f);
void upstream_fetch_pause(struct upstream_fetch *f, bool paused); /* as fetch_pause */

/* Who answers or is being asked: its URL. */
const char *upstream_fetch_server(const struct upstream_fetch *f);

/* The answer came from another edge: its Cache-Status tells more. */
bool upstream_fetch_is_peer(const struct upstream_fetch *f);

/* The bytes were not what they should be: counts against whoever gave them. From on_data or
 * on_done. */
void upstream_fetch_blame(struct upstream_fetch *f);

/* The worker's connections to all upstreams. */
MUST_USE int upstream_worker_new(struct edge_worker *w, struct upstream_worker **ret);
struct upstream_worker *upstream_worker_free(struct upstream_worker *u);
