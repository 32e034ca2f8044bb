/* SPDX-License-Identifier: Apache-2.0 */
/* http_strict: what libh2o 2.2 lets pass in the head of an HTTP/1 request, and what another server
 * in front of us may read in another way: that is how requests are smuggled.
 *
 * Life:    none.
 * Owner:   the caller's memory.
 * Threads: any.
 * Errors:  -EBADMSG with a static sentence.
 * Units:   bytes.
 * Source:  RFC 9112 sections 2.2 (line ends), 3.2 (Host), 5.1 (no space before the colon), 5.2
 *          (folded lines), 6.1 and 6.3 (lengths); RFC 9110 section 5.5 (control characters). */
#pragma once
#include "base/base.h"
#include "base/str.h"

/* head: from the request line to the empty line, or more. */
MUST_USE int http_strict_check(struct str head, const char **ret_why);

/* The value of the first such line of the head; STR_NONE without one. name in any case. */
struct str http_strict_find(struct str head, struct str name);

/* Whether the empty line that ends a head is in it. */
bool http_strict_has_end(struct str bytes);

/* A request's target or authority, whatever it came in: no control characters, no spaces. */
bool http_strict_is_plain(struct str s);

/* RFC 9112 section 3.2.2: "http://host/path": the host; STR_NONE: it is another form. */
struct str http_strict_absolute(struct str target);
