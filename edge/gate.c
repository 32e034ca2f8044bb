/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "edge/gate_priv.h"
#include "edge/live.h"
#include "edge/once.h"

struct gate {
    uint32_t magic;
#define GATE_MAGIC UINT32_C(0x6a7e6a7e)
    struct edge *edge;
    struct gate_slot slots[GATE_SLOTS];
};

int gate_new(struct edge *e, struct gate **ret)
{
    struct gate *g = calloc(1, sizeof *g);
    if (g == NULL)
        return -ENOMEM;
    g->magic = GATE_MAGIC;
    g->edge = e;
    *ret = g;
    return 0;
}

static void gate_slot_clear(struct gate_slot *slot)
{
    free(slot->token);
    free(slot->renewed);
    token_claims_clear(&slot->claims);
    *slot = (struct gate_slot){0};
}

void gate_forget(struct gate *g)
{
    ASSERT(g->magic == GATE_MAGIC);
    for (unsigned i = 0; i < GATE_SLOTS; i++)
        gate_slot_clear(&g->slots[i]);
}

struct gate *gate_free(struct gate *g)
{
    if (g == NULL)
        return NULL;
    gate_forget(g);
    MAGIC_CLEAR(g);
    free(g);
    return NULL;
}

struct edge *gate__edge(const struct gate *g)
{
    ASSERT(g->magic == GATE_MAGIC);
    return g->edge;
}

static bool gate_is_plain(const struct token_claims *claims)
{
    if (claims->asset == NULL || claims->container == NULL)
        return false;
    CLEAN_BUF struct buf container = BUF_EMPTY;
    token_asset_container(str_of(claims->asset), &container);
    return buf_error(&container) == 0 && str_eq(buf_str(&container), str_of(claims->container));
}

struct gate_slot *gate__verify(struct gate *g, const struct live *live, const struct route *route,
                               struct str token, int *ret_error)
{
    const struct token_ring *ring = live->rings[route->index];
    struct digest d = digest_of(token.data, token.size);
    struct gate_slot *slot = &g->slots[(unsigned)(d.bytes[0] << 8 | d.bytes[1]) & (GATE_SLOTS - 1)];
    int64_t now_s = clock_real_s();
    /* Every byte is compared: a digest that is not cryptographic must not open the gate. */
    if (slot->token != NULL && slot->ring == ring && str_eq(str_of(slot->token), token)) {
        if (now_s < slot->claims.expires_s)
            return slot;
        *ret_error = -ETIME;
        return NULL;
    }
    const struct token_rules rules = {
        .audiences = route->config->token_audience,
        .audiences_count = route->config->token_audience_count,
        .checks_clients = true,
        .checks_id = true,
    };
    struct token_claims claims;
    int r = token_verify(ring, token, now_s, &rules, &claims);
    char *copy = r < 0 ? NULL : str_dup(token);
    if (copy == NULL) {
        if (r == 0)
            token_claims_clear(&claims);
        *ret_error = r < 0 ? r : -ENOMEM;
        return NULL;
    }
    gate_slot_clear(slot);
    *slot = (struct gate_slot){
        .token = copy, .ring = ring, .claims = claims, .plain = gate_is_plain(&claims)};
    return slot;
}

static int gate_uri(const struct http_req *req, const struct gate_pass *pass, struct buf *out)
{
    struct str scheme = http_req_scheme(req);
    struct str authority = http_req_authority(req);
    buf_printf(out, STR_FMT "://" STR_FMT STR_FMT, STR_ARG(scheme), STR_ARG(authority),
               STR_ARG(buf_str(&pass->path)));
    if (pass->query.size > 0) {
        buf_putc(out, '?');
        buf_put_str(out, buf_str(&pass->query));
    }
    return buf_error(out);
}

static int gate_covers(const struct gate_slot *slot, const struct http_req *req,
                       const struct gate_pass *pass)
{
    if (slot->plain) {
        struct str path = buf_str(&pass->path);
        struct str rest;
        struct str asset = str_cut(str_skip(path, MIN(path.size, strlen("/v/"))), '/', &rest);
        bool own = str_starts(path, STR("/v/")) && str_eq(asset, str_of(slot->claims.asset));
        return own || str_starts(path, STR("/b/")) ? 0 : -EACCES;
    }
    CLEAN_BUF struct buf uri = BUF_EMPTY;
    int r = gate_uri(req, pass, &uri);
    return r < 0 ? r : token_covers(&slot->claims, buf_str(&uri));
}

/* What the token says of this request: its URI, its client, that it is the first one. */
static int gate_check(struct gate *g, const struct gate_slot *slot, const struct http_req *req,
                      const struct gate_pass *pass)
{
    const struct token_claims *c = &slot->claims;
    int r = gate_covers(slot, req, pass);
    if (r < 0)
        return r;
    if (c->clients_text != NULL && (!pass->has_client || !addr_net_has(&c->clients, &pass->client)))
        return -EPERM;
    if (c->id == NULL || pass->again)
        return 0;
    CLEAN_BUF struct buf uri = BUF_EMPTY;
    r = gate_uri(req, pass, &uri);
    int64_t now_s = clock_real_s();
    if (r == 0 && now_s >= c->expires_s)
        r = -ETIME;
    return r < 0 ? r : once_take(g->edge->once, str_of(c->id), buf_str(&uri), c->expires_s, now_s);
}

