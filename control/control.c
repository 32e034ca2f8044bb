/* SPDX-License-Identifier: Apache-2.0 */
#include "control/control.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/log.h"
#include "control/api/audit.h"
#include "control/api/cache.h"
#include "control/api/gate.h"
#include "control/api/gate_cache.h"
#include "control/api/idem.h"
#include "control/catalog/upkeep.h"
#include "control/api/rate.h"
#include "control/memory.h"
#include "control/model.h"
#include "control/people/people.h"
#include "control/ops.h"
#include "control/plans/open.h"
#include "control/stream.h"
#include "control/upload/uploads.h"
#include "fetch/fetch.h"

#define CONTROL_DB_THREADS 4
#define CONTROL_DRAIN_MS   10000
#define CONTROL_PURGE_MS   (10 * 60 * 1000)

struct live *control_live(struct control *c)
{
    ASSERT(c != NULL && c->magic == CONTROL_MAGIC);
    (void)pthread_mutex_lock(&c->lock);
    struct live *l = live_ref(c->live);
    (void)pthread_mutex_unlock(&c->lock);
    return l;
}

/* --- pools ------------------------------------------------------------------------------------ */

int control_run(struct control *c, bool hashes, pool_work *work, void *arg)
{
    int r = -EAGAIN;
    if (hashes && atomic_fetch_add_explicit(&c->passwords_waiting, 1, memory_order_relaxed) >=
                      CONTROL_PASSWORDS_MAX) {
        (void)atomic_fetch_sub_explicit(&c->passwords_waiting, 1, memory_order_relaxed);
        return -EAGAIN;
    }
    /* Under the lock, so that control_stop frees no pool that is about to be used. */
    (void)pthread_mutex_lock(&c->lock);
    struct pool *pool = hashes ? c->passwords : c->pool;
    if (pool != NULL)
        r = pool_run(pool, work, arg);
    (void)pthread_mutex_unlock(&c->lock);
    if (r < 0 && hashes)
        (void)atomic_fetch_sub_explicit(&c->passwords_waiting, 1, memory_order_relaxed);
    return r;
}

void control_worked(struct control *c, bool hashes, int r)
{
    if (hashes)
        (void)atomic_fetch_sub_explicit(&c->passwords_waiting, 1, memory_order_relaxed);
    bool fails = r < 0 && r != -EPROTO && r != -ENOMEM;
    atomic_store_explicit(&c->db_fails, fails, memory_order_relaxed);
}

/* --- what is over  ------------------------------------------------------------------------- */

static void control_purge(void *arg)
{
    struct control *c = arg;
    people_sweep(c->people, clock_real_ms());
    int64_t day_ms = INT64_C(24) * 3600 * 1000;
    uint64_t count = 0;
    int r = idem_purge(c->db, clock_real_ms());
    if (r == 0)
        r = audit_purge(c->db, clock_real_ms() - (int64_t)c->audit_days * day_ms, &count);
    if (count > 0)
        log_info("%llu audit records are older than %u days and go", (unsigned long long)count,
                 c->audit_days);
    struct err err;
    if (r < 0) {
        (void)err_errno(&err, r, "deleting what has expired");
        log_error("%s", err.text);
    }
}

static void control_on_timer(void *arg)
{
    struct control_worker *w = arg;
    struct control *c = w->control;
    int r = -EAGAIN;
    (void)pthread_mutex_lock(&c->lock);
    if (c->pool != NULL)
        r = pool_run(c->pool, control_purge, c);
    (void)pthread_mutex_unlock(&c->lock);
    if (r < 0)
        log_debug("the database is busy: what is over is deleted later");
    loop_timer_start(w->loop, &w->timer, CONTROL_PURGE_MS, control_on_timer, w);
}

static void control_on_rate_timer(void *arg)
{
    struct control_worker *w = arg;
    gate_share(w->control->gate, w->bus);
    loop_timer_start(w->loop, &w->rate_timer, RATE_SHARE_MS, control_on_rate_timer, w);
}

static void control_worker_stop(void *arg, void *worker)
{
    struct control_worker *w = worker;
    (void)arg;
    if (w == NULL)
        return;
    loop_timer_stop(&w->timer);
    upkeep_detach(w->control->upkeep, w->loop);
    uploads_detach(w->control->uploads, w->loop);
    fetch_free(w->uploads);
    people_detach(w->control->people, w->loop);
    memory_detach(w->control->memory, w->loop);
    loop_timer_stop(&w->rate_timer);
    streams_leave(w);
    plans_close(w);
    cache_free(w->cache);
    free(w);
}

