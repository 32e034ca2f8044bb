/* SPDX-License-Identifier: Apache-2.0 */
/* gate: who may have what: finds the token of a request, verifies it and says what it covers.
 *
 * Life:    gate_new -> gate_read, gate_admit per request -> gate_free.
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
    struct buf path, query;            /* the request's, without the package */
    struct str token;                  /* of path or query; borrows from the request */
    int token_error;                   /* 0: there is one; -ENOENT: none; -EBADMSG */
    bool by_cookie;                    /* the URL alone does not open it */
    const struct token_claims *claims; /* the gate's; valid for this turn of the loop. NULL: the
                                        * route is open to all */
};

MUST_USE int gate_new(struct edge *e, struct gate **ret);
struct gate *gate_free(struct gate *g);

/* What the request says: its path and query apart from its token. -ENOMEM. Clear the pass in every
 * case. */
MUST_USE int gate_read(const struct http_req *req, struct gate_pass *ret);

/* False: *ret_why says why not. */
bool gate_admit(struct gate *g, const struct route *route, const struct http_req *req,
                struct gate_pass *pass, struct gate_refusal *ret_why);
void gate_pass_clear(struct gate_pass *p);
