/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/peer.h"
#include <errno.h>
#include <stdlib.h>
#include "edge/assets.h"
#include "edge/serve.h"
#include "edge/upstream_order.h"

bool peer_is(const struct http_req *req, const struct upstream *u)
{
    if (u->peer_credential.size == 0)
        return false;
    struct str bearer = http_req_bearer(req);
    return bearer.size > 0 && secret_matches(&u->peer_credential, bearer);
}

struct str peer_scheme(const struct http_req *req, const struct upstream *u)
{
    if (peer_is(req, u)) {
        struct str told = http_req_header(req, "x-forwarded-proto");
        if (str_eq(told, STR("http")) || str_eq(told, STR("https")))
            return told;
    }
    return http_req_scheme(req);
}

bool peer_is_any(const struct http_req *req, const struct edge *e)
{
    for (unsigned i = 0; i < upstreams_count(e->upstreams); i++)
        if (peer_is(req, upstreams_at(e->upstreams, i)))
            return true;
    return false;
}

/* --- refs ------------------------------------------------------------------------------------- */

struct peer_ref {
    struct http_req *req;
    char asset[STORE_NAME_MAX + 1];
};

static void peer_on_asset(void *arg, int res, const struct asset *asset)
{
    struct peer_ref *p = arg;
    http_res_header(p->req, "cache-control", "no-store");
    if (res == -ENOENT) {
        http_reply_error(p->req, 404, "NOT_FOUND", "there is no such title");
    } else if (res < 0) {
        http_reply_error(p->req, 502, "UPSTREAM_FAILED", "the origin could not be asked: %s",
                         strerrordesc_np(-res));
    } else {
        char digest[DIGEST_TEXT_SIZE];
        digest_format(&asset->now->digest, digest);
        http_reply_json(p->req, 200,
                        json_pack("{s:s, s:s, s:b}", "asset", p->asset, "presentation", digest,
                                  "stale", asset->stale ? 1 : 0));
    }
    http_req_unref(p->req);
    free(p);
}

static void peer_serve_ref(struct http_req *req, struct edge_worker *w, const struct upstream *u,
                           struct str name)
{
    if (!store_name_ok(name)) {
        http_reply_error(req, 404, "NOT_FOUND", "there is no such title");
        return;
    }
    struct peer_ref *p = calloc(1, sizeof *p);
    if (p == NULL || str_copy(name, p->asset, sizeof p->asset) < 0) {
        free(p);
        http_reply_error(req, 503, "BUSY", "out of memory, try again");
        return;
    }
    p->req = http_req_ref(req);
    const struct fields came = http_req_fields(req);
    assets_want_for_peer(w->assets, u, name, &came, peer_on_asset, p);
}

/* --- which ------------------------------------------------------------------------------------ */

static struct str peer_query(struct str query, struct str name)
{
    while (query.size > 0) {
        struct str value;
        struct str key = str_cut(str_cut(query, '&', &query), '=', &value);
        if (str_eq(key, name))
            return value;
    }
    return STR_NONE;
}

/* It came with a credential, and asks for what only edges ask for. */
static void peer_serve_own(struct http_req *req, struct edge_worker *w, struct str path,
                           struct str query)
{
    bool is_blob = str_starts(path, STR("/blob/"));
    struct str rest = str_skip(path, is_blob ? strlen("/blob/") : strlen("/ref/"));
    if (rest.size == 0) {
        http_res_header(req, "cache-control", "no-store");
        http_reply(req, 204, NULL, STR_NONE);
        return;
    }
    struct str name = peer_query(query, STR("upstream"));
    const struct upstream *u = name.data != NULL ? upstream_find(w->edge->upstreams, name)
                                                 : upstreams_only_weir(w->edge->upstreams);
    struct digest d;
    if (u == NULL || upstream_is_http(u) || !peer_is(req, u))
        http_reply_error(req, 421, "NO_ROUTE", "this edge does not answer for that upstream");
    else if (!is_blob)
        peer_serve_ref(req, w, u, rest);
    else if (digest_parse(rest, &d) < 0)
        http_reply_error(req, 404, "NOT_FOUND", "this is no digest");
    else
        serve_weir_blob(req, u, &d);
}

bool peer_serve(struct http_req *req, struct edge_worker *w, const struct gate_pass *pass)
{
    const struct edge *e = w->edge;
    if (http_req_header(req, "cdn-loop").data != NULL) {
        const struct fields came = http_req_fields(req);
        if (upstream_loop_has(&came, str_of(upstreams_id(e->upstreams)))) {
            http_reply_error(req, 508, "LOOP", "this request has been here before");
            return true;
        }
    }
    struct str demand = http_req_header(req, PURGE_DEMAND_FIELD);
    if (demand.data != NULL && peer_is_any(req, e) && !purge_covers(w->edge->purge, demand)) {
        http_reply_error(req, 421, "PURGES_UNKNOWN",
                         "purges that the asker knows are not yet here");
        return true;
    }
    struct str path = buf_str(&pass->path);
    if (http_req_method(req) != HTTP_GET ||
        (!str_starts(path, STR("/blob/")) && !str_starts(path, STR("/ref/"))) ||
        !peer_is_any(req, e))
        return false;
    metric_add(e->metrics.peer_requests, 1);
    peer_serve_own(req, w, path, buf_str(&pass->query));
    return true;
}
