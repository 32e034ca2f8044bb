/* SPDX-License-Identifier: Apache-2.0 */
/* POST /purge: read on the admin server's loop; marked, durably, on the purge thread, which then
 * tells all other edges at once; answered when each of them has answered, or cannot. One that was
 * not reached asks for what it missed when it is back (purge_peers.c). */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/enc.h"
#include "base/log.h"
#include "edge/purge_priv.h"
#include "http/http_auth.h"

#define CALLS_ANSWER_MAX 65536u

static void call_free(struct purge_call *c)
{
    ASSERT(c->magic == PURGE_CALL_MAGIC);
    for (unsigned i = 0; i < c->pushes_count; i++)
        buf_free(&c->pushes[i].answer);
    free(c->pushes);
    purge_ask_clear(&c->ask);
    buf_free(&c->body);
    http_req_unref(c->req);
    MAGIC_CLEAR(c);
    free(c);
}

/* --- the answer, on the request's loop -------------------------------------------------------- */

static json_t *call_edges(const struct purge_call *c, unsigned *ret_failed)
{
    json_t *edges = json_array();
    unsigned failed = 0;
    json_array_append_new(edges, json_pack("{s:s, s:b}", "edge", "self", "done", 1));
    for (unsigned i = 0; i < c->pushes_count; i++) {
        const struct purge_push *p = &c->pushes[i];
        json_t *edge = json_pack("{s:s, s:b}", "edge", p->peer->url, "done", p->done);
        if (!p->done)
            json_object_set_new(edge, "error", json_string(p->error));
        json_array_append_new(edges, edge);
        failed += p->done ? 0 : 1;
    }
    *ret_failed = failed;
    return edges;
}

static void call_answer(void *arg)
{
    struct purge_call *c = arg;
    unsigned failed = 0;
    if (c->res < 0) {
        http_reply_error(c->req, 503, "PURGE_FAILED", "it is not purged everywhere: %s",
                         strerror(-c->res));
        call_free(c);
        return;
    }
    json_t *edges = call_edges(c, &failed);
    json_t *body;
    if (failed == 0)
        body = json_pack("{s:b, s:b, s:o}", "done", 1, "soft", c->ask.soft, "edges", edges);
    else
        body = json_pack("{s:{s:s, s:s, s:{s:b, s:b, s:o}}}", "error", "code", "EDGES_NOT_REACHED",
                         "message",
                         "this edge has purged it, and not all of the others; those do so before "
                         "they serve when they are back",
                         "details", "done", 0, "soft", c->ask.soft, "edges", edges);
    if (body == NULL)
        http_reply_error(c->req, 503, "NO_MEMORY", "out of memory");
    else
        http_reply_json(c->req, failed == 0 ? 200 : 502, body);
    call_free(c);
}

void purge_call_finish(struct purge_call *c)
{
    /* Without memory for the message the request stays unanswered: it may not be touched here. */
    if (loop_post(c->loop, call_answer, c) < 0)
        log_error("out of memory: the answer to a purge is lost");
}

/* --- other edges, on the purge thread --------------------------------------------------------- */

static void call_unlink(struct purge_call *c)
{
    struct purge_call **at = &c->purge->calls;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
}

static void push_done(struct purge_push *p)
{
    struct purge_call *c = p->call;
    p->under_way = false;
    if (--c->waiting == 0) {
        call_unlink(c);
        purge_call_finish(c);
    }
}

static int push_on_data(void *arg, const uint8_t *data, size_t size)
{
    struct purge_push *p = arg;
    if (size > CALLS_ANSWER_MAX - p->answer.size)
        return -EFBIG;
    buf_put(&p->answer, data, size);
    return buf_error(&p->answer);
}

static void push_on_done(void *arg, int res, unsigned status)
{
    struct purge_push *p = arg;
    p->op = NULL;
    p->done = res == 0 && status == 200;
    if (res < 0) {
        (void)snprintf(p->error, sizeof p->error, "%s", strerror(-res));
    } else if (!p->done) {
        json_t *root =
            json_loadb(p->answer.data != NULL ? p->answer.data : "", p->answer.size, 0, NULL);
        const char *message =
            json_string_value(json_object_get(json_object_get(root, "error"), "message"));
        (void)snprintf(p->error, sizeof p->error, "it answered %u%s%s", status,
                       message != NULL ? ": " : "", message != NULL ? message : "");
        json_decref(root);
    }
    push_done(p);
}

