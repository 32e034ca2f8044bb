/* SPDX-License-Identifier: Apache-2.0 */
/* cache_request: what an upstream is asked on behalf of a client: a copy that outlives its request.
 *
 * Life:    cache_request_new -> references -> the last unref.
 * Owner:   operations and fills hold references.
 * Threads: read-only once made; any.
 * Errors:  -ENOMEM, -EFBIG.
 * Units:   bytes.
 * Source:  RFC 9110 section 7.6 (forwarding), RFC 7239 (Forwarded). */
#pragma once
#include "edge/cache.h"
#include "edge/upstream_fetch.h"

#define CACHE_REQUEST_FIELDS_MAX 128u
#define CACHE_BLOCKING_MS        60000u /* how long a blocking reload may be held by an upstream */

struct cache_request {
    uint32_t magic;
#define CACHE_REQUEST_MAGIC UINT32_C(0xca4e95e7)
    _Atomic uint32_t refs;
    const struct route *route;
    struct http_cache_ask ask;
    const char *method;
    struct str target, key; /* zero-terminated both */
    struct str host, peer, scheme, id;
    struct fields fields; /* the client's, as they came */
    struct rbuf *body;    /* NULL: none */
    bool is_ahead;        /* no viewer's: only a 200 is kept of it */
};

struct cache_request_parts {
    const struct route *route;
    const char *method; /* static text */
    struct str target, key, host, peer, scheme, id;
    struct fields fields;
    struct str drop; /* a field that is left out; STR_NONE: none */
    struct str body;
    bool is_ahead;
};

MUST_USE int cache_request_make(const struct cache_request_parts *p, struct cache_request **ret);

MUST_USE int cache_request_new(struct http_req *req, const struct route *route,
                               const struct gate_pass *pass, struct str key,
                               struct cache_request **ret);
struct cache_request *cache_request_ref(struct cache_request *r);
struct cache_request *cache_request_unref(struct cache_request *r); /* takes NULL */
DEFINE_CLEAN(struct cache_request *, cache_request_unref)

struct cache_ask_how {
    const char *method;
    bool as_it_is;              /* with the client's own range and conditions */
    bool ranged;                /* a range of ours */
    uint64_t first, last;       /* last CACHE_END_OPEN: to the end */
    const struct fields *valid; /* validators of what is kept; NULL: none */
    bool if_range;              /* they go into If-Range, else into conditions */
};

/* Sends it to the route's upstream. */
MUST_USE int cache_request_send(struct cache_worker *w, const struct cache_request *r,
                                const struct cache_ask_how *how, struct fetch_request *callbacks,
                                struct upstream_fetch **ret);
