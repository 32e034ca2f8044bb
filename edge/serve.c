/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to every request before its kind of upstream takes it: the route that is for it, its
 * rules, its token. */
#include "edge/serve.h"
#include "edge/cache.h"
#include "edge/peer.h"
#include "edge/seen.h"

static void serve_cors(struct http_req *req, const struct route *route)
{
    const char *allow = route->config->allow_origin;
    http_res_header(req, "access-control-allow-origin", "%s", allow != NULL ? allow : "*");
    http_res_header(req, "access-control-expose-headers",
                    "cache-status, server-timing, content-length, content-range, age");
    http_res_header(req, "timing-allow-origin", "*");
}

static void serve_preflight(struct http_req *req)
{
    http_res_header(req, "access-control-allow-methods", "GET, HEAD, OPTIONS");
    http_res_header(req, "access-control-allow-headers",
                    "range, if-none-match, if-range, cmcd-object, "
                    "cmcd-request, cmcd-session, cmcd-status");
    http_res_header(req, "access-control-max-age", "86400");
    http_reply(req, 204, NULL, STR_NONE);
}

/* A refusal may be wrong a moment later: nobody may keep it. */
void serve_refuse(struct http_req *req, const char *code, const char *message)
{
    http_res_header(req, "cache-control", "no-store");
    http_reply_error(req, 403, code, "%s", message);
}

static void serve_routed(struct http_req *req, struct edge_worker *w, struct gate_pass *pass)
{
    struct gate_refusal why;
    const struct route *route =
        route_find(w->edge->routes, http_req_authority(req), buf_str(&pass->path));
    if (route == NULL) {
        http_reply_error(req, peer_is_any(req, w->edge) ? 421 : 404, "NO_ROUTE",
                         "nothing is served under this host and path");
        return;
    }
    bool is_peer = peer_is(req, route->upstream);
    if (!is_peer) /* another edge has counted its viewer */
        seen_route(req, route, buf_str(&pass->path));
    serve_cors(req, route);
    if (http_req_method(req) == HTTP_OPTIONS)
        serve_preflight(req);
    else if (!is_peer && !gate_admit(w->gate, route, req, pass, &why))
        serve_refuse(req, why.code, why.message);
    else if (upstream_is_http(route->upstream))
        cache_serve(req, route, pass);
    else if (http_req_method(req) == HTTP_GET)
        serve_weir(req, route, pass);
    else
        http_reply_error(req, 405, "METHOD_NOT_ALLOWED", "This path does not take this method");
}

void edge_serve(struct http_req *req, void *arg)
{
    (void)arg;
    struct gate_pass pass;
    struct edge_worker *w = http_req_worker(req);
    int r = gate_read(req, &pass);
    if (r == 0 && !peer_serve(req, w, &pass))
        serve_routed(req, w, &pass);
    else if (r < 0)
        http_reply_error(req, 503, "BUSY", "out of memory, try again");
    gate_pass_clear(&pass);
}