static int push_start(struct purge_push *p, struct rbuf *body)
{
    const struct purge *purge = p->call->purge;
    CLEAN_BUF struct buf url = BUF_EMPTY;
    buf_printf(&url, "%s/purge", p->peer->url);
    struct fetch_request request = {
        .method = "POST",
        .url = url.data,
        .bearer = purge_bearer(purge),
        .type = "application/json",
        .body = body,
        .on_data = push_on_data,
        .on_done = push_on_done,
        .arg = p,
    };
    int r = buf_error(&url);
    return r < 0 ? r : fetch_start(purge->fetch, &request, &p->op);
}

/* What this edge was asked, as it asks the others. */
static int call_body(const struct purge_call *c, struct rbuf **ret)
{
    char id[2 * OBJECTS_ID_SIZE + 1];
    enc_hex(c->purge->id, sizeof c->purge->id, id);
    json_t *root = json_loadb(c->body.data, c->body.size, JSON_ALLOW_NUL, NULL);
    json_t *from = json_pack("{s:s, s:I, s:I}", "id", id, "before", (json_int_t)c->before,
                             "sequence", (json_int_t)c->sequence);
    int r = json_object_set_new(root, "spread", json_false()) < 0 ||
                    json_object_set_new(root, "from", from) < 0
                ? -ENOMEM
                : 0;
    char *text = r == 0 ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (text == NULL)
        return -ENOMEM;
    r = rbuf_copy(text, strlen(text), ret);
    free(text);
    return r;
}

static void call_spread(struct purge_call *c)
{
    struct purge *p = c->purge;
    CLEAN(rbuf_unref) struct rbuf *body = NULL;
    c->pushes = calloc(p->peers_count, sizeof *c->pushes);
    int r = c->pushes == NULL ? -ENOMEM : call_body(c, &body);
    if (c->pushes == NULL) {
        c->res = r; /* it is purged here, and the others will ask for it; but that is not known */
        purge_call_finish(c);
        return;
    }
    c->next = p->calls;
    p->calls = c;
    c->waiting = 1; /* until all are started */
    for (unsigned i = 0; i < p->peers_count; i++) {
        if (p->peers[i].is_self)
            continue;
        struct purge_push *push = &c->pushes[c->pushes_count++];
        push->call = c;
        push->peer = &p->peers[i];
        int started = r == 0 ? push_start(push, body) : r;
        push->under_way = started == 0;
        if (started < 0)
            (void)snprintf(push->error, sizeof push->error, "%s", strerror(-started));
        else
            c->waiting++;
    }
    if (--c->waiting == 0) {
        call_unlink(c);
        purge_call_finish(c);
    }
}

void purge_calls_end(struct purge *p)
{
    while (p->calls != NULL) {
        struct purge_call *c = p->calls;
        p->calls = c->next;
        for (unsigned i = 0; i < c->pushes_count; i++) {
            struct purge_push *push = &c->pushes[i];
            if (!push->under_way)
                continue;
            fetch_cancel(push->op);
            (void)snprintf(push->error, sizeof push->error, "this edge is stopping");
        }
        purge_call_finish(c);
    }
}

/* --- this edge, on the purge thread ----------------------------------------------------------- */

/* Passed on by another edge: not ours to pass on. */
static int call_take_from(struct purge_call *c)
{
    const struct purge_ask *a = &c->ask;
    enum objects_mark mark = a->soft ? OBJECTS_SOFT : OBJECTS_HARD;
    struct objects_purge *purges = calloc(a->count + 1, sizeof *purges);
    if (purges == NULL)
        return -ENOMEM;
    if (a->has_from)
        purge_known_demand(c->purge, a->from_id, a->from_sequence);
    for (unsigned i = 0; i < a->count; i++)
        purges[i] = (struct objects_purge){a->tags[i], mark};
    int r = objects_purge_taken(c->purge->edge->objects, purges, a->count,
                                a->everything ? mark : OBJECTS_STANDS);
    free(purges);
    if (r == 0)
        purge_peer_told(c->purge, a);
    return r;
}

static int call_take_own(struct purge_call *c)
{
    struct purge *p = c->purge;
    const struct purge_ask *a = &c->ask;
    struct objects *o = p->edge->objects;
    purge_known_own(p, UINT64_MAX);
    int r = a->everything ? objects_purge_all(o, a->soft) : 0;
    if (r == 0)
        r = objects_purge(o, a->tags, a->count, a->soft);
    c->before = p->own;
    c->sequence = p->own = objects_sequence(o);
    purge_known_own(p, p->own);
    return r;
}

void purge_call_take(void *arg)
{
    struct purge_call *c = arg;
    struct purge *p = c->purge;
    ASSERT(c->magic == PURGE_CALL_MAGIC);
    c->res = c->ask.is_spread ? call_take_own(c) : call_take_from(c);
    if (c->res < 0)
        log_error("a purge failed: %s", strerror(-c->res));
    metric_add(p->m_url, c->ask.urls);
    metric_add(p->m_asset, c->ask.assets);
    metric_add(p->m_tag, c->ask.names);
    metric_add(p->m_everything, c->ask.everything ? 1 : 0);
    if (c->res == 0 && c->ask.is_spread && p->peers_count > 0)
        call_spread(c);
    else
        purge_call_finish(c);
}

