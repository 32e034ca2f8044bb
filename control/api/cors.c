/* SPDX-License-Identifier: Apache-2.0 */
#include "control/api/cors.h"
#include <errno.h>
#include "control/valid.h"
#include "http/http_route.h"

#define CORS_AGE_S 600

static bool cors_is_allowed(const struct gate_settings *s, const struct http_req *req)
{
    struct str origin = http_req_header(req, "origin");
    return origin.size > 0 && gate_settings_allow(s, origin);
}

/* A page of another origin can make a browser send our cookie, but not without telling its origin,
 * and SameSite=Lax keeps the cookie back besides. Where a browser tells no Origin, Sec-Fetch-Site
 * says whether another site asked. */
int cors_check(const struct gate_settings *s, const struct live *l, struct http_req *req,
               struct fault *fault)
{
    struct str origin = http_req_header(req, "origin");
    struct str site = http_req_header(req, "sec-fetch-site");
    bool good;
    if (origin.size > 0)
        good = gate_settings_allow(s, origin) ||
               valid_is_origin(origin, http_req_scheme(req), http_req_authority(req),
                               str_of(l->public_url));
    else
        good = site.size == 0 || str_eq(site, STR("same-origin")) || str_eq(site, STR("none"));
    return good ? 0 : fault_set(fault, 403, "ORIGIN_REFUSED", "this page may not use the API");
}

void cors_headers(const struct gate_settings *s, struct http_req *req)
{
    if (s->origins[0] == NULL)
        return;
    http_res_header(req, "vary", "origin");
    if (!cors_is_allowed(s, req))
        return;
    struct str origin = http_req_header(req, "origin");
    http_res_header(req, "access-control-allow-origin", STR_FMT, STR_ARG(origin));
    http_res_header(req, "access-control-allow-credentials", "true");
    http_res_header(req, "access-control-expose-headers",
                    "etag, ratelimit-limit, ratelimit-remaining, ratelimit-reset, retry-after, "
                    "x-request-id, idempotency-replayed, location");
}

void cors_answer(const struct gate_settings *s, struct http_req *req, unsigned methods)
{
    CLEAN_BUF struct buf names = BUF_EMPTY;
    http_methods_put(methods, &names);
    buf_puts(&names, ", OPTIONS");
    const char *list = buf_error(&names) < 0 ? "OPTIONS" : names.data;
    http_res_header(req, "allow", "%s", list);
    cors_headers(s, req);
    if (cors_is_allowed(s, req) && http_req_header(req, "access-control-request-method").size > 0) {
        http_res_header(req, "access-control-allow-methods", "%s", list);
        http_res_header(req, "access-control-allow-headers",
                        "authorization, content-type, idempotency-key, if-match, if-none-match, "
                        "traceparent");
        http_res_header(req, "access-control-max-age", "%d", CORS_AGE_S);
    }
    http_reply(req, 204, NULL, STR_NONE);
}
