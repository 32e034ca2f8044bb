/* SPDX-License-Identifier: Apache-2.0 */
/* Channels, series, playlists, categories: openapi/lists.yaml. */
#include <errno.h>
#include <stdlib.h>
#include "control/catalog/catalog_ops.h"
#include "control/catalog/category.h"
#include "control/catalog/channel.h"
#include "control/catalog/gone.h"
#include "control/catalog/member.h"
#include "control/catalog/playlist.h"
#include "control/model.h"
#include "control/ops.h"

/* A page of documents, each shown by view. */
static int list_page(struct call *c, unsigned coll, struct db_list *list, const char *name,
                     json_t *(*view)(const json_t *doc))
{
    json_t *docs = NULL;
    char *next = NULL;
    call_list(c, list);
    int r = db_list(c->db, coll, list, &docs, &next);
    return call_page_of(c, r, name, docs, next, view);
}

static int list_answer(struct call *c, const json_t *doc, json_t *view)
{
    int r = call_answer(c, view);
    return r == 0 ? catalog_tag(c, doc) : r;
}

/* --- channels --------------------------------------------------------------------------------- */

static int list_channels(struct call *c)
{
    const json_t *owner = json_object_get(c->query, "owner");
    json_t *equal = owner == NULL ? NULL : json_pack("[O]", owner);
    struct db_list list = {
        .key = owner == NULL ? "created_ms" : "owner created_ms",
        .descending = true,
        .equal = equal,
    };
    int r = list_page(c, MODEL_CHANNELS, &list, "channels", channel_public);
    json_decref(equal);
    return r;
}

static int list_channel_create(struct call *c)
{
    const struct viewer viewer = catalog_viewer(c);
    json_t *doc = NULL;
    int r = channel_create(c->db, c->body, viewer.user, c->now_ms, &doc, &c->fault);
    if (r == 0)
        r = list_answer(c, doc, channel_public(doc));
    json_decref(doc);
    return r;
}

static int list_channel_get(struct call *c)
{
    json_t *doc = NULL;
    int r = channel_get(c->db, call_path(c, "channel"), &doc);
    if (r == 0)
        r = list_answer(c, doc, channel_public(doc));
    json_decref(doc);
    return catalog_refuse(c, r, "CHANNEL_NOT_FOUND", "channel");
}

static int list_channel_change(struct call *c)
{
    const struct viewer viewer = catalog_viewer(c);
    json_t *doc = NULL;
    int64_t rev = -1;
    int r = catalog_rev(c, &rev);
    if (r == 0)
        r = channel_change(c->db, call_path(c, "channel"), c->body, rev, &viewer, c->now_ms, &doc,
                           &c->fault);
    if (r == 0)
        r = list_answer(c, doc, channel_public(doc));
    json_decref(doc);
    return catalog_refuse(c, r, "CHANNEL_NOT_FOUND", "channel");
}

/* Taken away with what hangs on it, if it is the viewer's. */
static int list_delete(struct call *c, unsigned coll, enum gone_kind kind, const char *id)
{
    const struct viewer viewer = catalog_viewer(c);
    json_t *doc = NULL;
    int r = db_get(c->db, coll, id, &doc);
    if (r == 0 && !visible_is_owner(doc, &viewer))
        r = fault_set(&c->fault, 403, "NOT_YOURS", "only its owner may delete it");
    json_decref(doc);
    return r == 0 ? gone_put(c->db, kind, id, c->now_ms) : r;
}

static int list_channel_delete(struct call *c)
{
    int r = list_delete(c, MODEL_CHANNELS, GONE_CHANNEL, call_path(c, "channel"));
    return catalog_refuse(c, r, "CHANNEL_NOT_FOUND", "channel");
}

/* --- series ----------------------------------------------------------------------------------- */

static int list_series(struct call *c)
{
    const json_t *channel = json_object_get(c->query, "channel");
    json_t *equal = channel == NULL ? NULL : json_pack("[O]", channel);
    struct db_list list = {
        .key = channel == NULL ? "created_ms" : "channel created_ms",
        .descending = true,
        .equal = equal,
    };
    int r = list_page(c, MODEL_SERIES, &list, "series", series_public);
    json_decref(equal);
    return r;
}

