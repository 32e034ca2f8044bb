/* SPDX-License-Identifier: Apache-2.0 */
#include "control/upload/upload_doc.h"
#include <errno.h>
#include <math.h>
#include "base/log.h"
#include "control/catalog/catalog.h"
#include "control/catalog/member.h"
#include "control/model.h"
#include "fetch/fetch.h"

#define UPLOAD_SWEEP      200 /* in one go */
#define UPLOAD_ANSWER_MAX ((size_t)64 << 10)
#define UPLOAD_LOST_MS    60000 /* handed over, but nobody knows the job */

/* --- changes ---------------------------------------------------------------------------------- */

/* Takes set over. Only while the upload is in that state: -ESTALE. */
static int upload_doc_set(struct db *db, const char *id, const char *state, json_t *set)
{
    json_t *where = json_pack("{s:s}", "state", state);
    const struct db_update update = {.where = where, .set = set};
    int r =
        where == NULL || set == NULL ? -ENOMEM : db_update(db, MODEL_UPLOADS, id, &update, NULL);
    json_decref(where);
    json_decref(set);
    return r;
}

static int upload_doc_insert(struct db *db, const char *id, const char *video,
                             const struct viewer *viewer, int64_t now_ms)
{
    json_t *doc = json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:I, s:I, s:I}", "id", id, "video",
                            video, "owner", viewer->user, "state", "uploading", "received", 0,
                            "permille", 0, "created_ms", (json_int_t)now_ms, "updated_ms",
                            (json_int_t)now_ms, "ends_ms", (json_int_t)now_ms + UPLOAD_KEPT_MS);
    int r = doc == NULL ? -ENOMEM : db_insert(db, MODEL_UPLOADS, doc);
    json_decref(doc);
    return r;
}

/* The video that is to be filled: 0, and it is the viewer's. */
static int upload_doc_take(struct db *db, const char *video, const struct viewer *viewer,
                           struct fault *fault)
{
    json_t *doc = NULL;
    int r = catalog_get(db, video, &doc);
    if (r == -ENOENT || (r == 0 && !visible_is_owner(doc, viewer)))
        r = fault_set(fault, 404, "VIDEO_NOT_FOUND", "you have no such video");
    if (r == 0 && video_state_of(doc) != VIDEO_DRAFT && video_state_of(doc) != VIDEO_FAILED)
        r = fault_set(fault, 409, "STATE_CONFLICT", "this video has a film, or gets one");
    json_decref(doc);
    return r;
}

int upload_doc_begin(struct db *db, const char *id, const json_t *body, const struct viewer *viewer,
                     int64_t now_ms, char **ret_video, struct fault *fault)
{
    const char *taken = member_text(body, "video");
    json_t *made = NULL;
    int r = taken != NULL ? upload_doc_take(db, taken, viewer, fault)
                          : catalog_create(db, body, viewer, now_ms, &made, fault);
    char *video = r == 0 ? str_dup(str_of(taken != NULL ? taken : member_text(made, "id"))) : NULL;
    json_decref(made);
    if (r == 0 && video == NULL)
        r = -ENOMEM;
    /* The record comes first: a crash in between is found by the sweep. */
    if (r == 0)
        r = upload_doc_insert(db, id, video, viewer, now_ms);
    if (r == 0) {
        r = catalog_move(db, video, VIDEO_UPLOADING, NULL, now_ms, fault);
        if (r < 0 && db_delete(db, MODEL_UPLOADS, id) < 0)
            log_debug("upload %s is swept as one that has failed", id);
    }
    if (r < 0)
        free(video);
    else
        *ret_video = video;
    return r;
}

int upload_doc_note(struct db *db, const char *id, uint64_t received, int64_t now_ms)
{
    return upload_doc_set(db, id, "uploading",
                          json_pack("{s:I, s:I}", "received", (json_int_t)received, "updated_ms",
                                    (json_int_t)now_ms));
}

int upload_doc_hand_over(struct db *db, const char *id, const char *video, uint64_t received,
                         int64_t now_ms)
{
    struct fault fault;
    int r = upload_doc_set(db, id, "uploading",
                           json_pack("{s:s, s:I, s:I}", "state", "processing", "received",
                                     (json_int_t)received, "updated_ms", (json_int_t)now_ms));
    return r == 0 ? catalog_move(db, video, VIDEO_PROCESSING, NULL, now_ms, &fault) : r;
}

