/* SPDX-License-Identifier: Apache-2.0 */
/* cache_config: the `cache:` part of a route to an http upstream.
 *
 * Life:    part of a route's configuration, loaded and freed with it; cache_rules_of makes what
 *          requests use.
 * Owner:   the route's configuration; rules borrow its texts.
 * Threads: any; read-only once loaded.
 * Errors:  -EINVAL with a sentence that names the key.
 * Units:   sizes are texts like "64M", times like "30s". */
#pragma once
#include "base/config.h"
#include "http/http_cache.h"

struct cache_config {
    char *block_size;   /* 1M */
    char *ttl;          /* of what says nothing; NULL: by Last-Modified, else not at all */
    char *negative_ttl; /* of 404, 405, 410, 414, 501 that say nothing; NULL: not kept */
    char *ttl_max;
    char *heuristic_max; /* 24h */
    char *pass_ttl;      /* 10s: for how long what was not kept is asked for without waiting */
    char *object_max;    /* larger ones pass through; NULL: no limit */
    char *fill_ahead;    /* 32M: of a large body, ahead of who reads it */
    unsigned query;      /* HTTP_KEY_QUERY_* */
    char **query_names;
    unsigned query_names_count;
    bool query_sorted;
    bool *honour_client_no_cache; /* NULL: true: a client can make the cache ask its upstream */
    bool pass_host;               /* the client's Host, not the server's own */
    bool pass_surrogate_keys;     /* to clients */
};

extern const cyaml_schema_field_t cache_config_fields[];

struct cache_rules {
    struct http_cache_options options;
    struct http_key_options key;
    uint32_t block_size;
    uint64_t object_max, fill_ahead;
    uint32_t pass_s;
    bool pass_host, pass_surrogate_keys, honour_client;
};

MUST_USE int cache_rules_of(const struct cache_config *c, struct cache_rules *ret, struct err *err);
