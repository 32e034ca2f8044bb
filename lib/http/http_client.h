/* SPDX-License-Identifier: Apache-2.0 */
/* http_client: who a request comes from when proxies of ours stand between.
 *
 * Life:    none.
 * Owner:   the caller's memory.
 * Threads: any.
 * Errors:  none: what cannot be read is not believed.
 * Units:   none.
 *
 * X-Forwarded-For has no standard: each proxy appends the address it was asked from, so the list is
 * true from its end up to the first address that is no proxy of ours. That one is the client; what
 * stands before it, anyone may have written. */
#pragma once
#include "base/addr.h"

/* peer: who the connection is with. lines: all X-Forwarded-For fields, in their order. */
struct addr http_client_of(struct addr peer, const struct addr_net *proxies, unsigned count,
                           const struct str *lines, unsigned lines_count);
