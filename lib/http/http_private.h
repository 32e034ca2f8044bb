/* SPDX-License-Identifier: Apache-2.0 */
/* http_private: what is left of a Cache-Control that somebody else has written, when the answer is
 * for one client alone.
 *
 * Life:    none.
 * Owner:   the caller's memory.
 * Threads: any.
 * Errors:  none.
 * Units:   none.
 * Source:  RFC 9111 section 5.2.2; RFC 9213 (CDN-Cache-Control). */
#pragma once
#include "base/buf.h"

/* Appends the directives without those that speak to shared caches: public, private, s-maxage,
 * proxy-revalidate. */
void http_private_rest(struct str value, struct buf *out);

/* A field that tells shared caches something else than Cache-Control does. */
bool http_private_hides(struct str name);
