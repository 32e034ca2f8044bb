/* SPDX-License-Identifier: Apache-2.0 */
/* A request's way:
 *
 *   loop   gate_on_request: operation -> origin -> who asks (look) -> path, query, body
 *   pool   gate_on_pool: who asks (find) -> may they -> handler's work
 *   loop   gate_on_done: handler's then -> answer
 *
 * Who asks is answered before what is wrong with the request: a stranger learns no more than that
 * they have to log in. Where only a pool thread can tell who asks, a breach waits for it. */
#include "control/api/gate.h"
#include <errno.h>
#include <stdlib.h>
#include "base/log.h"
#include "control/api/call_priv.h"
#include "control/api/openapi.h"
#include "http/http_route.h"

struct gate {
    uint32_t magic;
#define GATE_MAGIC UINT32_C(0x6a7e0fa9)
    struct control *control;
    struct spec *spec;
    const struct caller_ops *callers;
};

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
    MAGIC_CLEAR(g);
    free(g);
    return NULL;
}

size_t gate_body_max(const struct gate *g)
{
    return spec_body_max(g->spec);
}

/* --- behind the reading ----------------------------------------------------------------------- */

/* Back on the loop. */
static void gate_on_done(void *arg)
{
    struct call *c = arg;
    ASSERT(c->magic == CALL_MAGIC);
    if (c->error == 0 && c->op->handler->then != NULL)
        c->op->handler->then(c);
    else
        call_finish(c, c->error);
}

static int gate_work(struct call *c)
{
    int r = 0;
    if (!c->caller_known) {
        r = c->control->gate->callers->find(c);
        if (r == 0)
            r = caller_check(c);
    }
    if (r == 0)
        r = c->held;
    return r == 0 && c->op->handler->work != NULL ? c->op->handler->work(c) : r;
}

static void gate_on_pool(void *arg)
{
    struct call *c = arg;
    struct control *control = c->control;
    bool hashes = c->op->hashes;
    ASSERT(c->magic == CALL_MAGIC);
    /* At a quarter of a second each the queue may be far longer than anybody waits for an end. */
    if (hashes && atomic_load(&control->is_stopping))
        c->error = fault_set(&c->fault, 503, "STOPPING", "the service is stopping");
    else
        c->error = gate_work(c);
    control_worked(control, hashes, c->error);
    if (loop_post(c->loop, gate_on_done, c) < 0)
        /* Nowhere to free it either: its request belongs to the loop. The client times out. */
        log_error("out of memory: an answer is lost");
}

static void gate_submit(struct call *c)
{
    if (c->caller_known && c->op->handler->work == NULL) {
        gate_on_done(c);
        return;
    }
    int r = control_run(c->control, c->op->hashes, gate_on_pool, c);
    if (r == 0)
        return;
    call_finish(c, fault_set(&c->fault, 503, "BUSY", "the service is busy, try again in a moment"));
}

/* --- requests --------------------------------------------------------------------------------- */

static int gate_read(struct gate *g, struct call *c, const struct str values[SPEC_PATH_MAX])
{
    int r = call__check_origin(c);
    if (r < 0)
        return r;
    if (c->op->auth == OP_AUTH_NONE) {
        c->caller_known = true;
    } else {
        r = g->callers->look(c);
        c->caller_known = r == 0;
        if (r == 0)
            r = caller_check(c);
        else if (r == -EAGAIN)
            r = 0;
        if (r < 0)
            return r;
    }
    r = call__read(c, values);
    if (r == -EPROTO && !c->caller_known) {
        c->held = r;
        return 0;
    }
    return r;
}

static void gate_unknown(struct gate *g, struct http_req *req, unsigned methods)
{
    struct fault fault = {0};
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

static void gate_on_request(struct http_req *req, void *arg)
{
    struct gate *g = arg;
    struct str values[SPEC_PATH_MAX];
    unsigned methods = 0;
    ASSERT(g->magic == GATE_MAGIC);
    const struct operation *op =
        spec_find(g->spec, http_req_method(req), http_req_path(req), values, &methods);
    if (op == NULL) {
        gate_unknown(g, req, methods);
        return;
    }
    struct call *c = call__new(g->control, req, op);
    if (c == NULL) {
        http_reply_error(req, 503, "BUSY", "the service is busy, try again in a moment");
        return;
    }
    int r = gate_read(g, c, values);
    if (r < 0)
        call_finish(c, r);
    else
        gate_submit(c);
}

int gate_routes(struct gate *g, struct http_server *server)
{
    const unsigned all = HTTP_GET | HTTP_POST | HTTP_PUT | HTTP_DELETE | HTTP_PATCH | HTTP_OPTIONS;
    return http_route(server, all, "/api/", gate_on_request, g);
}