/* --- handlers, on the admin server's loop ----------------------------------------------------- */

static bool call_may(const struct purge *p, struct http_req *req)
{
    return p->admin.size == 0 || http_authorize(req, &p->admin, "administer");
}

static void call_send(struct purge *p, struct purge_call *c)
{
    int r = -ESHUTDOWN;
    (void)pthread_mutex_lock(&p->lock);
    if (!p->stopping)
        r = loop_post(p->loop, purge_call_take, c);
    (void)pthread_mutex_unlock(&p->lock);
    if (r == 0)
        return;
    http_reply_error(c->req, 503, "BUSY", "nothing was purged: %s",
                     r == -ESHUTDOWN ? "this process is stopping, or has handed over to another one"
                                     : strerror(-r));
    call_free(c);
}

void purge_post(struct http_req *req, void *arg)
{
    struct purge *p = arg;
    struct err err = {.text = ""};
    if (!call_may(p, req))
        return;
    struct purge_call *c = calloc(1, sizeof *c);
    if (c == NULL) {
        http_reply_error(req, 503, "NO_MEMORY", "out of memory");
        return;
    }
    c->magic = PURGE_CALL_MAGIC;
    c->purge = p;
    c->req = http_req_ref(req);
    c->loop = http_req_loop(req);
    buf_put_str(&c->body, http_req_body(req));
    int r = purge_ask_read(http_req_body(req), p->edge->routes, p->edge->upstreams, &c->ask, &err);
    if (r == 0)
        r = buf_error(&c->body);
    if (r == 0) {
        call_send(p, c);
        return;
    }
    if (r == -EINVAL)
        http_reply_error(req, 422, "PURGE_INVALID", "%s", err.text);
    else
        http_reply_error(req, 503, "NO_MEMORY", "out of memory");
    call_free(c);
}

/* --- GET /purges?after=SEQUENCE&id=ID --------------------------------------------------------- */

struct call_listing {
    struct buf hard, soft;
};

static int call_list_each(void *arg, const struct objects_purge *purge)
{
    struct call_listing *l = arg;
    char text[DIGEST_TEXT_SIZE];
    struct buf *b = purge->mark == OBJECTS_HARD ? &l->hard : &l->soft;
    digest_format(&purge->tag, text);
    buf_printf(b, "%s\"%s\"", b->size > 0 ? "," : "", text);
    return buf_error(b);
}

static int call_list(struct purge *p, uint64_t after, struct buf *out)
{
    static const char *const marks[] = {"no", "soft", "hard"};
    struct call_listing l = {0};
    struct objects_purged told;
    char id[2 * OBJECTS_ID_SIZE + 1];
    int r = objects_purged(p->edge->objects, after, call_list_each, &l, &told);
    if (r == 0) {
        enc_hex(told.id, sizeof told.id, id);
        buf_printf(out, "{\"id\":\"%s\",\"sequence\":%llu,\"everything\":\"%s\",\"hard\":[", id,
                   (unsigned long long)told.sequence, marks[told.all]);
        buf_put_str(out, buf_str(&l.hard));
        buf_puts(out, "],\"soft\":[");
        buf_put_str(out, buf_str(&l.soft));
        buf_puts(out, "]}");
        r = buf_error(out);
    }
    buf_free(&l.hard);
    buf_free(&l.soft);
    return r;
}

void purge_list(struct http_req *req, void *arg)
{
    struct purge *p = arg;
    uint64_t after = 0;
    struct str text, id;
    uint8_t theirs[OBJECTS_ID_SIZE];
    CLEAN_BUF struct buf out = BUF_EMPTY;
    if (!call_may(p, req))
        return;
    if (enc_query_find(http_req_query(req), STR("after"), &text) && str_to_u64(text, &after) < 0) {
        http_reply_error(req, 422, "AFTER_INVALID", "after: is no number");
        return;
    }
    /* A sequence of another file, or of none, is no place to go on from. */
    if (!enc_query_find(http_req_query(req), STR("id"), &id) ||
        enc_unhex(id, theirs, sizeof theirs) < 0 || memcmp(theirs, p->id, sizeof theirs) != 0)
        after = 0;
    int r = call_list(p, after, &out);
    if (r < 0) {
        http_reply_error(req, 503, "NO_MEMORY", "%s", strerror(-r));
        return;
    }
    http_res_header(req, "cache-control", "no-store");
    http_reply(req, 200, "application/json", buf_str(&out));
}
