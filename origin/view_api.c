/* SPDX-License-Identifier: Apache-2.0 */
#include "origin/origin.h"
#include <errno.h>
#include <stdlib.h>
#include "base/log.h"
#include "media/view.h"

#define ORIGIN_VIEW_CACHE_CONTROL                                                                  \
    "public, max-age=2, stale-while-revalidate=10, stale-if-error=86400"

/* A view that waits for its presentation, then perhaps for the blob it stands for. */
struct view_op {
    struct http_req *req;
    struct str rest; /* behind /v/<asset>/, in the request's path */
    struct digest presentation;
    struct digest blob;
    const char *type;
};

static void view_op_free(struct view_op *op)
{
    http_req_unref(op->req);
    free(op);
}

static void view_reply(struct view_op *op, const struct digest *named, struct rbuf *body)
{
    char etag[DIGEST_ETAG_SIZE];
    digest_etag(named, etag);
    struct http_entity e = {
        .type = op->type, .etag = etag, .cache_control = ORIGIN_VIEW_CACHE_CONTROL, .body = body};
    http_reply_entity(op->req, &e);
}

static void view_on_blob(void *arg, int res, struct rbuf *blob)
{
    struct view_op *op = arg;
    if (res < 0)
        origin_reply_store_error(op->req, res);
    else
        view_reply(op, &op->blob, blob);
    view_op_free(op);
}

/* Answers and frees op, now or when the blob is here. */
static void view_answer(struct view_op *op, const struct title *title)
{
    struct origin_worker *w = http_req_worker(op->req);
    struct view v = {0};
    struct view_options options = {0};
    int r = view_resolve(title->presentation, op->rest, &options, &v);
    if (r < 0) {
        http_reply_error(op->req, r == -ENOENT ? 404 : 500, "VIEW_NOT_FOUND",
                         "the asset has no " STR_FMT, STR_ARG(op->rest));
        view_op_free(op);
        return;
    }
    op->type = v.type;
    if (v.is_blob) {
        op->blob = v.digest;
        view_clear(&v);
        store_get(w->store, &op->blob, view_on_blob, op);
        return;
    }
    CLEAN(rbuf_unref) struct rbuf *body = NULL;
    struct digest d = digest_of(v.text.data, v.text.size);
    r = rbuf_copy(v.text.data, v.text.size, &body);
    if (r < 0)
        origin_reply_store_error(op->req, -EAGAIN);
    else
        view_reply(op, &d, body);
    view_clear(&v);
    view_op_free(op);
}

static void view_on_presentation(void *arg, int res, struct rbuf *blob)
{
    struct view_op *op = arg;
    struct origin_worker *w = http_req_worker(op->req);
    struct title *title = NULL;
    struct err err = {0};
    if (res == 0) {
        uint32_t size;
        const uint8_t *data = rbuf_data(blob, &size);
        res = title_new(&op->presentation, (struct str){(const char *)data, size}, &title, &err);
        if (res < 0)
            log_error("presentation: %s", err.text);
    }
    if (res < 0) {
        origin_reply_store_error(op->req, res);
        view_op_free(op);
        return;
    }
    ASSERT(title != NULL);
    title_cache_add(w->titles, title);
    view_answer(op, title);
    title_unref(title);
}

void origin_get_view(struct http_req *req, void *arg)
{
    struct origin_worker *w = http_req_worker(req);
    if (!origin_may_read(arg, req))
        return;
    struct str rest;
    struct str asset = str_cut(str_skip(http_req_path(req), strlen("/v/")), '/', &rest);
    struct store_ref ref;
    if (!store_name_ok(asset) || store_ref_get(w->store, asset, &ref) < 0) {
        http_reply_error(req, 404, "REF_NOT_FOUND", "there is no asset " STR_FMT, STR_ARG(asset));
        return;
    }
    struct view_op *op = calloc(1, sizeof *op);
    if (op == NULL) {
        origin_reply_store_error(req, -EAGAIN);
        return;
    }
    op->req = http_req_ref(req);
    op->rest = rest;
    op->presentation = ref.presentation;
    struct title *title = title_cache_get(w->titles, &ref.presentation);
    if (title != NULL)
        view_answer(op, title);
    else
        store_get(w->store, &op->presentation, view_on_presentation, op);
}
