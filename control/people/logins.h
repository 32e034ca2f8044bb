/* SPDX-License-Identifier: Apache-2.0 */
/* logins: who is logged in on which device, and the refresh tokens that keep them so.
 *
 *   login_open -> R1 --login_rotate(R1)--> R2 --login_rotate(R2)--> R3 ... 7 days without one: over
 *                  \--login_rotate(R1) again: somebody has a copy; the log-in ends for both
 *
 * A refresh token is ID.FAMILY.SECRET. The secret changes with each use; FAMILY, another secret,
 * stays: who knows it but has an old SECRET shows a token that was used before, who does not know
 * it is a stranger and ends nothing. The database has the SHA-256 of both.
 *
 * Life:    login_open -> login_rotate* -> login_close, or logins_purge when it is over.
 * Owner:   the database; documents answered are the caller's.
 * Threads: any; every call blocks on the database.
 * Errors:  -ENOENT no such log-in, over, or a stranger's token; -EKEYREJECTED the token was used
 *          before: the log-in is ended; others as db.h.
 * Units:   milliseconds since 1970, given by the caller.
 *
 * A document: {"id","user","device","address","family","refresh","created_ms","seen_ms",
 * "expires_ms","profile","rating_max"}; the last two where a profile is chosen. */
#pragma once
#include "base/id.h"
#include "base/str.h"
#include "db/db.h"

#define LOGIN_LIFE_S       (7 * 24 * 3600)
#define LOGIN_REFRESH_SIZE (ID_TEXT_SIZE + 2 * 44 + 1)
#define LOGINS_MAX         100 /* of a user; the oldest are ended for new ones */

struct login_start {
    const char *user;
    struct str device;  /* a name for people, "Firefox on Linux" */
    struct str address; /* where it came from */
};

MUST_USE int login_open(struct db *db, const struct login_start *start, int64_t now_ms,
                        char ret_id[ID_TEXT_SIZE], char ret_refresh[LOGIN_REFRESH_SIZE]);

/* *ret: the log-in's document as it is now; with -EKEYREJECTED the one that was ended. */
MUST_USE int login_rotate(struct db *db, struct str refresh, int64_t now_ms,
                          char ret_refresh[LOGIN_REFRESH_SIZE], json_t **ret);

/* The id in a refresh token of the right family, used before or not: to log out with. */
MUST_USE int login_of_refresh(struct db *db, struct str refresh, int64_t now_ms, json_t **ret);

MUST_USE int login_get(struct db *db, const char *id, int64_t now_ms, json_t **ret);
MUST_USE int login_choose(struct db *db, const char *id, const char *profile,
                          const json_t *rating_max);
MUST_USE int login_close(struct db *db, const char *id);

/* Those of a user that are not over, newest first: an array. */
MUST_USE int logins_list(struct db *db, const char *user, int64_t now_ms, json_t **ret);
/* All of a user but one (NULL: all). */
MUST_USE int logins_close(struct db *db, const char *user, const char *but_id);
MUST_USE int logins_purge(struct db *db, int64_t now_ms, uint64_t *ret_count);
