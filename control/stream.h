/* SPDX-License-Identifier: Apache-2.0 */
/* stream: what edges ask when leases are in this process: renewals in batches, and a stream of the
 * sessions that are ended (server-sent events).
 *
 * Life:    stream_routes; a stream from its request until the edge leaves or the service stops.
 * Owner:   the response owns its stream; the worker lists them.
 * Threads: the request's loop.
 * Errors:  404 where no edge_credential_file is configured, 401.
 * Units:   milliseconds.
 * Source:  WHATWG HTML, server-sent events. */
#pragma once
#include "control/control.h"

#define STREAM_BEAT_MS  1000      /* a comment, so that a silent break is noticed */
#define STREAM_SIZE_MAX (1 << 20) /* an edge that reads slower than that is cut, and comes back */

MUST_USE int stream_routes(struct control *c);
void streams_leave(struct control_worker *w); /* at its end: those that are left hear no more */
