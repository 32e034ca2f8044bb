/* SPDX-License-Identifier: Apache-2.0 */
/* rules: what a route asks of a request before its token is looked at: where the client is, which
 * page sent it, which pages may read the answer.
 *
 * Life:    rules_open at start -> rules_admit, rules_cors per request -> rules_free.
 * Owner:   its struct route.
 * Threads: read-only once open.
 * Errors:  -EINVAL with a sentence that names the key.
 * Units:   none.
 * Source:  RFC 9110 section 10.1.3 (Referer); Fetch Standard, section 3.2 (CORS). */
#pragma once
#include "base/addr.h"
#include "base/buf.h"
#include "base/config.h"
#include "geo/geo.h"
#include "http/http.h"

#define RULES_LIST_MAX 1024 /* entries of one list */

enum rules_unknown { RULES_UNKNOWN_BY_LISTS, RULES_UNKNOWN_ALLOW, RULES_UNKNOWN_DENY };

struct rules_config {
    char **countries_allow; /* ISO 3166-1 alpha-2 */
    unsigned countries_allow_count;
    char **countries_deny;
    unsigned countries_deny_count;
    char **continents_allow; /* AF AN AS EU NA OC SA */
    unsigned continents_allow_count;
    char **continents_deny;
    unsigned continents_deny_count;
    unsigned geo_unknown;   /* enum rules_unknown; by lists: allow lists refuse the unknown */
    char **addresses_allow; /* prefixes */
    unsigned addresses_allow_count;
    char **addresses_deny;
    unsigned addresses_deny_count;
    char **referers_allow; /* hosts, "*.example.org", "none" */
    unsigned referers_allow_count;
    char **allow_origin; /* "*", origins, origins with a host of "*.example.org"; none: "*" */
    unsigned allow_origin_count;
    bool allow_credentials;
    char **allow_headers; /* beyond those of players */
    unsigned allow_headers_count;
    char **expose_headers;
    unsigned expose_headers_count;
};

extern const cyaml_schema_value_t rules_text;
extern const cyaml_strval_t rules_unknown_names[2];

#define RULES_LIST_FIELD(key, type, member)                                                        \
    CYAML_FIELD_SEQUENCE(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, member, &rules_text, \
                         1, RULES_LIST_MAX)

/* The rows of a route's schema. */
#define RULES_FIELDS(type, member)                                                                 \
    RULES_LIST_FIELD("countries_allow", type, member.countries_allow),                             \
        RULES_LIST_FIELD("countries_deny", type, member.countries_deny),                           \
        RULES_LIST_FIELD("continents_allow", type, member.continents_allow),                       \
        RULES_LIST_FIELD("continents_deny", type, member.continents_deny),                         \
        CYAML_FIELD_ENUM("geo_unknown", CYAML_FLAG_OPTIONAL, type, member.geo_unknown,             \
                         rules_unknown_names, ARRAY_LEN(rules_unknown_names)),                     \
        RULES_LIST_FIELD("addresses_allow", type, member.addresses_allow),                         \
        RULES_LIST_FIELD("addresses_deny", type, member.addresses_deny),                           \
        RULES_LIST_FIELD("referers_allow", type, member.referers_allow),                           \
        RULES_LIST_FIELD("allow_origin", type, member.allow_origin),                               \
        CYAML_FIELD_BOOL("allow_credentials", CYAML_FLAG_OPTIONAL, type,                           \
                         member.allow_credentials),                                                \
        RULES_LIST_FIELD("allow_headers", type, member.allow_headers),                             \
        RULES_LIST_FIELD("expose_headers", type, member.expose_headers)

struct rules;

/* Opens and throws away, to say what is wrong. */
MUST_USE int rules_check(const struct rules_config *c, struct err *err);
MUST_USE int rules_open(const struct rules_config *c, struct err *err, struct rules **ret);
struct rules *rules_free(struct rules *r);

bool rules_needs_geo(const struct rules *r);
bool rules_needs_client(const struct rules *r); /* who may have an answer depends on the address */

enum rules_verdict {
    RULES_ADMIT,
    RULES_GEO,     /* not in this country */
    RULES_CLIENT,  /* not from this address */
    RULES_REFERER, /* not from this page */
};

/* client NULL: not known. geo NULL: no file, so no place is known. */
enum rules_verdict rules_admit(const struct rules *r, const struct addr *client,
                               const struct geo *geo, struct str referer);

/* The CORS fields of any answer, and of a preflight's. */
void rules_cors(const struct rules *r, struct http_req *req);
void rules_preflight(const struct rules *r, struct http_req *req);

/* --- the parts of it -------------------------------------------------------------------------- */

const struct rules_config *rules_config_of(const struct rules *r);
bool rules_any_origin(const struct rules *r);
bool rules_origin_fits(struct str pattern, struct str origin);
bool rules_referer_fits(struct str pattern, struct str referer);
