/* SPDX-License-Identifier: Apache-2.0 */
/* Signed Token Renewal (RFC 9246 section 3): a token with cdnistt 1 earns its holder another one,
 * cdniets seconds long from the request on, as a cookie. The RFC has one issued for each request;
 * here one that would live hardly longer than the client's newest is left out. */
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "edge/gate_priv.h"
#include "edge/live.h"

#define RENEW_GAIN 8 /* a new token lives longer than the former one by this part of cdniets */

static bool gate_is_worth(int64_t now_s, const struct token_claims *c, int64_t former_expires_s)
{
    return now_s + c->renew_for_s - former_expires_s >= MAX(1, c->renew_for_s / RENEW_GAIN);
}

/* Whether the client holds a renewed one of this token already: for the same URIs, and fresh. */
static bool gate_has_newer(struct gate *g, const struct live *live, const struct route *route,
                           const struct http_req *req, int64_t now_s, const char *container,
                           int64_t renew_for_s)
{
    struct str cookie = http_req_header(req, "cookie");
    struct str token;
    const struct token_claims self = {.renew_for_s = renew_for_s};
    for (unsigned i = 0; i < TOKEN_COOKIES_MAX && token_next_cookie(&cookie, &token); i++) {
        int error;
        const struct gate_slot *slot = gate__verify(g, live, route, token, &error);
        if (slot != NULL && strcmp(slot->claims.container, container) == 0 &&
            !gate_is_worth(now_s, &self, slot->claims.expires_s))
            return true;
    }
    return false;
}

/* What the slot's token has earned: made once a second. Each one with a jti is another. */
static int gate_earn(struct gate_slot *slot, int64_t now_s)
{
    if (slot->renewed != NULL && slot->renewed_s == now_s && slot->claims.id == NULL)
        return 0;
    CLEAN_BUF struct buf token = BUF_EMPTY;
    int r = token_renew(slot->ring, str_of(slot->token), now_s, &token);
    char *text = r < 0 ? NULL : buf_take(&token);
    if (text == NULL)
        return r < 0 ? r : -ENOMEM;
    free(slot->renewed);
    slot->renewed = text;
    slot->renewed_s = now_s;
    return 0;
}

static int gate_set_cookie(struct http_req *req, const struct route *route,
                           const struct gate_slot *slot)
{
    CLEAN_BUF struct buf cookie = BUF_EMPTY;
    buf_printf(&cookie, "URISigningPackage=%s; Path=", slot->renewed);
    token_cookie_path(http_req_path(req), slot->claims.renew_depth, &cookie);
    if (route->config->cookie_domain != NULL)
        buf_printf(&cookie, "; Domain=%s", route->config->cookie_domain);
    buf_printf(&cookie, "; Max-Age=%lld; HttpOnly", (long long)slot->claims.renew_for_s);
    /* A player on another site's page sends it only with these two; browsers take neither of them
     * from a server without TLS. */
    if (str_eq(http_req_scheme(req), STR("https")))
        buf_puts(&cookie, "; Secure; SameSite=None");
    if (buf_error(&cookie) < 0)
        return buf_error(&cookie);
    http_res_header(req, "set-cookie", "%s", cookie.data);
    return 0;
}

void gate__renew(struct gate *g, const struct live *live, const struct route *route,
                 struct http_req *req, struct gate_pass *pass, struct gate_slot *slot)
{
    const struct edge *e = gate__edge(g);
    int64_t now_s = clock_real_s();
    if (pass->by_cookie && !gate_is_worth(now_s, &slot->claims, slot->claims.expires_s))
        return;
    if (!pass->by_cookie) {
        char *container = str_dup(str_of(slot->claims.container));
        bool has = container != NULL &&
                   gate_has_newer(g, live, route, req, now_s, container, slot->claims.renew_for_s);
        free(container);
        int error;
        slot = gate__verify(g, live, route, pass->token, &error); /* a cookie may have its place */
        if (has || slot == NULL)
            return;
    }
    int r = gate_earn(slot, now_s);
    if (r == 0)
        r = gate_set_cookie(req, route, slot);
    if (r < 0) {
        metric_add(e->metrics.renewals_failed, 1);
        return;
    }
    pass->by_cookie = true; /* no shared cache may give the cookie to others */
    metric_add(e->metrics.tokens_renewed, 1);
}
