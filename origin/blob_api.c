/* SPDX-License-Identifier: Apache-2.0 */
#include "origin/origin.h"
#include <errno.h>
#include <stdlib.h>
#include "media/view.h"

#define ORIGIN_IMMUTABLE "public, max-age=31536000, immutable"

/* One request that waits for the store. */
struct blob_op {
    struct http_req *req;
    struct digest digest;
    const char *type; /* of the answer; static text */
    bool existed;
};

static struct blob_op *blob_op_new(struct http_req *req, const struct digest *d)
{
    struct blob_op *op = calloc(1, sizeof *op);
    if (op == NULL) {
        http_reply_error(req, 503, "OUT_OF_MEMORY", "out of memory, try again");
        return NULL;
    }
    op->req = http_req_ref(req);
    op->digest = *d;
    return op;
}

static void blob_op_free(struct blob_op *op)
{
    http_req_unref(op->req);
    free(op);
}

/* The digest behind the prefix; false after answering 404. */
static bool blob_digest(struct http_req *req, struct str prefix, struct digest *ret)
{
    struct str path = http_req_path(req);
    if (str_starts(path, prefix) && digest_parse(str_skip(path, prefix.size), ret) == 0)
        return true;
    http_reply_error(req, 404, "BLOB_NOT_FOUND", "a digest is 32 lower-case hex digits");
    return false;
}

static void blob_on_put(void *arg, int res)
{
    struct blob_op *op = arg;
    if (res < 0)
        origin_reply_store_error(op->req, res);
    else
        http_reply(op->req, op->existed ? 200 : 201, NULL, STR_NONE);
    blob_op_free(op);
}

void origin_put_blob(struct http_req *req, void *arg)
{
    struct origin *o = arg;
    struct origin_worker *w = http_req_worker(req);
    struct digest d;
    if (!origin_may_publish(o, req) || !blob_digest(req, STR("/blob/"), &d))
        return;
    struct str body = http_req_body(req);
    if (body.size == 0) {
        http_reply_error(req, 400, "BODY_MISSING", "a blob has at least one byte");
        return;
    }
    CLEAN(rbuf_unref) struct rbuf *blob = NULL;
    int r = body.size > STORE_BLOB_MAX ? -EFBIG : rbuf_copy(body.data, body.size, &blob);
    if (r < 0) {
        origin_reply_store_error(req, r == -ENOMEM ? -EAGAIN : r);
        return;
    }
    struct blob_op *op = blob_op_new(req, &d);
    if (op == NULL)
        return;
    op->existed = store_has(w->store, &d);
    store_put(w->store, &d, blob, 0, blob_on_put, op);
}

static void blob_on_get(void *arg, int res, struct rbuf *blob)
{
    struct blob_op *op = arg;
    if (res < 0) {
        origin_reply_store_error(op->req, res);
    } else {
        char etag[DIGEST_ETAG_SIZE];
        digest_etag(&op->digest, etag);
        struct http_entity e = {
            .type = op->type, .etag = etag, .cache_control = ORIGIN_IMMUTABLE, .body = blob};
        http_reply_entity(op->req, &e);
    }
    blob_op_free(op);
}

/* RFC 8586: another origin asks, because it lacks the blob. It must not be asked in turn. */
static bool blob_asked_by_origin(const struct http_req *req)
{
    struct str rest = http_req_header(req, "cdn-loop");
    while (rest.size > 0) {
        const char *comma = memchr(rest.data, ',', rest.size);
        size_t size = comma != NULL ? (size_t)(comma - rest.data) : rest.size;
        struct str id = str_trim((struct str){rest.data, size});
        const char *semicolon = memchr(id.data, ';', id.size);
        if (semicolon != NULL)
            id = str_trim((struct str){id.data, (size_t)(semicolon - id.data)});
        if (str_eq_nocase(id, STR("weir")))
            return true;
        rest = str_skip(rest, MIN(size + 1, rest.size));
    }
    return false;
}

static void blob_get(struct http_req *req, const struct digest *d, const char *type)
{
    struct origin_worker *w = http_req_worker(req);
    struct blob_op *op = blob_op_new(req, d);
    if (op == NULL)
        return;
    op->type = type;
    if (blob_asked_by_origin(req))
        store_get_local(w->store, d, blob_on_get, op);
    else
        store_get(w->store, d, blob_on_get, op);
}

void origin_get_blob(struct http_req *req, void *arg)
{
    struct digest d;
    if (origin_may_read(arg, req) && blob_digest(req, STR("/blob/"), &d))
        blob_get(req, &d, "application/octet-stream");
}

void origin_get_named_blob(struct http_req *req, void *arg)
{
    struct digest d;
    const char *type = NULL;
    if (!origin_may_read(arg, req))
        return;
    if (view_parse_blob(str_skip(http_req_path(req), strlen("/b/")), &d, &type) < 0) {
        http_reply_error(req, 404, "BLOB_NOT_FOUND", "a blob's path is /b/<digest>.<extension>");
        return;
    }
    blob_get(req, &d, type);
}

void origin_post_missing(struct http_req *req, void *arg)
{
    struct origin_worker *w = http_req_worker(req);
    if (!origin_may_publish(arg, req))
        return;
    struct str body = http_req_body(req);
    json_t *root = json_loadb(body.data != NULL ? body.data : "", body.size, 0, NULL);
    json_t *digests = json_object_get(root, "digests");
    json_t *missing = json_array();
    size_t count = json_array_size(digests);
    bool good = json_is_array(digests) && count <= ORIGIN_MISSING_MAX && missing != NULL;
    for (size_t i = 0; good && i < count; i++) {
        json_t *item = json_array_get(digests, i);
        struct digest d;
        good = digest_parse(str_of(json_string_value(item)), &d) == 0;
        if (good && !store_has(w->store, &d))
            good = json_array_append(missing, item) == 0;
    }
    if (good)
        http_reply_json(req, 200, json_pack("{s:O}", "missing", missing));
    else
        http_reply_error(req, 400, "DIGESTS_INVALID",
                         "the body is {\"digests\":[...]} with at most %d digests",
                         ORIGIN_MISSING_MAX);
    json_decref(missing);
    json_decref(root);
}
