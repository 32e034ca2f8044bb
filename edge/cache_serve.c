/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "edge/cache_op.h"
#include "edge/peer.h"
#include "edge/prefetch.h"

#define CACHE_OPS_FREE_MAX 256u
#define CACHE_RETRY_S      1 /* a failed upstream is not asked for what may be stale before that */

/* --- life ------------------------------------------------------------------------------------- */

static struct cache_op *op_new(struct cache_worker *w, struct http_req *req,
                               const struct route *route)
{
    struct cache_op *op = w->free;
    if (op != NULL) {
        w->free = op->next;
        w->free_count--;
    } else {
        op = malloc(sizeof *op);
        if (op == NULL)
            return NULL;
    }
    *op = (struct cache_op){.magic = CACHE_OP_MAGIC};
    op->worker = w;
    op->req = http_req_ref(req);
    op->route = route;
    op->head_only = http_req_is_head(req);
    w->ops++;
    return op;
}

static void op_leave_fill(struct cache_op *op)
{
    if (op->fill == NULL)
        return;
    cache_ask_leave(op->fill, op->waker);
    op->waker = cache_waker_drop(op->waker);
    op->fill = NULL;
}

void op_end(struct cache_op *op)
{
    ASSERT(op->magic == CACHE_OP_MAGIC);
    ASSERT(!op->getting);
    struct cache_worker *w = op->worker;
    if (op->object != NULL)
        op_leave_body(op);
    op_leave_fill(op);
    cache_object_unref(op->object);
    cache_request_unref(op->request);
    http_req_unref(op->req);
    w->ops--;
    MAGIC_CLEAR(op);
#ifndef WEIR_POOL_PASSTHROUGH
    if (w->free_count < CACHE_OPS_FREE_MAX) {
        op->next = w->free;
        w->free = op;
        w->free_count++;
        return;
    }
#endif
    free(op);
}

static void op_fail(struct cache_op *op, int error, unsigned status)
{
    cache_reply_failed(op->req, error, status, op->fwd);
    op_end(op);
}

int op_request(struct cache_op *op)
{
    struct gate_pass pass;
    if (op->request != NULL)
        return 0;
    int r = gate_read(op->req, &pass);
    CLEAN_BUF struct buf key = BUF_EMPTY;
    if (r == 0) {
        http_cache_key(peer_scheme(op->req, op->route->upstream), http_req_authority(op->req),
                       buf_str(&pass.path), buf_str(&pass.query), &op->route->cache.key, &key);
        r = buf_error(&key);
    }
    if (r == 0)
        r = cache_request_new(op->req, op->route, &pass, buf_str(&key), &op->request);
    gate_pass_clear(&pass);
    if (r == 0)
        op->request->ask = op->ask; /* as the route reads it */
    return r;
}

/* --- asking an upstream ----------------------------------------------------------------------- */

static void op_pass(struct cache_op *op, const char *fwd, const char *detail)
{
    int r = op_request(op);
    if (r < 0) {
        op->fwd = fwd;
        op_fail(op, r, 0);
        return;
    }
    cache_pass_start(op->worker, op->req, op->request, &op->primary, fwd, detail);
    op_end(op);
}

static bool op_take_head(void *arg, struct cache_fill *f, const struct fetch_head *head,
                         const char *why)
{
    struct cache_op *op = arg;
    if (op->head_only || http_req_header(op->req, "range").data != NULL ||
        http_req_header(op->req, "if-none-match").data != NULL ||
        http_req_header(op->req, "if-modified-since").data != NULL)
        return false; /* it was asked otherwise than the client asks */
    if (!cache_pass_adopt(op->worker, op->req, f, head, op->fwd, why))
        return false;
    op_end(op);
    return true;
}

static const struct cache_taker op_taker = {.head = op_take_head};

static void op_on_answer(void *arg);

