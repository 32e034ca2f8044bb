/* SPDX-License-Identifier: Apache-2.0 */
/* upstream: where an edge gets what it lacks: the servers of one origin, and how they are spoken
 * to.
 *
 * Life:    upstreams_open at start -> upstream_find -> upstreams_free.
 * Owner:   struct edge.
 * Threads: read-only once open, the state of its servers apart: upstream_server.h.
 * Errors:  -EINVAL with a sentence that names the key.
 * Units:   milliseconds. */
#pragma once
#include "base/config.h"
#include "base/digest.h"
#include "base/metrics.h"
#include "base/secret.h"
#include "base/str.h"

#define UPSTREAMS_MAX        32
#define UPSTREAM_SERVERS_MAX 16
#define UPSTREAM_NAME_MAX    64
#define UPSTREAM_ASSET_MAX   1024

#define UPSTREAM_RETRIES_MAX 10
#define UPSTREAM_ALL_MAX     (UPSTREAM_SERVERS_MAX * 3) /* servers, parents, siblings */

struct upstream_health_config {
    char *path;           /* asked of servers; NULL: they are not asked */
    uint32_t interval_ms; /* 0: 2 s */
    uint32_t timeout_ms;  /* 0: 1 s */
    unsigned failures;    /* this many in a row take a server out; 0: 3 */
    unsigned successes;   /* this many checks in a row take it back; 0: 2 */
};

enum { UPSTREAM_NOTICES_ON, UPSTREAM_NOTICES_OFF };

struct upstream_config {
    char *name;
    unsigned kind;  /* weir: blobs and refs of a Weir origin; http: any HLS or DASH origin */
    char **servers; /* URLs without a path */
    unsigned servers_count;
    char *ca_file;         /* roots trusted for https servers; NULL: the system's */
    char *cert_file;       /* shown to https servers; NULL: none */
    char *key_file;        /* of cert_file */
    char *credential_file; /* sent as a bearer; NULL: none */
    bool http2;            /* offered to https servers */
    uint32_t connect_ms;   /* 0: 2 s */
    uint32_t stall_ms;     /* 0: 10 s */
    unsigned *retries;     /* NULL: 2 */
    unsigned balance;      /* failover: in the servers' order; hash: by key */
    struct upstream_health_config *health;
    uint32_t ref_ttl_ms; /* weir: how long a ref counts as fresh; 0: 2 s */
    unsigned notices;    /* weir: UPSTREAM_NOTICES_*: whether the servers tell of moved refs */

    char **parents; /* URLs of edges nearer to the servers */
    unsigned parents_count;
    char **siblings; /* URLs of the edges of this tier, our own may be among them */
    unsigned siblings_count;
    char *self;                 /* our own URL, as the siblings know it */
    char *peer_credential_file; /* sent to other edges and asked of them; NULL: none is let in */
    char *peer_ca_file;         /* roots trusted for https edges; NULL: the system's */
};

enum upstream_role { UPSTREAM_SERVER, UPSTREAM_PARENT, UPSTREAM_SIBLING };

struct upstream_server; /* upstream_server.h */

struct upstream {
    const struct upstream_config *config;
    unsigned index;
    struct secret credential; /* size 0: none */
    struct secret peer_credential;
    struct upstream_server *all; /* siblings, then parents, then servers */
    unsigned all_count;
    struct digest self; /* our id among the siblings; only with siblings */
    struct metric *retries;
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
struct upstream *upstreams_only_weir(struct upstreams *u);            /* NULL: none, or several */

/* Once there is a registry, before there is a worker. */
void upstreams_measure(struct upstreams *u, struct metrics *registry);

/* This edge's name in CDN-Loop: new with each start. */
const char *upstreams_id(const struct upstreams *u);

bool upstream_is_http(const struct upstream *u);
bool upstream_is_hashed(const struct upstream *u); /* its servers: by key, else in their order */
const char *upstream_bearer(const struct upstream *u); /* NULL: none */

/* Names an asset among those of all upstreams; asset is at most UPSTREAM_ASSET_MAX long. */
struct digest upstream_asset_key(const struct upstream *u, struct str asset);