static int list_series_create(struct call *c)
{
    const struct viewer viewer = catalog_viewer(c);
    json_t *doc = NULL;
    int r = series_create(c->db, c->body, &viewer, c->now_ms, &doc, &c->fault);
    if (r == 0)
        r = list_answer(c, doc, series_public(doc));
    json_decref(doc);
    return r;
}

static int list_series_get(struct call *c)
{
    json_t *doc = NULL;
    int r = series_get(c->db, call_path(c, "series"), &doc);
    if (r == 0)
        r = list_answer(c, doc, series_public(doc));
    json_decref(doc);
    return catalog_refuse(c, r, "SERIES_NOT_FOUND", "series");
}

static int list_series_change(struct call *c)
{
    const struct viewer viewer = catalog_viewer(c);
    json_t *doc = NULL;
    int64_t rev = -1;
    int r = catalog_rev(c, &rev);
    if (r == 0)
        r = series_change(c->db, call_path(c, "series"), c->body, rev, &viewer, c->now_ms, &doc,
                          &c->fault);
    if (r == 0)
        r = list_answer(c, doc, series_public(doc));
    json_decref(doc);
    return catalog_refuse(c, r, "SERIES_NOT_FOUND", "series");
}

static int list_series_delete(struct call *c)
{
    int r = list_delete(c, MODEL_SERIES, GONE_SERIES, call_path(c, "series"));
    return catalog_refuse(c, r, "SERIES_NOT_FOUND", "series");
}

/* --- playlists -------------------------------------------------------------------------------- */

static json_t *list_playlist_view(const json_t *doc)
{
    return playlist_public(doc, false);
}

static int list_playlists(struct call *c)
{
    bool all = call_query_true(c, "public");
    json_t *equal = json_pack("[s]", all ? "public" : c->caller.user);
    struct db_list list = {
        .key = all ? "access created_ms" : "owner created_ms",
        .descending = true,
        .equal = equal,
    };
    int r = equal == NULL ? -ENOMEM
                          : list_page(c, MODEL_PLAYLISTS, &list, "playlists", list_playlist_view);
    json_decref(equal);
    return r;
}

static int list_playlist_answer(struct call *c, const json_t *doc)
{
    json_t *view = playlist_public(doc, true);
    int r = view == NULL ? -ENOMEM : catalog_add_videos(c, json_object_get(view, "items"));
    if (r == 0)
        return list_answer(c, doc, view);
    json_decref(view);
    return r;
}

/* What each change of a playlist is asked with. */
static int list_playlist_ask(struct call *c, struct viewer *viewer, struct playlist_ask *ret)
{
    *viewer = catalog_viewer(c);
    *ret = (struct playlist_ask){
        .id = call_path(c, "playlist"), .viewer = viewer, .rev = -1, .now_ms = c->now_ms};
    return catalog_rev(c, &ret->rev);
}

static int list_playlist_end(struct call *c, int r, json_t *doc)
{
    if (r == 0)
        r = list_playlist_answer(c, doc);
    json_decref(doc);
    return catalog_refuse(c, r, "PLAYLIST_NOT_FOUND", "playlist");
}

static int list_playlist_create(struct call *c)
{
    json_t *doc = NULL;
    int r = playlist_create(c->db, c->body, c->caller.user, c->now_ms, &doc, &c->fault);
    return list_playlist_end(c, r, doc);
}

static int list_playlist_get(struct call *c)
{
    const struct viewer viewer = catalog_viewer(c);
    json_t *doc = NULL;
    int r = playlist_get(c->db, call_path(c, "playlist"), &viewer, &doc);
    return list_playlist_end(c, r, doc);
}

static int list_playlist_change(struct call *c)
{
    struct viewer viewer;
    struct playlist_ask ask;
    json_t *doc = NULL;
    int r = list_playlist_ask(c, &viewer, &ask);
    if (r == 0)
        r = playlist_change(c->db, &ask, c->body, &doc, &c->fault);
    return list_playlist_end(c, r, doc);
}

