/* SPDX-License-Identifier: Apache-2.0 */
/* http_cache: what a shared cache may keep, for how long, and when it may give it out. Pure: no
 * request, no clock and no memory of its own but buffers that the caller passes.
 *
 * Life:    none. Terms are plain data that may be written to disk as they are.
 * Owner:   the caller's memory.
 * Threads: any.
 * Errors:  a directive or date that is malformed is read as its RFC says: the safe way.
 * Units:   seconds, since 1970 UTC where a point in time.
 * Source:  RFC 9111; RFC 5861 (stale-*), RFC 8246 (immutable), RFC 9213 (CDN-Cache-Control), RFC
 *          9211 (Cache-Status), RFC 9110 section 5.6 (lists, quoted strings, dates). */
#pragma once
#include "base/field.h"

#define HTTP_CACHE_NONE INT64_C(-1) /* a time that was not said */

/* Cache-Control, of a request or a response, all lines together. What is malformed is read so that
 * less is kept:
 * - no-cache="field" and private="field" count as if they had no fields (RFC 9111 sections 5.2.2.4
 *   and 5.2.2.7 allow it, and many caches do), and a restricting directive counts whatever its
 *   argument; public, immutable and must-understand with an argument do not count;
 * - max-age and s-maxage that are no number are 0 (section 4.2.1: stale), the other times are not
 *   there; of several the first counts; more than 2^31 counts as 2^31 (section 1.2.2);
 * - arguments may be quoted or not (section 5.2); a quote that is not closed makes no-store. */
struct http_cc {
    bool no_store, no_cache, no_transform, only_if_cached;
    bool is_public, is_private, must_revalidate, proxy_revalidate, must_understand, immutable;
    int64_t max_age_s, s_maxage_s, min_fresh_s,
        max_stale_s; /* max_stale without a value: INT64_MAX */
    int64_t stale_while_revalidate_s, stale_if_error_s;
    bool any; /* there was at least one directive */
};
/* name: "cache-control", "pragma", else a targeted field such as "cdn-cache-control": a dictionary
 * (RFC 9213 section 2.1), of which an invalid one is as if it were not there. */
void http_cc_read(const struct fields *f, struct str name, struct http_cc *ret);

/* What a request asks of a cache. */
struct http_cache_ask {
    struct http_cc cc; /* Pragma: no-cache counts where there is no Cache-Control */
    bool authorized;   /* it has an Authorization field */
};
void http_cache_ask_read(const struct fields *request, struct http_cache_ask *ret);

struct http_cache_options {
    int64_t ttl_s;          /* of a 200, 203, 206 without any; HTTP_CACHE_NONE: heuristic, else 0 */
    int64_t negative_ttl_s; /* of 404, 405, 410, 414, 501 without any; HTTP_CACHE_NONE: not kept */
    int64_t heuristic_max_s; /* a tenth of the time since Last-Modified, at most so long */
    int64_t ttl_max_s;       /* nothing is fresh for longer; HTTP_CACHE_NONE: no limit */
};

/* On what terms a response is kept. Plain data, all fields initialised: written to disk. */
struct http_cache_terms {
    int64_t response_s;      /* when it came */
    int64_t age_s;           /* how old it was then (RFC 9111 section 4.2.3) */
    int64_t lifetime_s;      /* fresh while its age is below */
    int64_t swr_s, sie_s;    /* stale-while-revalidate, stale-if-error; 0: none */
    int64_t modified_s;      /* Last-Modified; 0: none */
    uint8_t no_cache;        /* to be validated before each use */
    uint8_t must_revalidate; /* never stale, whatever a request allows (also proxy-revalidate,
                              * s-maxage) */
    uint8_t immutable;
    uint8_t heuristic; /* the lifetime is a guess */
    uint8_t reserved[4];
};

/* Whether the answer to a GET or HEAD may be kept by a shared cache, and on which terms. A lifetime
 * of 0 with a validator is kept too: it saves the body. False: *ret_why is static text for
 * Cache-Status detail. request_s and response_s: when it was sent, when the head came.
 * CDN-Cache-Control wins over Cache-Control and Expires. An answer with Set-Cookie is kept only if
 * public, s-maxage or CDN-Cache-Control say so: one user's cookie must not go to all. A 206 is
 * judged like a 200: the caller keeps it as a part. Also for a 304, with the kept status and the
 * fields that http_cache_update wrote. */
