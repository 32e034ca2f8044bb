/* SPDX-License-Identifier: Apache-2.0 */
/* A request's way behind the gate: assets (what the asset is now) -> a view, rendered, or a blob
 * from RAM, disk or a fill. Every path ends in op_free. */
#include "edge/serve.h"
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"
#include "edge/assets.h"
#include "edge/before.h"
#include "edge/fill.h"
#include "edge/prefetch.h"
#include "edge/seen.h"
#include "edge/views.h"
#include "media/view.h"

/* Opened by a cookie, the same URL is closed to others: shared caches keep out of it. */
#define SERVE_IMMUTABLE     "public, max-age=31536000, immutable"
#define SERVE_IMMUTABLE_OWN "private, max-age=31536000, immutable"
#define SERVE_VIEW          "public, max-age=2, stale-while-revalidate=10, stale-if-error=86400"
#define SERVE_VIEW_OWN      "private, max-age=2, stale-while-revalidate=10, stale-if-error=86400"

struct serve_op {
    uint32_t magic;
#define SERVE_OP_MAGIC UINT32_C(0x5e12e0b5)
    struct http_req *req;
    const struct upstream *upstream;
    char *rest; /* behind /v/<asset>/, or NULL: a blob */
    char asset[STORE_NAME_MAX + 1];
    uint32_t height_max; /* the token's cap */
    struct digest blob;
    const char *type; /* static text */
    const char *cache_control;
    struct fill *fill;
    struct fill_listener *listener;
    bool is_private; /* the token came by a cookie */
    bool is_recent;  /* the asset was asked for again */
    bool collapsed;  /* waits for another's fill */
    bool is_peer;    /* another edge's: no viewer to count */
    bool replied;    /* the fill is read by the response now */
};

static void op_free(struct serve_op *op)
{
    ASSERT(op->magic == SERVE_OP_MAGIC);
    fill_unlisten(op->listener);
    fill_unref(op->fill);
    http_req_unref(op->req);
    free(op->rest);
    MAGIC_CLEAR(op);
    free(op);
}

static void op_fail(struct serve_op *op, int error)
{
    struct http_req *req = op->req;
    http_res_header(req, "cache-control", "no-store");
    http_res_header(req, "cache-status", "weir-edge; fwd=miss; detail=failed");
    if (error == -ENOENT)
        http_reply_error(req, 404, "NOT_FOUND", "there is no such title or file");
    else if (error == -ENOMEM || error == -EAGAIN || error == -EBUSY)
        http_reply_error(req, 503, "BUSY", "too much is under way, try again");
    else
        http_reply_error(req, 502, "UPSTREAM_FAILED", "neither the cache nor the origin has it: %s",
                         strerror(-error));
    op_free(op);
}

/* Entity tags are digests: a blob's own, or that of the rendered text. */
static void op_reply(struct serve_op *op, const struct digest *named, struct http_entity *e)
{
    char etag[DIGEST_ETAG_SIZE];
    digest_etag(named, etag);
    e->type = op->type;
    e->etag = etag;
    e->cache_control = op->cache_control;
    http_reply_entity(op->req, e);
    e->etag = NULL; /* it was on our stack */
}

static void op_count(const struct serve_op *op, struct metric *m)
{
    if (!op->is_peer)
        metric_add(m, 1);
}

static void op_reply_blob(struct serve_op *op, struct rbuf *blob, enum seen_tier tier)
{
    http_res_header(op->req, "cache-status", "weir-edge; hit; detail=%s",
                    tier == SEEN_RAM ? "ram" : "disk");
    seen_timed(op->req, tier);
    struct http_entity e = {.body = blob};
    op_reply(op, &op->blob, &e);
    op_free(op);
}

/* --- a blob that is still arriving ------------------------------------------------------------ */

static int op_source_read(void *source, uint64_t offset, uint32_t size_max,
                          const uint8_t **ret_data, uint32_t *ret_size)
{
    struct serve_op *op = source;
    return fill_read(op->fill, offset, size_max, ret_data, ret_size);
}

static void op_source_close(void *source)
{
    op_free(source);
}

