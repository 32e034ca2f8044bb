/* SPDX-License-Identifier: Apache-2.0 */
/* A request's way:
 *
 *   loop   gate_on_request: operation -> origin -> who asks (look) -> path, query, body
 *   pool   gate_on_pool: who asks (find) -> may they -> handler's work
 *   loop   gate_on_done: handler's then -> answer
 *
 * Who asks is answered before what is wrong with the request: a stranger learns no more than that
 * they have to log in. Where only a pool thread can tell who asks, a breach waits for it. */
#include "control/api/gate_priv.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/addr.h"
#include "base/clock.h"
#include "base/log.h"
#include "control/api/audit.h"
#include "control/api/call_priv.h"
#include "control/api/cors.h"
#include "control/api/gate_cache.h"
#include "control/api/idem.h"
#include "control/api/openapi.h"
#include "control/api/publish.h"
#include "http/http_route.h"

int gate_new(struct control *c, const struct op_handler *const *lists,
             const struct caller_ops *callers, struct err *err, struct gate **ret)
{
    struct gate *g = calloc(1, sizeof *g);
    if (g == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    g->magic = GATE_MAGIC;
    g->control = c;
    g->callers = callers;
    int r = spec_new(openapi_json(), lists, err, &g->spec);
    if (r == 0)
        r = gate_settings_new(&c->config->api, err, &g->settings);
    if (r == 0 && (publish_new(c, &g->publish) < 0 || rate_new(&g->rate) < 0))
        r = err_set(err, -ENOMEM, "out of memory");
    if (r < 0) {
        gate_free(g);
        return r;
    }
    *ret = g;
    return 0;
}

struct gate *gate_free(struct gate *g)
{
    if (g == NULL)
        return NULL;
    ASSERT(g->magic == GATE_MAGIC);
    spec_free(g->spec);
    publish_free(g->publish);
    rate_free(g->rate);
    gate_settings_free(g->settings);
    MAGIC_CLEAR(g);
    free(g);
    return NULL;
}

size_t gate_body_max(const struct gate *g)
{
    return spec_body_max(g->spec);
}

const struct addr_net *gate_proxies(const struct gate *g, unsigned *ret_count)
{
    *ret_count = g->settings->proxies_count;
    return g->settings->proxies;
}

const struct cache_changes *gate_changes(const struct gate *g)
{
    return &g->changes;
}

void gate_share(struct gate *g, struct bus *bus)
{
    rate_share(g->rate, bus, clock_real_ms());
}

/* --- rate limits ------------------------------------------------------------------------------ */

/* Of IPv6 a /64 is one client. */
static bool gate_take_address(struct gate *g, struct http_req *req, struct rate_state *ret)
{
    char key[1 + sizeof(struct addr)] = "a";
    struct addr addr = {{0}};
    if (addr_parse(http_req_peer(req), &addr) == 0 && !addr_is_v4(&addr))
        memset(addr.bytes + 8, 0, 8);
    memcpy(key + 1, addr.bytes, sizeof addr.bytes);
    return rate_take(g->rate, (struct str){key, sizeof key}, g->settings->rate_address,
                     clock_real_ms(), ret);
}

static int gate_over(struct call *c)
{
    return fault_set(&c->fault, 429, "RATE_LIMITED", "too many requests: again in %u s",
                     c->rate.reset_s);
}

/* Once it is known who asks; before, the address was counted. */
static int gate_take_user(struct call *c)
{
    char key[2 * sizeof c->caller.user + 2];
    struct gate *g = c->control->gate;
    if (c->caller.kind != CALLER_USER && c->caller.kind != CALLER_KEY)
        return 0;
    int n = snprintf(key, sizeof key, "%s %s", c->caller.kind == CALLER_KEY ? "k" : "u",
                     c->caller.kind == CALLER_KEY ? c->caller.session : c->caller.user);
    ASSERT(n > 0);
    if (rate_take(g->rate, str_of(key), g->settings->rate_user, clock_real_ms(), &c->rate))
        return 0;
    return gate_over(c);
}

/* It is known who asks. */
static int gate_admit(struct call *c)
{
    int r = gate_take_user(c);
    if (r == 0)
        r = caller_check(c);
    if (r == -EPROTO)
        audit_refused(c);
    return r;
}

/* --- behind the reading ----------------------------------------------------------------------- */

/* Back on the loop. */
static void gate_on_done(void *arg)
{
    struct call *c = arg;
    ASSERT(c->magic == CALL_MAGIC);
    if (!c->rendered && c->op->handler->then != NULL)
        c->op->handler->then(c);
    else
        call_finish(c, c->error);
}

static void gate_submit(struct call *c);

/* Found out on the pool who asks: what they ask for may have been answered to others before. */
static void gate_on_known(void *arg)
{
    struct call *c = arg;
    ASSERT(c->magic == CALL_MAGIC);
    int r = http_req_gone(c->req) || c->held < 0 ? 0 : gate_cache_find(c->control->gate, c);
    if (r < 0 || c->rendered)
        call_finish(c, r);
    else
        gate_submit(c);
}

static int gate_who(struct call *c)
{
    int r = c->control->gate->callers->find(c);
    if (r == 0)
        r = gate_admit(c);
    c->caller_known = r == 0;
    return r;
}

static int gate_work(struct call *c)
{
    int r = c->caller_known ? 0 : gate_who(c);
    if (r == 0)
        r = c->held;
    if (r == 0)
        r = idem_begin(c);
    if (r == 0)
        r = audit_begin(c);
    return r == 0 && c->op->handler->work != NULL ? c->op->handler->work(c) : r;
}

/* Whether it computes one of those slow digests. */
static bool gate_hashes(const struct call *c)
{
    const char *with = c->op->hashes_with;
    return c->op->hashes && (with == NULL || json_object_get(c->body, with) != NULL);
}

static void gate_on_pool(void *arg)
{
    struct call *c = arg;
    struct control *control = c->control;
    bool hashes = gate_hashes(c);
    ASSERT(c->magic == CALL_MAGIC);
    /* At a quarter of a second each the queue may be far longer than anybody waits for an end. */
    bool asks = !c->caller_known && c->op->cache_ms > 0;
    if (hashes && atomic_load(&control->is_stopping))
        c->error = fault_set(&c->fault, 503, "STOPPING", "the service is stopping");
    else
        c->error = asks ? gate_who(c) : gate_work(c);
    if (asks && c->error == 0) {
        control_worked(control, hashes, 0);
        if (loop_post(c->loop, gate_on_known, c) < 0)
            log_error("out of memory: an answer is lost");
        return;
    }
    control_worked(control, hashes, c->error == -EALREADY ? 0 : c->error);
    if (c->error == -EALREADY) /* rendered, from what was kept */
        c->error = 0;
    else if (c->error < 0 || c->op->handler->then == NULL)
        call__render(c);
    if (c->rendered)
        call__settle(c);
    if (loop_post(c->loop, gate_on_done, c) < 0)
        /* Nowhere to free it either: its request belongs to the loop. The client times out. */
        log_error("out of memory: an answer is lost");
}

static void gate_submit(struct call *c)
{
    if (c->caller_known && c->op->handler->work == NULL && c->idem_key == NULL && !c->op->audited) {
        gate_on_done(c);
        return;
    }
    int r = control_run(c->control, gate_hashes(c), gate_on_pool, c);
    if (r == 0)
        return;
    call_finish(c, fault_set(&c->fault, 503, "BUSY", "the service is busy, try again in a moment"));
}

/* --- requests --------------------------------------------------------------------------------- */

static int gate_read(struct gate *g, struct call *c, const struct str values[SPEC_PATH_MAX])
{
    int r = c->op->method == HTTP_GET ? 0 : cors_check(g->settings, c->live, c->req, &c->fault);
    if (r < 0)
        return r;
    if (c->op->auth == OP_AUTH_NONE) {
        c->caller_known = true;
    } else {
        r = g->callers->look(c);
        c->caller_known = r == 0;
        if (r == 0)
            r = gate_admit(c);
        else if (r == -EAGAIN)
            r = 0;
        if (r < 0)
            return r;
    }
    r = call__read_headers(c);
    if (c->op->cache_ms > 0 && c->op->cache_of >= 0)
        c->cache_id = values[c->op->cache_of];
    if (r == 0) {
        r = gate_cache_find(g, c);
        if (r < 0 || c->rendered)
            return r;
        r = call__read(c, values);
    }
    if (r == -EPROTO && !c->caller_known) {
        c->held = r;
        return 0;
    }
    return r;
}

static void gate_unknown(struct gate *g, struct http_req *req, unsigned methods)
{
    struct fault fault = {0};
    if (methods != 0 && http_req_method(req) == HTTP_OPTIONS) {
        cors_answer(g->settings, req, methods);
        return;
    }
    if (methods == 0) {
        (void)fault_set(&fault, 404, "NOT_FOUND", "there is no such call");
    } else {
        CLEAN_BUF struct buf allow = BUF_EMPTY;
        http_methods_put(methods, &allow);
        http_res_header(req, "allow", "%s", buf_error(&allow) < 0 ? "" : allow.data);
        (void)fault_set(&fault, 405, "METHOD_NOT_ALLOWED", "this call is made by another method");
    }
    call__reply_fault(g->control, req, &fault);
}

/* What a request to nowhere is refused as. */
static const struct op_response gate_no_responses[] = {{429, NULL}};
static const struct operation gate_no_operation = {
    .id = "none",
    .path = "",
    .method = HTTP_GET,
    .responses = (struct op_response *)(uintptr_t)gate_no_responses,
    .responses_count = 1,
};

static void gate_on_request(struct http_req *req, void *arg)
{
    struct gate *g = arg;
    struct str values[SPEC_PATH_MAX];
    struct rate_state rate;
    unsigned methods = 0;
    ASSERT(g->magic == GATE_MAGIC);
    const struct operation *op =
        spec_find(g->spec, http_req_method(req), http_req_path(req), values, &methods);
    bool good = gate_take_address(g, req, &rate);
    if (op == NULL && good) {
        gate_unknown(g, req, methods);
        return;
    }
    struct call *c = call__new(g->control, req, op != NULL ? op : &gate_no_operation);
    if (c == NULL) {
        http_reply_error(req, 503, "BUSY", "the service is busy, try again in a moment");
        return;
    }
    c->rate = rate;
    int r = good ? gate_read(g, c, values) : gate_over(c);
    if (r < 0 || c->rendered)
        call_finish(c, r);
    else
        gate_submit(c);
}

int gate_routes(struct gate *g, struct http_server *server, uint64_t body_max)
{
    const unsigned all = HTTP_GET | HTTP_POST | HTTP_PUT | HTTP_DELETE | HTTP_PATCH | HTTP_OPTIONS;
    int r = http_route(server, all, "/api/", gate_on_request, g);
    for (unsigned i = 0; r == 0 && i < spec_count(g->spec); i++) {
        const struct operation *op = spec_at(g->spec, i);
        if (!op->streams)
            continue;
        ASSERT(op->path_params_count == 0); /* the server knows no templates */
        r = http_route_stream(server, op->method, op->path, gate_on_request, g, body_max);
        if (r == 0) /* the path's other methods, which the longer pattern hides */
            r = http_route(server, all & ~op->method, op->path, gate_on_request, g);
    }
    return r == 0 ? publish_routes(g->publish, server) : r;
}
