/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http_cache.h"
#include "http/http_cache_priv.h"
#include "http/http_cond.h"

/* --- what a response says --------------------------------------------------------------------- */

/* RFC 9110 section 15.1: those whose freshness may be guessed. */
static bool http_status_may_be_guessed(unsigned status)
{
    static const unsigned short some[] = {200, 203, 204, 206, 300, 301,
                                          308, 404, 405, 410, 414, 501};
    for (size_t i = 0; i < ARRAY_LEN(some); i++)
        if (some[i] == status)
            return true;
    return false;
}

static bool http_status_is_negative(unsigned status)
{
    return status == 404 || status == 405 || status == 410 || status == 414 || status == 501;
}

/* Answers that are about the request's own conditions, ranges or connection (RFC 9110 section 15),
 * or that RFC 6585 and RFC 8470 forbid to keep: never right for another request. */
static bool http_status_is_of_one_request(unsigned status)
{
    static const unsigned short some[] = {304, 407, 408, 412, 416, 417,
                                          421, 425, 428, 429, 431, 511};
    for (size_t i = 0; i < ARRAY_LEN(some); i++)
        if (some[i] == status)
            return true;
    return status < 200 || status > 599;
}

/* RFC 9111 section 5.2.2.3: those of RFC 9110 whose rules are kept here. */
static bool http_status_is_understood(unsigned status)
{
    static const unsigned short some[] = {200, 203, 204, 206, 300, 301, 302, 303, 307, 308,
                                          400, 401, 403, 404, 405, 406, 409, 410, 411, 413,
                                          414, 415, 422, 426, 500, 501, 502, 503, 504, 505};
    for (size_t i = 0; i < ARRAY_LEN(some); i++)
        if (some[i] == status)
            return true;
    return false;
}

/* All that is said about keeping a response, in one place. */
struct http_said {
    struct http_cc cc;
    bool targeted; /* cc is CDN-Cache-Control's, Cache-Control and Expires do not count */
    int64_t date_s;
    int64_t expires_s; /* 0: one that is no date, or long ago; HTTP_CACHE_NONE: not said */
    int64_t modified_s;
    bool has_etag;
};

static int64_t http_date_of(const struct fields *f, struct str name, int64_t otherwise)
{
    int64_t value;
    struct str text = str_trim(fields_get(f, name));
    if (text.size == 0 || http_date_parse(text, &value) < 0)
        return otherwise;
    return MAX(value, 0);
}

static void http_said_read(const struct fields *f, int64_t response_s, struct http_said *said)
{
    *said = (struct http_said){.expires_s = HTTP_CACHE_NONE};
    http_cc_read(f, STR("cdn-cache-control"), &said->cc);
    said->targeted = said->cc.any;
    if (!said->targeted) {
        http_cc_read(f, STR("cache-control"), &said->cc);
        /* RFC 9111 section 5.3: a value that is no date, "0" above all, is in the past. */
        if (fields_get(f, STR("expires")).data != NULL)
            said->expires_s = http_date_of(f, STR("expires"), 0);
    }
    /* RFC 9110 section 6.6.1: without a Date it is when we received it. */
    said->date_s = http_date_of(f, STR("date"), response_s);
    said->modified_s = http_date_of(f, STR("last-modified"), 0);
    said->has_etag = str_trim(fields_get(f, STR("etag"))).size > 0;
}

/* RFC 9111 section 4.2.3. Clocks that were set in between never make it younger than its Age. */
static int64_t http_initial_age(const struct fields *f, const struct http_said *said,
                                int64_t request_s, int64_t response_s)
{
    struct str rest;
    int64_t apparent_s = MAX(response_s - said->date_s, 0);
    int64_t delay_s = MAX(response_s - request_s, 0);
    /* Section 5.1: the first member of the first line; one that is no number is ignored. */
    int64_t age_s = http__delta(str_trim(str_cut(fields_get(f, STR("age")), ',', &rest)));
    return MAX(apparent_s, MAX(age_s, 0) + delay_s);
}

/* RFC 9111 section 4.2.1: what the response says itself; HTTP_CACHE_NONE: nothing. */
static int64_t http_explicit_lifetime(const struct http_said *said)
{
    if (said->cc.s_maxage_s != HTTP_CACHE_NONE)
        return said->cc.s_maxage_s;
    if (said->cc.max_age_s != HTTP_CACHE_NONE)
        return said->cc.max_age_s;
    if (said->expires_s != HTTP_CACHE_NONE)
        return MAX(said->expires_s - said->date_s, 0);
    return HTTP_CACHE_NONE;
}

