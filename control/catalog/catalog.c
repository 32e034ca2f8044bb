/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/catalog.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/id.h"
#include "control/catalog/category.h"
#include "control/catalog/gone.h"
#include "control/catalog/member.h"
#include "control/catalog/revise.h"
#include "control/model.h"
#include "control/valid.h"

#define CATALOG_TRIES_MAX 16 /* an entry that others change all the time */

int catalog_get(struct db *db, const char *asset, json_t **ret)
{
    return db_get(db, MODEL_VIDEOS, asset, ret);
}

int catalog_delete(struct db *db, const char *asset, int64_t now_ms)
{
    return gone_put(db, GONE_VIDEO, asset, now_ms);
}

static int catalog_not_found(struct fault *fault)
{
    return fault_set(fault, 404, "VIDEO_NOT_FOUND", "there is no such video");
}

int catalog_see(struct db *db, const char *id, const struct viewer *viewer, json_t **ret,
                struct fault *fault)
{
    json_t *video = NULL;
    int r = valid_is_asset(str_of(id)) ? db_get(db, MODEL_VIDEOS, id, &video) : -ENOENT;
    if (r == -ENOENT)
        return catalog_not_found(fault);
    if (r < 0)
        return r;
    switch (visible_video(video, viewer)) {
    case VISIBLE_YES:
        *ret = video;
        return 0;
    case VISIBLE_AGE:
        r = fault_set(fault, 403, "AGE_RESTRICTED", "this video is not for this profile");
        break;
    case VISIBLE_COUNTRY:
        r = fault_set(fault, 451, "UNAVAILABLE_IN_COUNTRY",
                      "this video is not available in your country");
        break;
    case VISIBLE_NO:
        r = catalog_not_found(fault);
        break;
    }
    json_decref(video);
    return r;
}

/* --- what a video names ----------------------------------------------------------------------- */

static int catalog_check_categories(struct db *db, json_t *video, struct fault *fault)
{
    const json_t *categories = json_object_get(video, "categories");
    struct category_tree t;
    size_t i;
    json_t *id;
    if (json_array_size(categories) == 0) {
        (void)json_object_del(video, "path"); /* may not have been there */
        return 0;
    }
    int r = category_tree_load(db, &t);
    if (r < 0)
        return r;
    json_array_foreach(categories, i, id)
    {
        if (r == 0 && category_tree_get(&t, json_string_value(id)) == NULL)
            r = fault_set(fault, 422, "CATEGORY_UNKNOWN", "there is no category \"%.64s\"",
                          json_string_value(id));
    }
    json_t *path = r < 0 ? NULL : category_tree_path(&t, categories);
    if (r == 0)
        r = path == NULL || json_object_set(video, "path", path) < 0 ? -ENOMEM : 0;
    json_decref(path);
    category_tree_free(&t);
    return r;
}

/* A channel, or a series, that exists and is the viewer's. */
static int catalog_check_owned(struct db *db, unsigned coll, const char *id,
                               const struct viewer *viewer, const char *code, struct fault *fault)
{
    json_t *doc = NULL;
    int r = id == NULL ? 0 : db_get(db, coll, id, &doc);
    if (r == -ENOENT || (r == 0 && doc != NULL && !visible_is_owner(doc, viewer)))
        r = fault_set(fault, 422, code, "you have no such %s",
                      coll == MODEL_CHANNELS ? "channel" : "series");
    json_decref(doc);
    return r;
}

/* What the patch names is looked up; what it leaves was looked up before. */
static int catalog_check(struct db *db, json_t *video, const json_t *patch,
                         const struct viewer *viewer, struct fault *fault)
{
    int r = catalog_check_owned(db, MODEL_CHANNELS, member_text(patch, "channel"), viewer,
                                "CHANNEL_UNKNOWN", fault);
    if (r == 0)
        r = catalog_check_owned(db, MODEL_SERIES, member_text(patch, "series"), viewer,
                                "SERIES_UNKNOWN", fault);
    if (r == 0 && json_object_get(patch, "categories") != NULL)
        r = catalog_check_categories(db, video, fault);
    return r;
}

/* --- making and changing ---------------------------------------------------------------------- */