int upload_doc_job(struct db *db, const char *id, const char *job, int64_t now_ms)
{
    return upload_doc_set(db, id, "processing",
                          json_pack("{s:s, s:I}", "job", job, "updated_ms", (json_int_t)now_ms));
}

void upload_doc_fail(struct db *db, const char *id, const char *why, int64_t now_ms)
{
    struct fault fault = {0};
    json_t *doc = NULL;
    int r = db_get(db, MODEL_UPLOADS, id, &doc);
    if (r == 0 && !upload_doc_is_over(doc)) {
        r = catalog_move(db, member_text(doc, "video"), VIDEO_FAILED, why, now_ms, &fault);
        if (r == -ENOENT || r == -EPROTO) /* deleted meanwhile, or moved on: that stands */
            r = 0;
        if (r == 0)
            r = upload_doc_set(db, id, member_text(doc, "state"),
                               json_pack("{s:s, s:s, s:I}", "state", "failed", "error", why,
                                         "updated_ms", (json_int_t)now_ms));
    }
    json_decref(doc);
    if (r < 0 && r != -ESTALE)
        log_error("upload %s has failed, which could not be written down: %s", id, strerror(-r));
}

/* --- seen ------------------------------------------------------------------------------------- */

bool upload_doc_is_over(const json_t *doc)
{
    struct str state = member_str(doc, "state");
    return str_eq(state, STR("ready")) || str_eq(state, STR("failed"));
}

int upload_doc_get(struct db *db, const char *id, const struct viewer *viewer, json_t **ret,
                   struct fault *fault)
{
    json_t *doc = NULL;
    int r = db_get(db, MODEL_UPLOADS, id, &doc);
    if (r == -ENOENT || (r == 0 && !visible_is_owner(doc, viewer))) {
        json_decref(doc);
        return fault_set(fault, 404, "UPLOAD_NOT_FOUND", "there is no such upload");
    }
    if (r == 0)
        *ret = doc;
    return r;
}

json_t *upload_doc_show(const json_t *doc)
{
    json_t *o =
        json_pack("{s:s?, s:s?, s:s?, s:s?, s:f, s:I, s:s?}", "job_id", member_text(doc, "id"),
                  "video", member_text(doc, "video"), "state", member_text(doc, "state"), "stage",
                  member_text(doc, "stage"), "progress", (double)member_int(doc, "permille") / 1000,
                  "received_bytes", (json_int_t)member_int(doc, "received"), "error",
                  member_text(doc, "error"));
    if (o == NULL || member_set_time(o, "created", doc, "created_ms") < 0 ||
        member_set_time(o, "updated", doc, "updated_ms") < 0) {
        json_decref(o);
        return NULL;
    }
    return o;
}

/* --- the sweep -------------------------------------------------------------------------------- */

/* The film is published, as ingest says, which has told the catalogue, too. */
static int upload_doc_ready(struct db *db, const json_t *doc, int64_t now_ms)
{
    json_t *video = NULL;
    int r = catalog_get(db, member_text(doc, "video"), &video);
    bool is_told = r == 0 && video_state_of(video) != VIDEO_PROCESSING;
    json_decref(video);
    if (r == -ENOENT ||
        (r == 0 && !is_told && now_ms - member_int(doc, "updated_ms") > UPLOAD_LOST_MS)) {
        upload_doc_fail(db, member_text(doc, "id"), "the catalogue was not told of the film",
                        now_ms);
        return 0;
    }
    if (r < 0 || !is_told)
        return r;
    return upload_doc_set(db, member_text(doc, "id"), "processing",
                          json_pack("{s:s, s:i, s:n, s:I}", "state", "ready", "permille", 1000,
                                    "stage", "updated_ms", (json_int_t)now_ms));
}

