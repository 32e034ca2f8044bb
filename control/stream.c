/* SPDX-License-Identifier: Apache-2.0 */
#include "control/stream.h"
#include <errno.h>
#include <stdlib.h>
#include "control/api/text.h"
#include "control/outflow.h"
#include "http/http_auth.h"

#define STREAM_BODY_MAX ((size_t)64 << 10)

struct stream {
    uint32_t magic;
#define STREAM_MAGIC UINT32_C(0x57e4a511)
    struct control_worker *worker;
    struct stream *next, *prev;
    struct http_req *req;
    struct lease_watch *watch;
    struct loop_timer timer;
    struct outflow out;
    bool is_ending;
};

/* --- the stream of ended sessions ------------------------------------------------------------- */

static void stream_wake(struct stream *s)
{
    if (buf_error(&s->out.more) < 0 || s->out.more.size > STREAM_SIZE_MAX)
        s->is_ending = true;
    http_req_wake(s->req);
}

static void stream_on_ended(void *arg, struct str session)
{
    struct stream *s = arg;
    buf_puts(&s->out.more, "data: ");
    buf_put_str(&s->out.more, session);
    buf_puts(&s->out.more, "\n\n");
    stream_wake(s);
}

/* Notices may have been missed: the edge asks about all that it knows. */
static void stream_on_gap(void *arg)
{
    struct stream *s = arg;
    buf_puts(&s->out.more, "event: gap\ndata:\n\n");
    stream_wake(s);
}

static void stream_on_beat(void *arg)
{
    struct stream *s = arg;
    if (atomic_load(&s->worker->control->is_stopping))
        s->is_ending = true;
    else
        loop_timer_start(s->worker->loop, &s->timer, STREAM_BEAT_MS, stream_on_beat, s);
    buf_puts(&s->out.more, ":\n\n");
    stream_wake(s);
}

static int stream_read(void *source, uint64_t offset, uint32_t size_max, const uint8_t **ret_data,
                       uint32_t *ret_size)
{
    struct stream *s = source;
    return outflow_read(&s->out, offset, size_max, s->is_ending, ret_data, ret_size);
}

static void stream_unlink(struct stream *s)
{
    struct control_worker *w = s->worker;
    if (w == NULL)
        return;
    if (s->prev != NULL)
        s->prev->next = s->next;
    else
        w->streams = s->next;
    if (s->next != NULL)
        s->next->prev = s->prev;
    s->worker = NULL;
    s->watch = lease_unwatch(s->watch);
    loop_timer_stop(&s->timer);
}

static void stream_close(void *source)
{
    struct stream *s = source;
    ASSERT(s->magic == STREAM_MAGIC);
    stream_unlink(s);
    http_req_unref(s->req);
    outflow_free(&s->out);
    MAGIC_CLEAR(s);
    free(s);
}

void streams_leave(struct control_worker *w)
{
    while (w->streams != NULL)
        stream_unlink(w->streams);
}

static bool stream_authorize(struct control *c, struct http_req *req)
{
    struct live *l = control_live(c);
    bool good = false;
    http_res_header(req, "cache-control", "no-store");
    if (l->edge_secret.size == 0)
        http_reply_error(req, 404, "NOT_FOUND", "there is no such call");
    else
        good = http_authorize(req, &l->edge_secret, "edge");
    live_unref(l);
    return good;
}

static void stream_on_request(struct http_req *req, void *arg)
{
    static const struct http_source_ops ops = {stream_read, stream_close};
    struct control_worker *w = http_req_worker(req);
    if (!stream_authorize(arg, req))
        return;
    struct stream *s = calloc(1, sizeof *s);
    int r =
        s == NULL ? -ENOMEM : lease_watch(w->leases, stream_on_ended, stream_on_gap, s, &s->watch);
    if (r < 0) {
        free(s);
        http_reply_error(req, 503, "BUSY", "out of memory, try again");
        return;
    }
    s->magic = STREAM_MAGIC;
    s->worker = w;
    s->req = http_req_ref(req);
    s->next = w->streams;
    if (s->next != NULL)
        s->next->prev = s;
    w->streams = s;
    loop_timer_start(w->loop, &s->timer, STREAM_BEAT_MS, stream_on_beat, s);
    const struct http_entity e = {
        .type = "text/event-stream", .source_ops = &ops, .source = s, .size = HTTP_SIZE_UNKNOWN};
    http_reply_entity(req, &e);
}

