/* SPDX-License-Identifier: Apache-2.0 */
/* api_keys: credentials of machines: "weir_ID_SECRET". The database has the SHA-256 of the secret;
 * a key lets do what its scopes say, within what its owner may.
 *
 * Life:    api_key_make -> api_key_find* -> api_key_end, or it expires.
 * Owner:   the database; documents answered are the caller's.
 * Threads: any; every call blocks on the database.
 * Errors:  -ENOENT no such key, another's, or over; -EPROTO with the fault filled; as db.h.
 * Units:   milliseconds since 1970, given by the caller.
 *
 * A document: {"id","user","name","secret","scopes","created_ms","expires_ms","used_ms"}. */
#pragma once
#include "base/str.h"
#include "control/fault.h"
#include "control/people/roles.h"
#include "db/db.h"

#define API_KEY_PREFIX  "weir_"
#define API_KEY_ID_SIZE 17 /* 16 hex digits and a zero */
#define API_KEY_SIZE    (5 + 16 + 1 + 43 + 1)
#define API_KEYS_MAX    50                   /* of a user */
#define API_KEY_USED_MS (INT64_C(60) * 1000) /* "used" is written down this often at most */

struct api_key_new {
    const char *user;
    enum role role; /* of the user */
    const char *name;
    const json_t *scopes;
    int64_t expires_ms; /* 0: never */
};

/* 422 SCOPE_INVALID, 409 TOO_MANY_KEYS. *ret: the document. */
MUST_USE int api_key_make(struct db *db, const struct api_key_new *key, int64_t now_ms,
                          char ret_key[API_KEY_SIZE], json_t **ret, struct fault *fault);
bool api_key_is(struct str credential); /* of the form */
MUST_USE int api_key_find(struct db *db, struct str key, int64_t now_ms, json_t **ret);
MUST_USE int api_keys_list(struct db *db, const char *user, json_t **ret);
MUST_USE int api_key_end(struct db *db, const char *user, const char *id);
/* What the API shows of one: without the secret's digest; NULL: no memory. */
json_t *api_key_public(const json_t *doc);
