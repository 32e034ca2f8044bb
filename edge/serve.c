/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to every request before its kind of upstream takes it: the route that is for it, its
 * rules, its token. */
#include "edge/serve.h"
#include "edge/cache.h"
#include "edge/live.h"
#include "edge/peer.h"
#include "edge/seen.h"
#include "edge/lease.h"

/* A refusal may be wrong a moment later: nobody may keep it. */
void serve_refuse(struct http_req *req, const char *code, const char *message)
{
    http_res_header(req, "cache-control", "no-store");
    http_reply_error(req, 403, code, "%s", message);
}

/* False after answering for a route whose rules are against it. */
static bool serve_by_rules(struct http_req *req, const struct edge *e, const struct live *live,
                           const struct route *route, struct gate_pass *pass)
{
    if (rules_needs_client(route->rules))
        pass->by_cookie = true;
    switch (rules_admit(route->rules, pass->has_client ? &pass->client : NULL, live->geo,
                        http_req_header(req, "referer"))) {
    case RULES_ADMIT:
        return true;
    case RULES_GEO:
        metric_add(e->metrics.refused_geo, 1);
        http_res_header(req, "cache-control", "no-store");
        http_reply_error(req, 451, "GEO_BLOCKED", "this is not available where you are");
        return false;
    case RULES_CLIENT:
        metric_add(e->metrics.refused_client, 1);
        serve_refuse(req, "CLIENT_BLOCKED", "this is not available from your address");
        return false;
    case RULES_REFERER:
    default:
        metric_add(e->metrics.refused_referer, 1);
        serve_refuse(req, "REFERER_BLOCKED", "this is not available from that page");
        return false;
    }
}

static void serve_http(struct http_req *req, const struct route *route,
                       const struct gate_pass *pass)
{
    if (pass->by_cookie)
        http_res_private(req);
    cache_serve(req, route, pass);
}

static void serve_again(struct http_req *req);

/* again: its session has been asked about meanwhile; what was said before stands in the headers. */
static void serve_routed(struct http_req *req, struct edge_worker *w, struct gate_pass *pass,
                         bool again)
{
    struct gate_refusal why;
    const struct live *live = edge_live(w);
    const struct route *route =
        route_find(w->edge->routes, http_req_authority(req), buf_str(&pass->path));
    if (route == NULL) {
        http_reply_error(req, peer_is_any(req, w->edge) ? 421 : 404, "NO_ROUTE",
                         "nothing is served under this host and path");
        return;
    }
    if (!again) {
        seen_route(req, route, buf_str(&pass->path));
        rules_cors(route->rules, req);
    }
    if (http_req_method(req) == HTTP_OPTIONS) {
        rules_preflight(route->rules, req);
        return;
    }
    bool is_peer = peer_is(req, route->upstream);
    if (!is_peer && !serve_by_rules(req, w->edge, live, route, pass))
        return;
    if (!is_peer && !gate_admit(w->gate, live, route, req, pass, &why))
        serve_refuse(req, why.code, why.message);
    else if (!lease_admit(w->leases, req, pass->claims, serve_again))
        return; /* refused, or it comes again */
    else if (upstream_is_http(route->upstream))
        serve_http(req, route, pass);
    else if (http_req_method(req) == HTTP_GET)
        serve_weir(req, route, pass);
    else
        http_reply_error(req, 405, "METHOD_NOT_ALLOWED", "This path does not take this method");
}

static void serve_one(struct http_req *req, bool again)
{
    struct gate_pass pass;
    struct edge_worker *w = http_req_worker(req);
    int r = gate_read(req, &pass);
    if (r == 0 && !peer_serve(req, w, &pass))
        serve_routed(req, w, &pass, again);
    else if (r < 0)
        http_reply_error(req, 503, "BUSY", "out of memory, try again");
    gate_pass_clear(&pass);
}

static void serve_again(struct http_req *req)
{
    serve_one(req, true);
}

void edge_serve(struct http_req *req, void *arg)
{
    (void)arg;
    serve_one(req, false);
}
