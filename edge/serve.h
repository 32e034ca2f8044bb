/* SPDX-License-Identifier: Apache-2.0 */
/* serve: a request that its route's rules and the gate have let in, answered.
 *
 * Life:    serve_* per request; what takes longer lives in an operation of its own.
 * Owner:   the operation holds the request; pass is lent for the call.
 * Threads: the request's loop.
 * Errors:  answered to the client.
 * Units:   none. */
#pragma once
#include "edge/edge.h"
#include "edge/gate.h"

/* serve_weir.c: views and blobs of a Weir origin. */
void serve_weir(struct http_req *req, const struct route *route, const struct gate_pass *pass);

/* For another edge: a blob of an upstream, whoever may see it. */
void serve_weir_blob(struct http_req *req, const struct upstream *u, const struct digest *d);

/* A 403 that nobody may keep: it may be wrong a moment later. */
void serve_refuse(struct http_req *req, const char *code, const char *message);
