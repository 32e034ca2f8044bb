/* SPDX-License-Identifier: Apache-2.0 */
/* score: stars that users give to videos, one score a user and video; the video keeps their sum and
 * count (tally.h).
 *
 * Life:    score_put (made or changed) -> score_get -> score_delete.
 * Owner:   documents answered are the caller's.
 * Threads: any; each blocks on the database.
 * Errors:  -ENOENT no such score, or (score_put) no such video; -EBUSY others change it all the
 *          time; else as db.h.
 * Units:   stars from SCORE_MIN to SCORE_MAX; milliseconds since 1970. */
#pragma once
#include "base/str.h"
#include "db/db.h"

#define SCORE_MIN 1
#define SCORE_MAX 5

/* ret_video: the video as it is behind it. */
MUST_USE int score_put(struct db *db, const char *video, const char *user, int stars,
                       int64_t now_ms, json_t **ret_video);
MUST_USE int score_get(struct db *db, const char *video, const char *user, json_t **ret);
MUST_USE int score_delete(struct db *db, const char *video, const char *user, int64_t now_ms);
