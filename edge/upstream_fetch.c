/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/upstream_fetch.h"
#include <errno.h>
#include <stdlib.h>
#include "base/backoff.h"
#include "base/clock.h"
#include "base/id.h"
#include "edge/upstream_order.h"
#include "edge/upstream_server.h"

#define UPSTREAM_RETRIES         2
#define UPSTREAM_BACKOFF_MS      50
#define UPSTREAM_BACKOFF_MS_MAX  3200
#define UPSTREAM_PEER_CONNECT_MS 1000
#define UPSTREAM_PEER_FAILURES   2 /* open an edge's circuit on a worker */

struct upstream_worker {
    uint32_t magic;
#define UPSTREAM_WORKER_MAGIC UINT32_C(0x0b57e0e8)
    unsigned under_way;
    struct {
        struct fetch *servers, *peers; /* peers: NULL without any */
    } at[UPSTREAMS_MAX];
};

struct upstream_fetch {
    uint32_t magic;
#define UPSTREAM_FETCH_MAGIC UINT32_C(0x0b57fe7c)
    struct edge_worker *worker;
    const struct upstream *upstream;
    struct fetch_request request; /* as asked for; what it points to is ours */
    struct buf text;              /* the bytes of the strs below and of the fields */
    struct str path, peer_path, host;
    struct str loop, sibling_loop; /* CDN-Loop, and what a sibling is told */
    struct field *fields;
    char method[16];
    char trace_id[ID_TEXT_SIZE];
    char *type;

    struct upstream_order order;
    unsigned next; /* in the order */
    unsigned rounds_left, rounds_done;
    struct upstream_server *server; /* who is being asked */
    struct fetch_op *op;
    struct loop_timer timer;
    uint64_t started_us;
    bool is_safe; /* GET or HEAD */
    bool is_paused, head_given, refused, is_done;
    bool in_callback, is_dead; /* cancelled within one: freed behind it */
    bool is_user_error;        /* a callback of the asker's has ended it */
};

static int upstream_try_next(struct upstream_fetch *f);

static void upstream_fetch_check(const struct upstream_fetch *f)
{
    ASSERT(f != NULL);
    ASSERT(f->magic == UPSTREAM_FETCH_MAGIC);
}

static void upstream_fetch_free(struct upstream_fetch *f)
{
    loop_timer_stop(&f->timer);
    f->worker->upstreams->under_way--;
    buf_free(&f->text);
    free(f->fields);
    free(f->type);
    (void)rbuf_unref(f->request.body);
    MAGIC_CLEAR(f);
    free(f);
}

/* --- the answer ------------------------------------------------------------------------------- */

static void upstream_finish(struct upstream_fetch *f, int res, unsigned status)
{
    f->is_done = true;
    if (f->request.on_done != NULL)
        f->request.on_done(f->request.arg, res, status);
    upstream_fetch_free(f);
}

/* Whether somebody else may know better. */
static bool upstream_is_refusal(const struct upstream_fetch *f, unsigned status)
{
    if (!f->is_safe || f->next == f->order.count)
        return false;
    if (f->server->role != UPSTREAM_SERVER)
        return status == 401 || status == 403 || status == 421 || status >= 500;
    return status == 500 || (status >= 502 && status <= 504);
}

static int upstream_on_head(void *arg, const struct fetch_head *head)
{
    struct upstream_fetch *f = arg;
    upstream_fetch_check(f);
    metric_observe(f->server->seconds, (double)(clock_mono_us() - f->started_us) / 1e6);
    if (upstream_is_refusal(f, head->status)) {
        f->refused = true;
        return -ECANCELED; /* on_done goes on */
    }
    f->head_given = true;
    if (f->request.on_head == NULL)
        return 0;
    f->in_callback = true;
    int r = f->request.on_head(f->request.arg, head);
    f->in_callback = false;
    f->is_user_error = r < 0;
    if (!f->is_dead)
        return r;
    upstream_fetch_free(f);
    return -ECANCELED; /* its operation is cancelled already */
}

