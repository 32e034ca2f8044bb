/* SPDX-License-Identifier: Apache-2.0 */
/* What the admin API is told and tells of warming. */
#include <errno.h>
#include <stdlib.h>
#include "edge/warm_priv.h"
#include "http/http_auth.h"

static json_t *warm_failures(struct warm *w)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < WARM_FAILURES; i++) { /* oldest first */
        const struct warm_failure *f = &w->failures[(w->failures_next + i) % WARM_FAILURES];
        if (f->text != NULL)
            (void)json_array_append_new(
                list, json_pack("{s:s, s:s}", "url", f->text, "why", strerrordesc_np(-f->error)));
    }
    return list;
}

static json_t *warm_json(struct warm *w)
{
    (void)pthread_mutex_lock(&w->lock);
    json_t *json = json_pack("{s:i, s:i, s:I, s:I, s:I, s:I, s:o}", "queued", (int)w->queued,
                             "running", (int)w->running, "fetched", (json_int_t)w->fetched, "here",
                             (json_int_t)w->here, "failed", (json_int_t)w->failed, "bytes",
                             (json_int_t)w->bytes, "failures", warm_failures(w));
    (void)pthread_mutex_unlock(&w->lock);
    return json;
}

static bool warm_admits(struct warm *w, struct http_req *req)
{
    return w->admin.size == 0 || http_authorize(req, &w->admin, "administer");
}

static void warm_get(struct http_req *req, void *arg)
{
    struct warm *w = arg;
    if (!warm_admits(w, req))
        return;
    http_res_header(req, "cache-control", "no-store");
    http_reply_json(req, 200, warm_json(w));
}

static void warm_delete(struct http_req *req, void *arg)
{
    struct warm *w = arg;
    if (!warm_admits(w, req))
        return;
    (void)pthread_mutex_lock(&w->lock);
    warm__forget(w);
    (void)pthread_mutex_unlock(&w->lock);
    http_reply_json(req, 200, warm_json(w));
}

static int warm_take(struct warm *w, const json_t *urls)
{
    size_t i;
    json_t *one;
    json_array_foreach(urls, i, one)
    {
        struct str text = {json_string_value(one), json_string_length(one)};
        struct warm_item *item = calloc(1, sizeof *item + text.size + 1);
        if (item == NULL)
            return -ENOMEM;
        memcpy(item->text, text.data, text.size);
        warm__append(w, item);
    }
    return 0;
}

/* NULL: all is well. */
static const char *warm_check(const json_t *root, const json_t *urls, const json_t *concurrent)
{
    size_t i;
    json_t *one;
    if (!json_is_object(root) || !json_is_array(urls))
        return "the body is {\"urls\": [\"...\", ...]}";
    json_array_foreach(urls, i, one)
    {
        if (json_string_length(one) == 0 || json_string_length(one) > 8192)
            return "urls: each is a text of 1 to 8192 bytes";
    }
    if (concurrent != NULL && (json_integer_value(concurrent) < 1 ||
                               json_integer_value(concurrent) > (json_int_t)WARM_CONCURRENT_MAX))
        return "concurrent: a number from 1 to 64";
    return NULL;
}

static void warm_post(struct http_req *req, void *arg)
{
    struct warm *w = arg;
    if (!warm_admits(w, req))
        return;
    struct str body = http_req_body(req);
    json_t *root = json_loadb(body.size > 0 ? body.data : "", body.size, 0, NULL);
    const json_t *urls = json_object_get(root, "urls");
    const json_t *concurrent = json_object_get(root, "concurrent");
    const char *wrong = warm_check(root, urls, concurrent);
    if (wrong != NULL) {
        http_reply_error(req, 400, "BAD_REQUEST", "%s", wrong);
        json_decref(root);
        return;
    }
    (void)pthread_mutex_lock(&w->lock);
    bool full = json_array_size(urls) > WARM_QUEUE_MAX - w->queued;
    int r = full ? -EFBIG : warm_take(w, urls);
    if (concurrent != NULL)
        w->concurrent = (unsigned)json_integer_value(concurrent);
    if (r == 0)
        r = w->worker != NULL ? loop_post(w->worker->loop, warm__pump, w) : -ESHUTDOWN;
    (void)pthread_mutex_unlock(&w->lock);
    json_decref(root);
    if (r < 0)
        http_reply_error(req, full ? 413 : 503, "BUSY", "%s",
                         full ? "the queue is full" : "not now, try again");
    else
        http_reply_json(req, 202, warm_json(w));
}

int warm_route(struct warm *w, struct http_server *admin)
{
    int r = http_route(admin, HTTP_POST, "/warm", warm_post, w);
    if (r == 0)
        r = http_route(admin, HTTP_GET, "/warm", warm_get, w);
    return r < 0 ? r : http_route(admin, HTTP_DELETE, "/warm", warm_delete, w);
}
