/* SPDX-License-Identifier: Apache-2.0 */
/* warm: fills from a list, before anybody asks: the admin API behind `weirctl edge warm`.
 *
 *   POST /warm {"urls": ["https://host/path", "/path", "asset", ...], "concurrent": 8}   202, and:
 *   GET /warm      {"queued", "running", "fetched", "here", "failed", "bytes", "failures": [...]}
 *   DELETE /warm   what has not begun is forgotten
 *
 * A URL is taken by its route as a viewer's would be, without token and rules: of an http upstream
 * that URL; of a Weir one the blob, or all that the asset of the view names. A name without '/' is
 * an asset of the only weir upstream.
 *
 * Life:    warm_new -> warm_route -> warm_worker_start, warm_worker_stop on the worker that does it
 *          -> warm_free.
 * Owner:   struct edge.
 * Threads: the API's and the worker's; its lock covers what they share.
 * Errors:  answered to the caller; of single URLs: counted, the last WARM_FAILURES told.
 * Units:   bytes. */
#pragma once
#include "edge/edge.h"

#define WARM_CONCURRENT     8u /* fills at once, unless told */
#define WARM_CONCURRENT_MAX 64u
#define WARM_QUEUE_MAX      1000000u
#define WARM_FAILURES       32u

struct warm;

MUST_USE int warm_new(struct edge *e, struct err *err, struct warm **ret);
struct warm *warm_free(struct warm *w);
MUST_USE int warm_route(struct warm *w, struct http_server *admin);
void warm_worker_start(struct warm *w, struct edge_worker *worker);
void warm_worker_stop(struct warm *w, struct edge_worker *worker);
