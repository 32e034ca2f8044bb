/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/edge.h"
#include <errno.h>
#include <stdlib.h>
#include "base/log.h"
#include "edge/assets.h"
#include "edge/before.h"
#include "edge/cache.h"
#include "edge/fill.h"
#include "edge/gate.h"
#include "edge/live.h"
#include "edge/notice.h"
#include "edge/ocsp.h"
#include "edge/seen.h"
#include "edge/lease.h"
#include "edge/once.h"
#include "edge/prefetch.h"
#include "edge/spread.h"
#include "edge/upstream_fetch.h"
#include "edge/upstream_health.h"
#include "edge/views.h"
#include "edge/warm.h"
#include "store/objects.h"

#define EDGE_ADMIN_DRAIN_MS   1000
#define EDGE_DRAIN_MS         10000
#define EDGE_ADMIN_BODY_MAX   (UINT64_C(4) << 20) /* a purge of ten thousand URLs */
#define EDGE_UNSAFE_BODY_MAX  (UINT64_C(1) << 20) /* passed on to http upstreams */
#define EDGE_UNSAFE           (HTTP_POST | HTTP_PUT | HTTP_DELETE | HTTP_PATCH)
#define EDGE_HOT_SIZE_DEFAULT (UINT64_C(512) << 20)
#define EDGE_STOP_TURN_MS     10

static void edge_make_metrics(struct edge *e)
{
    struct edge_metrics *m = &e->metrics;
    const struct metric_row rows[] = {
#define ROW(member, name, labels, help) {&m->member, metrics_counter, name, help, labels}
        ROW(hits_ram, "hits_total", "tier=\"ram\"", "Blobs answered from a tier of this host."),
        ROW(hits_disk, "hits_total", "tier=\"disk\"", ""),
        ROW(misses, "misses_total", "", "Blobs fetched from the origin."),
        ROW(collapsed, "collapsed_total", "", "Requests that waited for another's fetch."),
        ROW(views, "views_total", "", "Manifests rendered."),
        ROW(fill_bytes, "fill_bytes_total", "", "Bytes of blobs received from the origin."),
        ROW(fills_failed, "fills_failed_total", "", "Fetches of blobs that failed."),
        ROW(ref_fetches, "ref_fetches_total", "", "Refs asked of the origin."),
        ROW(ref_stale, "ref_stale_total", "", "Refs used while the origin was away."),
        ROW(peer_requests, "peer_requests_total", "", "Blobs and refs that other edges asked for."),
        ROW(refused_missing, "refused_total", "reason=\"missing\"", "Requests refused, by why."),
        ROW(refused_invalid, "refused_total", "reason=\"invalid\"", ""),
        ROW(refused_expired, "refused_total", "reason=\"expired\"", ""),
        ROW(refused_scope, "refused_total", "reason=\"scope\"", ""),
        ROW(refused_used, "refused_total", "reason=\"used\"", ""),
        ROW(refused_geo, "refused_total", "reason=\"geo\"", ""),
        ROW(refused_client, "refused_total", "reason=\"client\"", ""),
        ROW(refused_referer, "refused_total", "reason=\"referer\"", ""),
        ROW(tokens_renewed, "tokens_renewed_total", "", "Tokens issued for ones in use."),
        ROW(notices, "notices_total", "", "Moved refs that an origin told us of."),
        ROW(notice_breaks, "notice_breaks_total", "", "Streams of notices that broke off."),
        ROW(renewals_failed, "token_renewals_failed_total", "",
            "Tokens that could not be renewed."),
        ROW(ocsp_good, "ocsp_answers_total", "result=\"good\"", "OCSP answers asked for."),
        ROW(ocsp_failed, "ocsp_answers_total", "result=\"failed\"", ""),
#undef ROW
        {&m->notices_live, metrics_gauge, "notices_live",
         "Upstreams whose notices come, so that refs are not asked for.", ""},
        {&m->fill_seconds, metrics_latency, "fill_seconds",
         "Time to fetch a blob, or the bytes of a URL, that were to be kept.", ""},
    };
    metrics_make(e->registry, "weir_edge", rows, ARRAY_LEN(rows));
}

