/* SPDX-License-Identifier: Apache-2.0 */
/* upstream: where an edge gets what it lacks: the servers of one origin, and how they are spoken
 * to.
 *
 * Life:    upstreams_open at start -> upstream_find -> upstreams_free.
 * Owner:   struct edge.
 * Threads: read-only once open.
 * Errors:  -EINVAL with a sentence that names the key.
 * Units:   milliseconds. */
#pragma once
#include "base/config.h"
#include "base/digest.h"
#include "base/secret.h"
#include "base/str.h"

#define UPSTREAMS_MAX        32
#define UPSTREAM_SERVERS_MAX 16
#define UPSTREAM_NAME_MAX    64
#define UPSTREAM_ASSET_MAX   1024

struct upstream_config {
    char *name;
    unsigned kind;  /* weir: blobs and refs of a Weir origin; http: any HLS or DASH origin */
    char **servers; /* URLs without a path */
    unsigned servers_count;
    char *ca_file;         /* roots trusted for https servers; NULL: the system's */
    char *credential_file; /* sent as a bearer; NULL: none */
    uint32_t ref_ttl_ms;   /* weir: how long a ref counts as fresh; 0: 2 s */
};

struct upstream {
    const struct upstream_config *config;
    unsigned index;
    struct secret credential; /* size 0: none */
};

struct upstreams;

extern const cyaml_schema_value_t upstream_schema;
MUST_USE int upstream_check(const struct upstream_config *c, unsigned count, struct err *err);
MUST_USE int upstreams_open(const struct upstream_config *c, unsigned count, struct err *err,
                            struct upstreams **ret);
struct upstreams *upstreams_free(struct upstreams *u);
unsigned upstreams_count(const struct upstreams *u);
struct upstream *upstreams_at(struct upstreams *u, unsigned i);
struct upstream *upstream_find(struct upstreams *u, struct str name); /* NULL: none */

bool upstream_is_http(const struct upstream *u);
const char *upstream_bearer(const struct upstream *u); /* NULL: none */

/* Names an asset among those of all upstreams; asset is at most UPSTREAM_ASSET_MAX long. */
struct digest upstream_asset_key(const struct upstream *u, struct str asset);
