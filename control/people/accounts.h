/* SPDX-License-Identifier: Apache-2.0 */
/* accounts: an e-mail address, a password, a role.
 *
 *   with letters:    account_apply -> a ticket in a letter -> account_confirm: the account is there
 *   without letters: account_make: it is there at once
 *
 * An account is made when its address was confirmed, not before: an application by somebody else
 * reserves nothing, and ends no one's.
 *
 * Life:    as above -> account_log_in*, account_reset -> account_disable.
 * Owner:   documents answered are the caller's (json_decref).
 * Threads: any; what takes a password is slow on purpose (password.h): the passwords' pool.
 * Errors:  -EPROTO with the fault filled; others as db.h.
 * Units:   milliseconds since 1970, given by the caller.
 *
 * A document: {"id","email","role","created_ms"} and, where there are such, "password" (bcrypt),
 * "name", "verified_ms", "disabled_ms", "otp_*" (otp.h). */
#pragma once
#include "base/str.h"
#include "control/fault.h"
#include "control/people/roles.h"
#include "control/people/tickets.h"
#include "db/db.h"

#define ACCOUNT_CONFIRM_MS (INT64_C(24) * 3600 * 1000) /* how long a letter's link is good */
#define ACCOUNT_RESET_MS   (INT64_C(3600) * 1000)

/* What becomes of an application or of a wish for a new password: the letter to write. */
struct account_letter {
    char address[255];
    char ticket[TICKET_SIZE]; /* "": none, there is nothing to click */
    bool is_known;            /* there is an account with the address */
};

/* 422 EMAIL_INVALID, PASSWORD_TOO_SHORT, PASSWORD_TOO_LONG; account_make also 409 EMAIL_TAKEN. */
MUST_USE int account_make(struct db *db, struct str email, struct str password, int64_t now_ms,
                          json_t **ret, struct fault *fault);
/* With an address that somebody else vouches for, and no password. -EEXIST. */
MUST_USE int account_make_verified(struct db *db, const char *email, int64_t now_ms, json_t **ret);
/* The same work and the same answer whether the address is taken or not. */
MUST_USE int account_apply(struct db *db, struct str email, struct str password, int64_t now_ms,
                           struct account_letter *ret, struct fault *fault);
/* 410 LINK_INVALID. */
MUST_USE int account_confirm(struct db *db, struct str ticket, int64_t now_ms, json_t **ret,
                             struct fault *fault);
/* The operator's word instead of the letter's: for an account's address, or the newest application
 * with it. 404 USER_NOT_FOUND. */
MUST_USE int account_confirm_address(struct db *db, const char *email, int64_t now_ms, json_t **ret,
                                     struct fault *fault);

/* 401 LOGIN_FAILED, after the same work whether the account exists or not; 403 ACCOUNT_DISABLED;
 * 429 TOO_MANY_ATTEMPTS, with ret_wait_s. */
MUST_USE int account_log_in(struct db *db, struct str email, struct str password, int64_t now_ms,
                            json_t **ret, struct fault *fault, unsigned *ret_wait_s);
/* The password of one who is logged in, for what needs it again: 403 PASSWORD_WRONG, 429. */
MUST_USE int account_check(struct db *db, const json_t *user, struct str password, int64_t now_ms,
                           struct fault *fault, unsigned *ret_wait_s);

MUST_USE int account_wish_reset(struct db *db, struct str email, int64_t now_ms,
                                struct account_letter *ret, struct fault *fault);
/* Sets the password and ends every log-in. 410 LINK_INVALID. */
MUST_USE int account_reset(struct db *db, struct str ticket, struct str password, int64_t now_ms,
                           json_t **ret, struct fault *fault);
MUST_USE int account_set_password(struct db *db, const char *id, struct str password,
                                  struct fault *fault);

MUST_USE int account_find(struct db *db, const char *email, json_t **ret);
MUST_USE int account_of_text(struct db *db, const char *id_or_email, json_t **ret);
MUST_USE int account_set_role(struct db *db, const char *id, enum role role, json_t **ret);
/* Ends its log-ins, and lets it log in no more. */
MUST_USE int account_disable(struct db *db, const char *id, bool disabled, int64_t now_ms,
                             json_t **ret);
enum role account_role(const json_t *user);
bool account_is_disabled(const json_t *user);
bool account_is_verified(const json_t *user); /* its address was shown to be its owner's */

/* What the API shows of a user to the user: {"id","email","name","role","created","second_factor",
 * "has_password"}; and to administrators also "disabled". NULL: no memory. */
json_t *account_public(const json_t *user);
json_t *account_listed(const json_t *user);
