/* SPDX-License-Identifier: Apache-2.0 */
/* users: accounts: an e-mail address and a password.
 *
 * Life:    users_sign_up -> users_log_in*.
 * Owner:   documents answered are the caller's (json_decref).
 * Threads: any; slow on purpose (password.h): pool threads only.
 * Errors:  -EPROTO with the fault filled; others as db.h.
 * Units:   - */
#pragma once
#include "base/str.h"
#include "control/fault.h"
#include "db/db.h"

/* 409 EMAIL_TAKEN, 422 EMAIL_INVALID, PASSWORD_TOO_SHORT, PASSWORD_TOO_LONG. */
MUST_USE int users_sign_up(struct db *db, struct str email, struct str password, int64_t now_ms,
                           json_t **ret, struct fault *fault);

/* 401 LOGIN_FAILED, after the same work whether the user exists or not. */
MUST_USE int users_log_in(struct db *db, struct str email, struct str password, json_t **ret,
                          struct fault *fault);

/* {"id","email"}: what the API shows of a user; NULL when out of memory. */
json_t *users_public(const json_t *user);
