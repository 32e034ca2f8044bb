/* SPDX-License-Identifier: Apache-2.0 */
/* catalog: the videos that there are: made, described, published, listed. A video's id is the name
 * of its asset.
 *
 * Life:    catalog_create, or catalog_put by ingest -> catalog_change* -> catalog_delete.
 * Owner:   documents answered are the caller's (json_decref).
 * Threads: any; every call blocks on the database.
 * Errors:  -EPROTO with the fault filled; -ENOENT no such video; -ESTALE not the revision that was
 *          named; -EBUSY others change it all the time; else as db.h.
 * Units:   milliseconds since 1970. */
#pragma once
#include "base/str.h"
#include "control/catalog/video.h"
#include "db/db.h"

#define CATALOG_PAGE_DEFAULT 100
#define CATALOG_PAGE_MAX     500
#define CATALOG_SWEEP        500 /* videos that the clock moves in one sweep */

/* What ingest tells of an asset: as valid_video accepts. A video that is not known yet is made, and
 * published at once: nobody has asked for anything else. */
MUST_USE int catalog_put(struct db *db, const char *asset, const json_t *film, int64_t now_ms,
                         json_t **ret);

/* ask: as POST /videos takes it; "asset" optional. owner may be NULL (the operator's). 409
 * ASSET_TAKEN; 422 CATEGORY_UNKNOWN, SERIES_UNKNOWN, CHANNEL_UNKNOWN, ... */
MUST_USE int catalog_create(struct db *db, const json_t *ask, const struct viewer *viewer,
                            int64_t now_ms, json_t **ret, struct fault *fault);

/* rev < 0: whatever it is. 403 NOT_YOURS unless the viewer owns it or is an admin. */
MUST_USE int catalog_change(struct db *db, const char *id, const json_t *patch, int64_t rev,
                            const struct viewer *viewer, int64_t now_ms, json_t **ret,
                            struct fault *fault);

/* The upload moves it; failure: what FAILED says, else NULL. */
MUST_USE int catalog_move(struct db *db, const char *id, enum video_state to, const char *failure,
                          int64_t now_ms, struct fault *fault);

MUST_USE int catalog_get(struct db *db, const char *asset, json_t **ret);
MUST_USE int catalog_delete(struct db *db, const char *asset, int64_t now_ms);

/* The video, if this viewer may see it: else 404 VIDEO_NOT_FOUND, 451 UNAVAILABLE_IN_COUNTRY or 403
 * AGE_RESTRICTED. */
MUST_USE int catalog_see(struct db *db, const char *id, const struct viewer *viewer, json_t **ret,
                         struct fault *fault);

struct catalog_list {
    const char *key;     /* of the collection; NULL: as published */
    const json_t *equal; /* as db_list's, for such a key */
    bool ascending;
    const json_t *where;
    unsigned limit;
    const char *cursor;
};

/* Newest first. -EINVAL: not a cursor of this list. */
MUST_USE int catalog_list(struct db *db, const struct catalog_list *list, json_t **ret,
                          char **ret_cursor);

/* Publishes and withdraws what is due, also what became due while nobody looked. */
MUST_USE int catalog_sweep(struct db *db, int64_t now_ms, uint64_t *ret_count);
