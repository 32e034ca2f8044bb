/* SPDX-License-Identifier: Apache-2.0 */
/* history: what a viewer has watched, and how far: one entry a month and video. By age:
 *
 *   hot       documents of their own                      until 30 days behind their month
 *   warm      packed: one document a viewer and month     until 180 days behind it
 *   archived  history-YYYY-MM.N.ndjson.zst in a folder    kept by the operator
 *
 * Each step copies first and takes away then; stopped in between it copies again, and readers take
 * the later one of two equal entries.
 *
 * Life:    history_mark as it is watched -> history_list, history_position -> history_sweep.
 * Owner:   documents answered are the caller's.
 * Threads: any; each blocks on the database. One sweep at a time.
 * Errors:  -ENOENT no such entry; -EINVAL not a cursor; else as db.h.
 * Units:   milliseconds since 1970; positions in milliseconds of film. */
#pragma once
#include "base/err.h"
#include "base/str.h"
#include "db/db.h"

#define HISTORY_HOT_MS  (INT64_C(30) * 24 * 3600 * 1000)
#define HISTORY_WARM_MS (INT64_C(180) * 24 * 3600 * 1000)
/* Of a viewer in a month: with the longest names they fit in a document. */
#define HISTORY_ENTRIES_MAX 3500
#define HISTORY_DONE_PCT    95 /* watched so far, the rest is credits */

struct history_ask {
    const char *viewer; /* the profile, or the user who has none */
    const char *user;
    const char *video;
    int64_t position_ms;
    int64_t duration_ms; /* of the video; 0: unknown */
    int64_t now_ms;
};

/* ret (may be NULL): the entry. */
MUST_USE int history_mark(struct db *db, const struct history_ask *ask, json_t **ret);

/* The latest entry of the video. */
MUST_USE int history_position(struct db *db, const char *viewer, const char *video, int64_t now_ms,
                              json_t **ret);

/* The latest first, hot and warm. A page may be shorter than its limit though more follow. */
MUST_USE int history_list(struct db *db, const char *viewer, unsigned limit, const char *cursor,
                          json_t **ret, char **ret_cursor);

/* All entries of the video, or (NULL) of all, that are not archived. */
MUST_USE int history_delete(struct db *db, const char *viewer, const char *video);

/* The same of a user, all viewers of the account: what operators see. */
MUST_USE int history_list_user(struct db *db, const char *user, unsigned limit, const char *cursor,
                               json_t **ret, char **ret_cursor);
MUST_USE int history_delete_user(struct db *db, const char *user);

json_t *history_public(const json_t *entry); /* NULL: no memory */

/* --- ageing (history_age.c, history_archive.c) ------------------------------------------------ */

MUST_USE int history_pack(struct db *db, int64_t now_ms, uint64_t *ret_count);

/* Appends nothing to what is there: each file is written whole, then renamed. */
/* What is where: {"hot", "warm": how many documents, "warm_oldest": a month or null}. */
MUST_USE int history_status(struct db *db, json_t **ret);
/* {"files", "bytes", "oldest", "newest"}: months or null. folder need not be there. */
MUST_USE int history_archive_status(const char *folder, json_t **ret);

MUST_USE int history_archive(struct db *db, const char *folder, int64_t now_ms, uint64_t *ret_count,
                             struct err *err);
