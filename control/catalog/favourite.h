/* SPDX-License-Identifier: Apache-2.0 */
/* favourite: the videos that a viewer has marked.
 *
 * Life:    favourite_put -> favourite_get, favourite_list -> favourite_delete.
 * Owner:   documents answered are the caller's.
 * Threads: any; each blocks on the database.
 * Errors:  -ENOENT it is none; else as db.h.
 * Units:   milliseconds since 1970. */
#pragma once
#include "db/db.h"

/* viewer: the profile, or the user who has none; user: the account, which takes them with it. */
MUST_USE int favourite_put(struct db *db, const char *viewer, const char *user, const char *video,
                           int64_t now_ms, json_t **ret, bool *ret_is_new);
MUST_USE int favourite_get(struct db *db, const char *viewer, const char *video, json_t **ret);
MUST_USE int favourite_delete(struct db *db, const char *viewer, const char *video);

/* The latest first. -EINVAL: not a cursor. */
MUST_USE int favourite_list(struct db *db, const char *viewer, unsigned limit, const char *cursor,
                            json_t **ret, char **ret_cursor);
