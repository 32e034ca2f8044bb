/* SPDX-License-Identifier: Apache-2.0 */
/* channel: who publishes, by a handle of their own; and series: videos that belong together, in
 * seasons. Both are described by their owner and otherwise alike.
 *
 * Life:    *_create -> *_change* -> *_delete.
 * Owner:   documents answered are the caller's.
 * Threads: any; each blocks on the database.
 * Errors:  -EPROTO with the fault filled; -ENOENT no such one; -ESTALE not the revision that was
 *          named; else as db.h.
 * Units:   milliseconds since 1970. */
#pragma once
#include "control/catalog/visible.h"
#include "control/fault.h"
#include "db/db.h"

/* ask: {"handle", "title", "summary"}. 409 HANDLE_TAKEN. */
MUST_USE int channel_create(struct db *db, const json_t *ask, const char *owner, int64_t now_ms,
                            json_t **ret, struct fault *fault);
/* By id, or by "@handle". */
MUST_USE int channel_get(struct db *db, const char *id, json_t **ret);
MUST_USE int channel_change(struct db *db, const char *id, const json_t *patch, int64_t rev,
                            const struct viewer *viewer, int64_t now_ms, json_t **ret,
                            struct fault *fault);
json_t *channel_public(const json_t *channel); /* NULL: no memory */

/* ask: {"title", "summary", "channel", "seasons": [{"number", "title", "summary"}]}. */
MUST_USE int series_create(struct db *db, const json_t *ask, const struct viewer *viewer,
                           int64_t now_ms, json_t **ret, struct fault *fault);
MUST_USE int series_get(struct db *db, const char *id, json_t **ret);
MUST_USE int series_change(struct db *db, const char *id, const json_t *patch, int64_t rev,
                           const struct viewer *viewer, int64_t now_ms, json_t **ret,
                           struct fault *fault);
json_t *series_public(const json_t *series);
