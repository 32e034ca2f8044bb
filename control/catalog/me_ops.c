/* SPDX-License-Identifier: Apache-2.0 */
/* One's history, favourites and channels: openapi/mine.yaml. */
#include <errno.h>
#include <stdlib.h>
#include "base/enc.h"
#include "control/catalog/catalog_ops.h"
#include "control/catalog/channel.h"
#include "control/catalog/favourite.h"
#include "control/catalog/follow.h"
#include "control/catalog/history.h"
#include "control/catalog/member.h"
#include "control/ops.h"

/* --- history ---------------------------------------------------------------------------------- */

static json_t *me_history_view(const json_t *docs)
{
    json_t *list = json_array();
    size_t i;
    json_t *doc;
    json_array_foreach(docs, i, doc)
    {
        if (json_array_append_new(list, history_public(doc)) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* The list's own cursors have a form of their own; what clients see is base64url. */
static int me_history_cursor(const char *cursor, struct buf *out)
{
    int r = cursor == NULL ? 0 : enc_unbase64url(str_of(cursor), out);
    if (r == 0 && cursor != NULL && memchr(out->data, 0, out->size) != NULL)
        r = -EINVAL;
    return r < 0 ? r : buf_error(out);
}

static int me_history_list(struct call *c)
{
    struct db_list page = {.limit = 1};
    CLEAN_BUF struct buf cursor = BUF_EMPTY;
    CLEAN_BUF struct buf next_text = BUF_EMPTY;
    json_t *docs = NULL;
    char *next = NULL;
    call_list(c, &page);
    int r = me_history_cursor(page.cursor, &cursor);
    if (r == 0)
        r = history_list(c->db, catalog_viewer_id(c), page.limit,
                         page.cursor == NULL ? NULL : cursor.data, &docs, &next);
    if (r < 0)
        return r == -EINVAL ? call_bad_cursor(c) : r;
    if (next != NULL)
        enc_base64url(next, strlen(next), &next_text);
    free(next);
    json_t *list = me_history_view(docs);
    json_decref(docs);
    r = list == NULL ? -ENOMEM : buf_error(&next_text);
    if (r == 0)
        r = catalog_add_videos(c, list);
    if (r < 0) {
        json_decref(list);
        return r;
    }
    return call_page(c, "history", list, next == NULL ? NULL : buf_take(&next_text));
}

static int me_history_answer(struct call *c, const json_t *entry)
{
    json_t *view = history_public(entry);
    json_t *list = json_pack("[o]", view);
    int r = list == NULL ? -ENOMEM : catalog_add_videos(c, list);
    if (r == 0)
        r = call_answer(c, json_incref(view));
    json_decref(list);
    return r;
}

static int me_history_get(struct call *c)
{
    json_t *entry = NULL;
    int r = history_position(c->db, catalog_viewer_id(c), call_path(c, "video"), c->now_ms, &entry);
    if (r == 0)
        r = me_history_answer(c, entry);
    json_decref(entry);
    return catalog_refuse(c, r, "HISTORY_NOT_FOUND", "entry");
}

static int me_history_put(struct call *c)
{
    json_t *video = NULL;
    json_t *entry = NULL;
    int r = catalog_path_video(c, &video);
    if (r < 0)
        return r;
    int64_t duration_ms = member_int(video, "duration_ms");
    int64_t position_ms = call_integer(c, "position_ms");
    const struct history_ask ask = {
        .viewer = catalog_viewer_id(c),
        .user = c->caller.user,
        .video = call_path(c, "video"),
        .position_ms = duration_ms > 0 ? MIN(position_ms, duration_ms) : position_ms,
        .duration_ms = duration_ms,
        .now_ms = c->now_ms,
    };
    r = history_mark(c->db, &ask, &entry);
    if (r == 0)
        r = me_history_answer(c, entry);
    json_decref(entry);
    json_decref(video);
    return r;
}

static int me_history_delete(struct call *c)
{
    int r = history_delete(c->db, catalog_viewer_id(c), call_path(c, "video"));
    return r == -ENOENT ? 0 : r; /* gone is what was asked for */
}

static int me_history_clear(struct call *c)
{
    return history_delete(c->db, catalog_viewer_id(c), NULL);
}

/* --- favourites ------------------------------------------------------------------------------- */

static json_t *me_favourite_view(const json_t *doc)
{
    json_t *view = json_object();
    int r = view == NULL ? -ENOMEM : member_copy(view, "video", doc, "video");
    if (r == 0)
        r = member_set_time(view, "added", doc, "created_ms");
    if (r == 0)
        return view;
    json_decref(view);
    return NULL;
}

static int me_favourites_list(struct call *c)
{
    struct db_list page = {.limit = 1};
    json_t *docs = NULL;
    char *next = NULL;
    size_t i;
    json_t *doc;
    call_list(c, &page);
    int r = favourite_list(c->db, catalog_viewer_id(c), page.limit, page.cursor, &docs, &next);
    if (r < 0)
        return r == -EINVAL ? call_bad_cursor(c) : r;
    json_t *list = json_array();
    json_array_foreach(docs, i, doc)
    {
        if (r == 0 && json_array_append_new(list, me_favourite_view(doc)) < 0)
            r = -ENOMEM;
    }
    json_decref(docs);
    if (r == 0)
        r = catalog_add_videos(c, list);
    if (r == 0)
        return call_page(c, "favourites", list, next);
    json_decref(list);
    free(next);
    return r;
}

static int me_favourite_answer(struct call *c, const json_t *doc)
{
    json_t *view = me_favourite_view(doc);
    json_t *list = json_pack("[o]", view);
    int r = list == NULL ? -ENOMEM : catalog_add_videos(c, list);
    if (r == 0)
        r = call_answer(c, json_incref(view));
    json_decref(list);
    return r;
}

static int me_favourites_get(struct call *c)
{
    json_t *doc = NULL;
    int r = favourite_get(c->db, catalog_viewer_id(c), call_path(c, "video"), &doc);
    if (r == 0)
        r = me_favourite_answer(c, doc);
    json_decref(doc);
    return catalog_refuse(c, r, "FAVOURITE_NOT_FOUND", "favourite");
}

static int me_favourites_put(struct call *c)
{
    json_t *video = NULL;
    json_t *doc = NULL;
    bool is_new = false;
    int r = catalog_path_video(c, &video);
    json_decref(video);
    if (r == 0)
        r = favourite_put(c->db, catalog_viewer_id(c), c->caller.user, call_path(c, "video"),
                          c->now_ms, &doc, &is_new);
    if (r == 0)
        r = me_favourite_answer(c, doc);
    c->status = is_new ? 201 : 200;
    json_decref(doc);
    return r;
}

static int me_favourites_delete(struct call *c)
{
    int r = favourite_delete(c->db, catalog_viewer_id(c), call_path(c, "video"));
    return r == -ENOENT ? 0 : r; /* gone is what was asked for */
}

/* --- channels that one follows ---------------------------------------------------------------- */

static json_t *me_follow_view(const json_t *doc)
{
    json_t *view = json_object();
    int r = view == NULL ? -ENOMEM : member_copy(view, "channel", doc, "channel");
    if (r == 0)
        r = member_set_time(view, "since", doc, "created_ms");
    if (r == 0)
        return view;
    json_decref(view);
    return NULL;
}

static int me_follows_list(struct call *c)
{
    struct db_list page = {.limit = 1};
    json_t *docs = NULL;
    char *next = NULL;
    size_t i;
    json_t *doc;
    call_list(c, &page);
    int r = follow_list(c->db, c->caller.user, page.limit, page.cursor, &docs, &next);
    if (r < 0)
        return r == -EINVAL ? call_bad_cursor(c) : r;
    json_t *list = json_array();
    json_array_foreach(docs, i, doc)
    {
        if (r == 0 && json_array_append_new(list, me_follow_view(doc)) < 0)
            r = -ENOMEM;
    }
    json_decref(docs);
    if (r == 0)
        return call_page(c, "subscriptions", list, next);
    json_decref(list);
    free(next);
    return r;
}

static int me_follows_get(struct call *c)
{
    json_t *doc = NULL;
    int r = follow_get(c->db, call_path(c, "channel"), c->caller.user, &doc);
    if (r == 0)
        r = call_answer(c, me_follow_view(doc));
    json_decref(doc);
    return catalog_refuse(c, r, "SUBSCRIPTION_NOT_FOUND", "subscription");
}

static int me_follows_put(struct call *c)
{
    json_t *doc = NULL;
    bool is_new = false;
    int r = follow_put(c->db, call_path(c, "channel"), c->caller.user, c->now_ms, &doc, &is_new);
    if (r == 0)
        r = call_answer(c, me_follow_view(doc));
    c->status = is_new ? 201 : 200;
    json_decref(doc);
    return catalog_refuse(c, r, "CHANNEL_NOT_FOUND", "channel");
}

static int me_follows_delete(struct call *c)
{
    int r = follow_delete(c->db, call_path(c, "channel"), c->caller.user, c->now_ms);
    return r == -ENOENT ? 0 : r; /* gone is what was asked for */
}

const struct op_handler me_ops[] = {
    {"history_list", me_history_list, NULL},
    {"history_clear", me_history_clear, NULL},
    {"history_get", me_history_get, NULL},
    {"history_put", me_history_put, NULL},
    {"history_delete", me_history_delete, NULL},
    {"favourites_list", me_favourites_list, NULL},
    {"favourites_get", me_favourites_get, NULL},
    {"favourites_put", me_favourites_put, NULL},
    {"favourites_delete", me_favourites_delete, NULL},
    {"subscriptions_list", me_follows_list, NULL},
    {"subscriptions_get", me_follows_get, NULL},
    {"subscriptions_put", me_follows_put, NULL},
    {"subscriptions_delete", me_follows_delete, NULL},
    {NULL, NULL, NULL},
};