static int upstream_on_data(void *arg, const uint8_t *data, size_t size)
{
    struct upstream_fetch *f = arg;
    if (f->request.on_data == NULL)
        return 0;
    f->in_callback = true;
    int r = f->request.on_data(f->request.arg, data, size);
    f->in_callback = false;
    f->is_user_error = r < 0;
    if (!f->is_dead)
        return r;
    upstream_fetch_free(f);
    return -ECANCELED;
}

static void upstream_on_backoff(void *arg)
{
    struct upstream_fetch *f = arg;
    upstream_fetch_check(f);
    int r = upstream_try_next(f);
    if (r < 0)
        upstream_finish(f, r, 0);
}

/* The servers once more, after a while. */
static void upstream_wait(struct upstream_fetch *f)
{
    f->rounds_left--;
    f->rounds_done++;
    f->next = f->order.servers_from;
    loop_timer_start(f->worker->loop, &f->timer,
                     backoff_ms(f->rounds_done, UPSTREAM_BACKOFF_MS, UPSTREAM_BACKOFF_MS_MAX),
                     upstream_on_backoff, f);
}

static bool upstream_may_go_on(const struct upstream_fetch *f, int res)
{
    if (f->head_given || f->is_user_error || res == -ENOMEM || res == -EINVAL)
        return false;
    return f->is_safe || res == -ECONNREFUSED || res == -EHOSTDOWN; /* it has seen nothing */
}

static void upstream_on_done(void *arg, int res, unsigned status)
{
    struct upstream_fetch *f = arg;
    upstream_fetch_check(f);
    f->op = NULL;
    if (res == 0 || f->refused) {
        upstream_server_answered(f->server);
    } else if (!f->is_user_error && res != -ENOMEM) {
        metric_add(f->server->failed, 1);
        if (res != -EHOSTDOWN) /* what was not asked tells nothing new */
            upstream_server_failed(f->server, strerrordesc_np(-res));
    }
    bool more = f->refused || (res < 0 && upstream_may_go_on(f, res));
    f->refused = false;
    if (more && f->next < f->order.count) {
        metric_add(f->upstream->retries, 1);
        int r = upstream_try_next(f);
        if (r == 0)
            return;
        res = r;
    } else if (more && f->is_safe && res != -EBADMSG && f->rounds_left > 0) {
        metric_add(f->upstream->retries, 1);
        upstream_wait(f);
        return;
    }
    upstream_finish(f, res, status);
}

/* --- the question ----------------------------------------------------------------------------- */

/* Its fields, then those that are for this server. */
static struct fields upstream_fields(const struct upstream_fetch *f, struct str demand)
{
    unsigned n = f->request.fields.count;
    bool is_sibling = f->server->role == UPSTREAM_SIBLING;
    f->fields[n++] = (struct field){STR("cdn-loop"), is_sibling ? f->sibling_loop : f->loop};
    if (f->server->role != UPSTREAM_SERVER && f->host.size > 0)
        f->fields[n++] = (struct field){STR("host"), f->host};
    if (demand.size > 0)
        f->fields[n++] = (struct field){STR(PURGE_DEMAND_FIELD), demand};
    return (struct fields){f->fields, n};
}

static int upstream_try(struct upstream_fetch *f, struct upstream_server *s)
{
    const struct upstream *u = f->upstream;
    bool is_peer = s->role != UPSTREAM_SERVER;
    struct str path = is_peer ? f->peer_path : f->path;
    CLEAN_BUF struct buf url = BUF_EMPTY, demand = BUF_EMPTY;
    buf_printf(&url, "%s" STR_FMT, s->url, STR_ARG(path));
    if (is_peer)
        purge_demand(f->worker->edge->purge, &demand);
    int r = buf_error(&url);
    if (r == 0)
        r = buf_error(&demand);
    if (r < 0)
        return r;
    struct fetch_request q = f->request;
    q.url = url.data;
    q.bearer = is_peer ? u->peer_credential.text : upstream_bearer(u);
    q.unix_socket = NULL;
    q.on_head = upstream_on_head;
    q.on_data = upstream_on_data;
    q.on_done = upstream_on_done;
    q.arg = f;
    f->server = s;
    q.fields = upstream_fields(f, buf_str(&demand));
    struct upstream_worker *w = f->worker->upstreams;
    f->started_us = clock_mono_us();
    metric_add(s->requests, 1);
    r = fetch_start(is_peer ? w->at[u->index].peers : w->at[u->index].servers, &q, &f->op);
    if (r == 0 && f->is_paused)
        fetch_pause(f->op, true);
    return r;
}

