/* SPDX-License-Identifier: Apache-2.0 */
/* ops_priv: what the handlers of accounts share.
 *
 * Life:    calls from a handler's work.
 * Owner:   the call.
 * Threads: pool threads.
 * Errors:  as call.h.
 * Units:   - */
#pragma once
#include "control/api/audit.h"
#include "control/api/call.h"
#include "control/people/accounts.h"
#include "control/people/people.h"

#include "control/catalog/gone.h"

#define OPS_ACCESS_COOKIE  "weir_access"
#define OPS_REFRESH_COOKIE "weir_refresh"
#define OPS_REFRESH_PATH   "/api/v1/auth"

/* Logs the user in: cookies, or tokens in the answer where the body has "bearer": true. An account
 * with a second factor first: 401 OTP_NEEDED with a ticket for auth/otp. */
MUST_USE int ops__log_in(struct call *c, const json_t *user);
/* Behind the second factor, or where there is none. */
MUST_USE int ops__log_in_now(struct call *c, const json_t *user);
/* Cookies or tokens of a log-in, and the user. */
MUST_USE int ops__answer(struct call *c, const json_t *user, const char *login,
                         const char *refresh);
MUST_USE int ops__cookies(struct call *c, const json_t *user, const char *login,
                          const char *refresh);
MUST_USE int ops__no_cookies(struct call *c); /* takes them away */
/* The ticket for auth/otp that goes on behind the password. */
MUST_USE int ops__ticket(struct call *c, const json_t *user, char ret_ticket[TICKET_SIZE]);

/* The document of the user who asks; caller decrefs. */
MUST_USE int ops__me(struct call *c, json_t **ret);

/* Deletes an account with all that hangs on it: what of it is not gone at once goes with the sweep
 * (gone.h). -ENOENT. Behind it comes ops__leave on the loop, which ends what it plays. */
MUST_USE int ops__delete(struct call *c, const char *user, enum gone_kind kind);
void ops__leave(struct call *c);

/* What confirms that it is still the owner: the password of the body, or where there is none a
 * code of the second factor. An account with neither needs no more. 403 PASSWORD_WRONG, ... */
MUST_USE int ops__confirm(struct call *c, const json_t *user);
