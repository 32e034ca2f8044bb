/* SPDX-License-Identifier: Apache-2.0 */
#include "origin/origin.h"
#include <errno.h>
#include <stdlib.h>
#include "base/log.h"
#include "http/http_auth.h"

#define ORIGIN_DRAIN_MS         10000
#define ORIGIN_HOT_SIZE_DEFAULT (UINT64_C(256) << 20)

bool origin_may_publish(struct origin *o, struct http_req *req)
{
    return http_authorize(req, &o->publish, "publish");
}

bool origin_may_read(struct origin *o, struct http_req *req)
{
    return o->read.size == 0 || secret_matches(&o->publish, http_req_bearer(req)) ||
           http_authorize(req, &o->read, "read");
}

void origin_reply_store_error(struct http_req *req, int error)
{
    static const struct {
        int error;
        unsigned status;
        const char *code;
        const char *message;
    } rows[] = {
        {-ENOENT, 404, "BLOB_NOT_FOUND", "there is no such blob"},
        {-EINVAL, 422, "DIGEST_MISMATCH", "the bytes do not have the digest in the path"},
        {-EEXIST, 409, "DIGEST_COLLISION", "other bytes are stored under this digest"},
        {-EFBIG, 413, "BLOB_TOO_LARGE", "a blob has at most 64 MiB"},
        {-ENOSPC, 507, "STORE_FULL", "the store is full"},
        {-EBADMSG, 502, "BLOB_DAMAGED", "the stored bytes are damaged and will not be served"},
        {-ESTALE, 409, "REF_MOVED", "the ref has another generation than expected"},
        {-EIO, 502, "BLOB_AWAY", "what holds the blob cannot be read now"},
        {-EHOSTDOWN, 503, "BUCKET_AWAY", "the bucket does not answer, try again"},
        {-EAGAIN, 503, "BUSY", "too many requests are under way, try again"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].error == error) {
            http_reply_error(req, rows[i].status, rows[i].code, "%s", rows[i].message);
            return;
        }
    }
    log_error("store: %s", strerror(-error));
    http_reply_error(req, 500, "STORE_FAILED", "the store failed: %s", strerror(-error));
}

static void origin_on_store_event(void *arg)
{
    struct origin_worker *w = arg;
    store_worker_poll(w->store);
}

static void origin_worker_stop(void *arg, void *worker)
{
    (void)arg;
    struct origin_worker *w = worker;
    if (w == NULL)
        return;
    loop_unwatch(w->watch);
    title_cache_free(w->titles);
    store_worker_free(w->store);
    free(w);
}

static void *origin_worker_start(void *arg, struct loop *loop, unsigned index, int *ret_r)
{
    (void)index;
    struct origin *o = arg;
    struct origin_worker *w = calloc(1, sizeof *w);
    int r = w == NULL ? -ENOMEM : 0;
    if (r == 0) {
        w->origin = o;
        r = store_worker_new(o->store, &w->store);
    }
    if (r == 0)
        r = title_cache_new(ORIGIN_TITLES_MAX, &w->titles);
    if (r == 0)
        r = loop_watch(loop, store_worker_event_fd(w->store), origin_on_store_event, w, &w->watch);
    if (r == 0)
        return w;
    origin_worker_stop(o, w);
    *ret_r = r;
    return NULL;
}

static int origin_add_routes(struct origin *o)
{
    static const struct {
        unsigned method;
        const char *pattern;
        http_handler *handler;
    } rows[] = {
        {HTTP_PUT, "/blob/", origin_put_blob},     {HTTP_GET, "/blob/", origin_get_blob},
        {HTTP_GET, "/b/", origin_get_named_blob},  {HTTP_POST, "/missing", origin_post_missing},
        {HTTP_PUT, "/ref/", origin_put_ref},       {HTTP_GET, "/ref/", origin_get_ref},
        {HTTP_DELETE, "/ref/", origin_delete_ref}, {HTTP_GET, "/refs", origin_list_refs},
        {HTTP_GET, "/v/", origin_get_view},        {HTTP_GET, "/refs/watch", origin_watch_refs},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int r = http_route(o->server, rows[i].method, rows[i].pattern, rows[i].handler, o);
        if (r < 0)
            return r;
    }
    return http_route_status(o->server, o->metrics, NULL, NULL);
}