static void edge_on_store_event(void *arg)
{
    struct edge_worker *w = arg;
    store_worker_poll(w->store);
}

static void edge_worker_stop(void *arg, void *worker)
{
    (void)arg;
    struct edge_worker *w = worker;
    if (w == NULL)
        return;
    warm_worker_stop(w->edge->warm, w);
    notices_free(w->notices);
    w->seat = spread_leave(w->edge->spread, w->seat);
    prefetch_worker_free(w->prefetch);
    if (w->store != NULL)
        fills_abandon(w);
    if (w->cache != NULL)
        cache_worker_stop(w->cache);
    while (w->loads > 0)
        loop_run_once(w->loop, EDGE_STOP_TURN_MS);
    ocsp_free(w->ocsp);
    assets_free(w->assets);
    before_free(w->before);
    views_free(w->views);
    upstream_health_free(w->health);
    cache_worker_free(w->cache);
    upstream_worker_free(w->upstreams);
    loop_unwatch(w->watch);
    store_worker_free(w->store);
    gate_free(w->gate);
    seen_worker_free(w->seen);
    lease_desk_free(w->leases);
    live_unref(w->live);
    free(w);
}

const struct live *edge_live(struct edge_worker *w)
{
    struct edge *e = w->edge;
    unsigned generation = atomic_load_explicit(&e->live_generation, memory_order_acquire);
    if (w->live != NULL && w->live_generation == generation)
        return w->live;
    gate_forget(w->gate); /* what it holds was verified with the former rings */
    live_unref(w->live);
    (void)pthread_mutex_lock(&e->live_lock);
    w->live = live_ref(e->live);
    (void)pthread_mutex_unlock(&e->live_lock);
    w->live_generation = generation;
    return w->live;
}

static int edge_worker_open(struct edge_worker *w)
{
    int r = store_worker_new(w->edge->store, &w->store);
    if (r == 0)
        r = loop_watch(w->loop, store_worker_event_fd(w->store), edge_on_store_event, w, &w->watch);
    if (r == 0)
        r = upstream_worker_new(w, &w->upstreams);
    if (r == 0)
        r = gate_new(w->edge, &w->gate);
    if (r == 0)
        r = seen_worker_new(w, &w->seen);
    if (r == 0)
        r = lease_desk_new(w->edge->leases, w, &w->leases);
    if (r == 0)
        r = assets_new(w, &w->assets);
    if (r == 0)
        r = before_new(w, &w->before);
    if (r == 0)
        r = views_new(&w->views);
    if (r == 0)
        r = prefetch_worker_new(w, w->edge->prefetch, &w->prefetch);
    if (r == 0)
        r = cache_worker_new(w, &w->cache);
    if (r == 0)
        r = spread_join(w->edge->spread, w, &w->seat);
    return r;
}

static void *edge_worker_start(void *arg, struct loop *loop, unsigned index, int *ret_r)
{
    struct edge_worker *w = calloc(1, sizeof *w);
    if (w == NULL) {
        *ret_r = -ENOMEM;
        return NULL;
    }
    w->edge = arg;
    w->loop = loop;
    int r = edge_worker_open(w);
    if (r == 0 && index == 0)
        r = notices_new(w, &w->notices);
    if (r == 0 && index == 0)
        r = upstream_health_new(w->edge, loop, &w->health);
    if (r == 0 && index == 0 && w->edge->config->ocsp) {
        r = ocsp_new(w, &w->ocsp);
        w->edge->ocsp_worker = w;
    }
    if (r == 0 && index == 0)
        warm_worker_start(w->edge->warm, w);
    if (r == 0)
        return w;
    edge_worker_stop(arg, w);
    *ret_r = r;
    return NULL;
}

