/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include "base/enc.h"
#include "base/log.h"
#include "http/http_auth.h"
#include "ingest/ingest.h"

/* A request on its way through the pool: to it with what was asked, back with what to answer. */
struct api_call {
    struct ingest *ingest;
    struct http_req *req; /* a reference; touched on its loop only */
    struct loop *loop;
    struct job_ask ask;   /* POST */
    char id[JOB_ID_SIZE]; /* DELETE */
    bool discard;
    int r;
    bool is_new;
    json_t *answer;
    struct err err;
};

static void api_call_free(struct api_call *c)
{
    job_ask_clear(&c->ask);
    json_decref(c->answer);
    http_req_unref(c->req);
    free(c);
}

static bool api_may(struct ingest *i, struct http_req *req)
{
    return http_authorize(req, &i->secret, "publish");
}

static void api_reply_error(struct http_req *req, int r, const char *text)
{
    switch (r) {
    case -EHOSTDOWN:
        http_reply_error(req, 503, "ORIGIN_UNREACHABLE", "%s", text);
        break;
    case -EAGAIN:
        http_reply_error(req, 503, "BUSY", "%s", text);
        break;
    case -ENOMEM:
        http_reply_error(req, 503, "NO_MEMORY", "%s", text);
        break;
    case -EINVAL:
        http_reply_error(req, 422, "JOB_INVALID", "%s", text);
        break;
    default:
        http_reply_error(req, 422, "SOURCE_UNREADABLE", "%s", text);
        break;
    }
}

/* On the loop. */
static void api_answer(void *arg)
{
    struct api_call *c = arg;
    if (c->r == 0 && c->answer == NULL) {
        http_reply_error(c->req, 503, "NO_MEMORY", "out of memory");
    } else if (c->r == 0) {
        http_reply_json(c->req, c->is_new ? 202 : 200, c->answer); /* takes it over */
        c->answer = NULL;
    } else if (c->r == -ENOENT && c->id[0] != 0) {
        http_reply_error(c->req, 404, "JOB_NOT_FOUND", "there is no such job");
    } else {
        api_reply_error(c->req, c->r, c->err.text);
    }
    api_call_free(c);
}

/* From any thread. When the loop has no memory for the message the request stays unanswered: its
 * reference may not be dropped here, so it stays as well. */
static void api_back(struct api_call *c)
{
    int r = loop_post(c->loop, api_answer, c);
    if (r < 0)
        log_error("a request stays unanswered: %s", strerror(-r));
}

static struct api_call *api_call_new(struct ingest *i, struct http_req *req)
{
    struct api_call *c = calloc(1, sizeof *c);
    if (c == NULL) {
        http_reply_error(req, 503, "NO_MEMORY", "out of memory");
        return NULL;
    }
    c->ingest = i;
    c->req = http_req_ref(req);
    c->loop = http_req_loop(req);
    return c;
}

static void api_send(struct api_call *c, pool_work *work)
{
    int r = pool_run(c->ingest->pool, work, c);
    if (r < 0) {
        http_reply_error(c->req, 503, "BUSY", "too many requests at once");
        api_call_free(c);
    }
}

static void api_post_work(void *arg)
{
    struct api_call *c = arg;
    c->r = jobs_post(c->ingest->jobs, &c->ask, &c->answer, &c->is_new, &c->err);
    api_back(c);
}

static char *api_text(json_t *body, const char *key, bool *ret_bad)
{
    json_t *v = json_object_get(body, key);
    if (v == NULL || json_is_null(v))
        return NULL;
    const char *text = json_string_value(v);
    if (text == NULL || strlen(text) != json_string_length(v)) { /* a NUL inside */
        *ret_bad = true;
        return NULL;
    }
    return str_dup(str_of(text));
}

