/* SPDX-License-Identifier: Apache-2.0 */
/* http_strict: what libh2o 2.2 lets pass in the head of an HTTP/1 request, and what another server
 * in front of us may read in another way: that is how requests are smuggled.
 *
 * Life:    none.
 * Owner:   the caller's memory.
 * Threads: any.
 * Errors:  -EBADMSG with a static sentence.
 * Units:   bytes.
 * Source:  RFC 9112 sections 3.2 (Host), 5.2 (folded lines), 6.1 and 6.3 (lengths). */
#pragma once
#include "base/base.h"
#include "base/str.h"

/* head: from the request line to the empty line, or more. */
MUST_USE int http_strict_check(struct str head, const char **ret_why);

/* The value of the first such line of the head; STR_NONE without one. name in any case. */
struct str http_strict_find(struct str head, struct str name);
