/* SPDX-License-Identifier: Apache-2.0 */
/* cors: pages of other origins: who may read answers and make calls, and who may not.
 *
 * Life:    calls.
 * Owner:   the request's.
 * Threads: the request's loop.
 * Errors:  -EPROTO with the fault filled.
 * Units:   -
 * Source:  WHATWG Fetch, "CORS protocol". */
#pragma once
#include "control/api/gate_config.h"
#include "control/fault.h"
#include "control/live.h"
#include "http/http.h"

/* For a request that changes something: the page's own origin, or one that is configured, or no
 * browser. 403 ORIGIN_REFUSED. */
MUST_USE int cors_check(const struct gate_settings *s, const struct live *l, struct http_req *req,
                        struct fault *fault);

/* Headers of an answer, where the origin is configured. */
void cors_headers(const struct gate_settings *s, struct http_req *req);

/* Answers OPTIONS of a path that has these methods. */
void cors_answer(const struct gate_settings *s, struct http_req *req, unsigned methods);
