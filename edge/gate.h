/* SPDX-License-Identifier: Apache-2.0 */
/* gate: who may have what: finds the token of a request, verifies it and says what it covers.
 *
 * Life:    gate_new -> gate_admit per request -> gate_free.
 * Owner:   the worker; a pass lives on its caller's stack: gate_pass_clear.
 * Threads: the worker's loop.
 * Errors:  a refusal has a code and a sentence; the caller answers 403 with them.
 * Units:   seconds since 1970.
 * Source:  RFC 9246 section 2; verified tokens are kept until they expire, GATE_SLOTS of them. */
#pragma once
#include "edge/edge.h"

#define GATE_SLOTS 4096 /* power of two */

struct gate_refusal {
    const char *code;
    const char *message;
};

struct gate_pass {
    struct buf path;                   /* the request's path without the package */
    bool by_cookie;                    /* the URL alone does not open it */
    const struct token_claims *claims; /* the gate's; valid for this turn of the loop */
};

MUST_USE int gate_new(struct edge *e, struct gate **ret);
struct gate *gate_free(struct gate *g);

/* True: *ret is filled. False: *ret_why says why not. Clear the pass in both cases. */
bool gate_admit(struct gate *g, const struct http_req *req, struct gate_pass *ret,
                struct gate_refusal *ret_why);
void gate_pass_clear(struct gate_pass *p);
