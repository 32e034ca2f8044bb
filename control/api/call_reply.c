/* SPDX-License-Identifier: Apache-2.0 */
/* The answer of a call. */
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"
#include "control/api/call_priv.h"

static void call_reply_headers(const struct live *l, struct http_req *req)
{
    web_headers(l->web, req);
    http_res_header(req, "cache-control", "no-store");
}

static json_t *call_fault_details(const struct fault *fault)
{
    return fault->field[0] != '\0' ? json_pack("{s:s}", "field", fault->field) : json_object();
}

/* details: taken over. */
static void call_send_fault(struct http_req *req, const struct fault *fault, json_t *details)
{
    if (fault->status == 503)
        http_res_header(req, "retry-after", "2");
    if (fault->status == 401)
        http_res_header(req, "www-authenticate", "Bearer");
    json_t *answer = json_pack("{s:{s:s, s:s, s:o}}", "error", "code", fault->code, "message",
                               fault->message, "details", details);
    if (answer == NULL) /* out of memory, or a message that is cut within a character */
        http_reply_error(req, fault->status, fault->code, "the request was refused");
    else
        http_reply_json(req, fault->status, answer);
}

void call__reply_fault(struct control *c, struct http_req *req, const struct fault *fault)
{
    struct live *l = control_live(c);
    call_reply_headers(l, req);
    live_unref(l);
    call_send_fault(req, fault, call_fault_details(fault));
}

#ifdef WEIR_SLOW_CHECKS
/* What the document does not declare is a bug of ours: loud, so that tests find it. */
static void call_check_answer(struct call *c)
{
    struct fault why = {0};
    unsigned status = c->error < 0 ? c->fault.status : c->status;
    const struct op_response *declared = spec_response(c->op, status);
    json_t *answer = c->answer;
    int r = 0;
    if (declared == NULL)
        r = fault_set(&why, 500, "", "status %u is not declared (%s)", status,
                      c->error < 0 ? c->fault.code : "");
    else if (c->error == 0 && (declared->schema != NULL) != (answer != NULL))
        r = fault_set(&why, 500, "", "there is%s a body", answer == NULL ? " not" : "");
    else if (c->error == 0 && answer != NULL)
        r = schema_fit(declared->schema, answer, "", "", &why);
    else if (c->error < 0 && c->details != NULL && declared->schema != NULL) {
        json_t *whole = json_pack("{s:{s:s, s:s, s:O}}", "error", "code", c->fault.code, "message",
                                  c->fault.message, "details", c->details);
        r = whole == NULL ? 0 : schema_fit(declared->schema, whole, "", "", &why);
        json_decref(whole);
    }
    if (r == 0)
        return;
    log_error("operation %s answers against the API's document: %s", c->op->id, why.message);
    c->error = fault_set(&c->fault, 500, "UNDECLARED", "%s", why.message);
    json_decref(c->details);
    c->details = NULL;
}
#else
static void call_check_answer(struct call *c)
{
    (void)c;
}
#endif

void call__reply(struct call *c)
{
    struct http_req *req = c->req;
    if (c->error < 0)
        fault_of_errno(&c->fault, c->error, c->op->id);
    if (c->status == 0)
        c->status = c->op->status;
    call_check_answer(c);
    call_reply_headers(c->live, req);
    for (const struct call_note *n = c->notes; n != NULL; n = n->next)
        http_res_field(req, str_of(n->name), n->value);
    json_t *answer = c->answer;
    json_t *details = c->details;
    c->answer = c->details = NULL;
    if (c->error < 0) {
        json_decref(answer);
        call_send_fault(req, &c->fault, details != NULL ? details : call_fault_details(&c->fault));
        return;
    }
    json_decref(details);
    if (answer == NULL)
        http_reply(req, c->status, NULL, STR_NONE);
    else
        http_reply_json(req, c->status, answer);
}

void call_leave(struct call *c)
{
    metric_observe(c->control->work_seconds, (double)(clock_mono_us() - c->began_us) / 1e6);
    call__free(c);
}

void call_finish(struct call *c, int r)
{
    ASSERT(c->magic == CALL_MAGIC);
    c->error = r;
    call__reply(c);
    call_leave(c);
}
