/* SPDX-License-Identifier: Apache-2.0 */
/* attempts: how often somebody may guess: passwords, second factors, PINs; and how many letters an
 * address may be sent. Kept in the database, so a restart forgives nothing.
 *
 *   attempts_begin -> (the secret is checked) -> attempts_forget where it was right
 *
 * An attempt is counted before it is checked: a hundred at once are a hundred attempts, of which
 * ATTEMPTS_FREE get through. A name that belongs to nobody is counted like any other, so being
 * locked tells nothing.
 *
 * Life:    documents in the database, until attempts_purge.
 * Owner:   the database.
 * Threads: any; every call blocks on the database.
 * Errors:  -EPROTO with the fault 429 (locked), others as db.h.
 * Units:   milliseconds since 1970, given by the caller. */
#pragma once
#include "base/str.h"
#include "control/fault.h"
#include "db/db.h"

#define ATTEMPTS_FREE      5
#define ATTEMPTS_DELAY_MS  (INT64_C(30) * 1000) /* behind the fifth; doubles with each further */
#define ATTEMPTS_DELAY_MAX (INT64_C(15) * 60 * 1000)
#define ATTEMPTS_MEMORY_MS (INT64_C(24) * 3600 * 1000) /* without a further one all is forgotten */

/* kind: "login", "otp", "pin", ...; name: whom it is about, of any length and form.
 * 429 TOO_MANY_ATTEMPTS, with how long to wait in seconds. */
MUST_USE int attempts_begin(struct db *db, const char *kind, struct str name, int64_t now_ms,
                            struct fault *fault, unsigned *ret_wait_s);
MUST_USE int attempts_forget(struct db *db, const char *kind, struct str name);

/* The same where only a number in an hour counts: *ret_allowed tells whether this is one of the
 * first `most`. */
MUST_USE int attempts_count(struct db *db, const char *kind, struct str name, unsigned most,
                            int64_t now_ms, bool *ret_allowed);

/* How long an account is locked behind its n-th failure in a row. */
int64_t attempts_delay_ms(unsigned failures);

MUST_USE int attempts_purge(struct db *db, int64_t now_ms, uint64_t *ret_count);
