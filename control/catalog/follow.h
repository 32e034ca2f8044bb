/* SPDX-License-Identifier: Apache-2.0 */
/* follow: which channels a user follows; the channel keeps how many do (tally.h). The API calls it
 * a subscription to a channel.
 *
 * Life:    follow_put -> follow_get, follow_list -> follow_delete.
 * Owner:   documents answered are the caller's.
 * Threads: any; each blocks on the database.
 * Errors:  -ENOENT no such channel, or the user does not follow it; else as db.h.
 * Units:   milliseconds since 1970. */
#pragma once
#include "db/db.h"

MUST_USE int follow_put(struct db *db, const char *channel, const char *user, int64_t now_ms,
                        json_t **ret, bool *ret_is_new);
MUST_USE int follow_get(struct db *db, const char *channel, const char *user, json_t **ret);
MUST_USE int follow_delete(struct db *db, const char *channel, const char *user, int64_t now_ms);

/* The latest first. -EINVAL: not a cursor. */
MUST_USE int follow_list(struct db *db, const char *user, unsigned limit, const char *cursor,
                         json_t **ret, char **ret_cursor);
