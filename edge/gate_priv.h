/* SPDX-License-Identifier: Apache-2.0 */
/* gate_priv: the verified tokens that a gate holds, as its parts see them.
 *
 * Life:    as gate.h.
 * Owner:   the gate.
 * Threads: the worker's loop.
 * Errors:  as token_verify.
 * Units:   seconds since 1970. */
#pragma once
#include "edge/gate.h"

struct gate_slot {
    char *token;                   /* NULL: empty */
    const struct token_ring *ring; /* that it was verified with; it tells the route too */
    struct token_claims claims;
    bool plain;    /* the container is token_asset_container(asset): a prefix comparison does */
    char *renewed; /* what it has earned at renewed_s; NULL: nothing yet */
    int64_t renewed_s;
};

/* The slot that holds the verified token, until the next call; NULL with *ret_error otherwise. */
struct gate_slot *gate__verify(struct gate *g, const struct live *live, const struct route *route,
                               struct str token, int *ret_error);

/* Issues the token that the use of this one earns, unless the client's cookie is as good. May empty
 * slots, this one too. */
void gate__renew(struct gate *g, const struct live *live, const struct route *route,
                 struct http_req *req, struct gate_pass *pass, struct gate_slot *slot);
struct edge *gate__edge(const struct gate *g);
