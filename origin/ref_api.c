/* SPDX-License-Identifier: Apache-2.0 */
#include "origin/origin.h"
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"

/* A ref on its way: presentation read, its blobs looked up, then moved. */
struct ref_op {
    struct http_req *req;
    char asset[STORE_NAME_MAX + 1];
    struct digest presentation;
    uint64_t expect;
};

/* NULL after answering 503. */
static struct ref_op *ref_op_new(struct http_req *req, struct str asset)
{
    struct ref_op *op = calloc(1, sizeof *op);
    if (op == NULL) {
        origin_reply_store_error(req, -EAGAIN);
        return NULL;
    }
    int r = str_copy(asset, op->asset, sizeof op->asset);
    ASSERT(r == 0); /* store_name_ok bounds it */
    op->req = http_req_ref(req);
    return op;
}

static void ref_op_free(struct ref_op *op)
{
    http_req_unref(op->req);
    free(op);
}

/* The asset behind "/ref/"; false after answering 404. */
static bool ref_asset(struct http_req *req, struct str *ret)
{
    struct str asset = str_skip(http_req_path(req), strlen("/ref/"));
    if (store_name_ok(asset)) {
        *ret = asset;
        return true;
    }
    http_reply_error(req, 404, "REF_NOT_FOUND",
                     "an asset's name is 1 to %d characters of A-Z a-z 0-9 . _ -", STORE_NAME_MAX);
    return false;
}

static json_t *ref_json(struct str asset, const struct store_ref *ref)
{
    char digest[DIGEST_TEXT_SIZE];
    char changed[CLOCK_TEXT_SIZE];
    digest_format(&ref->presentation, digest);
    clock_format(ref->changed_ms, changed);
    return json_pack("{s:s%, s:s, s:I, s:s}", "asset", asset.data, asset.size, "presentation",
                     digest, "generation", (json_int_t)ref->generation, "changed", changed);
}

static void ref_reply(struct http_req *req, struct str asset)
{
    struct origin_worker *w = http_req_worker(req);
    struct store_ref ref;
    int r = store_ref_get(w->store, asset, &ref);
    if (r == -ENOENT) {
        http_reply_error(req, 404, "REF_NOT_FOUND", "there is no asset " STR_FMT, STR_ARG(asset));
        return;
    }
    if (r < 0) {
        origin_reply_store_error(req, r);
        return;
    }
    http_res_header(req, "cache-control", "no-cache");
    http_reply_json(req, 200, ref_json(asset, &ref));
}

void origin_get_ref(struct http_req *req, void *arg)
{
    struct str asset;
    struct origin *o = arg;
    if (!origin_may_read(o, req) || !ref_asset(req, &asset))
        return;
    metric_add(o->ref_reads, 1);
    ref_reply(req, asset);
}

void origin_watch_refs(struct http_req *req, void *arg)
{
    struct origin *o = arg;
    if (origin_may_read(o, req))
        watch_serve(o->watch, req);
}

static bool ref_list_one(void *arg, struct str name, const struct store_ref *ref)
{
    return json_array_append_new(arg, ref_json(name, ref)) == 0;
}

void origin_list_refs(struct http_req *req, void *arg)
{
    struct origin_worker *w = http_req_worker(req);
    if (!origin_may_read(arg, req))
        return;
    json_t *refs = json_array();
    int r = refs == NULL ? -EAGAIN : store_ref_list(w->store, ref_list_one, refs);
    if (r < 0)
        origin_reply_store_error(req, r);
    else
        http_reply_json(req, 200, json_pack("{s:O}", "refs", refs));
    json_decref(refs);
}

static void ref_on_moved(void *arg, int res)
{
    struct ref_op *op = arg;
    struct origin_worker *w = http_req_worker(op->req);
    if (res == -ENOENT) {
        /* Reclaimed since we looked: nothing named it. The client asks what is missing and sends it
         * once more. */
        http_reply_error(op->req, 422, "BLOBS_MISSING",
                         "the presentation names blobs that are not stored");
    } else if (res < 0) {
        origin_reply_store_error(op->req, res);
    } else {
        metric_add(w->origin->published, 1);
        watch_moved(w->origin->watch, str_of(op->asset));
        log_info("ref %s moved", op->asset);
        ref_reply(op->req, str_of(op->asset));
    }
    ref_op_free(op);
}

struct ref_missing {
    struct store_worker *store;
    json_t *list;
    uint64_t count;
};

