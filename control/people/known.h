/* SPDX-License-Identifier: Apache-2.0 */
/* known: who the bearers of credentials are, remembered for some seconds, so that most requests
 * cost neither a signature nor a look into the database. What is ended here is forgotten here at
 * once (known_forget) and elsewhere by a message, or at the latest when it is not fresh any more.
 *
 * Life:    known_new -> known_find, known_add, known_forget* -> known_free.
 * Owner:   whoever made it.
 * Threads: any; a lock is held for the time of a comparison.
 * Errors:  known_find: -ENOENT not known, or not fresh.
 * Units:   milliseconds of the monotonic clock; expires_ms since 1970. */
#pragma once
#include "base/str.h"
#include "control/api/caller.h"

#define KNOWN_FRESH_MS 3000  /* while others may change what nobody here hears of */
#define KNOWN_TOLD_MS  10000 /* while all that others change is heard of */
#define KNOWN_SLOTS    65536 /* of about a kilobyte: what does not fit is looked up again */
#define KNOWN_WAYS     4     /* of these a credential may be in */

struct known;

MUST_USE int known_new(struct known **ret);
struct known *known_free(struct known *k);

/* *ret: a copy (caller_clear); its document is NULL. fresh_ms: how old it may be. */
MUST_USE int known_find(struct known *k, struct str credential, int64_t now_ms, uint64_t fresh_ms,
                        struct caller *ret);

/* Before what known_add adds is read from the database: what is forgotten in between must not come
 * back. */
uint64_t known_begin(struct known *k);
void known_add(struct known *k, uint64_t begun, struct str credential, int64_t expires_ms,
               const struct caller *caller);

/* All of this log-in (or key), or of this user; NULL: all there is. */
void known_forget(struct known *k, const char *id);
