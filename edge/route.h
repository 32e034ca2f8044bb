/* SPDX-License-Identifier: Apache-2.0 */
/* route: which upstream answers for a host and a path, and under which rules.
 *
 * Life:    routes_open at start -> route_find per request -> routes_free.
 * Owner:   struct edge.
 * Threads: read-only once open.
 * Errors:  -EINVAL with a sentence that names the key.
 * Units:   none.
 *
 * The most exact host wins ("a.example.org", then "*.example.org", then none), among its routes the
 * longest prefix. */
#pragma once
#include "edge/cache_config.h"
#include "edge/rules.h"
#include "edge/upstream.h"
#include "token/token.h"

#define ROUTES_MAX 256

struct route_config {
    char *name;            /* what metrics call it; NULL: its host and prefix */
    char *host;            /* NULL: any; "*.example.org": all below */
    char *prefix;          /* of the path; NULL: "/" */
    char *upstream;        /* its name */
    char *token_ring_file; /* JWK Set; NULL: no token is asked for */
    char **token_audience; /* who we are to issuers: aud must name one of them */
    unsigned token_audience_count;
    char *cookie_domain; /* of renewed tokens' cookies; NULL: the host that was asked */
    struct rules_config rules;
    struct cache_config cache;
};

struct route {
    const struct route_config *config;
    unsigned index; /* below routes_count; of its key ring in struct live */
    struct upstream *upstream;
    struct rules *rules;
    struct cache_rules cache;
};

struct routes;

extern const cyaml_schema_value_t route_schema;
MUST_USE int route_check(const struct route_config *c, unsigned count, struct err *err);
MUST_USE int routes_open(const struct route_config *c, unsigned count, struct upstreams *upstreams,
                         struct err *err, struct routes **ret);
struct routes *routes_free(struct routes *r);
unsigned routes_count(const struct routes *r);
const struct route *routes_at(const struct routes *r, unsigned index);

/* What metrics call it: no two routes of one configuration have the same. */
#define ROUTE_LABEL_SIZE 128
void route_label(const struct route_config *c, char out[ROUTE_LABEL_SIZE]);

/* authority: as sent, with or without a port. NULL: nobody answers for it. */
const struct route *route_find(const struct routes *r, struct str authority, struct str path);
