/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/playlist.h"
#include <errno.h>
#include <string.h>
#include "base/heading.h"
#include "base/id.h"
#include "control/catalog/member.h"
#include "control/catalog/revise.h"
#include "control/model.h"

#define PLAYLIST_TRIES_MAX 16

static int playlist_apply(json_t *doc, const json_t *patch, struct fault *fault)
{
    static const char *const names[] = {"title", "summary", "access"};
    struct err err = {0};
    if (json_object_get(patch, "title") != NULL &&
        heading_check(member_str(patch, "title"), &err) < 0)
        return fault_set(fault, 422, "BODY_INVALID", "%s", err.text);
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        json_t *value = json_object_get(patch, names[i]);
        if (json_is_null(value))
            (void)json_object_del(doc, names[i]); /* may not have been there */
        else if (value != NULL && json_object_set(doc, names[i], value) < 0)
            return -ENOMEM;
    }
    return 0;
}

int playlist_create(struct db *db, const json_t *ask, const char *owner, int64_t now_ms,
                    json_t **ret, struct fault *fault)
{
    char id[ID_TEXT_SIZE];
    id_text(id);
    json_t *doc = json_pack("{s:s, s:s, s:s, s:[], s:I, s:I, s:i}", "id", id, "owner", owner,
                            "access", "private", "items", "created_ms", (json_int_t)now_ms,
                            "updated_ms", (json_int_t)now_ms, "rev", 1);
    int r = doc == NULL ? -ENOMEM : playlist_apply(doc, ask, fault);
    if (r == 0)
        r = db_insert(db, MODEL_PLAYLISTS, doc);
    if (r < 0)
        json_decref(doc);
    else
        *ret = doc;
    return r;
}

int playlist_get(struct db *db, const char *id, const struct viewer *viewer, json_t **ret)
{
    json_t *doc = NULL;
    int r = db_get(db, MODEL_PLAYLISTS, id, &doc);
    if (r < 0)
        return r;
    const char *access = member_text(doc, "access");
    if (access == NULL || (strcmp(access, "private") == 0 && !visible_is_owner(doc, viewer))) {
        json_decref(doc);
        return -ENOENT;
    }
    *ret = doc;
    return 0;
}

/* --- changes ---------------------------------------------------------------------------------- */

/* One change of a playlist: what it does to the document at hand. */
struct playlist_edit {
    int (*apply)(json_t *doc, const struct playlist_edit *edit, struct fault *fault);
    const json_t *patch;
    const char *video;
    int64_t position;
    int64_t now_ms;
};

static int playlist_may_change(const json_t *doc, const struct playlist_ask *ask,
                               struct fault *fault)
{
    if (!visible_is_owner(doc, ask->viewer))
        return fault_set(fault, 403, "NOT_YOURS", "only its owner may change this playlist");
    return ask->rev >= 0 && member_int(doc, "rev") != ask->rev ? -ESTALE : 0;
}

static int playlist_edit_once(struct db *db, const struct playlist_ask *ask,
                              const struct playlist_edit *edit, json_t **ret, struct fault *fault)
{
    json_t *before = NULL;
    json_t *after = NULL;
    int r = playlist_get(db, ask->id, ask->viewer, &before);
    if (r < 0)
        return r;
    r = playlist_may_change(before, ask, fault);
    if (r == 0) {
        after = json_deep_copy(before);
        r = after == NULL ? -ENOMEM : edit->apply(after, edit, fault);
    }
    if (r == 0)
        r = revise(db, MODEL_PLAYLISTS, before, after, ask->now_ms, ret);
    json_decref(before);
    json_decref(after);
    return r;
}

static int playlist_edit(struct db *db, const struct playlist_ask *ask,
                         const struct playlist_edit *edit, json_t **ret, struct fault *fault)
{
    for (unsigned i = 0; i < PLAYLIST_TRIES_MAX; i++) {
        int r = playlist_edit_once(db, ask, edit, ret, fault);
        if (r != -ESTALE || ask->rev >= 0)
            return r;
    }
    return -EBUSY;
}

static int playlist_apply_patch(json_t *doc, const struct playlist_edit *edit, struct fault *fault)
{
    return playlist_apply(doc, edit->patch, fault);
}

int playlist_change(struct db *db, const struct playlist_ask *ask, const json_t *patch,
                    json_t **ret, struct fault *fault)
{
    const struct playlist_edit edit = {.apply = playlist_apply_patch, .patch = patch};
    return playlist_edit(db, ask, &edit, ret, fault);
}

int playlist_delete(struct db *db, const struct playlist_ask *ask, struct fault *fault)
{
    json_t *doc = NULL;
    int r = playlist_get(db, ask->id, ask->viewer, &doc);
    if (r < 0)
        return r;
    r = playlist_may_change(doc, ask, fault);
    json_decref(doc);
    return r < 0 ? r : db_delete(db, MODEL_PLAYLISTS, ask->id);
}

/* Where the video stands; -1: nowhere. */
static ssize_t playlist_find(const json_t *items, const char *video)
{
    size_t i;
    json_t *item;
    json_array_foreach(items, i, item)
    {
        const char *id = member_text(item, "video");
        if (id != NULL && strcmp(id, video) == 0)
            return (ssize_t)i;
    }
    return -1;
}

