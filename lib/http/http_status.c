/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include "http/http_priv.h"

static void http_status_metrics(struct http_req *req, void *arg)
{
    struct http_server *s = arg;
    CLEAN_BUF struct buf text = BUF_EMPTY;
    if (s->status_metrics != NULL)
        metrics_render(s->status_metrics, &text);
    if (buf_error(&text) < 0) {
        http_reply_error(req, 500, "INTERNAL", "The metrics could not be written");
        return;
    }
    http_reply(req, 200, "text/plain; version=0.0.4; charset=utf-8", buf_str(&text));
}

static void http_status_live(struct http_req *req, void *arg)
{
    (void)arg; /* a thread that answers lives */
    http_res_header(req, "cache-control", "no-store");
    http_reply(req, 200, "application/json", STR("{\"status\":\"ok\"}"));
}

static void http_status_ready(struct http_req *req, void *arg)
{
    struct http_server *s = arg;
    http_res_header(req, "cache-control", "no-store");
    if (s->ready == NULL || s->ready(s->ready_arg))
        http_reply(req, 200, "application/json", STR("{\"status\":\"ok\"}"));
    else
        http_reply_error(req, 503, "NOT_READY", "The service is not ready");
}

int http_route_status(struct http_server *s, struct metrics *metrics, bool (*ready)(void *arg),
                      void *arg)
{
    s->status_metrics = metrics;
    s->ready = ready;
    s->ready_arg = arg;
    int r = http_route(s, HTTP_GET, "/metrics", http_status_metrics, s);
    if (r == 0)
        r = http_route(s, HTTP_GET, "/health/live", http_status_live, s);
    if (r == 0)
        r = http_route(s, HTTP_GET, "/health/ready", http_status_ready, s);
    return r;
}
