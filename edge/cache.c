/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/cache.h"
#include <errno.h>
#include <stdlib.h>
#include "edge/cache_fill.h"
#include "edge/cache_op.h"

#define CACHE_TABLE_MEMORY (UINT64_C(128) << 20)

static void cache_make_metrics(struct cache *c, struct metrics *registry)
{
    struct cache_metrics *m = &c->metrics;
    const struct metric_row rows[] = {
#define ROW(member, name, labels, help) {&m->member, metrics_counter, name, help, labels}
        ROW(hits_ram, "hits_total", "tier=\"ram\"", "Answers from this host, without asking."),
        ROW(hits_disk, "hits_total", "tier=\"disk\"", ""),
        ROW(misses, "misses_total", "", "Answers that an upstream was asked for."),
        ROW(collapsed, "collapsed_total", "", "Answers that waited for another's question."),
        ROW(stale, "stale_total", "", "Stale answers given out."),
        ROW(revalidated, "revalidated_total", "", "Kept responses that an upstream confirmed."),
        ROW(passed_method, "passed_total", "reason=\"method\"", "Answers passed on, not kept."),
        ROW(passed_request, "passed_total", "reason=\"request\"", ""),
        ROW(passed_response, "passed_total", "reason=\"response\"", ""),
        ROW(passed_size, "passed_total", "reason=\"size\"", ""),
        ROW(fill_bytes, "fill_bytes_total", "", "Bytes received to be kept."),
        ROW(fills_failed, "fills_failed_total", "", "Answers that broke off while being kept."),
        ROW(lost, "lost_blocks_total", "", "Blocks that the store did not have any more."),
        ROW(invalidated, "invalidated_total", "", "URLs forgotten because of unsafe methods."),
#undef ROW
    };
    metrics_make(registry, "weir_edge_http_cache", rows, ARRAY_LEN(rows));
}

int cache_new(struct edge *e, struct cache **ret)
{
    struct cache *c = calloc(1, sizeof *c);
    if (c == NULL)
        return -ENOMEM;
    int r = cache_table_new(CACHE_TABLE_MEMORY, e->objects, &c->table);
    if (r < 0) {
        free(c);
        return r;
    }
    c->magic = CACHE_MAGIC;
    c->edge = e;
    c->objects = e->objects;
    for (unsigned i = 0; i < CACHE_ASK_SHARDS; i++)
        (void)pthread_mutex_init(&c->asks[i].lock, NULL);
    cache_make_metrics(c, e->registry);
    *ret = c;
    return 0;
}

struct cache *cache_free(struct cache *c)
{
    if (c == NULL)
        return NULL;
    ASSERT(c->magic == CACHE_MAGIC);
    cache_table_free(c->table);
    for (unsigned i = 0; i < CACHE_ASK_SHARDS; i++) {
        ASSERT(c->asks[i].first == NULL);
        (void)pthread_mutex_destroy(&c->asks[i].lock);
    }
    MAGIC_CLEAR(c);
    free(c);
    return NULL;
}

int cache_worker_new(struct edge_worker *w, struct cache_worker **ret)
{
    struct cache_worker *cw = calloc(1, sizeof *cw);
    if (cw == NULL)
        return -ENOMEM;
    cw->magic = CACHE_WORKER_MAGIC;
    cw->cache = w->edge->cache;
    cw->worker = w;
    *ret = cw;
    return 0;
}

struct cache_worker *cache_worker_free(struct cache_worker *w)
{
    if (w == NULL)
        return NULL;
    ASSERT(w->magic == CACHE_WORKER_MAGIC);
    ASSERT(w->fills == NULL && w->ops == 0);
    while (w->free != NULL) {
        struct cache_op *next = w->free->next;
        free(w->free);
        w->free = next;
    }
    buf_free(&w->key);
    MAGIC_CLEAR(w);
    free(w);
    return NULL;
}

void cache_worker_stop(struct cache_worker *w)
{
    cache_fills_abandon(w);
    while (w->ops > 0) /* who waited for them is told by its loop; who reads a disk, by the store */
        loop_run_once(w->worker->loop, CACHE_STOP_TURN_MS);
}
