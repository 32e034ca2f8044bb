/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/channel.h"
#include <errno.h>
#include <stdlib.h>
#include "base/heading.h"
#include "base/id.h"
#include "control/catalog/member.h"
#include "control/catalog/revise.h"
#include "control/model.h"

#define CHANNEL_TRIES_MAX 16

/* --- what both share -------------------------------------------------------------------------- */

static const char *const channel_members[] = {"handle", "title", "summary", NULL};
static const char *const series_members[] = {"title", "summary", "channel", "seasons", NULL};

static const char *const *channel_members_of(unsigned coll)
{
    return coll == MODEL_CHANNELS ? channel_members : series_members;
}

static int channel_apply(json_t *doc, unsigned coll, const json_t *patch, struct fault *fault)
{
    struct err err = {0};
    if (json_object_get(patch, "title") != NULL &&
        heading_check(member_str(patch, "title"), &err) < 0)
        return fault_set(fault, 422, "BODY_INVALID", "%s", err.text);
    for (const char *const *name = channel_members_of(coll); *name != NULL; name++) {
        json_t *value = json_object_get(patch, *name);
        if (json_is_null(value))
            (void)json_object_del(doc, *name); /* may not have been there */
        else if (value != NULL && json_object_set(doc, *name, value) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int channel_make(struct db *db, unsigned coll, const json_t *ask, const char *owner,
                        int64_t now_ms, json_t **ret, struct fault *fault)
{
    char id[ID_TEXT_SIZE];
    id_text(id);
    json_t *doc = json_pack("{s:s, s:s*, s:I, s:I, s:i}", "id", id, "owner", owner, "created_ms",
                            (json_int_t)now_ms, "updated_ms", (json_int_t)now_ms, "rev", 1);
    int r = doc == NULL ? -ENOMEM : 0;
    if (r == 0 && coll == MODEL_SERIES)
        r = json_object_set_new(doc, "seasons", json_array()) < 0 ? -ENOMEM : 0;
    if (r == 0)
        r = channel_apply(doc, coll, ask, fault);
    if (r == 0)
        r = db_insert(db, coll, doc);
    if (r == -EEXIST)
        r = fault_set(fault, 409, "HANDLE_TAKEN", "another channel has that handle");
    if (r < 0)
        json_decref(doc);
    else
        *ret = doc;
    return r;
}

static int channel_revise(struct db *db, unsigned coll, const char *id, const json_t *patch,
                          int64_t rev, const struct viewer *viewer, int64_t now_ms, json_t **ret,
                          struct fault *fault)
{
    json_t *before = NULL;
    json_t *after = NULL;
    int r = db_get(db, coll, id, &before);
    if (r < 0)
        return r;
    if (!visible_is_owner(before, viewer))
        r = fault_set(fault, 403, "NOT_YOURS", "only its owner may change it");
    else if (rev >= 0 && member_int(before, "rev") != rev)
        r = -ESTALE;
    if (r == 0) {
        after = json_deep_copy(before);
        r = after == NULL ? -ENOMEM : channel_apply(after, coll, patch, fault);
    }
    if (r == 0)
        r = revise(db, coll, before, after, now_ms, ret);
    if (r == -EEXIST)
        r = fault_set(fault, 409, "HANDLE_TAKEN", "another channel has that handle");
    json_decref(before);
    json_decref(after);
    return r;
}

static int channel_revise_often(struct db *db, unsigned coll, const char *id, const json_t *patch,
                                int64_t rev, const struct viewer *viewer, int64_t now_ms,
                                json_t **ret, struct fault *fault)
{
    for (unsigned i = 0; i < CHANNEL_TRIES_MAX; i++) {
        int r = channel_revise(db, coll, id, patch, rev, viewer, now_ms, ret, fault);
        if (r != -ESTALE || rev >= 0)
            return r;
    }
    return -EBUSY;
}

static int channel_view(const json_t *doc, unsigned coll, json_t *view)
{
    int r = view == NULL ? -ENOMEM : member_copy(view, "id", doc, "id");
    for (const char *const *name = channel_members_of(coll); r == 0 && *name != NULL; name++)
        r = member_copy(view, *name, doc, *name);
    if (r == 0)
        r = member_copy(view, "owner", doc, "owner");
    if (r == 0)
        r = member_set_int(view, "rev", member_int(doc, "rev"));
    if (r == 0)
        r = member_set_time(view, "created", doc, "created_ms");
    if (r == 0)
        r = member_set_time(view, "updated", doc, "updated_ms");
    return r;
}

/* --- channels --------------------------------------------------------------------------------- */

int channel_create(struct db *db, const json_t *ask, const char *owner, int64_t now_ms,
                   json_t **ret, struct fault *fault)
{
    return channel_make(db, MODEL_CHANNELS, ask, owner, now_ms, ret, fault);
}

int channel_get(struct db *db, const char *id, json_t **ret)
{
    if (id[0] != '@')
        return db_get(db, MODEL_CHANNELS, id, ret);
    json_t *handle = json_string(id + 1);
    int r = handle == NULL ? -ENOENT : db_find(db, MODEL_CHANNELS, "handle", handle, ret);
    json_decref(handle);
    return r;
}

int channel_change(struct db *db, const char *id, const json_t *patch, int64_t rev,
                   const struct viewer *viewer, int64_t now_ms, json_t **ret, struct fault *fault)
{
    return channel_revise_often(db, MODEL_CHANNELS, id, patch, rev, viewer, now_ms, ret, fault);
}

json_t *channel_public(const json_t *channel)
{
    json_t *view = json_object();
    int r = channel_view(channel, MODEL_CHANNELS, view);
    if (r == 0)
        r = member_set_int(view, "followers", member_int(channel, "followers"));
    if (r == 0)
        return view;
    json_decref(view);
    return NULL;
}

/* --- series ----------------------------------------------------------------------------------- */

/* The seasons in order, each number once; and a channel of the viewer's. */
static int series_check(struct db *db, const json_t *ask, const struct viewer *viewer,
                        struct fault *fault)
{
    int64_t last = -1;
    size_t i;
    json_t *season;
    json_t *channel = NULL;
    json_array_foreach(json_object_get(ask, "seasons"), i, season)
    {
        if (member_int(season, "number") <= last)
            return fault_set(fault, 422, "SEASONS_INVALID",
                             "the seasons' numbers must rise from one to the next");
        last = member_int(season, "number");
    }
    if (member_text(ask, "channel") == NULL)
        return 0;
    int r = db_get(db, MODEL_CHANNELS, member_text(ask, "channel"), &channel);
    if (r == -ENOENT || (r == 0 && !visible_is_owner(channel, viewer)))
        r = fault_set(fault, 422, "CHANNEL_UNKNOWN", "you have no such channel");
    json_decref(channel);
    return r;
}

int series_create(struct db *db, const json_t *ask, const struct viewer *viewer, int64_t now_ms,
                  json_t **ret, struct fault *fault)
{
    int r = series_check(db, ask, viewer, fault);
    return r < 0 ? r : channel_make(db, MODEL_SERIES, ask, viewer->user, now_ms, ret, fault);
}

int series_get(struct db *db, const char *id, json_t **ret)
{
    return db_get(db, MODEL_SERIES, id, ret);
}

int series_change(struct db *db, const char *id, const json_t *patch, int64_t rev,
                  const struct viewer *viewer, int64_t now_ms, json_t **ret, struct fault *fault)
{
    int r = series_check(db, patch, viewer, fault);
    return r < 0
               ? r
               : channel_revise_often(db, MODEL_SERIES, id, patch, rev, viewer, now_ms, ret, fault);
}

json_t *series_public(const json_t *series)
{
    json_t *view = json_object();
    if (channel_view(series, MODEL_SERIES, view) == 0)
        return view;
    json_decref(view);
    return NULL;
}