static int playlist_apply_add(json_t *doc, const struct playlist_edit *edit, struct fault *fault)
{
    json_t *items = json_object_get(doc, "items");
    ssize_t at = playlist_find(items, edit->video);
    json_t *item = NULL;
    if (at >= 0) {
        item = json_incref(json_array_get(items, (size_t)at));
        (void)json_array_remove(items, (size_t)at); /* it is there */
    } else if (json_array_size(items) >= PLAYLIST_ITEMS_MAX) {
        return fault_set(fault, 409, "PLAYLIST_FULL", "a playlist has at most %d videos",
                         PLAYLIST_ITEMS_MAX);
    } else {
        item = json_pack("{s:s, s:I}", "video", edit->video, "added_ms", (json_int_t)edit->now_ms);
    }
    size_t size = json_array_size(items);
    size_t to = edit->position < 0 ? size : MIN((size_t)edit->position, size);
    return json_array_insert_new(items, to, item) < 0 ? -ENOMEM : 0;
}

int playlist_add(struct db *db, const struct playlist_ask *ask, const char *video, int64_t position,
                 json_t **ret, struct fault *fault)
{
    const struct playlist_edit edit = {
        .apply = playlist_apply_add, .video = video, .position = position, .now_ms = ask->now_ms};
    return playlist_edit(db, ask, &edit, ret, fault);
}

static int playlist_apply_remove(json_t *doc, const struct playlist_edit *edit, struct fault *fault)
{
    json_t *items = json_object_get(doc, "items");
    ssize_t at = playlist_find(items, edit->video);
    if (at < 0)
        return fault_set(fault, 404, "ITEM_NOT_FOUND", "the playlist does not have this video");
    (void)json_array_remove(items, (size_t)at); /* it is there */
    return 0;
}

int playlist_remove(struct db *db, const struct playlist_ask *ask, const char *video, json_t **ret,
                    struct fault *fault)
{
    const struct playlist_edit edit = {.apply = playlist_apply_remove, .video = video};
    return playlist_edit(db, ask, &edit, ret, fault);
}

static int playlist_apply_order(json_t *doc, const struct playlist_edit *edit, struct fault *fault)
{
    json_t *items = json_object_get(doc, "items");
    json_t *ordered = json_array();
    size_t i;
    json_t *video;
    int r = ordered == NULL ? -ENOMEM : 0;
    bool fits = json_array_size(edit->patch) == json_array_size(items);
    json_array_foreach(edit->patch, i, video)
    {
        const char *id = json_string_value(video);
        ssize_t at = id == NULL || !fits ? -1 : playlist_find(items, id);
        if (at < 0 || playlist_find(ordered, id) >= 0)
            fits = false;
        else if (r == 0 && json_array_append(ordered, json_array_get(items, (size_t)at)) < 0)
            r = -ENOMEM;
    }
    if (r == 0 && !fits)
        r = fault_set(fault, 422, "ORDER_INVALID",
                      "the order must name each video of the playlist once, and no other");
    if (r == 0)
        r = json_object_set(doc, "items", ordered) < 0 ? -ENOMEM : 0;
    json_decref(ordered);
    return r;
}

int playlist_order(struct db *db, const struct playlist_ask *ask, const json_t *videos,
                   json_t **ret, struct fault *fault)
{
    const struct playlist_edit edit = {.apply = playlist_apply_order, .patch = videos};
    return playlist_edit(db, ask, &edit, ret, fault);
}

/* --- lists ------------------------------------------------------------------------------------ */

int playlist_list(struct db *db, const char *owner, unsigned limit, const char *cursor,
                  json_t **ret, char **ret_cursor)
{
    json_t *equal = json_pack("[s]", owner != NULL ? owner : "public");
    const struct db_list list = {
        .key = owner != NULL ? "owner created_ms" : "access created_ms",
        .descending = true,
        .limit = limit,
        .cursor = cursor,
        .equal = equal,
    };
    int r = equal == NULL ? -ENOMEM : db_list(db, MODEL_PLAYLISTS, &list, ret, ret_cursor);
    json_decref(equal);
    return r;
}

static json_t *playlist_items(const json_t *playlist)
{
    json_t *items = json_array();
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(playlist, "items"), i, item)
    {
        json_t *view = json_object();
        int r = view == NULL ? -ENOMEM : member_copy(view, "video", item, "video");
        if (r == 0)
            r = member_set_time(view, "added", item, "added_ms");
        if (json_array_append_new(items, view) < 0 || r < 0) {
            json_decref(items);
            return NULL;
        }
    }
    return items;
}

json_t *playlist_public(const json_t *playlist, bool with_items)
{
    static const char *const names[] = {"id", "owner", "title", "summary", "access", "rev"};
    json_t *view = json_object();
    int r = view == NULL ? -ENOMEM : 0;
    for (unsigned i = 0; r == 0 && i < ARRAY_LEN(names); i++)
        r = member_copy(view, names[i], playlist, names[i]);
    if (r == 0)
        r = member_set_int(view, "count",
                           (int64_t)json_array_size(json_object_get(playlist, "items")));
    if (r == 0 && with_items)
        r = json_object_set_new(view, "items", playlist_items(playlist)) < 0 ? -ENOMEM : 0;
    if (r == 0)
        r = member_set_time(view, "created", playlist, "created_ms");
    if (r == 0)
        r = member_set_time(view, "updated", playlist, "updated_ms");
    if (r == 0)
        return view;
    json_decref(view);
    return NULL;
}
