/* SPDX-License-Identifier: Apache-2.0 */
/* edge: the cache in front of an origin: token check, RAM and disk tier, one fetch for all who
 * wait.
 *
 * Life:    edge_start -> serving -> edge_stop.
 * Owner:   main.
 * Threads: struct edge is read-only while serving, its fills apart (fill.h); each worker thread has
 * a struct edge_worker of its own. Errors:  0 or -errno with a sentence in err. Units:   bytes,
 * milliseconds. */
#pragma once
#include "base/config.h"
#include "base/metrics.h"
#include "edge/purge.h"
#include "edge/route.h"
#include "edge/upstream.h"
#include "fetch/fetch.h"
#include "http/http_config.h"
#include "media/title.h"
#include "store/store_config.h"
#include "token/token.h"

#define EDGE_LISTENS_MAX       8
#define EDGE_DISK_SIZE_DEFAULT (UINT64_C(10) << 30)

struct prefetch_config;

struct edge_config {
    struct http_listen_config listen;
    struct http_listen_config *also_listen; /* further ones, as for clear text beside TLS */
    unsigned also_listen_count;
    struct http_listen_config admin_listen; /* /metrics, /health, /purge */
    char *admin_credential_file;            /* opens what changes something there; NULL: open */
    struct purge_config edges;              /* the others, which purges are spread to */
    unsigned workers;
    struct store_config store;
    struct upstream_config *upstreams;
    unsigned upstreams_count;
    struct route_config *routes;
    unsigned routes_count;
    struct prefetch_config *prefetch; /* NULL: nothing is fetched ahead */
    char *records_size;               /* of what is known of URLs, on disk; NULL: 1G */
    enum http_access_log access_log;
};

extern const cyaml_schema_value_t edge_schema;
MUST_USE int edge_check(const void *config, struct err *err);

/* All counters in one place; names and help texts are in edge.c. */
struct edge_metrics {
    struct metric *hits_ram, *hits_disk, *misses, *collapsed;
    struct metric *views, *fill_bytes, *fills_failed, *ref_fetches, *ref_stale;
    struct metric *refused_missing, *refused_invalid, *refused_expired, *refused_scope;
    struct metric *peer_requests;
    struct metric *fill_seconds;
};

struct cache;
struct cache_worker;
struct fills;
struct objects;
struct assets;
struct before;
struct views;
struct gate;
struct prefetch;
struct prefetch_worker;
struct upstream_health;
struct seen;
struct seen_worker;
struct upstream_worker;

struct edge {
    uint32_t magic;
#define EDGE_MAGIC UINT32_C(0xed9eed9e)
    const struct edge_config *config; /* main's; valid while the edge is */
    struct upstreams *upstreams;
    struct routes *routes;
    struct metrics *registry;
    struct edge_metrics metrics;
    struct store *store;
    struct objects *objects; /* what is known of URLs, and what was purged */
    struct purge *purge;
    struct fills *fills;
    struct seen *seen;
    struct cache *cache;
    struct prefetch *prefetch; /* NULL: not wanted */
    struct http_server *server;
    struct http_server *admin;
};

struct edge_worker {
    struct edge *edge;
    struct loop *loop;
    struct store_worker *store;
    struct loop_watch *watch;
    struct upstream_worker *upstreams;
    struct upstream_health *health; /* the first worker's */
    struct gate *gate;
    struct assets *assets;
    struct before *before;
    struct views *views;
    struct seen_worker *seen;
    struct cache_worker *cache;
    struct prefetch_worker *prefetch; /* NULL: not wanted */
    unsigned loads;                   /* under way: load.h. The worker stops when there are none */
};

MUST_USE int edge_start(const struct edge_config *config, struct err *err, struct edge **ret);
void edge_stop(struct edge *e);
uint16_t edge_port(const struct edge *e);

/* serve.c: every request, by its route. */
http_handler edge_serve;