static int edge_open_store(struct edge *e, struct err *err)
{
    const struct edge_config *config = e->config;
    struct store_device devices[STORE_CONFIG_DEVICES_MAX];
    struct store_options options = {
        .hot_size = EDGE_HOT_SIZE_DEFAULT,
        .size_max = EDGE_DISK_SIZE_DEFAULT,
        .metrics = e->registry,
        .metric_prefix = "weir_edge",
    };
    int r = store_config_apply(&config->store, devices, &options, err);
    if (r == 0)
        r = store_open(&options, err, &e->store);
    struct objects_options objects = {
        .path = options.path,
        .metrics = e->registry,
        .metric_prefix = "weir_edge",
    };
    if (r == 0 && config->records_size != NULL)
        r = config_size("records_size", config->records_size, &objects.size_max, err);
    return r < 0 ? r : objects_open(&objects, err, &e->objects);
}

static int edge_open_admin(struct edge *e, struct err *err)
{
    struct http_listen listen = http_listen_of(&e->config->admin_listen);
    struct http_options options = {
        .listens = &listen,
        .listens_count = 1,
        .workers = 1,
        .body_size_max = EDGE_ADMIN_BODY_MAX,
        .server_name = "weir-edge",
    };
    int r = http_server_new(&options, err, &e->admin);
    if (r == 0) {
        r = http_route_status(e->admin, e->registry, NULL, NULL);
        if (r == 0)
            r = purge_route(e->purge, e->admin);
        if (r == 0)
            r = seen_admin(e);
        if (r == 0)
            r = warm_route(e->warm, e->admin);
        if (r < 0)
            (void)err_errno(err, r, "adding routes");
    }
    return r < 0 ? r : http_server_start(e->admin, err);
}

static unsigned edge_listens(const struct edge_config *config, struct http_listen *ret)
{
    ret[0] = http_listen_of(&config->listen);
    for (unsigned i = 0; i < config->also_listen_count; i++)
        ret[i + 1] = http_listen_of(&config->also_listen[i]);
    return config->also_listen_count + 1;
}

static int edge_open_server(struct edge *e, struct err *err)
{
    const struct edge_config *config = e->config;
    struct http_listen listens[EDGE_LISTENS_MAX];
    unsigned listens_count = edge_listens(config, listens);
    struct http_options options = {
        .listens = listens,
        .listens_count = listens_count,
        .workers = config->workers,
        .body_size_max = EDGE_UNSAFE_BODY_MAX,
        .server_name = "weir-edge",
        .proxies = e->proxies,
        .proxies_count = config->trusted_proxies_count,
        .access_log = config->access_log,
        .metrics = e->registry,
        .metric_prefix = "weir_edge",
        .worker_start = edge_worker_start,
        .worker_stop = edge_worker_stop,
        .request_done = seen_done,
        .arg = e,
    };
    int r = http_limits_apply("limits", &config->limits, &options, err);
    if (r == 0)
        r = http_server_new(&options, err, &e->server);
    if (r < 0)
        return r;
    r = http_route(e->server, HTTP_GET | HTTP_OPTIONS | EDGE_UNSAFE, "/", edge_serve, e);
    if (r < 0)
        return err_errno(err, r, "adding routes");
    return http_server_start(e->server, err);
}

