/* SPDX-License-Identifier: Apache-2.0 */
/* upload_doc: what is known of an upload, in the database, so that every process of control can
 * tell it and whatever a crash leaves is found:
 *
 *   uploading ──▶ processing ──▶ ready
 *       └──────────────┴───────▶ failed
 *
 * The video of the same name moves along (catalog/video_state.h).
 *
 * Life:    upload_doc_begin -> upload_doc_note* -> upload_doc_hand_over -> upload_doc_look* (or
 *          upload_doc_fail at any time) -> a week later it is forgotten.
 * Owner:   documents answered are the caller's.
 * Threads: any; every call blocks on the database, upload_doc_sweep also on ingest.
 * Errors:  -EPROTO with the fault filled, else as db.h.
 * Units:   milliseconds since 1970; bytes. */
#pragma once
#include "control/catalog/visible.h"
#include "control/control.h"
#include "control/fault.h"

struct call;
struct fetch_client;

#define UPLOAD_NOTE_MS  3000  /* while bytes come, it is noted that they do */
#define UPLOAD_STALE_MS 15000 /* then whoever received it is no more */
#define UPLOAD_KEPT_MS  (INT64_C(7) * 24 * 3600 * 1000)

/* Members of the collection, for model.c. */
#define UPLOAD_DOC_MEMBERS                                                                         \
    "video:s owner:s state:s received:i permille:i stage:s? job:s? error:s? created_ms:i "         \
    "updated_ms:i ends_ms:i"

/* The video is made (body: as POST /videos takes it) or, where body has "video", taken; and shows
 * that it is uploading. *ret_video: its name, the caller's. */
MUST_USE int upload_doc_begin(struct db *db, const char *id, const json_t *body,
                              const struct viewer *viewer, int64_t now_ms, char **ret_video,
                              struct fault *fault);
MUST_USE int upload_doc_note(struct db *db, const char *id, uint64_t received, int64_t now_ms);
/* All of it is here: from now on it is ingest's. */
MUST_USE int upload_doc_hand_over(struct db *db, const char *id, const char *video,
                                  uint64_t received, int64_t now_ms);
MUST_USE int upload_doc_job(struct db *db, const char *id, const char *job, int64_t now_ms);
/* Both, the upload and its video. Logs what does not work. */
void upload_doc_fail(struct db *db, const char *id, const char *why, int64_t now_ms);

/* 404 UPLOAD_NOT_FOUND where it is not the viewer's. */
MUST_USE int upload_doc_get(struct db *db, const char *id, const struct viewer *viewer,
                            json_t **ret, struct fault *fault);
json_t *upload_doc_show(const json_t *doc); /* NULL: no memory */
bool upload_doc_is_over(const json_t *doc);

/* Uploads that nobody receives any more fail; of those that ingest has it is asked how far it is;
 * old ones go. *ret_busy: some are under way. */
MUST_USE int upload_doc_sweep(struct db *db, struct fetch_client *client, const char *ingest_url,
                              const char *bearer, int64_t now_ms, bool *ret_busy);