static int catalog_fill(struct db *db, json_t *video, const json_t *patch,
                        const struct viewer *viewer, int64_t now_ms, struct fault *fault)
{
    int r = video_apply(video, patch, now_ms, fault);
    if (r == 0)
        r = catalog_check(db, video, patch, viewer, fault);
    return r == 0 ? video_settle(video, now_ms) : r;
}

int catalog_create(struct db *db, const json_t *ask, const struct viewer *viewer, int64_t now_ms,
                   json_t **ret, struct fault *fault)
{
    char random[ID_TEXT_SIZE];
    const char *asset = member_text(ask, "asset");
    if (asset == NULL) {
        id_text(random);
        asset = random;
    }
    if (!valid_is_asset(str_of(asset)))
        return fault_set(fault, 422, "ASSET_INVALID", "this is not an asset name");
    json_t *video = video_new(asset, viewer->user, now_ms);
    int r = video == NULL ? -ENOMEM : catalog_fill(db, video, ask, viewer, now_ms, fault);
    if (r == 0)
        r = db_insert(db, MODEL_VIDEOS, video);
    if (r == -EEXIST)
        r = fault_set(fault, 409, "ASSET_TAKEN", "there is a video of that asset already");
    if (r < 0)
        json_decref(video);
    else
        *ret = video;
    return r;
}

static int catalog_may_change(const json_t *video, int64_t rev, const struct viewer *viewer,
                              struct fault *fault)
{
    if (!visible_is_owner(video, viewer))
        return visible_video(video, viewer) == VISIBLE_YES
                   ? fault_set(fault, 403, "NOT_YOURS", "only its creator may change this video")
                   : catalog_not_found(fault);
    if (rev >= 0 && member_int(video, "rev") != rev)
        return -ESTALE;
    return 0;
}

static int catalog_change_once(struct db *db, const char *id, const json_t *patch, int64_t rev,
                               const struct viewer *viewer, int64_t now_ms, json_t **ret,
                               struct fault *fault)
{
    json_t *before = NULL;
    json_t *video = NULL;
    int r = catalog_get(db, id, &before);
    if (r < 0)
        return r == -ENOENT ? catalog_not_found(fault) : r;
    r = catalog_may_change(before, rev, viewer, fault);
    if (r == 0) {
        video = json_deep_copy(before);
        r = video == NULL ? -ENOMEM : catalog_fill(db, video, patch, viewer, now_ms, fault);
    }
    if (r == 0)
        r = revise(db, MODEL_VIDEOS, before, video, now_ms, ret);
    json_decref(before);
    json_decref(video);
    return r == -ENOENT ? catalog_not_found(fault) : r;
}

int catalog_change(struct db *db, const char *id, const json_t *patch, int64_t rev,
                   const struct viewer *viewer, int64_t now_ms, json_t **ret, struct fault *fault)
{
    for (unsigned i = 0; i < CATALOG_TRIES_MAX; i++) {
        int r = catalog_change_once(db, id, patch, rev, viewer, now_ms, ret, fault);
        if (r != -ESTALE || rev >= 0)
            return r;
    }
    return -EBUSY;
}

/* --- ingest and the upload -------------------------------------------------------------------- */

static int catalog_put_new(struct db *db, const char *asset, const json_t *film, int64_t now_ms,
                           json_t **ret)
{
    json_t *video = video_new(asset, NULL, now_ms);
    int r = video == NULL || json_object_set_new(video, "at_once", json_true()) < 0 ? -ENOMEM : 0;
    if (r == 0)
        r = video_film(video, film);
    if (r == 0)
        r = video_settle(video, now_ms);
    if (r == 0)
        r = db_insert(db, MODEL_VIDEOS, video);
    if (r < 0)
        json_decref(video);
    else
        *ret = video;
    return r;
}