/* What to ask for; o: what is kept, or NULL. */
static struct cache_fill_want op_want(struct cache_op *op, struct cache_object *o, bool validate)
{
    struct cache_fill_want want = {
        .kind = CACHE_FILL_ASK,
        .request = op->request,
        .primary = op->primary,
        .key = op->key,
        .object = o,
        .validate = validate && o != NULL,
    };
    bool small = o != NULL && cache_body_size(o->body) <= CACHE_SMALL;
    want.ranged = !small && !op->head_only &&
                  cache_block_ask(http_req_header(op->req, "range"), op->route->cache.block_size,
                                  &want.first, &want.last);
    return want;
}

static bool op_can_validate(const struct cache_object *o)
{
    struct field fields[2];
    return o != NULL && http_cache_validation(&o->kept, fields) > 0;
}

static void op_ask(struct cache_op *op, struct cache_object *o, bool stale_may)
{
    if (op->head_only && o == NULL) {
        op_pass(op, op->fwd, NULL); /* the length may be unknown, and the body is not wanted */
        return;
    }
    int r = op_request(op);
    if (r == 0)
        r = cache_waker_new(op->worker->worker->loop, op_on_answer, op, &op->waker);
    if (r == 0) {
        struct cache_fill_want want = op_want(op, o, op_can_validate(o) && op->tries < 2);
        want.stale_may = stale_may;
        want.look_again = o == NULL && op->tries == 0;
        want.taker = &op_taker;
        want.taker_arg = op;
        r = cache_ask_join(op->worker, &want, op->waker, &op->fill, &op->started);
        op->collapsed = r == 0 && !op->started;
    }
    if (r == 0)
        return;
    op->waker = cache_waker_drop(op->waker);
    if (r == -EALREADY) /* while we looked: it is here now */
        op_restart(op);
    else
        op_fail(op, r, 0);
}

/* Nobody waits for it: what is kept has been given out already. */
static void op_validate_behind(struct cache_op *op, struct cache_object *o)
{
    struct cache_fill *f = NULL;
    bool started;
    if (cache_ask_is_busy(op->worker->cache, &op->key) || op_request(op) < 0)
        return;
    struct cache_fill_want want = op_want(op, o, op_can_validate(o));
    want.ranged = want.ranged && cache_body_size(o->body) > CACHE_SMALL;
    if (cache_ask_join(op->worker, &want, NULL, &f, &started) == 0)
        cache_ask_leave(f, NULL);
}

/* --- what came of it -------------------------------------------------------------------------- */

static void op_use_stale(struct cache_op *op, struct cache_object *o, const char *detail)
{
    metric_add(op->worker->cache->metrics.stale, 1);
    atomic_store_explicit(&o->retry_s, clock_real_s() + CACHE_RETRY_S, memory_order_relaxed);
    op->detail = detail;
    op_use(op, o);
}

/* Whether the object that others asked for is what this request wants, too. */
static bool op_object_fits(struct cache_op *op, const struct cache_object *o)
{
    struct cache *c = op->worker->cache;
    struct digest key;
    if (objects_check(c->objects, o->tags, o->tags_count, o->sequence) == OBJECTS_HARD)
        return false;
    if (op->started || o->vary.size == 0)
        return true;
    CLEAN(cache_object_unref) struct cache_object *index = cache_table_find(c->table, &op->primary);
    return index != NULL && index->kind == CACHE_VARIES &&
           cache_variant_key(index, &op->request->fields, &key) && digest_eq(&key, &o->key);
}

static void op_answered_object(struct cache_op *op, const struct cache_answer *a)
{
    struct cache_object *o = cache_object_ref(a->object);
    op->fwd_status = a->revalidated ? 304 : a->status;
    op->stored = a->stored;
    op->own = op->started && !a->revalidated;
    if (op_object_fits(op, o) || op->tries >= CACHE_TRIES_MAX) {
        op_use(op, o);
        return;
    }
    cache_object_unref(o);
    op_restart(op);
}

