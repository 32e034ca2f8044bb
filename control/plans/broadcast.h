/* SPDX-License-Identifier: Apache-2.0 */
/* broadcast: live streams: who sends, by which key, and whether it is on air. The media itself goes
 * from the encoder to ingest, which asks here whether it may (broadcast_publish).
 *
 *   start -> ready --publish--> live --unpublish--> ready --publish--> live ...
 *              `-------------------- stop -----------------> ended, for good
 *
 * The key is a secret of 256 random bits that is shown once; its SHA-256 is in the database. An
 * encoder tells every BROADCAST_BEAT_MS that it is still there; one that has not for
 * BROADCAST_LOST_MS may be replaced by another with the same key.
 *
 * Life:    a document a stream.
 * Owner:   the database; documents answered are the caller's (json_decref).
 * Threads: any; every call blocks on the database.
 * Errors:  -ENOENT no such stream; -EPROTO with the fault filled; as db.h.
 * Units:   milliseconds since 1970, given by the caller.
 *
 * {"id", "rev", "owner", "title", "asset", "key", "state", "tier", "created_ms", "live_ms" (on air
 * since), "seen_ms" (of the encoder), "ended_ms", "encoder"} */
#pragma once
#include "base/str.h"
#include "control/fault.h"
#include "db/db.h"

#define BROADCAST_KEY_SIZE 44 /* 43 of base64url and a zero */
#define BROADCAST_BEAT_MS  10000
#define BROADCAST_LOST_MS  30000
#define BROADCASTS_MAX     100 /* of an owner, that are not ended */

MUST_USE int broadcast_start(struct db *db, const char *owner, const char *title, const char *tier,
                             int64_t now_ms, char ret_key[BROADCAST_KEY_SIZE], json_t **ret,
                             struct fault *fault);
MUST_USE int broadcast_get(struct db *db, const char *id, json_t **ret);

/* The owner's, newest first; as db_list. */
MUST_USE int broadcast_list(struct db *db, const char *owner, unsigned limit, const char *cursor,
                            json_t **ret, char **ret_cursor);

/* Another key from now on; what is on air stays. 410 STREAM_ENDED. */
MUST_USE int broadcast_rekey(struct db *db, const char *id, char ret_key[BROADCAST_KEY_SIZE],
                             json_t **ret, struct fault *fault);

/* Twice is as good as once. */
MUST_USE int broadcast_stop(struct db *db, const char *id, int64_t now_ms, json_t **ret);

/* An encoder wants to send, is still sending, or has ended. 403 STREAM_KEY_WRONG; 409 STREAM_BUSY:
 * another one is sending; 410 STREAM_ENDED. */
enum broadcast_event { BROADCAST_PUBLISH, BROADCAST_BEAT, BROADCAST_UNPUBLISH };
MUST_USE int broadcast_tell(struct db *db, enum broadcast_event event, struct str key,
                            const char *encoder, int64_t now_ms, json_t **ret, struct fault *fault);

bool broadcast_is_live(const json_t *doc, int64_t now_ms);

/* What the API shows; NULL: out of memory. */
json_t *broadcast_public(const json_t *doc, int64_t now_ms);

/* As a title of the catalogue, for the rules of who may watch; NULL: out of memory. */
json_t *broadcast_title(const json_t *doc);
