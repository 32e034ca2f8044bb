/* SPDX-License-Identifier: Apache-2.0 */
/* http_route: which handler answers a path and method.
 *
 * Life:    = {0} -> http_router_add* -> http_router_find* -> http_router_free.
 * Owner:   the server.
 * Threads: add before the workers start; find from any.
 * Errors:  -EINVAL (pattern without '/', no method), -EEXIST (pattern and method taken), -ENOMEM.
 * Units:   none. */
#pragma once
#include "base/buf.h"

struct http_req;

struct http_route_entry {
    char *pattern;
    size_t size;
    bool is_prefix; /* the pattern ends in '/' */
    unsigned methods;
    void (*handler)(struct http_req *req, void *arg);
    void *arg;
    bool streams;      /* it takes its bodies as they come; */
    uint64_t body_max; /* ... up to this size */
};

struct http_router {
    struct http_route_entry *entries;
    unsigned count;
    bool streams; /* one of them does */
};

MUST_USE int http_router_add(struct http_router *r, unsigned methods, const char *pattern,
                             void (*handler)(struct http_req *req, void *arg), void *arg);

/* The longest pattern that matches path decides: NULL with *ret_methods 0: there is none (404);
 * NULL with *ret_methods: it has these methods only (405). */
const struct http_route_entry *http_router_find(const struct http_router *r, struct str path,
                                                unsigned method, unsigned *ret_methods);
void http_router_free(struct http_router *r);

/* The entry just added takes its bodies as they come. */
void http_router_set_streams(struct http_router *r, uint64_t body_max);
/* Whether bytes may be the beginning of a request (HTTP/1) to an entry that does. */
bool http_router_may_stream(const struct http_router *r, struct str bytes);

/* "GET" gives HTTP_GET; "HEAD" too; 0: not one of ours. */
unsigned http_method_of(struct str name);
const char *http_method_name(unsigned method);
void http_methods_put(unsigned methods, struct buf *out); /* the value of Allow */
