/* SPDX-License-Identifier: Apache-2.0 */
/* http_cache_priv: what the files of http_cache share.
 *
 * Life:    none.
 * Owner:   the caller's memory.
 * Threads: any.
 * Errors:  see each.
 * Units:   seconds. */
#pragma once
#include "base/buf.h"

bool http__is_token(char c); /* RFC 9110 section 5.6.2 */

/* RFC 9111 section 1.2.2: digits alone, at most 2^31; -1: not of the form. */
int64_t http__delta(struct str text);

/* Whether one line of Vary has "*", or a member that is no field name: it can match nothing. */
bool http__vary_is_star(struct str line);
