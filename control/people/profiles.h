/* SPDX-License-Identifier: Apache-2.0 */
/* profiles: the viewers of an account: each with preferences of their own, and perhaps a limit on
 * ratings and a PIN.
 *
 * A log-in watches as the profile that it chose, or as none. Choosing one that has a PIN takes the
 * PIN. Who watches as a profile with a limit changes no profile but their own preferences; so
 * parents give their own profile a PIN, the child's a limit, and let the television choose that.
 *
 * An account has PROFILES_MAX places, and a profile's id names its place: so two that are made at
 * the same time are never one too many.
 *
 * Life:    profile_make -> profile_change*, profile_check_pin* -> profile_end.
 * Owner:   the database; documents answered are the caller's.
 * Threads: any; what takes a PIN is slow on purpose (password.h): the passwords' pool.
 * Errors:  -ENOENT no such profile, or another account's; -EPROTO with the fault filled; as db.h.
 * Units:   ratings in years of age; milliseconds since 1970, given by the caller.
 *
 * A document: {"id","user","name","created_ms","version"} and, where there are such, "rating_max",
 * "pin" (bcrypt), "preferences". */
#pragma once
#include "base/str.h"
#include "control/fault.h"
#include "db/db.h"

#define PROFILES_MAX       8
#define PROFILE_RATING_MAX 21
#define PROFILE_PIN_MIN    4 /* digits */
#define PROFILE_PIN_MAX    8

/* Whether somebody who watches under this limit (< 0: none) may change profiles. */
bool profile_may_manage(int rating_max);
/* Whether they may see what is rated so; rating < 0: not rated, which is for those without limit.
 * The one rule: lists, searches, single videos and playback ask here. */
bool profile_may_watch(int rating_max, int rating);
int profile_limit(const json_t *profile); /* < 0: none */

/* change: {"name","rating_max","pin","preferences"}, all optional but the name of a new one; null
 * takes away. 409 TOO_MANY_PROFILES, 422 PIN_INVALID. */
MUST_USE int profile_make(struct db *db, const char *user, const json_t *change, int64_t now_ms,
                          json_t **ret, struct fault *fault);
MUST_USE int profile_change(struct db *db, const char *user, const char *id, const json_t *change,
                            json_t **ret, struct fault *fault);
MUST_USE int profile_get(struct db *db, const char *user, const char *id, json_t **ret);
MUST_USE int profiles_list(struct db *db, const char *user, json_t **ret); /* by place */
/* What it watched and liked goes with it (catalog/gone.h): its place, and so its id, is free. */
MUST_USE int profile_end(struct db *db, const char *user, const char *id, int64_t now_ms);

/* pin NULL: none was given. 403 PIN_NEEDED, PIN_WRONG, 429. */
MUST_USE int profile_check_pin(struct db *db, const json_t *profile, const char *pin,
                               int64_t now_ms, struct fault *fault, unsigned *ret_wait_s);

/* Whether the PIN is one of a profile of the account that may watch what is rated so: by it a
 * parent lets a child watch this one thing. pin NULL: only asks whether there is such a profile:
 * -EACCES, there is. -ENOENT: there is none, so no PIN helps; 403 PIN_WRONG, 429. */
MUST_USE int profile_check_over(struct db *db, const char *user, int rating, const char *pin,
                                int64_t now_ms, struct fault *fault, unsigned *ret_wait_s);

/* What the API shows: {"id","name","rating_max","has_pin","preferences"}; NULL: no memory. */
json_t *profile_public(const json_t *doc);
