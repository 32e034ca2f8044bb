/* SPDX-License-Identifier: Apache-2.0 */
/* http_cmcd: what a player tells of itself with a request: Common Media Client Data, from the four
 * header fields CMCD-Object, CMCD-Request, CMCD-Session and CMCD-Status and from the query
 * argument CMCD.
 *
 * Life:    http_cmcd_read -> http_cmcd_find, http_cmcd_json.
 * Owner:   the caller's struct; keys and texts point into it, so it is not copied.
 * Threads: any.
 * Errors:  pairs that are not of the form are skipped: a stranger wrote them.
 * Units:   as the keys have them: kbit/s (br, tb, mtp, rtp), ms (bl, d, dl).
 * Source:  CTA-5004 (2020) sections 3.1 to 3.3; RFC 8941 for the values' form. */
#pragma once
#include "base/field.h"

#define HTTP_CMCD_ITEMS_MAX 32
#define HTTP_CMCD_SIZE_MAX  4096 /* of one request's, decoded; sources beyond it are not read */

enum http_cmcd_type {
    HTTP_CMCD_INTEGER,
    HTTP_CMCD_DECIMAL,
    HTTP_CMCD_TRUE,
    HTTP_CMCD_TOKEN,
    HTTP_CMCD_STRING,
    HTTP_CMCD_CUSTOM, /* a key with a hyphen: text, whatever it was */
};

struct http_cmcd_item {
    struct str key;
    enum http_cmcd_type type;
    struct str text; /* digits of a number; a string without its quotes and backslashes */
};

struct http_cmcd {
    struct http_cmcd_item at[HTTP_CMCD_ITEMS_MAX];
    unsigned count;
    size_t used;
    char text[HTTP_CMCD_SIZE_MAX];
};

/* Of a key that comes again the first counts; header fields come before the query. False: there is
 * none. */
bool http_cmcd_read(const struct fields *request, struct str query, struct http_cmcd *ret);
const struct http_cmcd_item *http_cmcd_find(const struct http_cmcd *c,
                                            struct str key); /* or NULL */

/* Appends {"br":3200,"bs":true,"sid":"..."}; tokens in a URL (nor) are redacted. */
void http_cmcd_json(const struct http_cmcd *c, struct buf *out);
