/* SPDX-License-Identifier: Apache-2.0 */
/* once: which tokens with a jti have opened which URIs, so that none opens one twice.
 *
 * Life:    once_new -> once_take* -> once_free.
 * Owner:   struct edge: one for all workers.
 * Threads: any; a lock is held for a look into the table.
 * Errors:  once_take: -EEXIST it was taken before, -ENOSPC too many are remembered, -ENOMEM.
 * Units:   seconds since 1970.
 * Source:  RFC 9246 section 2.1.7.
 *
 * What cannot be remembered is refused. A restart forgets: tokens with a jti should be short-lived.
 */
#pragma once
#include "base/base.h"
#include "base/str.h"

#define ONCE_MAX 131072 /* power of two; 3 MiB, taken with the first token that needs it */

struct once;

MUST_USE int once_new(struct once **ret);
struct once *once_free(struct once *o);

/* 0: it is the first time. Remembered until expires_s. */
MUST_USE int once_take(struct once *o, struct str id, struct str uri, int64_t expires_s,
                       int64_t now_s);
