/* SPDX-License-Identifier: Apache-2.0 */
/* cache: a shared HTTP cache in front of any HLS or DASH origin: routes to upstreams of kind http.
 *
 *   cache_serve -> table: fresh -> reply, blocks by cache_body
 *                         else  -> one cache_fill for all who wait -> head -> object -> reply
 *                                                                         |-> not kept: cache_pass
 *
 * Life:    cache_new -> cache_worker_new per worker -> cache_serve per request -> cache_worker_free
 *          -> cache_free.
 * Owner:   struct edge; each worker has a struct cache_worker.
 * Threads: struct cache: any (its table and asks have locks). A struct cache_worker: its loop's.
 * Errors:  answered to the client.
 * Units:   bytes, seconds since 1970.
 * Source:  RFC 9110, 9111, 5861, 8246, 9211, 9213; docs/cache.md. */
#pragma once
#include "edge/cache_config.h"
#include "edge/cache_table.h"
#include "edge/edge.h"
#include "edge/gate.h"

#define CACHE_ASK_SHARDS   64u
#define CACHE_STOP_TURN_MS 10

struct cache_fill;

struct cache_metrics {
    struct metric *hits_ram, *hits_disk, *misses, *collapsed, *stale, *revalidated;
    struct metric *passed_method, *passed_request, *passed_response, *passed_size;
    struct metric *fill_bytes, *hit_bytes, *fills_failed, *lost, *invalidated;
};

struct cache_asks { /* requests of upstreams whose head has not come: cache_ask.c */
    pthread_mutex_t lock;
    struct cache_fill *first;
};

struct cache {
    uint32_t magic;
#define CACHE_MAGIC UINT32_C(0xcac4e001)
    struct edge *edge;
    struct cache_table *table;
    struct objects *objects;
    struct cache_asks asks[CACHE_ASK_SHARDS];
    _Atomic uint64_t fill_memory; /* of blocks that are being written, all workers' */
    struct cache_metrics metrics;
};

struct cache_op;

struct cache_worker {
    uint32_t magic;
#define CACHE_WORKER_MAGIC UINT32_C(0xcac4e0e5)
    struct cache *cache;
    struct edge_worker *worker;
    struct cache_fill *fills; /* started here and not yet ended */
    struct cache_op *free;    /* operations for reuse */
    unsigned free_count;
    unsigned ops;   /* under way */
    struct buf key; /* for keys, kept for its memory */
};

MUST_USE int cache_new(struct edge *e, struct cache **ret);
struct cache *cache_free(struct cache *c);
MUST_USE int cache_worker_new(struct edge_worker *w, struct cache_worker **ret);
void cache_worker_stop(struct cache_worker *w); /* ends what is under way */
struct cache_worker *cache_worker_free(struct cache_worker *w);

/* A request that its route's rules and the gate have let in. */
void cache_serve(struct http_req *req, const struct route *route, const struct gate_pass *pass);