static void op_answered_failure(struct cache_op *op, const struct cache_answer *a)
{
    int64_t now_s = clock_real_s();
    CLEAN(cache_object_unref)
    struct cache_object *o = cache_table_find(op->worker->cache->table, &op->key);
    bool failed = a->status == 0 || a->status >= 500;
    if (a->error == -ESTALE && op->tries < CACHE_TRIES_MAX) {
        op_restart(op);
        return;
    }
    if (failed && o != NULL && o->kind == CACHE_RESPONSE) {
        enum objects_mark mark =
            objects_check(op->worker->cache->objects, o->tags, o->tags_count, o->sequence);
        if (mark != OBJECTS_HARD && !(mark == OBJECTS_SOFT && op->is_peer) &&
            http_cache_use(&o->terms, &op->ask, mark == OBJECTS_SOFT, now_s) ==
                HTTP_CACHE_STALE_IF_ERROR) {
            op_use_stale(op, cache_object_ref(o), "stale-if-error");
            return;
        }
        if (a->status == 0) { /* RFC 9111 section 5.2.2.2: what must be validated and cannot be */
            op_fail(op, -ETIMEDOUT, 0);
            return;
        }
    }
    op_fail(op, a->error, a->status);
}

static void op_on_answer(void *arg)
{
    struct cache_op *op = arg;
    struct cache_answer a = cache_ask_answer(op->fill);
    if (a.outcome == CACHE_PENDING)
        return;
    if (http_req_gone(op->req)) {
        op_end(op);
        return;
    }
    switch (a.outcome) {
    case CACHE_OBJECT:
        op_answered_object(op, &a);
        return;
    case CACHE_STALE:
        if (op->started)
            op_use_stale(op, cache_object_ref(a.object), "stale-if-error");
        else
            op_answered_failure(op, &a);
        return;
    case CACHE_PASS:
        op_pass(op, op->fwd, a.why);
        return;
    case CACHE_PENDING:
    case CACHE_FAILED:
        break;
    }
    op_answered_failure(op, &a);
}

/* --- what is kept ----------------------------------------------------------------------------- */

/* The object that answers by its key, or NULL. *ret_soft: it was purged softly. */
static struct cache_object *op_look_up(struct cache_op *op, bool *ret_soft)
{
    struct cache *c = op->worker->cache;
    op->key = op->primary;
    op->fwd = "uri-miss";
    *ret_soft = false;
    struct cache_object *o = cache_table_find(c->table, &op->key);
    if (o != NULL && o->kind == CACHE_VARIES) {
        struct fields fields = http_req_fields(op->req);
        op->fwd = "vary-miss";
        bool any = cache_variant_key(o, &fields, &op->key);
        cache_object_unref(o);
        o = any ? cache_table_find(c->table, &op->key) : NULL;
    }
    if (o == NULL)
        return NULL;
    if (o->kind == CACHE_PASSES && clock_real_s() < o->until_s)
        return o;
    enum objects_mark mark = OBJECTS_HARD;
    if (o->kind == CACHE_RESPONSE && cache_body_error(o->body) == 0)
        mark = objects_check_again(c->objects, o->tags, o->tags_count, o->sequence, &o->stood);
    if (mark == OBJECTS_HARD) {
        cache_table_remove(c->table, &op->key, o);
        return cache_object_unref(o);
    }
    *ret_soft = mark == OBJECTS_SOFT;
    return o;
}

static void op_only_if_cached(struct cache_op *op)
{
    http_res_field(op->req, STR("cache-status"), STR(CACHE_NAME "; detail=only-if-cached"));
    http_reply_error(op->req, 504, "NOT_CACHED", "it is not kept here, and asking is not wanted");
    op_end(op);
}

