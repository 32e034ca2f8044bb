/* SPDX-License-Identifier: Apache-2.0 */
/* The answer of a call, sent. */
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"
#include "control/api/audit.h"
#include "control/api/call_priv.h"
#include "control/api/cors.h"
#include "control/api/gate_cache.h"
#include "control/api/gate_priv.h"
#include "control/api/idem.h"

void call__safe_headers(const struct live *l, struct http_req *req)
{
    http_res_header(req, "content-security-policy", "default-src 'none'; frame-ancestors 'none'");
    http_res_header(req, "x-content-type-options", "nosniff");
    http_res_header(req, "referrer-policy", "no-referrer");
    if (web_https_only(l->web))
        http_res_header(req, "strict-transport-security", "max-age=31536000");
}

static void call_fault_headers(struct http_req *req, unsigned status)
{
    if (status == 503)
        http_res_header(req, "retry-after", "2");
    if (status == 401)
        http_res_header(req, "www-authenticate", "Bearer");
}

void call__reply_fault(struct control *c, struct http_req *req, const struct fault *fault)
{
    struct live *l = control_live(c);
    call__safe_headers(l, req);
    live_unref(l);
    cors_headers(c->gate->settings, req);
    http_res_header(req, "cache-control", "no-store");
    http_res_header(req, "x-request-id", STR_FMT, STR_ARG(http_req_id(req)));
    call_fault_headers(req, fault->status);
    http_reply_json(req, fault->status, call__fault_json(fault, NULL));
}

static void call_reply_etag(const struct call *c)
{
    const char *coding = pack_name(c->coding);
    if (c->etag != NULL && c->error == 0)
        http_res_header(c->req, "etag", "\"%s%s%s\"", c->etag, coding != NULL ? "+" : "",
                        coding != NULL ? coding : "");
}

static void call_reply_rate(const struct call *c)
{
    http_res_header(c->req, "ratelimit-limit", "%u", c->rate.limit);
    http_res_header(c->req, "ratelimit-remaining", "%u", c->rate.remaining);
    http_res_header(c->req, "ratelimit-reset", "%u", c->rate.reset_s);
    if (c->error < 0 && c->status == 429 && strcmp(c->fault.code, "RATE_LIMITED") == 0)
        http_res_header(c->req, "retry-after", "%u", c->rate.reset_s);
}

/* Before anybody hears of a change, what was kept from before it is void. */
static void call_reply_cache(struct call *c)
{
    struct gate *g = c->control->gate;
    for (unsigned bits = c->op->changes; bits != 0; bits &= bits - 1)
        (void)atomic_fetch_add(&g->changes.counts[__builtin_ctz(bits)], 1);
    gate_cache_keep(g, c);
}

static void call_reply(struct call *c)
{
    struct http_req *req = c->req;
    struct str bytes = c->lent.data != NULL ? c->lent : buf_str(&c->bytes);
    call_reply_cache(c);
    call__safe_headers(c->live, req);
    cors_headers(c->control->gate->settings, req);
    call_reply_rate(c);
    http_res_header(req, "cache-control", "%s", c->etag != NULL ? "private, no-cache" : "no-store");
    http_res_header(req, "x-request-id", "%s", c->id);
    for (const struct call_note *n = c->notes; n != NULL; n = n->next)
        http_res_field(req, str_of(n->name), n->value);
    call_reply_etag(c);
    if (c->error < 0)
        call_fault_headers(req, c->status);
    if (bytes.size == 0) {
        http_reply(req, c->status, NULL, STR_NONE);
        return;
    }
    http_res_header(req, "vary", "accept-encoding");
    if (c->coding != PACK_NONE)
        http_res_header(req, "content-encoding", "%s", pack_name(c->coding));
    http_reply(req, c->status, "application/json", bytes);
}

void call_leave(struct call *c)
{
    metric_observe(c->control->work_seconds, (double)(clock_mono_us() - c->began_us) / 1e6);
    call__free(c);
}

static void call_send(void *arg)
{
    struct call *c = arg;
    ASSERT(c->magic == CALL_MAGIC);
    call_reply(c);
    call_leave(c);
}

void call__settle(struct call *c)
{
    idem_end(c);
    audit_end(c);
}

static void call_settle_on_pool(void *arg)
{
    struct call *c = arg;
    struct control *control = c->control;
    call__settle(c);
    control_worked(control, false, 0);
    if (loop_post(c->loop, call_send, c) < 0)
        log_error("out of memory: an answer is lost");
}

void call_finish(struct call *c, int r)
{
    ASSERT(c->magic == CALL_MAGIC);
    if (!c->rendered) {
        c->error = r;
        call__render(c);
    }
    /* What came of it is to be stored before it is told; only while stopping there is no pool. */
    if ((c->idem_held || c->audit_id != NULL) &&
        control_run(c->control, false, call_settle_on_pool, c) == 0)
        return;
    call_send(c);
}