static bool ref_look_up(void *arg, const struct digest *d, uint32_t size)
{
    (void)size;
    struct ref_missing *m = arg;
    if (store_has(m->store, d))
        return true;
    if (m->count++ < ORIGIN_BLOBS_NAMED_MAX) {
        char text[DIGEST_TEXT_SIZE];
        digest_format(d, text);
        (void)json_array_append_new(m->list, json_string(text)); /* a shorter list is no harm */
    }
    return true;
}

static void ref_reply_missing(struct http_req *req, const struct ref_missing *m)
{
    http_reply_json(req, 422,
                    json_pack("{s:{s:s, s:s, s:{s:O, s:I}}}", "error", "code", "BLOBS_MISSING",
                              "message", "the presentation names blobs that are not stored",
                              "details", "missing", m->list, "count", (json_int_t)m->count));
}

static void ref_on_presentation(void *arg, int res, struct rbuf *blob)
{
    struct ref_op *op = arg;
    struct origin_worker *w = http_req_worker(op->req);
    CLEAN(presentation_free) struct presentation *p = NULL;
    struct err err = {.text = "it is not stored"};
    if (res == 0) {
        uint32_t size;
        const uint8_t *data = rbuf_data(blob, &size);
        res = presentation_parse((struct str){(const char *)data, size}, &p, &err);
    }
    if (res == 0 && strcmp(p->asset, op->asset) != 0)
        res = err_set(&err, -EINVAL, "it is for the asset %s", p->asset);
    if (res < 0) {
        http_reply_error(op->req, 422, "PRESENTATION_INVALID", "the presentation is refused: %s",
                         err.text);
        ref_op_free(op);
        return;
    }
    struct ref_missing missing = {w->store, json_array(), 0};
    presentation_blobs(p, ref_look_up, &missing);
    if (missing.count > 0) {
        ref_reply_missing(op->req, &missing);
        ref_op_free(op);
    } else {
        store_ref_put(w->store, str_of(op->asset), &op->presentation, op->expect, ref_on_moved, op);
    }
    json_decref(missing.list);
}

/* Reads the body; false when it is not of the form. */
static bool ref_read_body(struct str body, struct ref_op *op)
{
    json_t *root = json_loadb(body.data != NULL ? body.data : "", body.size, 0, NULL);
    json_t *expect = json_object_get(root, "expect");
    const char *digest = json_string_value(json_object_get(root, "presentation"));
    bool good = digest_parse(str_of(digest), &op->presentation) == 0;
    op->expect = STORE_REF_ANY;
    if (expect != NULL) {
        good = good && json_is_integer(expect) && json_integer_value(expect) >= 0;
        op->expect = (uint64_t)json_integer_value(expect);
    }
    json_decref(root);
    return good;
}

void origin_put_ref(struct http_req *req, void *arg)
{
    struct origin_worker *w = http_req_worker(req);
    struct str asset;
    if (!origin_may_publish(arg, req) || !ref_asset(req, &asset))
        return;
    struct ref_op *op = ref_op_new(req, asset);
    if (op == NULL)
        return;
    if (!ref_read_body(http_req_body(req), op)) {
        ref_op_free(op);
        http_reply_error(req, 400, "REF_INVALID",
                         "the body is {\"presentation\":\"<digest>\",\"expect\":<generation>}");
        return;
    }
    store_get(w->store, &op->presentation, ref_on_presentation, op);
}

static void ref_on_deleted(void *arg, int res)
{
    struct ref_op *op = arg;
    const struct origin_worker *w = http_req_worker(op->req);
    if (res == 0)
        watch_moved(w->origin->watch, str_of(op->asset));
    if (res == -ENOENT)
        http_reply_error(op->req, 404, "REF_NOT_FOUND", "there is no asset %s", op->asset);
    else if (res < 0)
        origin_reply_store_error(op->req, res);
    else
        http_reply(op->req, 204, NULL, STR_NONE);
    ref_op_free(op);
}

void origin_delete_ref(struct http_req *req, void *arg)
{
    struct origin_worker *w = http_req_worker(req);
    struct str asset;
    if (!origin_may_publish(arg, req) || !ref_asset(req, &asset))
        return;
    struct ref_op *op = ref_op_new(req, asset);
    if (op != NULL)
        store_ref_delete(w->store, asset, ref_on_deleted, op);
}