static void op_decide_kept(struct cache_op *op, struct cache_object *o, bool soft)
{
    int64_t now_s = clock_real_s();
    enum http_cache_use use = http_cache_use(&o->terms, &op->ask, soft, now_s);
    if (soft && op->is_peer) /* by its Age that edge would take it for fresh */
        use = HTTP_CACHE_VALIDATE;
    bool failed = now_s < atomic_load_explicit(&o->retry_s, memory_order_relaxed);
    switch (use) {
    case HTTP_CACHE_FRESH:
        op->fwd = NULL;
        op_use(op, o);
        return;
    case HTTP_CACHE_STALE_REVALIDATE:
        op->fwd = NULL;
        op->detail = "stale-while-revalidate";
        metric_add(op->worker->cache->metrics.stale, 1);
        if (!failed)
            op_validate_behind(op, o);
        op_use(op, o);
        return;
    case HTTP_CACHE_REFUSE:
        cache_object_unref(o);
        op_only_if_cached(op);
        return;
    case HTTP_CACHE_STALE_IF_ERROR:
        if (failed) {
            op->fwd = NULL;
            op_use_stale(op, o, "stale-if-error");
            return;
        }
        break;
    case HTTP_CACHE_VALIDATE:
        break;
    }
    op->fwd = op->ask.cc.no_cache || op->ask.cc.max_age_s != HTTP_CACHE_NONE ? "request" : "stale";
    op_ask(op, o, use == HTTP_CACHE_STALE_IF_ERROR);
    cache_object_unref(o);
}

static void op_decide(struct cache_op *op)
{
    bool soft;
    struct cache_object *o = op_look_up(op, &soft);
    if (o != NULL && o->kind == CACHE_PASSES) {
        cache_object_unref(o);
        op_pass(op, "uri-miss", "hit-for-miss");
    } else if (o != NULL) {
        op_decide_kept(op, o, soft);
    } else if (op->ask.cc.only_if_cached) {
        op_only_if_cached(op);
    } else {
        op_ask(op, NULL, false);
    }
}

void op_restart(struct cache_op *op)
{
    if (op->object != NULL)
        op_leave_body(op);
    op->object = cache_object_unref(op->object);
    op_leave_fill(op);
    op->detail = NULL;
    op->own = false;
    op->gaps = 0;
    if (++op->tries <= CACHE_TRIES_MAX)
        op_decide(op);
    else
        op_fail(op, op->read_error < 0 ? op->read_error : -EIO, 0);
}

/* --- every request ---------------------------------------------------------------------------- */

static bool serve_asks_of_cache(const struct fields *f)
{
    for (unsigned i = 0; i < f->count; i++) {
        struct str name = f->at[i].name;
        if (str_eq(name, STR("cache-control")) || str_eq(name, STR("pragma")) ||
            str_eq(name, STR("authorization")))
            return true;
    }
    return false;
}

static void serve_read_ask(struct cache_op *op)
{
    static const struct fields none = {NULL, 0};
    struct fields f = http_req_fields(op->req);
    bool honour = op->route->cache.honour_client;
    http_cache_ask_read(honour && serve_asks_of_cache(&f) ? &f : &none, &op->ask);
    op->is_peer = peer_is(op->req, op->route->upstream);
    op->ask.authorized = fields_get(&f, STR("authorization")).data != NULL && !op->is_peer;
}

static void serve_unsafe(struct cache_op *op)
{
    if (str_starts(http_req_header(op->req, "content-type"), STR("application/grpc"))) {
        http_reply_error(op->req, 501, "NOT_IMPLEMENTED", "gRPC is not passed on");
        op_end(op);
        return;
    }
    metric_add(op->worker->cache->metrics.passed_method, 1);
    op_pass(op, "method", NULL);
}

void cache_serve(struct http_req *req, const struct route *route, const struct gate_pass *pass)
{
    struct edge_worker *ew = http_req_worker(req);
    struct cache_worker *w = ew->cache;
    struct cache_op *op = op_new(w, req, route);
    buf_clear(&w->key);
    http_cache_key(peer_scheme(req, route->upstream), http_req_authority(req), buf_str(&pass->path),
                   buf_str(&pass->query), &route->cache.key, &w->key);
    if (op == NULL || buf_error(&w->key) < 0) {
        cache_reply_failed(req, -ENOMEM, 0, "uri-miss");
        if (op != NULL)
            op_end(op);
        return;
    }
    op->primary = digest_of(w->key.data, w->key.size);
    op->key = op->primary;
    serve_read_ask(op);
    prefetch_url(ew->prefetch, req, route, pass, &op->primary);
    if (http_req_method(req) == HTTP_GET)
        op_decide(op);
    else
        serve_unsafe(op);
}
