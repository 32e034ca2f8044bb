/* SPDX-License-Identifier: Apache-2.0 */
/* http_cond: conditional requests: a client's preconditions against a representation's validators.
 * Pure: no request here.
 *
 * Life:    none.
 * Owner:   the caller's memory.
 * Threads: any.
 * Errors:  a date that is not one is ignored; an entity tag that is not one matches nothing.
 * Units:   seconds since 1970 UTC.
 * Source:  RFC 9110 sections 5.6.7 (dates), 8.8.3.2 (comparison), 13.1 and 13.2.2 (precedence). */
#pragma once
#include "base/str.h"

struct http_validators {
    struct str etag;    /* with its quotes; STR_NONE: none */
    int64_t modified_s; /* 0: none */
};

struct http_conditions { /* header values; STR_NONE: absent */
    struct str if_match;
    struct str if_none_match;
    struct str if_modified_since;
    struct str if_unmodified_since;
};

enum http_cond { HTTP_COND_GO, HTTP_COND_NOT_MODIFIED, HTTP_COND_FAILED };

/* is_read: GET or HEAD; for other methods a matching If-None-Match is FAILED. */
enum http_cond http_cond_check(const struct http_conditions *c, const struct http_validators *v,
                               bool is_read);

/* Does the Range count? True without an If-Range. */
bool http_cond_if_range(struct str if_range, const struct http_validators *v);

/* All three forms of RFC 9110 section 5.6.7. -EINVAL. */
MUST_USE int http_date_parse(struct str text, int64_t *ret);
