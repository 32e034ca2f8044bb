/* SPDX-License-Identifier: Apache-2.0 */
/* session: who is logged in. A token of 256 random bits goes to the client, its SHA-256 into the
 * database: who reads the database cannot log in with it.
 *
 * Life:    session_open -> session_user* -> session_close, or it expires.
 * Owner:   the database.
 * Threads: any; every call blocks on the database.
 * Errors:  -ENOENT not a session, or expired; others as db.h.
 * Units:   milliseconds since 1970, given by the caller. */
#pragma once
#include "base/str.h"
#include "db/db.h"

#define SESSION_TOKEN_SIZE 44 /* 43 of base64url and a zero */
#define SESSION_LIFETIME_S (7 * 24 * 3600)
#define SESSION_COOKIE     "weir_session"

/* SHA-256 in lower-case hex; also for comparing secrets without telling how far they agree. */
#define SESSION_DIGEST_SIZE 65
void session_digest(struct str secret, char out[SESSION_DIGEST_SIZE]);
bool session_digest_eq(const char a[SESSION_DIGEST_SIZE], const char b[SESSION_DIGEST_SIZE]);

MUST_USE int session_open(struct db *db, const char *user_id, int64_t now_ms,
                          char ret_token[SESSION_TOKEN_SIZE]);

/* The user's document; caller decrefs. */
MUST_USE int session_user(struct db *db, struct str token, int64_t now_ms, json_t **ret);
MUST_USE int session_close(struct db *db, struct str token);

/* Deletes the expired ones. */
MUST_USE int session_purge(struct db *db, int64_t now_ms, uint64_t *ret_count);
