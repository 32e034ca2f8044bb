/* SPDX-License-Identifier: Apache-2.0 */
/* One's favourites and the channels that one follows: openapi/mine.yaml. */
#include <errno.h>
#include <stdlib.h>
#include "control/catalog/catalog_ops.h"
#include "control/catalog/channel.h"
#include "control/catalog/favourite.h"
#include "control/catalog/follow.h"
#include "control/catalog/member.h"
#include "control/ops.h"

/* --- favourites ------------------------------------------------------------------------------- */

/* What is kept of a thing, and since when. */
static json_t *me_kept_view(const json_t *doc, const char *thing, const char *since)
{
    json_t *view = json_object();
    int r = view == NULL ? -ENOMEM : member_copy(view, thing, doc, thing);
    if (r == 0)
        r = member_set_time(view, since, doc, "created_ms");
    if (r == 0)
        return view;
    json_decref(view);
    return NULL;
}

static json_t *me_favourite_view(const json_t *doc)
{
    return me_kept_view(doc, "video", "added");
}

/* With what is shown of each video. */
static int me_favourites_list(struct call *c)
{
    struct db_list page = {.limit = 1};
    json_t *docs = NULL;
    char *next = NULL;
    call_list(c, &page);
    int r = favourite_list(c->db, catalog_viewer_id(c), page.limit, page.cursor, &docs, &next);
    return catalog_page_of(c, r, "favourites", docs, next, me_favourite_view);
}

static int me_favourites_get(struct call *c)
{
    json_t *doc = NULL;
    int r = favourite_get(c->db, catalog_viewer_id(c), call_path(c, "video"), &doc);
    if (r == 0)
        r = catalog_answer_of(c, me_favourite_view(doc));
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
        r = catalog_answer_of(c, me_favourite_view(doc));
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
    return me_kept_view(doc, "channel", "since");
}

static int me_follows_list(struct call *c)
{
    struct db_list page = {.limit = 1};
    json_t *docs = NULL;
    char *next = NULL;
    call_list(c, &page);
    int r = follow_list(c->db, c->caller.user, page.limit, page.cursor, &docs, &next);
    return call_page_of(c, r, "subscriptions", docs, next, me_follow_view);
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