static void op_on_fill(void *arg)
{
    static const struct http_source_ops ops = {op_source_read, op_source_close};
    struct serve_op *op = arg;
    if (op->replied) {
        http_req_wake(op->req);
        return;
    }
    uint32_t size;
    int error;
    enum fill_state state = fill_state(op->fill, &size, &error);
    if (state == FILL_FAILED) {
        op_fail(op, error);
        return;
    }
    if (state == FILL_WAITING) {
        if (http_req_gone(op->req))
            op_free(op);
        return;
    }
    op->replied = true; /* from here op is the response's source: op_source_close frees it */
    http_res_header(op->req, "cache-status", "weir-edge; fwd=miss; fwd-status=200; stored%s",
                    op->collapsed ? "; collapsed" : "");
    seen_timed(op->req, op->collapsed ? SEEN_COLLAPSED : SEEN_MISS);
    struct http_entity e = {.source_ops = &ops, .source = op, .size = size};
    op_reply(op, &op->blob, &e);
}

static void op_on_get(void *arg, int res, struct rbuf *blob)
{
    struct serve_op *op = arg;
    struct edge_worker *w = http_req_worker(op->req);
    struct edge *e = w->edge;
    if (res == 0) {
        op_count(op, e->metrics.hits_disk);
        op_reply_blob(op, blob, SEEN_DISK);
        return;
    }
    if (res != -ENOENT)
        log_warn("reading a cached blob failed, asking the origin: %s", strerror(-res));
    bool started = false;
    const struct fields came = op->is_peer && !http_req_gone(op->req) ? http_req_fields(op->req)
                                                                      : (struct fields){NULL, 0};
    int r = fills_join(w, op->upstream, &op->blob, &came, 0, &op->fill, &started);
    if (r == -EALREADY && res == -ENOENT) {
        store_get(w->store, &op->blob, op_on_get, op);
        return;
    }
    /* All here already, only not durable yet: as good as a hit. */
    CLEAN(rbuf_unref) struct rbuf *whole = r == 0 ? fill_blob(op->fill) : NULL;
    if (whole != NULL) {
        op_count(op, e->metrics.hits_ram);
        op_reply_blob(op, whole, SEEN_RAM);
        return;
    }
    if (r == 0) {
        op_count(op, started ? e->metrics.misses : e->metrics.collapsed);
        op->collapsed = !started;
        r = fill_listen(op->fill, w->loop, op_on_fill, op, &op->listener);
    }
    if (r < 0)
        op_fail(op, r);
}

static void op_get_blob(struct serve_op *op)
{
    struct edge_worker *w = http_req_worker(op->req);
    CLEAN(rbuf_unref) struct rbuf *hot = store_peek(w->store, &op->blob);
    if (hot == NULL) {
        store_get(w->store, &op->blob, op_on_get, op);
        return;
    }
    op_count(op, w->edge->metrics.hits_ram);
    op_reply_blob(op, hot, SEEN_RAM);
}

/* --- views ------------------------------------------------------------------------------------ */

static void op_on_asset(void *arg, int res, const struct asset *asset);

static void op_reply_view(struct serve_op *op, const struct asset *asset)
{
    struct edge_worker *w = http_req_worker(op->req);
    struct view_body v = {0};
    bool is_new = false;
    struct str rest = str_of(op->rest);
    int r = views_resolve(w->views, asset->now, rest, op->height_max, &v, &is_new);
    if (r == -ENOENT && !op->is_recent) {
        op->is_recent = true; /* another worker may know of a newer edition */
        assets_want_recent(w->assets, op->upstream, str_of(op->asset), op_on_asset, op);
        return;
    }
    if (r == -ENOENT && asset->before != NULL) /* or the player's manifest is of the older one */
        r = views_resolve(w->views, asset->before, rest, op->height_max, &v, &is_new);
    if (r < 0) {
        op_fail(op, r);
        return;
    }
    op->type = v.type;
    op->cache_control = op->is_private ? SERVE_VIEW_OWN : SERVE_VIEW;
    if (v.is_blob) {
        op->blob = v.digest;
        op_get_blob(op);
        return;
    }
    if (is_new)
        metric_add(w->edge->metrics.views, 1);
    uint64_t age_ms = asset->checked_ms == 0 ? 0 : clock_mono_ms() - asset->checked_ms;
    http_res_header(op->req, "age", "%llu", (unsigned long long)(age_ms / 1000));
    seen_timed(op->req, asset->stale ? SEEN_STALE : SEEN_VIEW);
    http_res_header(op->req, "cache-status", "weir-edge; hit%s",
                    asset->stale ? "; detail=stale" : "");
    struct http_entity e = {.body = v.text};
    op_reply(op, &v.digest, &e);
    rbuf_unref(v.text);
    op_free(op);
}