static void api_post(struct http_req *req, void *arg)
{
    struct ingest *i = arg;
    if (!api_may(i, req))
        return;
    struct str text = http_req_body(req);
    json_t *body = json_loadb(text.data != NULL ? text.data : "", text.size, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(body)) {
        json_decref(body);
        http_reply_error(req, 400, "BODY_INVALID", "the body is not a JSON object");
        return;
    }
    bool bad = false;
    struct job_ask ask = {.path = api_text(body, "path", &bad),
                          .asset = api_text(body, "asset", &bad),
                          .ladder = api_text(body, "ladder", &bad),
                          .title = api_text(body, "title", &bad)};
    bool has_ladder = json_object_get(body, "ladder") != NULL;
    json_decref(body);
    if (!has_ladder)
        ask.ladder = str_dup(STR("auto"));
    if (bad || ask.path == NULL || ask.asset == NULL || ask.ladder == NULL) {
        job_ask_clear(&ask);
        http_reply_error(req, 422, "JOB_INVALID",
                         "path and asset must be texts, ladder and title may");
        return;
    }
    struct api_call *c = api_call_new(i, req);
    if (c == NULL) {
        job_ask_clear(&ask);
        return;
    }
    c->ask = ask;
    api_send(c, api_post_work);
}

static void api_list(struct http_req *req, void *arg)
{
    struct ingest *i = arg;
    if (!api_may(i, req))
        return;
    json_t *list = jobs_list(i->jobs);
    json_t *body = list == NULL ? NULL : json_pack("{s:o}", "jobs", list);
    if (body == NULL)
        http_reply_error(req, 503, "NO_MEMORY", "out of memory");
    else
        http_reply_json(req, 200, body);
}

/* The id in "/jobs/<id>"; false after a 404. */
static bool api_id(struct http_req *req, char out[JOB_ID_SIZE])
{
    struct str id = str_skip(http_req_path(req), strlen("/jobs/"));
    struct digest d;
    if (digest_parse(id, &d) == 0 && str_copy(id, out, JOB_ID_SIZE) == 0)
        return true;
    http_reply_error(req, 404, "JOB_NOT_FOUND", "there is no such job");
    return false;
}

static void api_get(struct http_req *req, void *arg)
{
    struct ingest *i = arg;
    char id[JOB_ID_SIZE];
    if (!api_may(i, req) || !api_id(req, id))
        return;
    json_t *job = jobs_get(i->jobs, id);
    if (job == NULL)
        http_reply_error(req, 404, "JOB_NOT_FOUND", "there is no such job");
    else
        http_reply_json(req, 200, job);
}

static void api_delete_ended(void *arg, json_t *job)
{
    struct api_call *c = arg;
    c->answer = job;
    api_back(c);
}

static void api_delete_work(void *arg)
{
    struct api_call *c = arg;
    int r = jobs_delete(c->ingest->jobs, c->id, c->discard, api_delete_ended, c);
    if (r < 0) { /* else the callback has c, which may be gone by now */
        c->r = r;
        api_back(c);
    }
}

static void api_delete(struct http_req *req, void *arg)
{
    struct ingest *i = arg;
    char id[JOB_ID_SIZE];
    if (!api_may(i, req) || !api_id(req, id))
        return;
    struct api_call *c = api_call_new(i, req);
    if (c == NULL)
        return;
    struct str discard;
    memcpy(c->id, id, sizeof id);
    c->discard =
        enc_query_find(http_req_query(req), STR("discard"), &discard) && str_eq(discard, STR("1"));
    api_send(c, api_delete_work);
}

int ingest_routes(struct ingest *i)
{
    struct http_server *s = i->server;
    int r = http_route_status(s, i->metrics, NULL, NULL);
    if (r == 0)
        r = http_route(s, HTTP_POST, "/jobs", api_post, i);
    if (r == 0)
        r = http_route(s, HTTP_GET, "/jobs", api_list, i);
    if (r == 0)
        r = http_route(s, HTTP_GET, "/jobs/", api_get, i);
    if (r == 0)
        r = http_route(s, HTTP_DELETE, "/jobs/", api_delete, i);
    return r == 0 ? upload_routes(i) : r;
}