static void *control_worker_start(void *arg, struct loop *loop, unsigned index, int *ret_r)
{
    struct control_worker *w = calloc(1, sizeof *w);
    if (w == NULL) {
        *ret_r = -ENOMEM;
        return NULL;
    }
    w->control = arg;
    w->loop = loop;
    int r = cache_new(gate_changes(w->control->gate), &w->cache);
    if (r == 0)
        r = plans_open(w, index == 0);
    const struct fetch_options options = {.ca_file = w->control->config->ingest_ca_file};
    if (r == 0)
        r = fetch_new(loop, &options, &w->uploads);
    if (r == 0 && index == 0)
        r = people_attach(w->control->people, loop, w->bus);
    if (r == 0 && index == 0)
        r = memory_attach(w->control->memory, loop, w->bus);
    if (r < 0) {
        control_worker_stop(arg, w);
        *ret_r = r;
        return NULL;
    }
    if (index == 0) {
        loop_timer_start(loop, &w->timer, 0, control_on_timer, w);
        upkeep_attach(w->control->upkeep, loop, w->leases);
        uploads_attach(w->control->uploads, loop);
    }
    if (index == 0 && w->control->config->bus.redis != NULL)
        loop_timer_start(loop, &w->rate_timer, RATE_SHARE_MS, control_on_rate_timer, w);
    return w;
}

/* --- start and stop --------------------------------------------------------------------------- */

static void control_make_metrics(struct control *c)
{
    c->sign_ups = metrics_counter(c->metrics, "weir_control_signups_total", "Accounts made.", "");
    c->log_ins = metrics_counter(c->metrics, "weir_control_logins_total", "Log-ins by result.",
                                 "result=\"ok\"");
    c->log_ins_failed = metrics_counter(c->metrics, "weir_control_logins_total",
                                        "Log-ins by result.", "result=\"failed\"");
    c->playbacks = metrics_counter(c->metrics, "weir_control_playbacks_total",
                                   "Playbacks for which URLs were signed.", "");
    c->playbacks_over =
        metrics_counter(c->metrics, "weir_control_playbacks_refused_total",
                        "Playbacks refused because the user plays as much as they may.", "");
    c->playbacks_swept =
        metrics_counter(c->metrics, "weir_control_playbacks_swept_total",
                        "Playbacks ended because the user's limit became lower.", "");
    c->leases_away = metrics_counter(c->metrics, "weir_control_leases_unanswered_total",
                                     "Calls to which the leases' backend gave no answer.", "");
    c->work_seconds = metrics_latency(c->metrics, "weir_control_request_seconds",
                                      "From an API request to its answer.", "");
}

static bool control_is_ready(void *arg)
{
    struct control *c = arg;
    return !atomic_load_explicit(&c->db_fails, memory_order_relaxed);
}

static unsigned control_password_threads(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return (unsigned)MIN(MAX(cores / 2, 1L), 16L);
}

static void control_on_page(struct http_req *req, void *arg)
{
    struct live *l = control_live(arg);
    web_reply(l->web, req);
    live_unref(l);
}

static int control_make_servers(struct control *c, const struct control_config *config,
                                struct err *err)
{
    const struct http_listen listen = http_listen_of(&config->listen);
    const struct http_listen admin_listen = http_listen_of(&config->admin_listen);
    unsigned proxies_count = 0;
    const struct addr_net *proxies = gate_proxies(c->gate, &proxies_count);
    const struct http_options options = {
        .listens = &listen,
        .listens_count = 1,
        .proxies = proxies,
        .proxies_count = proxies_count,
        .workers = config->workers,
        .body_size_max = gate_body_max(c->gate),
        .server_name = "weir-control",
        .access_log = config->access_log,
        .metrics = c->metrics,
        .metric_prefix = "weir_control",
        .worker_start = control_worker_start,
        .worker_stop = control_worker_stop,
        .arg = c,
    };
    const struct http_options admin_options = {
        .listens = &admin_listen,
        .listens_count = 1,
        .workers = 1,
        .server_name = "weir-control",
    };
    int r = http_server_new(&options, err, &c->server);
    if (r == 0)
        r = http_server_new(&admin_options, err, &c->admin);
    if (r < 0)
        return r;
    r = gate_routes(c->gate, c->server,
                    config->upload_size_max != 0 ? config->upload_size_max : UPLOADS_SIZE_MAX);
    if (r == 0)
        r = people_routes(c);
    if (r == 0)
        r = stream_routes(c);
    if (r == 0)
        r = http_route(c->server, HTTP_GET, "/", control_on_page, c);
    if (r == 0)
        r = http_route_status(c->admin, c->metrics, control_is_ready, c);
    if (r < 0)
        return err_errno(err, r, "adding routes");
    r = http_server_start(c->server, err);
    if (r == 0)
        r = http_server_start(c->admin, err);
    return r;
}

static int control_make_people(struct control *c, const struct control_config *config,
                               struct err *err)
{
    char *key_file = NULL;
    int r = control_key_file(config, err, &key_file);
    if (r == 0)
        r = people_new(c->db, key_file, err, &c->people);
    free(key_file);
    return r;
}

