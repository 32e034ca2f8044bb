/* SPDX-License-Identifier: Apache-2.0 */
/* password: bcrypt by libcrypt, cost 12: about a quarter of a second of a core, on purpose.
 *
 * Life:    calls.
 * Owner:   the caller's memory; what was computed in between is wiped.
 * Threads: any; slow: on pool threads only, never on a loop.
 * Errors:  -EINVAL when libcrypt knows no bcrypt or the text is too long or holds a zero, -ENOMEM.
 * Units:   bytes. */
#pragma once
#include "base/str.h"

#define PASSWORD_HASH_SIZE 64 /* "$2b$12$", 22 of salt, 31 of hash, a zero: 61 */

MUST_USE int password_hash(struct str password, char out[PASSWORD_HASH_SIZE]);

/* Whether the password makes this hash. hash NULL (no such user): false after the same work, so
 * that the time tells nothing. */
MUST_USE int password_check(struct str password, const char *hash, bool *ret_matches);

/* How many hashes this process has computed: what a call costs, without a clock. */
uint64_t password_count(void);
