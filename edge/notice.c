/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/notice.h"
#include <errno.h>
#include <stdlib.h>
#include "base/backoff.h"
#include "base/events.h"
#include "base/log.h"
#include "edge/assets.h"
#include "edge/spread.h"

#define NOTICE_RETRY_MS_MIN 250
#define NOTICE_RETRY_MS_MAX 5000
#define NOTICE_REFUSED_MS   30000 /* an origin that has no such stream, or not for us */
#define NOTICE_ID_MAX       64

struct notice_stream {
    struct notices *notices;
    const struct upstream *upstream;
    const char *server; /* URL */
    struct fetch_op *op;
    struct loop_timer retry;
    unsigned failures; /* in a row */
    struct events events;
    char id[NOTICE_ID_MAX]; /* of the last event; "": none */
    bool live;
    unsigned status; /* of the answer */
};

struct notices {
    uint32_t magic;
#define NOTICES_MAGIC UINT32_C(0x907ce5ca)
    struct edge_worker *worker;
    /* By upstream, of their own: streams break after less silence than a download. */
    struct fetch *fetches[UPSTREAMS_MAX];
    uint64_t eras[UPSTREAMS_MAX];
    bool is_live[UPSTREAMS_MAX]; /* as the workers were told */
    unsigned count;
    struct notice_stream *streams;
};

/* --- telling the workers ---------------------------------------------------------------------- */

static void notice_on_worker(struct edge_worker *w, const void *data)
{
    assets_notice(w->assets, data);
}

/* False: not all have heard it. */
static bool notice_tell(struct notices *n, const struct notice *notice)
{
    int r = spread_call(n->worker->edge->spread, notice_on_worker, notice, sizeof *notice);
    if (r < 0)
        log_error("a notice was lost: %s", strerror(-r));
    return r == 0;
}

/* After a stream has come or gone: an upstream counts as heard while all of its streams are. */
static void notice_judge(struct notices *n, const struct upstream *u)
{
    bool live = true;
    for (unsigned i = 0; i < n->count; i++)
        live = live && (n->streams[i].upstream != u || n->streams[i].live);
    unsigned at = u->index;
    if (live == n->is_live[at] && !live)
        return;
    n->is_live[at] = live;
    metric_set(n->worker->edge->metrics.notices_live, 0);
    for (unsigned i = 0; i < UPSTREAMS_MAX; i++)
        metric_change(n->worker->edge->metrics.notices_live, n->is_live[i]);
    const struct notice notice = {
        .kind = live ? NOTICE_LIVE : NOTICE_DOWN, .upstream = at, .era = n->eras[at]};
    if (!notice_tell(n, &notice) && live)
        n->is_live[at] = false;
}

/* --- a stream --------------------------------------------------------------------------------- */

int notice_parse(struct str data, struct notice *ret)
{
    json_t *root =
        json_loadb(data.data != NULL ? data.data : "", data.size, JSON_REJECT_DUPLICATES, NULL);
    const json_t *asset = json_object_get(root, "asset");
    const json_t *presentation = json_object_get(root, "presentation");
    struct notice n = {.kind = NOTICE_GONE};
    struct str name = {json_string_value(asset), json_string_length(asset)};
    int r = -EBADMSG;
    if (name.data != NULL && store_name_ok(name) && str_copy(name, n.asset, sizeof n.asset) == 0)
        r = json_is_null(presentation) ? 0 : -EBADMSG;
    if (r < 0 && n.asset[0] != 0 && json_is_string(presentation)) {
        n.kind = NOTICE_MOVED;
        r = digest_parse(str_of(json_string_value(presentation)), &n.presentation);
    }
    json_decref(root);
    if (r < 0)
        return -EBADMSG;
    *ret = n;
    return 0;
}

static bool notice_is_resumed(struct str data)
{
    json_t *root = json_loadb(data.data != NULL ? data.data : "", data.size, 0, NULL);
    bool resumed = json_is_true(json_object_get(root, "resumed"));
    json_decref(root);
    return resumed;
}

static int notice_on_event(void *arg, const struct event *e)
{
    struct notice_stream *s = arg;
    struct notices *n = s->notices;
    unsigned at = s->upstream->index;
    if (str_eq(e->name, STR("ref"))) {
        struct notice notice;
        int r = notice_parse(e->data, &notice);
        if (r < 0)
            return r;
        notice.upstream = at;
        metric_add(n->worker->edge->metrics.notices, 1);
        if (!notice_tell(n, &notice))
            return -ENOMEM; /* the stream is asked for again, from the one before */
    } else if (str_eq(e->name, STR("live"))) {
        if (!notice_is_resumed(e->data) || n->eras[at] == 0)
            n->eras[at]++;
        s->live = true;
        s->failures = 0;
        notice_judge(n, s->upstream);
    } else if (str_eq(e->name, STR("lost"))) {
        n->eras[at]++;
        notice_judge(n, s->upstream);
    }
    if (str_copy(e->id, s->id, sizeof s->id) < 0)
        s->id[0] = 0;
    return 0;
}

static int notice_on_head(void *arg, const struct fetch_head *head)
{
    struct notice_stream *s = arg;
    s->status = head->status;
    return head->status == 200 ? 0 : -EPROTO;
}