/* Sections 4.2.2: what the operator says, else a tenth of the time since the last change. */
static int64_t http_other_lifetime(const struct http_said *said, unsigned status,
                                   const struct http_cache_options *o, uint8_t *ret_heuristic)
{
    if (http_status_is_negative(status))
        return o->negative_ttl_s;
    if ((status == 200 || status == 203 || status == 206) && o->ttl_s != HTTP_CACHE_NONE)
        return o->ttl_s;
    *ret_heuristic = 1;
    if (said->modified_s == 0 || said->modified_s >= said->date_s)
        return 0;
    return MIN((said->date_s - said->modified_s) / 10, MAX(o->heuristic_max_s, 0));
}

/* --- may it be kept: RFC 9111 section 3 ------------------------------------------------------- */

static const char *http_forbids(const struct http_cache_ask *ask, unsigned status,
                                const struct http_said *said, const struct fields *f)
{
    const struct http_cc *cc = &said->cc;
    if (http_status_is_of_one_request(status))
        return "status";
    if (ask->cc.no_store)
        return "request-no-store";
    if (cc->must_understand && !http_status_is_understood(status))
        return "must-understand";
    if (cc->no_store && !cc->must_understand)
        return "no-store";
    if (cc->is_private)
        return "private";
    /* Section 3.5. */
    if (ask->authorized && !cc->is_public && !cc->must_revalidate &&
        cc->s_maxage_s <= 0) /* 0 may be a malformed one, which permits nothing */
        return "authorization";
    /* Section 7.3 leaves Set-Cookie to who writes the response. Most who forget it meant one user,
     * so only words that are said to shared caches count. */
    if (fields_get(f, STR("set-cookie")).data != NULL && !said->targeted && !cc->is_public &&
        cc->s_maxage_s <= 0)
        return "set-cookie";
    for (unsigned i = 0; i < f->count; i++)
        if (str_eq(f->at[i].name, STR("vary")) && http__vary_is_star(f->at[i].value))
            return "vary";
    return NULL;
}

/* must-revalidate and proxy-revalidate forbid all staleness. s-maxage implies the latter (section
 * 5.2.2.10), yet whoever writes "s-maxage=60, stale-while-revalidate=30" has said both to us: its
 * own stale-* count, a request's max-stale does not. */
static void http_terms_of_staleness(const struct http_cc *cc, struct http_cache_terms *t)
{
    t->no_cache = cc->no_cache;
    t->immutable = cc->immutable;
    t->must_revalidate =
        cc->must_revalidate || cc->proxy_revalidate || cc->s_maxage_s != HTTP_CACHE_NONE;
    if (cc->must_revalidate || cc->proxy_revalidate || cc->no_cache)
        return;
    t->swr_s = MAX(cc->stale_while_revalidate_s, 0);
    t->sie_s = MAX(cc->stale_if_error_s, 0);
}

bool http_cache_may_keep(const struct http_cache_ask *ask, unsigned status,
                         const struct fields *response, int64_t request_s, int64_t response_s,
                         const struct http_cache_options *options, struct http_cache_terms *ret,
                         const char **ret_why)
{
    struct http_said said;
    http_said_read(response, response_s, &said);
    const char *why = http_forbids(ask, status, &said, response);
    struct http_cache_terms t = {.response_s = response_s, .modified_s = said.modified_s};
    if (why == NULL) {
        t.age_s = http_initial_age(response, &said, request_s, response_s);
        t.lifetime_s = http_explicit_lifetime(&said);
        if (t.lifetime_s == HTTP_CACHE_NONE && !http_status_may_be_guessed(status) &&
            !said.cc.is_public)
            why = "status";
        else if (t.lifetime_s == HTTP_CACHE_NONE)
            t.lifetime_s = http_other_lifetime(&said, status, options, &t.heuristic);
        if (why == NULL && t.lifetime_s == HTTP_CACHE_NONE)
            why = "negative";
    }
    if (why == NULL) {
        if (options->ttl_max_s != HTTP_CACHE_NONE)
            t.lifetime_s = MIN(t.lifetime_s, MAX(options->ttl_max_s, 0));
        http_terms_of_staleness(&said.cc, &t);
        /* What can neither be given out nor be validated is of no use. */
        bool usable = !t.no_cache && t.age_s < t.lifetime_s + MAX(t.swr_s, t.sie_s);
        if (!usable && !said.has_etag && said.modified_s == 0)
            why = t.no_cache ? "no-cache" : "stale";
    }
    if (why != NULL) {
        *ret_why = why;
        return false;
    }
    *ret = t;
    return true;
}

