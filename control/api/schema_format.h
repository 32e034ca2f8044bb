/* SPDX-License-Identifier: Apache-2.0 */
/* schema_format: the forms of text that have a name in the API's document.
 *
 * Life:    static data; pure functions.
 * Owner:   -
 * Threads: any.
 * Errors:  none.
 * Units:   bytes of UTF-8.
 * Source:  RFC 3339 (date-time, date), RFC 5321 (email), RFC 3986 (uri), RFC 9562 (uuid), RFC 5646
 *          (language), ISO 3166-1 (country). */
#pragma once
#include "base/str.h"

struct schema_format {
    const char *name;
    bool (*fits)(struct str text); /* NULL: any */
    const char *what;              /* "an e-mail address" */
};

const struct schema_format *schema_format_find(const char *name); /* NULL: none of that name */