static int edge_open_proxies(struct edge *e, struct err *err)
{
    unsigned count = e->config->trusted_proxies_count;
    e->proxies = calloc(count + 1u, sizeof *e->proxies);
    if (e->proxies == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    int r = 0;
    for (unsigned i = 0; i < count && r == 0; i++)
        r = addr_net_parse(str_of(e->config->trusted_proxies[i]), &e->proxies[i]);
    return r < 0 ? err_set(err, r, "trusted_proxies: one is not a prefix") : 0;
}

static int edge_open(struct edge *e, struct err *err)
{
    const struct edge_config *config = e->config;
    int r = upstreams_open(config->upstreams, config->upstreams_count, err, &e->upstreams);
    if (r == 0)
        r = routes_open(config->routes, config->routes_count, e->upstreams, err, &e->routes);
    if (r == 0)
        r = live_open(e->routes, config->geo_file, err, &e->live);
    if (r == 0)
        r = edge_open_proxies(e, err);
    if (r < 0)
        return r;
    r = metrics_new(&e->registry);
    if (r == 0)
        r = fills_new(&e->fills);
    if (r == 0)
        r = seen_new(e, &e->seen);
    if (r == 0)
        r = once_new(&e->once);
    if (r == 0)
        r = spread_new(&e->spread);
    if (r < 0)
        return err_errno(err, r, "starting");
    edge_make_metrics(e);
    upstreams_measure(e->upstreams, e->registry);
    r = prefetch_new(config->prefetch, e->registry, &e->prefetch);
    if (r < 0)
        return err_errno(err, r, "starting");
    r = warm_new(e, err, &e->warm);
    if (r == 0)
        r = edge_open_store(e, err);
    if (r == 0) {
        r = cache_new(e, &e->cache);
        if (r < 0)
            (void)err_errno(err, r, "starting");
    }
    if (r == 0)
        r = purge_open(e, err, &e->purge);
    if (r == 0)
        r = lease_hub_new(e, err, &e->leases);
    if (r == 0)
        r = edge_open_server(e, err);
    if (r == 0)
        r = edge_open_admin(e, err);
    return r;
}

int edge_start(const struct edge_config *config, struct err *err, struct edge **ret)
{
    struct edge *e = calloc(1, sizeof *e);
    if (e == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    e->magic = EDGE_MAGIC;
    e->config = config;
    (void)pthread_mutex_init(&e->live_lock, NULL);
    int r = edge_open(e, err);
    if (r < 0) {
        edge_stop(e);
        return r;
    }
    log_info("serving %u routes on %s port %u", config->routes_count, config->listen.address,
             (unsigned)edge_port(e));
    *ret = e;
    return 0;
}

void edge_yield(struct edge *e)
{
    ASSERT(e->magic == EDGE_MAGIC);
    /* Its calls wait for the new process, which can carry purges out. */
    http_server_drain(e->admin, EDGE_ADMIN_DRAIN_MS);
    purge_stop(e->purge); /* the new process takes them; its marks are seen here, too */
    objects_yield(e->objects);
    store_yield(e->store);
}

uint16_t edge_port(const struct edge *e)
{
    return http_server_port(e->server, 0);
}

/* Everything is read before anything is replaced. */
int edge_reload(struct edge *e, const struct edge_config *config, struct err *err)
{
    ASSERT(e->magic == EDGE_MAGIC);
    struct http_listen listens[EDGE_LISTENS_MAX];
    struct live *live = NULL;
    int r = live_open(e->routes, e->config->geo_file, err, &live);
    if (r == 0)
        r = http_server_set_tls(e->server, listens, edge_listens(config, listens), err);
    if (r < 0) {
        live_unref(live);
        return r;
    }
    (void)pthread_mutex_lock(&e->live_lock);
    struct live *former = e->live;
    e->live = live;
    atomic_fetch_add_explicit(&e->live_generation, 1, memory_order_release);
    (void)pthread_mutex_unlock(&e->live_lock);
    live_unref(former);
    return e->ocsp_worker == NULL
               ? 0
               : loop_post(e->ocsp_worker->loop, ocsp_look, e->ocsp_worker->ocsp);
}

void edge_stop(struct edge *e)
{
    if (e == NULL)
        return;
    ASSERT(e->magic == EDGE_MAGIC);
    if (e->server != NULL)
        http_server_drain(e->server, EDGE_DRAIN_MS);
    purge_stop(e->purge);
    http_server_free(e->admin);
    http_server_free(e->server);
    prefetch_free(e->prefetch);
    warm_free(e->warm);
    purge_free(e->purge);
    lease_hub_free(e->leases);
    fills_free(e->fills);
    seen_free(e->seen);
    cache_free(e->cache);
    objects_close(e->objects);
    store_close(e->store);
    metrics_free(e->registry);
    once_free(e->once);
    spread_free(e->spread);
    live_unref(e->live);
    (void)pthread_mutex_destroy(&e->live_lock);
    free(e->proxies);
    routes_free(e->routes);
    upstreams_free(e->upstreams);
    MAGIC_CLEAR(e);
    free(e);
}