int control_start(const struct control_config *config, struct err *err, struct control **ret)
{
    struct control *c = calloc(1, sizeof *c);
    if (c == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    c->magic = CONTROL_MAGIC;
    c->config = config;
    c->audit_days = config->audit_days != 0 ? config->audit_days : CONTROL_AUDIT_DAYS;
    (void)pthread_mutex_init(&c->lock, NULL); /* default attributes: cannot fail */
    int r = metrics_new(&c->metrics);
    if (r == 0)
        r = bus_hub_new(&c->bus_hub);
    if (r == 0)
        r = lease_book_new(&c->lease_book);
    if (r == 0)
        r = pool_new(CONTROL_DB_THREADS, &c->pool);
    if (r == 0)
        r = pool_new(control_password_threads(), &c->passwords);
    if (r < 0)
        (void)err_errno(err, r, "starting threads");
    if (r == 0)
        r = live_load(config, err, &c->live);
    if (r == 0)
        r = db_open(config->db, &model_schema, err, &c->db);
    if (r == 0) {
        r = plans_new(c->db, MODEL_PLANS, &c->plans);
        if (r < 0)
            (void)err_errno(err, r, "making the list of plans");
    }
    if (r == 0) {
        r = edges_watch(c->live->edges, NULL);
        if (r < 0)
            (void)err_errno(err, r, "watching the edges");
    }
    if (r == 0)
        r = control_make_people(c, config, err);
    if (r == 0)
        r = gate_new(c, ops_all, &people_callers, err, &c->gate);
    if (r == 0 && (r = memory_new(c, &c->memory)) < 0)
        (void)err_errno(err, r, "making room for the catalogue");
    if (r == 0 && (r = upkeep_new(c, config->history_folder, &c->upkeep)) < 0)
        (void)err_errno(err, r, "starting the catalogue's upkeep");
    if (r == 0 && (r = uploads_new(c, &c->uploads)) < 0)
        (void)err_errno(err, r, "starting what looks after uploads");
    if (r == 0) {
        control_make_metrics(c);
        r = control_make_servers(c, config, err);
    }
    if (r < 0) {
        control_stop(c);
        return r;
    }
    log_info("serving on %s port %u, status on %s port %u", config->listen.address,
             http_server_port(c->server, 0), config->admin_listen.address,
             http_server_port(c->admin, 0));
    c->config = NULL; /* may change from now on: live has what counts */
    *ret = c;
    return 0;
}

int control_reload(struct control *c, const struct control_config *config, struct err *err)
{
    ASSERT(c != NULL && c->magic == CONTROL_MAGIC);
    struct live *fresh = NULL;
    int r = live_load(config, err, &fresh);
    if (r == 0)
        r = http_server_reload_tls(c->server, err);
    if (r == 0)
        r = http_server_reload_tls(c->admin, err);
    if (r == 0 && edges_watch(fresh->edges, c->live->edges) < 0) /* live changes here alone */
        r = err_set(err, -ENOMEM, "watching the edges: out of memory");
    if (r < 0) {
        live_unref(fresh);
        return r;
    }
    (void)pthread_mutex_lock(&c->lock);
    struct live *old = c->live;
    c->live = fresh;
    (void)pthread_mutex_unlock(&c->lock);
    live_unref(old);
    gate_changed_all(c->gate); /* answers name edges and keys */
    return 0;
}

/* Pools end before the workers do: a job's answer needs its loop. Passwords that wait, and requests
 * that come meanwhile, are answered 503. */
struct control *control_stop(struct control *c)
{
    if (c == NULL)
        return NULL;
    ASSERT(c->magic == CONTROL_MAGIC);
    atomic_store(&c->is_stopping, true);
    (void)pthread_mutex_lock(&c->lock);
    struct pool *pool = c->pool;
    struct pool *passwords = c->passwords;
    c->pool = NULL;
    c->passwords = NULL;
    (void)pthread_mutex_unlock(&c->lock);
    pool_free(pool);
    pool_free(passwords);
    people_stop(c->people);
    if (c->server != NULL)
        http_server_drain(c->server, CONTROL_DRAIN_MS);
    http_server_free(c->server);
    http_server_free(c->admin);
    memory_free(c->memory);
    gate_free(c->gate);
    plans_free(c->plans);
    upkeep_free(c->upkeep);
    uploads_free(c->uploads);
    lease_book_free(c->lease_book);
    bus_hub_free(c->bus_hub);
    people_free(c->people);
    db_close(c->db);
    live_unref(c->live);
    metrics_free(c->metrics);
    (void)pthread_mutex_destroy(&c->lock);
    MAGIC_CLEAR(c);
    free(c);
    return NULL;
}
