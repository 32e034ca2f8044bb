/* SPDX-License-Identifier: Apache-2.0 */
/* One line and one count a request, when the library disposes it: also for those that it answered
 * itself (400, 413), which never were a struct http_req. */
#include "http/http_priv.h"
#include <errno.h>
#include <stdio.h>
#include "base/clock.h"
#include "base/log.h"
#include "http/http_text.h"

#define HTTP_STATUS_CLIENT_LEFT 499 /* as nginx has it: no answer, because nobody waits for it */

int http__figures_init(struct http_server *s)
{
    struct metrics *m = s->options.metrics;
    struct http_figures *f = &s->figures;
    const char *prefix = s->options.metric_prefix != NULL ? s->options.metric_prefix : "weir";
    char name[128];
    char labels[32];
    if (m == NULL)
        return 0; /* every metric_* takes NULL */
    int n = snprintf(name, sizeof name, "%s_http_request_duration_seconds", prefix);
    if (n < 0 || (size_t)n >= sizeof name)
        return -EINVAL; /* the longest of the names below does not fit */
    f->duration = metrics_latency(m, name, "From a request's last byte to its answer's last", "");
    (void)snprintf(name, sizeof name, "%s_http_requests_total", prefix);
    for (unsigned i = 1; i < ARRAY_LEN(f->requests); i++) {
        (void)snprintf(labels, sizeof labels, "class=\"%uxx\"", i);
        f->requests[i] = metrics_counter(m, name, "Requests answered, by class of status", labels);
    }
    (void)snprintf(name, sizeof name, "%s_http_sent_bytes_total", prefix);
    f->sent_bytes = metrics_counter(m, name, "Bytes of answers' bodies", "");
    (void)snprintf(name, sizeof name, "%s_http_connections", prefix);
    f->connections = metrics_gauge(m, name, "Connections open", "");
    (void)snprintf(name, sizeof name, "%s_http_connections_total", prefix);
    f->connections_total = metrics_counter(m, name, "Connections accepted", "");
    http__cut_figures_init(s);
    return 0;
}

static struct str http_log_user_agent(const h2o_req_t *h2o)
{
    ssize_t at = h2o_find_header(&h2o->headers, H2O_TOKEN_USER_AGENT, -1);
    if (at < 0)
        return STR_NONE;
    h2o_iovec_t v = h2o->headers.entries[at].value;
    return (struct str){v.base, v.len};
}

/* The client did not get all of it. */
static bool http_log_is_cut_short(const struct http_req *req, const h2o_req_t *h2o)
{
    if (!req->answered || req->failed)
        return true;
    if (req->expect == UINT64_MAX)
        return req->body.started && !req->body.ended;
    return h2o->bytes_sent < req->expect;
}

static void http_log_line(const struct http_req *req, h2o_req_t *h2o, unsigned status,
                          uint64_t duration_us, bool cut_short)
{
    char protocol[16];
    (void)h2o_stringify_protocol_version(protocol, h2o->version);
    CLEAN_BUF struct buf target = BUF_EMPTY;
    http_target_redact((struct str){h2o->input.path.base, h2o->input.path.len}, &target);
    CLEAN_BUF struct buf line = BUF_EMPTY;
    buf_puts(&line, "\"method\":");
    buf_put_json_string(&line, (struct str){h2o->input.method.base, h2o->input.method.len});
    buf_puts(&line, ",\"path\":");
    buf_put_json_string(&line, buf_str(&target));
    buf_printf(&line, ",\"status\":%u,\"bytes\":%zu,\"duration_ms\":%llu.%03llu,\"peer\":", status,
               h2o->bytes_sent, (unsigned long long)(duration_us / 1000),
               (unsigned long long)(duration_us % 1000));
    buf_put_json_string(&line, req == NULL ? STR_NONE : str_of(req->peer));
    buf_printf(&line, ",\"protocol\":\"%s\",\"user_agent\":", protocol);
    buf_put_json_string(&line, http_log_user_agent(h2o));
    buf_printf(&line, ",\"request_id\":\"%s\"", req == NULL ? "" : req->id);
    if (cut_short)
        buf_puts(&line, ",\"cut_short\":true");
    if (buf_error(&line) == 0 && buf_error(&target) == 0)
        log_fields(LOG_INFO, buf_str(&line), "request");
}

void http__log_access(h2o_logger_t *self, h2o_req_t *h2o)
{
    struct http_server *s = ((struct http_logger *)(void *)self)->server;
    const struct http_req *req = http__req_of(h2o);
    bool cut_short = req != NULL && http_log_is_cut_short(req, h2o);
    unsigned status = h2o->res.status > 0 ? (unsigned)h2o->res.status : HTTP_STATUS_CLIENT_LEFT;
    uint64_t duration_us = req == NULL ? 0 : clock_mono_us() - req->start_us;
    metric_add(s->figures.requests[status / 100 <= 5 ? status / 100 : 0], 1);
    metric_add(s->figures.sent_bytes, h2o->bytes_sent);
    metric_observe(s->figures.duration, (double)duration_us / 1e6);
    if (cut_short && !req->failed && h2o->version >= 0x200) {
        struct http_conn *c = http__conn_of(h2o);
        if (c != NULL)
            http__conn_cancelled(c);
    }
    if (s->options.access_log)
        http_log_line(req, h2o, status, duration_us, cut_short);
}
