/* SPDX-License-Identifier: Apache-2.0 */
/* session: digests of secrets: what the database has instead of them.
 *
 * Life:    calls.
 * Owner:   the caller's memory.
 * Threads: any.
 * Errors:  none.
 * Units:   SHA-256 in lower-case hex. */
#pragma once
#include "base/str.h"

#define SESSION_DIGEST_SIZE 65
void session_digest(struct str secret, char out[SESSION_DIGEST_SIZE]);

/* Without telling how far they agree. */
bool session_digest_eq(const char a[SESSION_DIGEST_SIZE], const char b[SESSION_DIGEST_SIZE]);