static int origin_open_store(struct origin *o, const struct origin_config *config, struct err *err)
{
    struct store_device devices[STORE_CONFIG_DEVICES_MAX];
    struct store_options options = {
        .links = presentation_links,
        .hot_size = ORIGIN_HOT_SIZE_DEFAULT,
        .metrics = o->metrics,
        .metric_prefix = "weir_origin",
    };
    int r = store_config_apply(&config->store, devices, &options, err);
    if (r == 0)
        r = tier_bucket_open(config->bucket, err, &o->bucket);
    if (r == 0)
        r = tier_siblings_open(config->siblings, err, &o->siblings);
    if (r < 0)
        return r;
    struct err why = {{0}};
    /* One that is away now may come back: an origin starts without it. */
    if (o->bucket != NULL && o->bucket->ops->check(o->bucket, &why) < 0)
        log_warn("the bucket %s is not there: %s", config->bucket->name, why.text);
    options.remote = o->bucket;
    options.remote_shared = config->bucket != NULL && config->bucket->shared;
    options.peer = o->siblings;
    return store_open(&options, err, &o->store);
}

static int origin_open_server(struct origin *o, const struct origin_config *config, struct err *err)
{
    struct http_listen listen = http_listen_of(&config->listen);
    struct http_options options = {
        .listens = &listen,
        .listens_count = 1,
        .workers = config->workers,
        .body_size_max = STORE_BLOB_MAX,
        .body_secret = &o->publish,
        .server_name = "weir-origin",
        .access_log = config->access_log,
        .metrics = o->metrics,
        .metric_prefix = "weir_origin",
        .worker_start = origin_worker_start,
        .worker_stop = origin_worker_stop,
        .arg = o,
    };
    int r = http_server_new(&options, err, &o->server);
    if (r < 0)
        return r;
    r = origin_add_routes(o);
    if (r < 0)
        return err_errno(err, r, "adding routes");
    return http_server_start(o->server, err);
}

int origin_start(const struct origin_config *config, struct err *err, struct origin **ret)
{
    struct origin *o = calloc(1, sizeof *o);
    if (o == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    o->magic = ORIGIN_MAGIC;
    int r = secret_load(config->publish_credential_file, &o->publish, err);
    if (r == 0 && config->read_credential_file != NULL)
        r = secret_load(config->read_credential_file, &o->read, err);
    if (r == 0) {
        r = metrics_new(&o->metrics);
        if (r < 0)
            (void)err_errno(err, r, "making metrics");
    }
    if (r == 0) {
        o->published = metrics_counter(o->metrics, "weir_origin_refs_moved_total",
                                       "Refs moved to a presentation.", "");
        o->ref_reads =
            metrics_counter(o->metrics, "weir_origin_ref_reads_total", "Refs asked for.", "");
        r = watch_new(o->metrics, &o->watch);
        if (r < 0)
            (void)err_errno(err, r, "making the watch");
    }
    if (r == 0) {
        r = origin_open_store(o, config, err);
    }
    if (r == 0)
        r = origin_open_server(o, config, err);
    if (r < 0) {
        origin_stop(o);
        return r;
    }
    log_info("serving %s on %s port %u", config->store.path, config->listen.address,
             (unsigned)origin_port(o));
    *ret = o;
    return 0;
}

uint16_t origin_port(const struct origin *o)
{
    return http_server_port(o->server, 0);
}

void origin_stop(struct origin *o)
{
    if (o == NULL)
        return;
    ASSERT(o->magic == ORIGIN_MAGIC);
    if (o->watch != NULL)
        watch_close(o->watch);
    if (o->server != NULL)
        http_server_drain(o->server, ORIGIN_DRAIN_MS);
    http_server_free(o->server);
    watch_free(o->watch);
    store_close(o->store);
    if (o->bucket != NULL)
        o->bucket->ops->free(o->bucket);
    if (o->siblings != NULL)
        o->siblings->ops->free(o->siblings);
    metrics_free(o->metrics);
    secret_clear(&o->publish);
    secret_clear(&o->read);
    MAGIC_CLEAR(o);
    free(o);
}
