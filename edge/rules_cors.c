/* SPDX-License-Identifier: Apache-2.0 */
/* Which pages may read an answer: the CORS fields. */
#include "edge/rules.h"

/* A pattern with a host of "*.example.org" takes all below; scheme and port as they are. */
bool rules_origin_fits(struct str pattern, struct str origin)
{
    struct str want, have;
    struct str want_scheme = str_cut(pattern, ':', &want);
    struct str have_scheme = str_cut(origin, ':', &have);
    if (!str_starts(want, STR("//*.")))
        return str_eq_nocase(pattern, origin);
    if (!str_eq_nocase(want_scheme, have_scheme) || !str_starts(have, STR("//")))
        return false;
    want = str_skip(want, 3); /* from the dot on */
    have = str_skip(have, 2);
    return have.size > want.size && memchr(have.data, '/', have.size) == NULL &&
           str_eq_nocase(want, str_skip(have, have.size - want.size));
}

static void rules_put_list(struct buf *b, char *const *list, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        buf_printf(b, ", %s", list[i]);
}

static void rules_put_field(struct http_req *req, const char *name, const char *fixed,
                            char *const *list, unsigned count)
{
    if (count == 0) {
        http_res_header(req, name, "%s", fixed);
        return;
    }
    CLEAN_BUF struct buf b = BUF_EMPTY;
    buf_puts(&b, fixed);
    rules_put_list(&b, list, count);
    if (buf_error(&b) == 0) /* else the page sees fewer fields */
        http_res_header(req, name, "%s", b.data);
}

void rules_cors(const struct rules *r, struct http_req *req)
{
    const struct rules_config *c = rules_config_of(r);
    struct str origin = http_req_header(req, "origin");
    if (rules_any_origin(r)) {
        http_res_header(req, "access-control-allow-origin", "*");
        http_res_header(req, "timing-allow-origin", "*");
    } else {
        /* Also without an Origin, and with one that is refused: others get another answer. */
        http_res_header(req, "vary", "Origin");
        bool fits = false;
        for (unsigned i = 0; i < c->allow_origin_count && origin.size > 0 && !fits; i++)
            fits = rules_origin_fits(str_of(c->allow_origin[i]), origin);
        if (!fits)
            return;
        http_res_header(req, "access-control-allow-origin", STR_FMT, STR_ARG(origin));
        http_res_header(req, "timing-allow-origin", STR_FMT, STR_ARG(origin));
        if (c->allow_credentials)
            http_res_header(req, "access-control-allow-credentials", "true");
    }
    rules_put_field(req, "access-control-expose-headers",
                    "cache-status, server-timing, content-length, content-range, age",
                    c->expose_headers, c->expose_headers_count);
}

/* Behind rules_cors: without an origin that fits, a browser stops here. */
void rules_preflight(const struct rules *r, struct http_req *req)
{
    const struct rules_config *c = rules_config_of(r);
    http_res_header(req, "access-control-allow-methods", "GET, HEAD, OPTIONS");
    rules_put_field(req, "access-control-allow-headers",
                    "range, if-none-match, if-range, cmcd-object, "
                    "cmcd-request, cmcd-session, cmcd-status",
                    c->allow_headers, c->allow_headers_count);
    http_res_header(req, "access-control-max-age", "86400");
    http_reply(req, 204, NULL, STR_NONE);
}
