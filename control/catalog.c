/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog.h"
#include <errno.h>
#include "base/clock.h"
#include "control/model.h"

#define CATALOG_TRIES_MAX 16 /* an entry that is made and deleted all the time */

static json_t *catalog_document(const char *asset, const json_t *video, int64_t created_ms,
                                int64_t now_ms)
{
    json_t *doc = json_copy((json_t *)(uintptr_t)video); /* shallow; video itself is not changed */
    if (doc == NULL)
        return NULL;
    if (json_object_set_new(doc, "id", json_string(asset)) < 0 ||
        json_object_set_new(doc, "created_ms", json_integer(created_ms)) < 0 ||
        json_object_set_new(doc, "updated_ms", json_integer(now_ms)) < 0) {
        json_decref(doc);
        return NULL;
    }
    return doc;
}

/* -EEXIST or -ENOENT: somebody made or deleted it in between. */
static int catalog_try(struct db *db, const char *asset, const json_t *video, int64_t now_ms,
                       json_t **ret)
{
    json_t *old = NULL;
    int found = db_get(db, MODEL_VIDEOS, asset, &old);
    if (found < 0 && found != -ENOENT)
        return found;
    int64_t created = found == 0 ? json_integer_value(json_object_get(old, "created_ms")) : now_ms;
    json_decref(old);
    json_t *doc = catalog_document(asset, video, created, now_ms);
    if (doc == NULL)
        return -ENOMEM;
    int r = found == 0 ? db_replace(db, MODEL_VIDEOS, doc) : db_insert(db, MODEL_VIDEOS, doc);
    if (r < 0) {
        json_decref(doc);
        return r;
    }
    *ret = doc;
    return 0;
}

int catalog_put(struct db *db, const char *asset, const json_t *video, int64_t now_ms, json_t **ret)
{
    int r = -EAGAIN;
    for (unsigned i = 0; i < CATALOG_TRIES_MAX; i++) {
        r = catalog_try(db, asset, video, now_ms, ret);
        if (r != -EEXIST && r != -ENOENT)
            return r;
    }
    return -EBUSY;
}

int catalog_get(struct db *db, const char *asset, json_t **ret)
{
    return db_get(db, MODEL_VIDEOS, asset, ret);
}

int catalog_delete(struct db *db, const char *asset)
{
    return db_delete(db, MODEL_VIDEOS, asset);
}

int catalog_list(struct db *db, unsigned limit, const char *cursor, json_t **ret, char **ret_cursor)
{
    const struct db_list list = {
        .key = "created_ms",
        .descending = true,
        .limit = limit,
        .cursor = cursor,
    };
    return db_list(db, MODEL_VIDEOS, &list, ret, ret_cursor);
}

json_t *catalog_public(const json_t *doc)
{
    char created[CLOCK_TEXT_SIZE];
    char updated[CLOCK_TEXT_SIZE];
    clock_format(json_integer_value(json_object_get(doc, "created_ms")), created);
    clock_format(json_integer_value(json_object_get(doc, "updated_ms")), updated);
    return json_pack(
        "{s:O, s:O, s:O, s:O, s:O, s:O, s:s, s:s}", "asset", json_object_get(doc, "id"), "title",
        json_object_get(doc, "title"), "duration_ms", json_object_get(doc, "duration_ms"), "height",
        json_object_get(doc, "height"), "audio", json_object_get(doc, "audio"), "subtitles",
        json_object_get(doc, "subtitles"), "created", created, "updated", updated);
}
