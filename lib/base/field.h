/* SPDX-License-Identifier: Apache-2.0 */
/* field: the header fields of a message as a list, as they came: several lines of one name
 * stay several entries.
 *
 * Life:    none.
 * Owner:   whoever made the list; names and values are borrowed.
 * Threads: any.
 * Errors:  none: what is absent is STR_NONE.
 * Units:   none.
 * Source:  RFC 9110 section 5. */
#pragma once
#include "base/buf.h"

struct field {
    struct str name; /* lower-case */
    struct str value;
};

struct fields {
    const struct field *at;
    unsigned count;
};

/* The first of that (lower-case) name. */
struct str fields_get(const struct fields *f, struct str name);

/* All lines of that name joined by ", ", as RFC 9110 section 5.3 allows for lists; nothing is
 * appended without one. */
void fields_join(const struct fields *f, struct str name, struct buf *out);

/* Whether an intermediary leaves it out when it forwards: Connection and what Connection names,
 * Keep-Alive, Proxy-Connection, TE, Trailer, Transfer-Encoding, Upgrade (RFC 9110 section 7.6.1),
 * Proxy-Authenticate, Proxy-Authentication-Info, Proxy-Authorization. */
bool field_is_hop_by_hop(const struct fields *f, struct str name);