static bool title_opens(const struct title *t, const struct serve_op *op)
{
    return t != NULL && title_names(t, &op->blob) && !title_capped(t, &op->blob, op->height_max);
}

static void op_on_before(void *arg, bool admitted)
{
    struct serve_op *op = arg;
    if (admitted) {
        op_get_blob(op);
        return;
    }
    const struct edge_worker *w = http_req_worker(op->req);
    metric_add(w->edge->metrics.refused_scope, 1);
    serve_refuse(op->req, "TOKEN_SCOPE", "the signed URL does not cover this file");
    op_free(op);
}

static void op_on_asset(void *arg, int res, const struct asset *asset)
{
    struct serve_op *op = arg;
    struct edge_worker *w = http_req_worker(op->req);
    if (res < 0) {
        op_fail(op, res);
        return;
    }
    if (op->rest != NULL) {
        op_reply_view(op, asset);
        return;
    }
    if (title_opens(asset->now, op)) {
        prefetch_blob(w->prefetch, op->upstream, asset->now, &op->blob);
        op_get_blob(op);
    } else if (title_opens(asset->before, op)) {
        op_get_blob(op);
    } else {
        before_ask(w->before, op->upstream, str_of(op->asset), &op->blob, op->height_max,
                   op_on_before, op);
    }
}

/* Reads "/v/<asset>/<rest>" or "/b/<digest>.<ext>" into op; -ENOENT for anything else. */
static int op_route(struct serve_op *op, struct str path, const struct token_claims *claims)
{
    struct str asset = claims == NULL ? STR_NONE : str_of(claims->asset);
    if (str_starts(path, STR("/b/"))) {
        int r = view_parse_blob(str_skip(path, strlen("/b/")), &op->blob, &op->type);
        if (r < 0)
            return -ENOENT;
        op->cache_control = op->is_private ? SERVE_IMMUTABLE_OWN : SERVE_IMMUTABLE;
    } else if (str_starts(path, STR("/v/"))) {
        struct str rest;
        struct str named = str_cut(str_skip(path, strlen("/v/")), '/', &rest);
        if (asset.size > 0 && !str_eq(asset, named))
            return -EACCES;
        asset = named;
        op->rest = str_dup(rest);
        if (op->rest == NULL)
            return -ENOMEM;
    } else {
        return -ENOENT;
    }
    if (asset.size == 0 && claims == NULL)
        return 0;        /* a blob of an open route: who knows its digest may have it */
    if (asset.size == 0) /* a token that names no asset opens views only, by its container */
        return -EACCES;
    if (!store_name_ok(asset))
        return -ENOENT;
    return str_copy(asset, op->asset, sizeof op->asset);
}

/* NULL: the request is answered. */
static struct serve_op *op_new(struct http_req *req, const struct upstream *u)
{
    struct serve_op *op = calloc(1, sizeof *op);
    if (op == NULL) {
        http_reply_error(req, 503, "BUSY", "out of memory, try again");
        return NULL;
    }
    op->magic = SERVE_OP_MAGIC;
    op->req = http_req_ref(req);
    op->upstream = u;
    return op;
}

void serve_weir_blob(struct http_req *req, const struct upstream *u, const struct digest *d)
{
    struct serve_op *op = op_new(req, u);
    if (op == NULL)
        return;
    op->is_peer = true;
    op->blob = *d;
    op->type = "application/octet-stream";
    op->cache_control = SERVE_IMMUTABLE;
    op_get_blob(op);
}

void serve_weir(struct http_req *req, const struct route *route, const struct gate_pass *pass)
{
    struct edge_worker *w = http_req_worker(req);
    struct serve_op *op = op_new(req, route->upstream);
    if (op == NULL)
        return;
    op->height_max = pass->claims == NULL ? 0 : pass->claims->height_max;
    op->is_private = pass->by_cookie;
    int r = op_route(op, buf_str(&pass->path), pass->claims);
    seen_asset(req, str_of(op->asset));
    if (r == -EACCES) {
        metric_add(w->edge->metrics.refused_scope, 1);
        serve_refuse(req, "TOKEN_SCOPE", "the signed URL does not cover this path");
        op_free(op);
    } else if (r < 0) {
        op_fail(op, r);
    } else if (op->asset[0] == 0) {
        op_get_blob(op);
    } else {
        assets_want(w->assets, op->upstream, str_of(op->asset), op_on_asset, op);
    }
}