static int upstream_try_next(struct upstream_fetch *f)
{
    ASSERT(f->next < f->order.count);
    return upstream_try(f, f->order.at[f->next++]);
}

/* Each str into one buffer, whose bytes move while it grows: so the sizes first. */
static int upstream_copy(struct upstream_fetch *f, const struct upstream_ask *ask)
{
    const struct fetch_request *q = ask->request;
    struct str peer_path = ask->peer_path.size > 0 ? ask->peer_path : ask->path;
    struct buf *b = &f->text;
    buf_put_str(b, ask->path);
    buf_put_str(b, peer_path);
    buf_put_str(b, ask->host);
    size_t loop_at = b->size;
    fields_join(&ask->came, STR("cdn-loop"), b);
    buf_puts(b, b->size > loop_at ? ", " : "");
    buf_puts(b, upstreams_id(f->worker->edge->upstreams));
    size_t loop_end = b->size;
    buf_puts(b, ";" UPSTREAM_TO_SIBLING);
    size_t fields_at = b->size;
    for (unsigned i = 0; i < q->fields.count; i++) {
        buf_put_str(b, q->fields.at[i].name);
        buf_put_str(b, q->fields.at[i].value);
    }
    int r = buf_error(b);
    if (r < 0)
        return r;
    const char *at = b->data;
    f->path = (struct str){at, ask->path.size};
    f->peer_path = (struct str){at + f->path.size, peer_path.size};
    f->host = (struct str){f->peer_path.data + peer_path.size, ask->host.size};
    f->loop = (struct str){at + loop_at, loop_end - loop_at};
    f->sibling_loop = (struct str){at + loop_at, fields_at - loop_at};
    at += fields_at;
    unsigned n = 0;
    for (unsigned i = 0; i < q->fields.count; i++) {
        struct str name = q->fields.at[i].name;
        struct str value = q->fields.at[i].value;
        struct str our_name = {at, name.size};
        struct str our_value = {at + name.size, value.size};
        at += name.size + value.size;
        if (!str_eq(name, STR("cdn-loop")))
            f->fields[n++] = (struct field){our_name, our_value};
    }
    f->request.fields = (struct fields){f->fields, n};
    return 0;
}

static int upstream_take(struct upstream_fetch *f, const struct upstream_ask *ask)
{
    const struct fetch_request *q = ask->request;
    f->request = *q;
    f->request.body = NULL;
    if (ask->path.size == 0 || ask->path.data[0] != '/' || q->fields.count > FETCH_FIELDS_MAX)
        return -EINVAL;
    if (str_copy(str_of(q->method), f->method, sizeof f->method) < 0)
        return -EINVAL;
    f->request.method = f->method;
    if (q->trace_id != NULL) {
        if (str_copy(str_of(q->trace_id), f->trace_id, sizeof f->trace_id) < 0)
            return -EINVAL;
        f->request.trace_id = f->trace_id;
    }
    if (q->type != NULL) {
        f->type = str_dup(str_of(q->type));
        if (f->type == NULL)
            return -ENOMEM;
        f->request.type = f->type;
    }
    f->fields = calloc(q->fields.count + 3, sizeof *f->fields);
    if (f->fields == NULL)
        return -ENOMEM;
    if (q->body != NULL)
        f->request.body = rbuf_ref(q->body);
    return upstream_copy(f, ask);
}

