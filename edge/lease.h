/* SPDX-License-Identifier: Apache-2.0 */
/* lease: tokens name a session; may it play on? Each worker has a desk, which knows the sessions
 * that its requests have named; all desks of the process share a hub, a thread of its own that asks
 * the backend (Redis, or control), renews what was used, and hears of what was ended.
 *
 *   request -> desk: known? -> pass, or 403           (a hash look-up, nothing shared is written)
 *                `-> hub -> backend -> the desk's waiters go on
 *   timer   -> hub: the sessions used since the last turn are renewed, many in one call
 *   notice  -> hub -> all desks: refused from now on, and responses under way are cut
 *
 * Life:    lease_hub_new -> lease_desk_new per worker -> lease_admit per request -> lease_desk_free
 *          -> lease_hub_free.
 * Owner:   struct edge has the hub, each worker its desk.
 * Threads: the desk its worker's; the hub's calls the main thread's.
 * Errors:  -errno and a sentence.
 * Units:   seconds where said, else milliseconds. */
#pragma once
#include "edge/edge.h"
#include "lease/lease.h"

#define LEASE_DESK_SESSIONS_MAX 200000 /* of a worker; beyond, a new one is answered 503 */
#define LEASE_HUB_SESSIONS_MAX  1000000
#define LEASE_RENEW_S           10
#define LEASE_RENEW_S_MAX       60 /* a lease lives for two minutes */

struct lease_config {
    unsigned backend; /* redis or control */
    char *url;        /* control's, without a path */
    char *credential_file;
    char *ca_file;
    unsigned fail;    /* what becomes of an unknown session when the backend is away */
    uint32_t renew_s; /* 0: LEASE_RENEW_S */
};

extern const cyaml_schema_field_t lease_config_fields[];
MUST_USE int lease_config_check(const struct edge_config *c, struct err *err);

struct lease_hub;
struct lease_desk;

/* *ret is NULL without a `lease` in the configuration; the rest takes NULL then. */
MUST_USE int lease_hub_new(struct edge *e, struct err *err, struct lease_hub **ret);
struct lease_hub *lease_hub_free(struct lease_hub *h);

MUST_USE int lease_desk_new(struct lease_hub *h, struct edge_worker *w, struct lease_desk **ret);
struct lease_desk *lease_desk_free(struct lease_desk *d);

/* True: go on. False: it was answered, or it waits for the backend, and again(req) is called then,
 * which comes here once more. claims: NULL, or without a session: go on. */
bool lease_admit(struct lease_desk *d, struct http_req *req, const struct token_claims *claims,
                 void (*again)(struct http_req *req));