/* -EEXIST, -ENOENT, -ESTALE: somebody made, deleted or changed it in between. */
static int catalog_put_once(struct db *db, const char *asset, const json_t *film, int64_t now_ms,
                            json_t **ret)
{
    json_t *before = NULL;
    int r = catalog_get(db, asset, &before);
    if (r == -ENOENT)
        return catalog_put_new(db, asset, film, now_ms, ret);
    if (r < 0)
        return r;
    json_t *video = json_deep_copy(before);
    r = video == NULL ? -ENOMEM : video_film(video, film);
    if (r == 0)
        r = video_settle(video, now_ms);
    /* Told twice it is as fresh as told once: updated_ms moves in any case. */
    if (r == 0)
        r = member_set_int(video, "updated_ms", now_ms);
    if (r == 0)
        r = revise(db, MODEL_VIDEOS, before, video, now_ms, ret);
    json_decref(before);
    json_decref(video);
    return r;
}

int catalog_put(struct db *db, const char *asset, const json_t *film, int64_t now_ms, json_t **ret)
{
    for (unsigned i = 0; i < CATALOG_TRIES_MAX; i++) {
        int r = catalog_put_once(db, asset, film, now_ms, ret);
        if (r != -EEXIST && r != -ENOENT && r != -ESTALE)
            return r;
    }
    return -EBUSY;
}

static int catalog_move_once(struct db *db, const char *id, enum video_state to,
                             const char *failure, int64_t now_ms, struct fault *fault)
{
    json_t *before = NULL;
    json_t *stored = NULL;
    int r = catalog_get(db, id, &before);
    if (r < 0)
        return r;
    json_t *video = json_deep_copy(before);
    r = video == NULL ? -ENOMEM : video_move(video, to, VIDEO_BY_UPLOAD, fault);
    if (r == 0)
        r = member_set_text(video, "failure", to == VIDEO_FAILED ? failure : NULL);
    if (r == 0)
        r = video_settle(video, now_ms);
    if (r == 0)
        r = revise(db, MODEL_VIDEOS, before, video, now_ms, &stored);
    json_decref(before);
    json_decref(video);
    json_decref(stored);
    return r;
}

int catalog_move(struct db *db, const char *id, enum video_state to, const char *failure,
                 int64_t now_ms, struct fault *fault)
{
    for (unsigned i = 0; i < CATALOG_TRIES_MAX; i++) {
        int r = catalog_move_once(db, id, to, failure, now_ms, fault);
        if (r != -ESTALE)
            return r;
    }
    return -EBUSY;
}

/* --- lists ------------------------------------------------------------------------------------ */

int catalog_list(struct db *db, const struct catalog_list *list, json_t **ret, char **ret_cursor)
{
    json_t *published = json_pack("[s]", video_state_name(VIDEO_PUBLISHED));
    const struct db_list asked = {
        .key = list->key != NULL ? list->key : "state published_ms",
        .descending = !list->ascending,
        .limit = list->limit,
        .cursor = list->cursor,
        .equal = list->key != NULL ? list->equal : published,
        .where = list->where,
    };
    int r = published == NULL ? -ENOMEM : db_list(db, MODEL_VIDEOS, &asked, ret, ret_cursor);
    json_decref(published);
    return r;
}

/* --- the clock -------------------------------------------------------------------------------- */

static int catalog_move_due(struct db *db, const json_t *before, int64_t now_ms)
{
    json_t *stored = NULL;
    json_t *video = json_deep_copy(before);
    int r = video == NULL ? -ENOMEM : video_settle(video, now_ms);
    if (r == 0)
        r = revise(db, MODEL_VIDEOS, before, video, now_ms, &stored);
    json_decref(video);
    json_decref(stored);
    return r == -ESTALE || r == -ENOENT ? 0 : r; /* its owner was quicker: looked at again */
}

int catalog_sweep(struct db *db, int64_t now_ms, uint64_t *ret_count)
{
    json_t *below = json_integer(now_ms + 1);
    const struct db_list list = {.key = "due_ms", .limit = CATALOG_SWEEP, .below = below};
    json_t *docs = NULL;
    char *next = NULL;
    size_t i;
    json_t *doc;
    int r = below == NULL ? -ENOMEM : db_list(db, MODEL_VIDEOS, &list, &docs, &next);
    free(next);
    json_decref(below);
    if (r < 0)
        return r;
    json_array_foreach(docs, i, doc)
    {
        if (r == 0)
            r = catalog_move_due(db, doc, now_ms);
    }
    if (r == 0)
        *ret_count = json_array_size(docs);
    json_decref(docs);
    return r;
}
