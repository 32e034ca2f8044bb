/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/gate.h"
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"

struct gate_slot {
    char *token;                   /* NULL: empty */
    const struct token_ring *ring; /* that it was verified with */
    struct token_claims claims;
    bool plain; /* the container is token_asset_container(asset): a prefix comparison does */
};

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
    token_claims_clear(&slot->claims);
    *slot = (struct gate_slot){0};
}

struct gate *gate_free(struct gate *g)
{
    if (g == NULL)
        return NULL;
    ASSERT(g->magic == GATE_MAGIC);
    for (unsigned i = 0; i < GATE_SLOTS; i++)
        gate_slot_clear(&g->slots[i]);
    MAGIC_CLEAR(g);
    free(g);
    return NULL;
}

static bool gate_is_plain(const struct token_claims *claims)
{
    if (claims->asset == NULL || claims->container == NULL)
        return false;
    CLEAN_BUF struct buf container = BUF_EMPTY;
    token_asset_container(str_of(claims->asset), &container);
    return buf_error(&container) == 0 && str_eq(buf_str(&container), str_of(claims->container));
}

/* The slot that holds the verified token; NULL with *ret_error otherwise. */
static struct gate_slot *gate_verify(struct gate *g, const struct token_ring *ring,
                                     struct str token, int *ret_error)
{
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
    struct token_claims claims;
    int r = token_verify(ring, token, now_s, &claims);
    char *copy = r < 0 ? NULL : str_dup(token);
    if (copy == NULL) {
        if (r == 0)
            token_claims_clear(&claims);
        *ret_error = r < 0 ? r : -ENOMEM;
        return NULL;
    }
    gate_slot_clear(slot);
    *slot = (struct gate_slot){copy, ring, claims, gate_is_plain(&claims)};
    return slot;
}

static int gate_covers(const struct gate_slot *slot, const struct http_req *req, struct str path)
{
    if (slot->plain) {
        struct str rest;
        struct str asset = str_cut(str_skip(path, MIN(path.size, strlen("/v/"))), '/', &rest);
        bool own = str_starts(path, STR("/v/")) && str_eq(asset, str_of(slot->claims.asset));
        return own || str_starts(path, STR("/b/")) ? 0 : -EACCES;
    }
    CLEAN_BUF struct buf uri = BUF_EMPTY;
    struct str scheme = http_req_scheme(req);
    struct str authority = http_req_authority(req);
    buf_printf(&uri, STR_FMT "://" STR_FMT STR_FMT, STR_ARG(scheme), STR_ARG(authority),
               STR_ARG(path));
    int r = buf_error(&uri);
    return r < 0 ? r : token_covers(&slot->claims, buf_str(&uri));
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
    ret->token_error = token_extract(path, query, STR_NONE, &ret->token, &ret->path);
    if (ret->token_error == -EBADMSG) { /* refused soon; its route is found by the path as it is */
        buf_clear(&ret->path);
        buf_put_str(&ret->path, path);
    }
    token_strip_query(query, &ret->query);
    return buf_error(&ret->path) < 0 ? buf_error(&ret->path) : buf_error(&ret->query);
}

bool gate_admit(struct gate *g, const struct route *route, const struct http_req *req,
                struct gate_pass *pass, struct gate_refusal *ret_why)
{
    ASSERT(g->magic == GATE_MAGIC);
    if (route->ring == NULL)
        return true;
    int r = pass->token_error;
    if (r == -ENOENT) {
        CLEAN_BUF struct buf path = BUF_EMPTY; /* the same once more */
        pass->by_cookie = true;
        r = token_extract(STR("/"), STR_NONE, http_req_header(req, "cookie"), &pass->token, &path);
    }
    struct gate_slot *slot = r < 0 ? NULL : gate_verify(g, route->ring, pass->token, &r);
    if (slot != NULL)
        r = gate_covers(slot, req, buf_str(&pass->path));
    if (slot == NULL || r < 0) {
        *ret_why = gate_refuse(g->edge, r);
        return false;
    }
    pass->claims = &slot->claims;
    return true;
}

void gate_pass_clear(struct gate_pass *p)
{
    buf_free(&p->path);
    buf_free(&p->query);
}