static int upload_doc_progress(struct db *db, const json_t *doc, const json_t *job, int64_t now_ms)
{
    const char *stage = member_text(job, "stage");
    double progress = json_number_value(json_object_get(job, "progress"));
    json_int_t permille = (json_int_t)lround(fmin(fmax(progress, 0), 1) * 1000);
    const char *before = member_text(doc, "stage");
    if (stage == NULL ||
        (permille == member_int(doc, "permille") && before != NULL && strcmp(stage, before) == 0))
        return 0;
    return upload_doc_set(db, member_text(doc, "id"), "processing",
                          json_pack("{s:I, s:s, s:I}", "permille", permille, "stage", stage,
                                    "updated_ms", (json_int_t)now_ms));
}

/* What ingest's answer means. */
static int upload_doc_judge(struct db *db, const json_t *doc, unsigned status, const json_t *job,
                            int64_t now_ms)
{
    const char *id = member_text(doc, "id");
    const char *state = member_text(job, "state");
    const char *error = member_text(job, "error");
    if (status == 404)
        upload_doc_fail(db, id, "ingest knows nothing of it any more", now_ms);
    if (status != 200 || state == NULL)
        return 0; /* asked again */
    if (strcmp(state, "done") == 0)
        return upload_doc_ready(db, doc, now_ms);
    if (strcmp(state, "failed") == 0) {
        upload_doc_fail(db, id, error != NULL ? error : "the film cannot be used", now_ms);
        return 0;
    }
    return upload_doc_progress(db, doc, job, now_ms);
}

static int upload_doc_look(struct db *db, const json_t *doc, struct fetch_client *client,
                           const char *ingest_url, const char *bearer, int64_t now_ms)
{
    CLEAN_BUF struct buf url = BUF_EMPTY;
    CLEAN_BUF struct buf text = BUF_EMPTY;
    const char *job = member_text(doc, "job");
    unsigned status = 0;
    struct err err;
    if (job == NULL) {
        if (now_ms - member_int(doc, "updated_ms") > UPLOAD_LOST_MS)
            upload_doc_fail(db, member_text(doc, "id"), "it was lost on its way to ingest", now_ms);
        return 0;
    }
    buf_printf(&url, "%s/jobs/%s", ingest_url, job);
    if (buf_error(&url) < 0)
        return -ENOMEM;
    const struct fetch_request ask = {.method = "GET", .url = url.data, .bearer = bearer};
    if (fetch_client_run(client, &ask, UPLOAD_ANSWER_MAX, &status, &text, &err) < 0)
        return -EHOSTDOWN;
    json_t *answer = json_loadb(text.size > 0 ? text.data : "", text.size, 0, NULL);
    int r = upload_doc_judge(db, doc, status, answer, now_ms);
    json_decref(answer);
    return r == -ESTALE ? 0 : r;
}

static int upload_doc_list(struct db *db, const char *state, int64_t below, json_t **ret)
{
    json_t *equal = json_pack("[s]", state);
    json_t *limit = json_integer(below);
    const struct db_list list = {
        .key = "state updated_ms", .limit = UPLOAD_SWEEP, .equal = equal, .below = limit};
    char *next = NULL;
    int r =
        equal == NULL || limit == NULL ? -ENOMEM : db_list(db, MODEL_UPLOADS, &list, ret, &next);
    free(next);
    json_decref(equal);
    json_decref(limit);
    return r;
}

int upload_doc_sweep(struct db *db, struct fetch_client *client, const char *ingest_url,
                     const char *bearer, int64_t now_ms, bool *ret_busy)
{
    json_t *docs = NULL;
    json_t *doc;
    size_t i;
    int r = upload_doc_list(db, "uploading", now_ms - UPLOAD_STALE_MS, &docs);
    json_array_foreach(docs, i, doc)
        upload_doc_fail(db, member_text(doc, "id"), "the upload broke off", now_ms);
    json_decref(docs);
    docs = NULL;
    if (r == 0)
        r = upload_doc_list(db, "processing", INT64_MAX, &docs);
    *ret_busy = json_array_size(docs) > 0;
    json_array_foreach(docs, i, doc)
    {
        int one = upload_doc_look(db, doc, client, ingest_url, bearer, now_ms);
        if (one == -EHOSTDOWN)
            break; /* it is away: the others wait as well */
        r = r == 0 ? one : r;
    }
    json_decref(docs);
    return r == 0 ? db_delete_below(db, MODEL_UPLOADS, "ends_ms", now_ms, NULL) : r;
}