/* --- may it be given out: RFC 9111 section 4 -------------------------------------------------- */

void http_cache_ask_read(const struct fields *request, struct http_cache_ask *ret)
{
    http_cc_read(request, STR("cache-control"), &ret->cc);
    ret->authorized = fields_get(request, STR("authorization")).data != NULL;
    if (!ret->cc.any) {
        /* RFC 9111 section 5.4: of Pragma only no-cache was ever defined. */
        struct http_cc pragma;
        http_cc_read(request, STR("pragma"), &pragma);
        ret->cc.no_cache = pragma.no_cache;
    }
}

/* Terms may come from a disk: sums of them stay small. */
static int64_t http_clamp(int64_t seconds)
{
    return MIN(MAX(seconds, 0), INT64_C(1) << 40);
}

int64_t http_cache_age(const struct http_cache_terms *t, int64_t now_s)
{
    /* A clock that was set back does not make it younger than it was when it came. */
    return http_clamp(t->age_s) + http_clamp(now_s) -
           MIN(http_clamp(t->response_s), http_clamp(now_s));
}

/* Whether the request takes it at that age, its own max-age, min-fresh and max-stale considered. */
static bool http_ask_takes(const struct http_cache_terms *t, const struct http_cc *cc,
                           bool soft_purged, int64_t age_s)
{
    int64_t over_s = age_s - http_clamp(t->lifetime_s); /* stale for so long */
    int64_t asked_s = INT64_MIN;                        /* older than was asked for by so much */
    /* RFC 8246 section 2: a plain reload (max-age=0) of what cannot change is answered while fresh;
     * a forced one says no-cache. */
    if (cc->max_age_s != HTTP_CACHE_NONE && !(t->immutable && cc->max_age_s == 0))
        asked_s = age_s - cc->max_age_s;
    if (cc->min_fresh_s != HTTP_CACHE_NONE && -over_s < cc->min_fresh_s)
        return false;
    bool stale = soft_purged || over_s >= 0;
    if (!stale && asked_s <= 0)
        return true;
    if (cc->max_stale_s == HTTP_CACHE_NONE || soft_purged || (stale && t->must_revalidate))
        return false;
    return over_s <= cc->max_stale_s && asked_s <= cc->max_stale_s;
}

enum http_cache_use http_cache_use(const struct http_cache_terms *t,
                                   const struct http_cache_ask *ask, bool soft_purged,
                                   int64_t now_s)
{
    const struct http_cc *cc = &ask->cc;
    int64_t age_s = http_cache_age(t, now_s);
    int64_t stale_s = MAX(age_s - http_clamp(t->lifetime_s), 0); /* for how long it has been */
    bool may = !t->no_cache && !cc->no_cache;
    if (may && http_ask_takes(t, cc, soft_purged, age_s))
        return HTTP_CACHE_FRESH;
    /* A request that limits age or freshness itself does not wish a stale answer. */
    bool choosy = cc->max_age_s != HTTP_CACHE_NONE || cc->min_fresh_s != HTTP_CACHE_NONE;
    if (may && !choosy && stale_s < t->swr_s)
        return HTTP_CACHE_STALE_REVALIDATE;
    if (cc->only_if_cached)
        return HTTP_CACHE_REFUSE;
    /* RFC 5861 section 4: regardless of other freshness information, the request's included. */
    int64_t sie_s = t->sie_s;
    if (!t->must_revalidate)
        sie_s = MAX(sie_s, cc->stale_if_error_s);
    return may && stale_s < sie_s ? HTTP_CACHE_STALE_IF_ERROR : HTTP_CACHE_VALIDATE;
}

bool http_cache_invalidates(unsigned status)
{
    return status >= 200 && status < 400;
}
