/* SPDX-License-Identifier: Apache-2.0 */
/* enc: hex, base64url and percent coding.
 *
 * Life:    none.
 * Owner:   the caller's memory in and out.
 * Threads: any.
 * Errors:  -EINVAL for text not of the form, -ENOBUFS when out is too small; out is undefined then.
 * Units:   bytes.
 * Source:  RFC 4648 sections 5 and 8, RFC 3986 section 2.1. */
#pragma once
#include "base/buf.h"

void enc_hex(const uint8_t *data, size_t size, char *out); /* 2 * size digits and a zero */
MUST_USE int enc_unhex(struct str text, uint8_t *out,
                       size_t size); /* text is 2 * size lower-case */

void enc_base64url(const void *data, size_t size, struct buf *out); /* no padding */
MUST_USE int enc_unbase64url(struct str text, struct buf *out);     /* no padding, no white space */

/* Everything but the unreserved characters of RFC 3986 section 2.3 becomes %XX. */
void enc_percent(struct str text, struct buf *out);
MUST_USE int enc_unpercent(struct str text, struct buf *out); /* -EINVAL for a bad %XX or %00 */

/* The value of key in "a=1&b=2" (as it stands, still percent-coded); false when absent. */
bool enc_query_find(struct str query, struct str key, struct str *ret);
