/* SPDX-License-Identifier: Apache-2.0 */
/* edge: the cache in front of an origin: token check, RAM and disk tier, one fetch for all who
 * wait.
 *
 * Life:    edge_start -> serving -> edge_stop.
 * Owner:   main.
 * Threads: struct edge is read-only while serving, its fills (fill.h), its once and its live apart;
 *          each worker thread has a struct edge_worker of its own.
 * Errors:  0 or -errno with a sentence in err.
 * Units:   bytes, milliseconds. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include "base/addr.h"
#include "base/config.h"
#include "base/metrics.h"
#include "edge/purge.h"
#include "bus/bus_config.h"
#include "edge/route.h"
#include "edge/upstream.h"
#include "fetch/fetch.h"
#include "http/http_config.h"
#include "http/http_limits_config.h"
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
    bool ocsp;                              /* the edge asks for OCSP answers by itself */
    struct http_limits_config limits;
    unsigned workers;
    struct store_config store;
    struct upstream_config *upstreams;
    unsigned upstreams_count;
    struct route_config *routes;
    unsigned routes_count;
    struct bus_config bus;
    struct lease_config *lease; /* NULL: sessions are not looked at */
    char *geo_file;             /* MaxMind DB; NULL: no place is known */
    char **trusted_proxies;     /* prefixes: their X-Forwarded-For is believed */
    unsigned trusted_proxies_count;
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
    struct metric *refused_used, *refused_geo, *refused_client, *refused_referer;
    struct metric *tokens_renewed, *renewals_failed;
    struct metric *notices, *notice_breaks, *notices_live;
    struct metric *peer_requests;
    struct metric *ocsp_good, *ocsp_failed;
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
struct live;
struct notices;
struct once;
struct spread;
struct spread_seat;
struct prefetch;
struct prefetch_worker;
struct upstream_health;
struct seen;
struct seen_worker;
struct lease_config;
struct lease_hub;
struct lease_desk;
struct upstream_worker;
struct warm;

struct edge {
    uint32_t magic;
#define EDGE_MAGIC UINT32_C(0xed9eed9e)
    const struct edge_config *config; /* main's; valid while the edge is */
    struct upstreams *upstreams;
    struct routes *routes;
    struct addr_net *proxies; /* config's trusted_proxies */
    struct once *once;
    struct spread *spread;
    pthread_mutex_t live_lock;        /* covers live */
    struct live *live;                /* replaced at reload: edge_live */
    _Atomic unsigned live_generation; /* tells the workers of it */
    struct metrics *registry;
    struct edge_metrics metrics;
    struct store *store;
    struct objects *objects; /* what is known of URLs, and what was purged */
    struct purge *purge;
    struct fills *fills;
    struct seen *seen;
    struct lease_hub *leases;
    struct cache *cache;
    struct prefetch *prefetch; /* NULL: not wanted */
    struct warm *warm;
    struct http_server *server;
    struct edge_worker *ocsp_worker; /* NULL: answers are not asked for */
    struct http_server *admin;
};

struct edge_worker {
    struct edge *edge;
    struct loop *loop;
    struct store_worker *store;
    struct loop_watch *watch;
    struct upstream_worker *upstreams;
    struct live *live; /* as of the last request; a reference */
    unsigned live_generation;
    struct upstream_health *health; /* the first worker's */
    struct gate *gate;
    struct lease_desk *leases;
    struct assets *assets;
    struct before *before;
    struct views *views;
    struct seen_worker *seen;
    struct spread_seat *seat;
    struct notices *notices; /* the first worker's */
    struct cache_worker *cache;
    struct prefetch_worker *prefetch; /* NULL: not wanted */
    unsigned loads;                   /* under way: load.h. The worker stops when there are none */
    struct ocsp *ocsp;                /* of the first worker, where it is wanted */
};

MUST_USE int edge_start(const struct edge_config *config, struct err *err, struct edge **ret);
/* Certificates and their like as config has them now, and anew what is in the key rings and in the
 * geo file; the rest needs a restart. On an error all stays as it was. */
MUST_USE int edge_reload(struct edge *e, const struct edge_config *config, struct err *err);
void edge_stop(struct edge *e);
/* Another process is to have the store: this one only reads it, and fetches what it lacks. */
void edge_yield(struct edge *e);
uint16_t edge_port(const struct edge *e);

/* What the last reload has read, for this turn of the worker's loop. */
const struct live *edge_live(struct edge_worker *w);

/* serve.c: every request, by its route. */
http_handler edge_serve;
