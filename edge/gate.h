/* SPDX-License-Identifier: Apache-2.0 */
/* gate: who may have what: finds the token of a request, verifies it and says what it covers.
 *
 * Life:    gate_new -> gate_read, gate_admit per request -> gate_free.
 * Owner:   the worker; a pass lives on its caller's stack: gate_pass_clear.
 * Threads: the worker's loop.
 * Errors:  a refusal has a code and a sentence; the caller answers 403 with them.
 * Units:   seconds since 1970.
 * Source:  RFC 9246 sections 2 and 3.
 *
 * Verified tokens are kept until they expire, GATE_SLOTS of them. */
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
    struct addr client;                /* whom the answer goes to */
    bool has_client;                   /* false: its address is not known */
    bool by_cookie;                    /* the URL alone does not open it: a cookie came with it or
                                        * goes with the answer, or who asks counts */
    const struct token_claims *claims; /* the gate's; valid for this turn of the loop. NULL: the
                                        * route is open to all */
};

MUST_USE int gate_new(struct edge *e, struct gate **ret);
struct gate *gate_free(struct gate *g);

/* Forgets what it has verified: other rings count now. */
void gate_forget(struct gate *g);

/* What the request says: its path and query apart from its token. -ENOMEM. Clear the pass in every
 * case. */
MUST_USE int gate_read(const struct http_req *req, struct gate_pass *ret);

/* False: *ret_why says why not. An admitted request may get a Set-Cookie with a renewed token. */
bool gate_admit(struct gate *g, const struct live *live, const struct route *route,
                struct http_req *req, struct gate_pass *pass, struct gate_refusal *ret_why);
void gate_pass_clear(struct gate_pass *p);
