/* SPDX-License-Identifier: Apache-2.0 */
/* http_sf: dictionaries of structured fields, as far as cache directives need them: members with
 * their type; parameters and inner lists are checked and skipped.
 *
 * Life:    none.
 * Owner:   the caller's memory: members borrow from the field lines.
 * Threads: any.
 * Errors:  false: not a dictionary; member has not been called then.
 * Units:   none.
 * Source:  RFC 8941 sections 3.2 and 4.2. */
#pragma once
#include "base/field.h"

enum http_sf_type {
    HTTP_SF_TRUE, /* ?1, or a key alone */
    HTTP_SF_FALSE,
    HTTP_SF_INTEGER,
    HTTP_SF_DECIMAL,
    HTTP_SF_STRING, /* text: its inside, backslashes as they are */
    HTTP_SF_TOKEN,
    HTTP_SF_BYTES,
    HTTP_SF_LIST,
};

struct http_sf_member {
    struct str key;
    enum http_sf_type type;
    struct str text; /* as it stands */
};

/* All lines of that name as one dictionary, as section 4.2 joins them. A key that comes again
 * replaces the earlier one: member is called once a key, with the last. An empty dictionary is
 * valid. More than HTTP_SF_MEMBERS_MAX members: false. */
#define HTTP_SF_MEMBERS_MAX 64
bool http_sf_dictionary(const struct fields *f, struct str name,
                        void (*member)(void *arg, const struct http_sf_member *m), void *arg);
