/* SPDX-License-Identifier: Apache-2.0 */
/* comment: what users say below a video, and the replies to it (one level: a reply to a reply
 * stands beside it). A deleted comment keeps its place while it has replies, without its text.
 *
 * Life:    comment_add -> comment_edit* -> comment_delete.
 * Owner:   documents answered are the caller's.
 * Threads: any; each blocks on the database.
 * Errors:  -ENOENT no such video, or comment; -ESTALE it has been changed or deleted meanwhile;
 *          else as db.h.
 * Units:   milliseconds since 1970. */
#pragma once
#include "base/str.h"
#include "db/db.h"

#define COMMENT_THREAD_SIZE (2 * DB_ID_SIZE_MAX + 2)
#define COMMENT_TEXT_MAX    4000 /* characters */

struct comment_ask {
    const char *video;
    const char *parent; /* the comment that is replied to; NULL: none */
    const char *user;
    const char *name; /* how the user is called here; NULL: not told */
    const char *text;
};

/* "VIDEO", or "VIDEO/COMMENT" for its replies. */
void comment_thread(char out[COMMENT_THREAD_SIZE], const char *video, const char *comment);

MUST_USE int comment_add(struct db *db, const struct comment_ask *ask, int64_t now_ms,
                         json_t **ret);
/* -ENOENT also for a deleted one that keeps no place for replies. */
MUST_USE int comment_get(struct db *db, const char *video, const char *id, json_t **ret);
MUST_USE int comment_edit(struct db *db, const json_t *comment, const char *text, int64_t now_ms,
                          json_t **ret);

/* by: the user who deletes it: its author, the video's creator or an admin; that is the caller's to
 * check. */
MUST_USE int comment_delete(struct db *db, const json_t *comment, const char *by, int64_t now_ms);

/* Newest first; of a comment (not NULL) its replies, oldest first. -EINVAL: not a cursor. Deleted
 * ones without replies are left out, so a page may be shorter than its limit. */
MUST_USE int comment_list(struct db *db, const char *video, const char *comment, unsigned limit,
                          const char *cursor, json_t **ret, char **ret_cursor);

json_t *comment_public(const json_t *comment); /* NULL: no memory */