bool http_cache_may_keep(const struct http_cache_ask *ask, unsigned status,
                         const struct fields *response, int64_t request_s, int64_t response_s,
                         const struct http_cache_options *options, struct http_cache_terms *ret,
                         const char **ret_why);

int64_t http_cache_age(const struct http_cache_terms *t, int64_t now_s); /* the Age field */

enum http_cache_use {
    HTTP_CACHE_FRESH, /* give it out: it is fresh, or as stale as the request takes (max-stale) */
    HTTP_CACHE_STALE_REVALIDATE, /* give it out, and validate it meanwhile */
    HTTP_CACHE_STALE_IF_ERROR,   /* validate; it may be given out if that fails */
    HTTP_CACHE_VALIDATE,         /* validate; if that fails it is a 504 */
    HTTP_CACHE_REFUSE, /* the request wants only what is kept, and this may not be given */
};
/* soft_purged: its freshness has ended, whatever the terms say. */
enum http_cache_use http_cache_use(const struct http_cache_terms *t,
                                   const struct http_cache_ask *ask, bool soft_purged,
                                   int64_t now_s);

/* RFC 9111 section 4.1: the secondary key: for each field that Vary names (sorted, once) its
 * normalised value in the request. Appends nothing for no Vary. False: Vary: *, never matches.
 * Accept-Encoding is reduced to the codings that a video origin serves ("br", "gzip", "zstd", in
 * that order), so that browsers share. */
bool http_cache_vary(struct str vary, const struct fields *request, struct buf *out);

/* RFC 9111 section 4.3.1: the conditions that validate a kept response: If-None-Match,
 * If-Modified-Since. Values are lent from kept; 0: it has no validator, ask for it whole. */
unsigned http_cache_validation(const struct fields *kept, struct field ret[2]);

/* Section 4.3.4: whether a 304 with these fields is about the kept response. False: it is about
 * another one that we do not hold: ask again without conditions. */
bool http_cache_validated(const struct fields *kept, const struct fields *fresh);

/* Section 4.3.5: whether a HEAD's 200 is about the kept response, which http_cache_update may then
 * freshen. False: the kept one is outdated. */
bool http_cache_head_agrees(const struct fields *kept, const struct fields *head);

/* RFC 9111 section 3.2: a kept response's fields with those of a 304 (or of a HEAD) put over them,
 * but for what describes the body kept (Content-Length, Content-Encoding, Content-Type,
 * Content-Range, ETag) and Set-Cookie, which was for who asked. The kept Age and Date go. Writes
 * "name: value\r\n" lines. */
void http_cache_update(const struct fields *kept, const struct fields *fresh, struct buf *out);

/* Reads such lines back; at has room for max and is lent to *ret, values are lent from lines.
 * -EINVAL: not of the form; -E2BIG. */
MUST_USE int http_cache_fields_read(struct str lines, struct field *at, unsigned max,
                                    struct fields *ret);

/* RFC 9111 section 4.4: of an answer to an unsafe method: whether it invalidates. */
bool http_cache_invalidates(unsigned status);

/* The primary key: "scheme://host:port/path?query" with the host in lower case, a default port
 * gone, dot segments removed, unreserved characters decoded, other percent codes in upper case,
 * and the query as the route wants it: HTTP_KEY_QUERY_*. Parameters stay in their order unless
 * sorted (by name; those of one name in their order). names are compared after that decoding. */
enum http_key_query { HTTP_KEY_QUERY_ALL, HTTP_KEY_QUERY_NONE, HTTP_KEY_QUERY_SOME };
struct http_key_options {
    enum http_key_query query;
    const char *const *names; /* with SOME: parameters that count; with ALL: those that do not */
    unsigned names_count;
    bool sorted;
};
void http_cache_key(struct str scheme, struct str authority, struct str path, struct str query,
                    const struct http_key_options *options, struct buf *out);

/* A Cache-Status member of ours, ready for the field's end. fwd: static text ("uri-miss", "stale",
 * "method", "vary-miss", "request", "bypass", "partial"), NULL: a hit. ttl_s: HTTP_CACHE_NONE: not
 * said; fwd_status 0: not said. detail: a token, NULL: none. */
struct http_cache_status {
    const char *fwd;
    int64_t ttl_s;
    unsigned fwd_status;
    bool stored, collapsed;
    const char *detail;
};
void http_cache_status_write(struct str cache_name, const struct http_cache_status *s,
                             struct buf *out);