static int list_playlist_delete(struct call *c)
{
    struct viewer viewer;
    struct playlist_ask ask;
    int r = list_playlist_ask(c, &viewer, &ask);
    if (r == 0)
        r = playlist_delete(c->db, &ask, &c->fault);
    return catalog_refuse(c, r, "PLAYLIST_NOT_FOUND", "playlist");
}

static int list_playlist_add(struct call *c)
{
    struct viewer viewer;
    struct playlist_ask ask;
    json_t *video = NULL;
    json_t *doc = NULL;
    const json_t *position = json_object_get(c->body, "position");
    int r = list_playlist_ask(c, &viewer, &ask);
    if (r == 0)
        r = catalog_path_video(c, &video);
    json_decref(video);
    if (r == 0)
        r = playlist_add(c->db, &ask, call_path(c, "video"),
                         json_is_integer(position) ? json_integer_value(position) : -1, &doc,
                         &c->fault);
    return list_playlist_end(c, r, doc);
}

static int list_playlist_remove(struct call *c)
{
    struct viewer viewer;
    struct playlist_ask ask;
    json_t *doc = NULL;
    int r = list_playlist_ask(c, &viewer, &ask);
    if (r == 0)
        r = playlist_remove(c->db, &ask, call_path(c, "video"), &doc, &c->fault);
    return list_playlist_end(c, r, doc);
}

static int list_playlist_order(struct call *c)
{
    struct viewer viewer;
    struct playlist_ask ask;
    json_t *doc = NULL;
    int r = list_playlist_ask(c, &viewer, &ask);
    if (r == 0)
        r = playlist_order(c->db, &ask, json_object_get(c->body, "videos"), &doc, &c->fault);
    return list_playlist_end(c, r, doc);
}

/* --- categories ------------------------------------------------------------------------------- */

static int list_categories(struct call *c)
{
    struct category_tree t;
    int r = category_tree_load(c->db, &t);
    if (r < 0)
        return r;
    r = call_answer(c, json_pack("{s:o}", "categories", category_tree_public(&t)));
    category_tree_free(&t);
    return r;
}

static int list_category_create(struct call *c)
{
    json_t *doc = NULL;
    int r = category_create(c->db, c->body, c->now_ms, &doc, &c->fault);
    if (r == 0)
        r = list_answer(c, doc, category_public(doc));
    json_decref(doc);
    return r;
}

static int list_category_change(struct call *c)
{
    json_t *doc = NULL;
    int64_t rev = -1;
    int r = catalog_rev(c, &rev);
    if (r == 0)
        r = category_change(c->db, call_path(c, "category"), c->body, rev, c->now_ms, &doc,
                            &c->fault);
    if (r == 0)
        r = list_answer(c, doc, category_public(doc));
    json_decref(doc);
    return catalog_refuse(c, r, "CATEGORY_NOT_FOUND", "category");
}

static int list_category_delete(struct call *c)
{
    int r = category_delete(c->db, call_path(c, "category"), c->now_ms, &c->fault);
    return catalog_refuse(c, r, "CATEGORY_NOT_FOUND", "category");
}

const struct op_handler list_ops[] = {
    {"channels_list", list_channels, NULL},
    {"channels_create", list_channel_create, NULL},
    {"channels_get", list_channel_get, NULL},
    {"channels_change", list_channel_change, NULL},
    {"channels_delete", list_channel_delete, NULL},
    {"series_list", list_series, NULL},
    {"series_create", list_series_create, NULL},
    {"series_get", list_series_get, NULL},
    {"series_change", list_series_change, NULL},
    {"series_delete", list_series_delete, NULL},
    {"playlists_list", list_playlists, NULL},
    {"playlists_create", list_playlist_create, NULL},
    {"playlists_get", list_playlist_get, NULL},
    {"playlists_change", list_playlist_change, NULL},
    {"playlists_delete", list_playlist_delete, NULL},
    {"playlists_add", list_playlist_add, NULL},
    {"playlists_remove", list_playlist_remove, NULL},
    {"playlists_order", list_playlist_order, NULL},
    {"categories_list", list_categories, NULL},
    {"categories_create", list_category_create, NULL},
    {"categories_change", list_category_change, NULL},
    {"categories_delete", list_category_delete, NULL},
    {NULL, NULL, NULL},
};
