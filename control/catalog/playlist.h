/* SPDX-License-Identifier: Apache-2.0 */
/* playlist: videos in an order that its owner gives. All of it is one document, so each change is
 * whole. Who may read it: `access` public (listed for all), unlisted (who has the id), private.
 *
 * Life:    playlist_create -> playlist_change, playlist_add, playlist_remove, playlist_order* ->
 *          playlist_delete.
 * Owner:   documents answered are the caller's.
 * Threads: any; each blocks on the database.
 * Errors:  -EPROTO with the fault filled; -ENOENT no such playlist, or it is not for this viewer;
 *          -ESTALE not the revision that was named; else as db.h.
 * Units:   milliseconds since 1970; positions from 0. */
#pragma once
#include "control/catalog/visible.h"
#include "control/fault.h"
#include "db/db.h"

#define PLAYLIST_ITEMS_MAX 1000

struct playlist_ask {
    const char *id;
    const struct viewer *viewer;
    int64_t rev; /* < 0: whatever it is */
    int64_t now_ms;
};

/* ask: {"title", "summary", "access"}. */
MUST_USE int playlist_create(struct db *db, const json_t *ask, const char *owner, int64_t now_ms,
                             json_t **ret, struct fault *fault);
MUST_USE int playlist_get(struct db *db, const char *id, const struct viewer *viewer, json_t **ret);
MUST_USE int playlist_change(struct db *db, const struct playlist_ask *ask, const json_t *patch,
                             json_t **ret, struct fault *fault);
MUST_USE int playlist_delete(struct db *db, const struct playlist_ask *ask, struct fault *fault);

/* position < 0: at the end. A video that is in it already moves there. 409 PLAYLIST_FULL. */
MUST_USE int playlist_add(struct db *db, const struct playlist_ask *ask, const char *video,
                          int64_t position, json_t **ret, struct fault *fault);
/* 404 ITEM_NOT_FOUND. */
MUST_USE int playlist_remove(struct db *db, const struct playlist_ask *ask, const char *video,
                             json_t **ret, struct fault *fault);
/* videos: exactly those that are in it, in the new order: else 422 ORDER_INVALID. */
MUST_USE int playlist_order(struct db *db, const struct playlist_ask *ask, const json_t *videos,
                            json_t **ret, struct fault *fault);

/* Newest first: owner NULL: the public ones of all. -EINVAL: not a cursor. */
MUST_USE int playlist_list(struct db *db, const char *owner, unsigned limit, const char *cursor,
                           json_t **ret, char **ret_cursor);

json_t *playlist_public(const json_t *playlist, bool with_items); /* NULL: no memory */