static int notice_on_data(void *arg, const uint8_t *data, size_t size)
{
    struct notice_stream *s = arg;
    return events_feed(&s->events, (struct str){(const char *)data, size});
}

static void notice_start(void *arg);

static void notice_on_done(void *arg, int res, unsigned status)
{
    (void)status;
    struct notice_stream *s = arg;
    struct notices *n = s->notices;
    s->op = NULL;
    events_clear(&s->events);
    bool refused = s->status != 0 && s->status != 200 && s->status < 500;
    if (refused)
        log_warn("%s has no notices for us: status %u", s->server, s->status);
    else if (s->live)
        log_warn("notices of %s broke off: %s", s->server, res < 0 ? strerror(-res) : "it ended");
    if (s->live) {
        s->live = false;
        metric_add(n->worker->edge->metrics.notice_breaks, 1);
        notice_judge(n, s->upstream);
    }
    s->failures = refused ? 0 : s->failures + 1;
    uint64_t wait_ms = refused ? NOTICE_REFUSED_MS
                               : backoff_ms(s->failures, NOTICE_RETRY_MS_MIN, NOTICE_RETRY_MS_MAX);
    loop_timer_start(n->worker->loop, &s->retry, wait_ms, notice_start, s);
}

static void notice_start(void *arg)
{
    struct notice_stream *s = arg;
    struct notices *n = s->notices;
    CLEAN_BUF struct buf url = BUF_EMPTY;
    buf_printf(&url, "%s/refs/watch", s->server);
    const struct field fields[] = {
        {STR("cdn-loop"), str_of(upstreams_id(n->worker->edge->upstreams))},
        {STR("last-event-id"), str_of(s->id)},
    };
    const struct fetch_request request = {
        .method = "GET",
        .url = url.data,
        .bearer = upstream_bearer(s->upstream),
        .fields = {fields, s->id[0] != 0 ? 2 : 1},
        .shared = true,
        .on_head = notice_on_head,
        .on_data = notice_on_data,
        .on_done = notice_on_done,
        .arg = s,
    };
    s->status = 0;
    events_init(&s->events, notice_on_event, s);
    int r = buf_error(&url);
    if (r == 0)
        r = fetch_start(n->fetches[s->upstream->index], &request, &s->op);
    if (r < 0)
        notice_on_done(s, r, 0);
}

/* --- all of them ------------------------------------------------------------------------------ */

static bool notice_is_wanted(const struct upstream *u)
{
    return !upstream_is_http(u) && u->config->notices == UPSTREAM_NOTICES_ON;
}

static unsigned notices_plan(struct notices *n, struct notice_stream *streams)
{
    struct upstreams *all = n->worker->edge->upstreams;
    unsigned count = 0;
    for (unsigned i = 0; i < upstreams_count(all); i++) {
        const struct upstream *u = upstreams_at(all, i);
        for (unsigned k = 0; notice_is_wanted(u) && k < u->config->servers_count; k++) {
            if (streams != NULL)
                streams[count] = (struct notice_stream){
                    .notices = n, .upstream = u, .server = u->config->servers[k]};
            count++;
        }
    }
    return count;
}

static int notices_open(struct notices *n)
{
    unsigned count = notices_plan(n, NULL);
    n->streams = calloc(count + 1u, sizeof *n->streams);
    if (n->streams == NULL)
        return -ENOMEM;
    n->count = notices_plan(n, n->streams);
    int r = 0;
    for (unsigned i = 0; i < n->count && r == 0; i++) {
        const struct upstream *u = n->streams[i].upstream;
        const struct fetch_options options = {
            .ca_file = u->config->ca_file,
            .cert_file = u->config->cert_file,
            .key_file = u->config->key_file,
            .http2 = u->config->http2,
            .connect_ms = u->config->connect_ms,
            .stall_ms = NOTICE_SILENCE_MS,
        };
        if (n->fetches[u->index] == NULL)
            r = fetch_new(n->worker->loop, &options, &n->fetches[u->index]);
    }
    return r;
}

int notices_new(struct edge_worker *w, struct notices **ret)
{
    struct notices *n = calloc(1, sizeof *n);
    if (n == NULL)
        return -ENOMEM;
    n->magic = NOTICES_MAGIC;
    n->worker = w;
    int r = notices_open(n);
    if (r < 0) {
        notices_free(n);
        return r;
    }
    for (unsigned i = 0; i < n->count; i++)
        notice_start(&n->streams[i]);
    *ret = n;
    return 0;
}

struct notices *notices_free(struct notices *n)
{
    if (n == NULL)
        return NULL;
    ASSERT(n->magic == NOTICES_MAGIC);
    for (unsigned i = 0; n->streams != NULL && i < n->count; i++) {
        struct notice_stream *s = &n->streams[i];
        loop_timer_stop(&s->retry);
        if (s->op != NULL)
            fetch_cancel(s->op);
        events_clear(&s->events);
    }
    for (unsigned i = 0; i < UPSTREAMS_MAX; i++)
        fetch_free(n->fetches[i]);
    free(n->streams);
    MAGIC_CLEAR(n);
    free(n);
    return NULL;
}