static struct gate_refusal gate_refuse(const struct edge *e, int error)
{
    switch (error) {
    case -ENOENT:
        metric_add(e->metrics.refused_missing, 1);
        return (struct gate_refusal){"TOKEN_MISSING", "this needs a signed URL"};
    case -ETIME:
        metric_add(e->metrics.refused_expired, 1);
        return (struct gate_refusal){"TOKEN_EXPIRED", "the signed URL has expired"};
    case -EAGAIN:
        metric_add(e->metrics.refused_expired, 1);
        return (struct gate_refusal){"TOKEN_EARLY", "the signed URL is not valid yet"};
    case -EACCES:
        metric_add(e->metrics.refused_scope, 1);
        return (struct gate_refusal){"TOKEN_SCOPE", "the signed URL does not cover this path"};
    case -EPERM:
        metric_add(e->metrics.refused_client, 1);
        return (struct gate_refusal){"TOKEN_CLIENT", "the signed URL is for another address"};
    case -EEXIST:
        metric_add(e->metrics.refused_used, 1);
        return (struct gate_refusal){"TOKEN_USED", "the signed URL was good for one request"};
    case -ENOSPC:
    case -ENOMEM:
        metric_add(e->metrics.refused_used, 1);
        return (struct gate_refusal){"TOKEN_BUSY", "the signed URL cannot be checked now"};
    default:
        metric_add(e->metrics.refused_invalid, 1);
        return (struct gate_refusal){"TOKEN_INVALID", "the signed URL is not genuine"};
    }
}

int gate_read(const struct http_req *req, struct gate_pass *ret)
{
    *ret = (struct gate_pass){.path = BUF_EMPTY, .query = BUF_EMPTY};
    struct str path = http_req_path(req);
    struct str query = http_req_query(req);
    ret->token_error = token_extract(path, query, &ret->token, &ret->path);
    if (ret->token_error == -EBADMSG) { /* refused soon; its route is found by the path as it is */
        buf_clear(&ret->path);
        buf_put_str(&ret->path, path);
    }
    token_strip_query(query, &ret->query);
    ret->has_client = http_req_client(req, &ret->client);
    return buf_error(&ret->path) < 0 ? buf_error(&ret->path) : buf_error(&ret->query);
}

/* One of the cookies' tokens that opens the request. */
static struct gate_slot *gate_try_cookies(struct gate *g, const struct live *live,
                                          const struct route *route, const struct http_req *req,
                                          struct gate_pass *pass, int *ret_error)
{
    struct str cookie = http_req_header(req, "cookie");
    struct str token;
    for (unsigned i = 0; i < TOKEN_COOKIES_MAX && token_next_cookie(&cookie, &token); i++) {
        struct gate_slot *slot = gate__verify(g, live, route, token, ret_error);
        if (slot == NULL)
            continue;
        *ret_error = gate_check(g, slot, req, pass);
        if (*ret_error < 0)
            continue;
        pass->by_cookie = true;
        pass->token = token;
        return slot;
    }
    return NULL;
}

/* The URL's token; where there is none or it has expired, a cookie's: that is how a player goes on
 * whose URLs hold a token that was renewed since. */
static struct gate_slot *gate_find(struct gate *g, const struct live *live,
                                   const struct route *route, const struct http_req *req,
                                   struct gate_pass *pass, int *ret_error)
{
    struct gate_slot *slot = NULL;
    int r = pass->token_error;
    if (r == 0)
        slot = gate__verify(g, live, route, pass->token, &r);
    if (slot != NULL)
        r = gate_check(g, slot, req, pass);
    if (slot == NULL && (r == -ENOENT || r == -ETIME))
        slot = gate_try_cookies(g, live, route, req, pass, &r);
    *ret_error = r;
    return r < 0 ? NULL : slot;
}

bool gate_admit(struct gate *g, const struct live *live, const struct route *route,
                struct http_req *req, struct gate_pass *pass, struct gate_refusal *ret_why)
{
    ASSERT(g->magic == GATE_MAGIC);
    if (live->rings[route->index] == NULL)
        return true;
    int r = 0;
    struct gate_slot *slot = gate_find(g, live, route, req, pass, &r);
    if (slot != NULL && slot->claims.renew_for_s > 0 && !pass->again) {
        gate__renew(g, live, route, req, pass, slot);
        slot = gate__verify(g, live, route, pass->token, &r);
    }
    if (slot == NULL) {
        *ret_why = gate_refuse(g->edge, r);
        return false;
    }
    pass->claims = &slot->claims;
    if (slot->claims.clients_text != NULL || slot->claims.id != NULL ||
        (pass->again && slot->claims.renew_for_s > 0))
        pass->by_cookie = true;
    return true;
}

void gate_pass_clear(struct gate_pass *p)
{
    buf_free(&p->path);
    buf_free(&p->query);
}