/* --- renewals --------------------------------------------------------------------------------- */

struct renewal {
    struct control *control;
    struct http_req *req;
};

static const char *const stream_states[] = {
    [LEASE_UNSURE] = "unsure", [LEASE_LIVE] = "live",  [LEASE_ENDED] = "ended",
    [LEASE_FULL] = "full",     [LEASE_OVER] = "ended", /* edges treat both the same */
};

static void renewal_free(struct renewal *n)
{
    http_req_unref(n->req);
    free(n);
}

static void renewal_on_done(void *arg, int res, const enum lease_state *states, unsigned count)
{
    struct renewal *n = arg;
    json_t *list = json_array();
    for (unsigned i = 0; i < count; i++)
        (void)json_array_append_new(list, json_string(stream_states[states[i]]));
    if (res < 0) {
        metric_add(n->control->leases_away, 1);
        http_reply_error(n->req, 503, "LEASES_UNAVAILABLE", "the sessions' store is away");
        json_decref(list);
    } else {
        /* A list that lacks one for want of memory is refused by the edge. */
        http_reply_json(n->req, 200, json_pack("{s:o}", "states", list));
    }
    renewal_free(n);
}

static struct str renewal_text(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_string(value) ? (struct str){json_string_value(value), json_string_length(value)}
                                 : STR_NONE;
}

/* The body's sessions; texts borrow from it. */
static int renewal_read(const json_t *body, struct lease **ret, unsigned *ret_count,
                        struct fault *fault)
{
    const json_t *list = json_object_get(body, "sessions");
    size_t i;
    json_t *each;
    if (!json_is_array(list) || json_array_size(list) == 0 ||
        json_array_size(list) > LEASE_BATCH_MAX)
        return fault_set(fault, 422, "BODY_INVALID", "\"sessions\" is not a list of 1 to %d",
                         LEASE_BATCH_MAX);
    struct lease *leases = calloc(json_array_size(list), sizeof *leases);
    if (leases == NULL)
        return -ENOMEM;
    json_array_foreach(list, i, each)
    {
        leases[i] = (struct lease){
            .user = renewal_text(each, "user"),
            .session = renewal_text(each, "session"),
            .asset = renewal_text(each, "asset"),
            .until_ms = json_integer_value(json_object_get(each, "until_ms")),
        };
    }
    *ret = leases;
    *ret_count = (unsigned)json_array_size(list);
    return 0;
}

static int renewal_start(struct control_worker *w, struct http_req *req, const json_t *body,
                         struct fault *fault)
{
    struct lease *leases = NULL;
    unsigned count = 0;
    int r = renewal_read(body, &leases, &count, fault);
    if (r < 0)
        return r;
    struct renewal *n = calloc(1, sizeof *n);
    r = -ENOMEM;
    if (n != NULL) {
        n->control = w->control;
        n->req = http_req_ref(req);
        r = lease_renew(w->leases, leases, count, renewal_on_done, n);
    }
    if (r == -EINVAL)
        r = fault_set(fault, 422, "BODY_INVALID", "a session's texts are not of their form");
    if (r < 0 && n != NULL)
        renewal_free(n);
    free(leases);
    return r;
}

static void renewal_on_request(struct http_req *req, void *arg)
{
    struct fault fault = {0};
    json_t *body = NULL;
    if (!stream_authorize(arg, req))
        return;
    int r = text_read_json(http_req_body(req), STREAM_BODY_MAX, &body, &fault);
    if (r == 0 && !json_is_object(body))
        r = fault_set(&fault, 400, "JSON_INVALID", "the body is not a JSON object");
    if (r == 0)
        r = renewal_start(http_req_worker(req), req, body, &fault);
    json_decref(body);
    if (r < 0) {
        fault_of_errno(&fault, r, "renewing leases");
        http_reply_error(req, fault.status, fault.code, "%s", fault.message);
    }
}

int stream_routes(struct control *c)
{
    int r = http_route(c->server, HTTP_GET, "/api/v1/internal/leases/ended", stream_on_request, c);
    if (r == 0)
        r = http_route(c->server, HTTP_POST, "/api/v1/internal/leases/renew", renewal_on_request,
                       c);
    return r;
}