int upstream_fetch_start(struct edge_worker *w, const struct upstream_ask *ask,
                         struct upstream_fetch **ret)
{
    struct upstream_fetch *f = calloc(1, sizeof *f);
    if (f == NULL)
        return -ENOMEM;
    f->magic = UPSTREAM_FETCH_MAGIC;
    f->worker = w;
    f->upstream = ask->upstream;
    w->upstreams->under_way++;
    const unsigned *retries = ask->upstream->config->retries;
    f->rounds_left = retries != NULL ? *retries : UPSTREAM_RETRIES;
    int r = upstream_take(f, ask);
    if (r == 0) {
        struct str method = str_of(f->method);
        f->is_safe = str_eq(method, STR("GET")) || str_eq(method, STR("HEAD"));
        bool own = fields_get(&f->request.fields, STR("authorization")).data != NULL;
        upstream_order(ask->upstream, &ask->key, &ask->came, f->is_safe && !own && !ask->direct,
                       clock_mono_ms(), &f->order);
        r = upstream_try_next(f);
    }
    if (r < 0) {
        upstream_fetch_free(f);
        return r;
    }
    *ret = f;
    return 0;
}

void upstream_fetch_cancel(struct upstream_fetch *f)
{
    upstream_fetch_check(f);
    if (f->is_done || f->is_dead)
        return; /* from its own on_done, or a second time */
    if (f->op != NULL)
        fetch_cancel(f->op);
    f->op = NULL;
    if (f->in_callback)
        f->is_dead = true;
    else
        upstream_fetch_free(f);
}

void upstream_fetch_pause(struct upstream_fetch *f, bool paused)
{
    upstream_fetch_check(f);
    f->is_paused = paused;
    if (f->op != NULL)
        fetch_pause(f->op, paused);
}

const char *upstream_fetch_server(const struct upstream_fetch *f)
{
    upstream_fetch_check(f);
    return f->server->url;
}

bool upstream_fetch_is_peer(const struct upstream_fetch *f)
{
    upstream_fetch_check(f);
    return f->server->role != UPSTREAM_SERVER;
}

void upstream_fetch_blame(struct upstream_fetch *f)
{
    upstream_fetch_check(f);
    metric_add(f->server->failed, 1);
    upstream_server_failed(f->server, "its bytes were not what was asked for");
}

/* --- the worker's connections ----------------------------------------------------------------- */

static int upstream_worker_open(struct upstream_worker *u, struct edge_worker *w)
{
    int r = 0;
    for (unsigned i = 0; r == 0 && i < upstreams_count(w->edge->upstreams); i++) {
        const struct upstream_config *c = upstreams_at(w->edge->upstreams, i)->config;
        struct fetch_options options = {
            .ca_file = c->ca_file,
            .cert_file = c->cert_file,
            .key_file = c->key_file,
            .http2 = c->http2,
            .connect_ms = c->connect_ms,
            .stall_ms = c->stall_ms,
        };
        r = fetch_new(w->loop, &options, &u->at[i].servers);
        if (r < 0 || c->parents_count + c->siblings_count == 0)
            continue;
        options = (struct fetch_options){
            .ca_file = c->peer_ca_file,
            .connect_ms = UPSTREAM_PEER_CONNECT_MS,
            .stall_ms = c->stall_ms,
            .breaker_failures = UPSTREAM_PEER_FAILURES,
        };
        r = fetch_new(w->loop, &options, &u->at[i].peers);
    }
    return r;
}

int upstream_worker_new(struct edge_worker *w, struct upstream_worker **ret)
{
    struct upstream_worker *u = calloc(1, sizeof *u);
    if (u == NULL)
        return -ENOMEM;
    u->magic = UPSTREAM_WORKER_MAGIC;
    int r = upstream_worker_open(u, w);
    if (r < 0) {
        upstream_worker_free(u);
        return r;
    }
    *ret = u;
    return 0;
}

struct upstream_worker *upstream_worker_free(struct upstream_worker *u)
{
    if (u == NULL)
        return NULL;
    ASSERT(u->magic == UPSTREAM_WORKER_MAGIC);
    ASSERT(u->under_way == 0); /* their owners have cancelled them */
    for (unsigned i = 0; i < UPSTREAMS_MAX; i++) {
        fetch_free(u->at[i].servers);
        fetch_free(u->at[i].peers);
    }
    MAGIC_CLEAR(u);
    free(u);
    return NULL;
}
