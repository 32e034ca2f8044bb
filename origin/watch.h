/* SPDX-License-Identifier: Apache-2.0 */
/* watch: tells subscribers which refs move, as they move: GET /refs/watch (docs/api.md).
 *
 * Life:    watch_new -> watch_moved, watch_serve while serving -> watch_close (streams end, no new
 *          ones) -> watch_free behind the server's end.
 * Owner:   struct origin.
 * Threads: any worker; a lock covers the log of names and the list of subscribers.
 * Errors:  answered to the client.
 * Units:   milliseconds.
 *
 * The log holds names of assets, not what they show: that is looked up when an event is written, so
 * a subscriber never hears an older state behind a newer one, and a slow one costs a position in
 * the log. One that has fallen behind the log is told so ("lost") and has to ask for all anew. */
#pragma once
#include "http/http.h"

#define WATCH_LOG_MAX         4096 /* moves that are remembered, 0.5 MiB */
#define WATCH_SUBSCRIBERS_MAX 1024
#define WATCH_BEAT_MS         1500

struct watch;

MUST_USE int watch_new(struct metrics *metrics, struct watch **ret);
struct watch *watch_free(struct watch *w);
void watch_close(struct watch *w);

/* asset's ref has moved, or is gone. */
void watch_moved(struct watch *w, struct str asset);

/* Answers with the stream of events; the worker must be a struct origin_worker. */
void watch_serve(struct watch *w, struct http_req *req);
