/* SPDX-License-Identifier: Apache-2.0 */
/* otp: the second factor: codes of six digits that change each 30 seconds, and recovery codes for
 * who has lost the device. A code is good once: the step of time that it is for is written down as
 * one step with letting it pass, so the same code, or an older one, does not pass again.
 *
 *   otp_enrol (the secret is shown) -> otp_confirm (a code proves it; recovery codes are shown)
 *     -> otp_check* -> otp_disable
 *
 * Life:    as above; members of the account's document: "otp_pending" (hex), then "otp_secret"
 *          (hex), "otp_step" (the last one used), "otp_codes" (SHA-256 of recovery codes).
 * Owner:   the database.
 * Threads: any; every call blocks on the database.
 * Errors:  -EPROTO with the fault filled; others as db.h.
 * Units:   milliseconds since 1970, given by the caller; steps of 30 seconds.
 * Source:  RFC 6238 (TOTP; section 5.2: one use), RFC 4226; the otpauth:// URI of authenticator
 *          apps. */
#pragma once
#include "base/buf.h"
#include "control/fault.h"
#include "db/db.h"

#define OTP_STEP_S         30
#define OTP_SECRET_SIZE    20 /* bytes: RFC 4226 section 4 */
#define OTP_RECOVERY_CODES 10

bool otp_is_on(const json_t *user);

/* The secret in base32 and the URI for an app. 409 OTP_ON. */
MUST_USE int otp_enrol(struct db *db, const json_t *user, const char *issuer,
                       struct buf *ret_secret, struct buf *ret_uri, struct fault *fault);

/* *ret_codes: the recovery codes, a list. 409 OTP_NOT_ENROLLED, 403 OTP_WRONG, 429. */
MUST_USE int otp_confirm(struct db *db, const json_t *user, const char *code, int64_t now_ms,
                         json_t **ret_codes, struct fault *fault, unsigned *ret_wait_s);

/* A code of the device, or a recovery code, which is gone then. 403 OTP_WRONG, 429. */
MUST_USE int otp_check(struct db *db, const json_t *user, const char *code, int64_t now_ms,
                       struct fault *fault, unsigned *ret_wait_s);
MUST_USE int otp_disable(struct db *db, const char *user_id);

/* New recovery codes in place of those that are left. */
MUST_USE int otp_renew_codes(struct db *db, const char *user_id, json_t **ret_codes);
