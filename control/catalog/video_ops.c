/* SPDX-License-Identifier: Apache-2.0 */
/* Videos: openapi/catalogue.yaml. */
#include <errno.h>
#include <stdlib.h>
#include "control/catalog/catalog.h"
#include "control/catalog/catalog_ops.h"
#include "control/catalog/member.h"
#include "control/catalog/search.h"
#include "control/catalog/upkeep.h"
#include "control/model.h"
#include "control/ops.h"

static const char *const video_facets[] = {"path", "audio", "tier", "length", "kind"};
static const char *const video_facets_shown[] = {"category", "language", "tier", "length", "kind"};

/* --- lists ------------------------------------------------------------------------------------ */

static int video_page(struct call *c, struct catalog_list *list)
{
    struct db_list page = {.limit = 1};
    json_t *docs = NULL;
    char *next = NULL;
    call_list(c, &page);
    list->limit = page.limit;
    list->cursor = page.cursor;
    int r = catalog_list(c->db, list, &docs, &next);
    if (r < 0)
        return r == -EINVAL ? call_bad_cursor(c) : r;
    r = call_page(c, "videos", catalog_show_all(c, docs), next);
    json_decref(docs);
    return r;
}

static int video_list(struct call *c)
{
    json_t *where = NULL;
    int r = catalog_filters(c, &where);
    struct catalog_list list = {.where = where};
    if (r == 0)
        r = video_page(c, &list);
    json_decref(where);
    return r;
}

/* The creator's own, in whatever state. */
static int video_list_mine(struct call *c)
{
    const json_t *state = json_object_get(c->query, "state");
    json_t *equal = json_pack("[s]", c->caller.user);
    json_t *where = json_pack("{s:O*}", "state", state);
    struct catalog_list list = {.key = "owner created_ms", .equal = equal, .where = where};
    int r = equal == NULL || where == NULL ? -ENOMEM : video_page(c, &list);
    json_decref(equal);
    json_decref(where);
    return r;
}

static int video_list_admin(struct call *c)
{
    const json_t *state = json_object_get(c->query, "state");
    const json_t *owner = json_object_get(c->query, "owner");
    json_t *where = json_pack("{s:O*, s:O*}", "state", state, "owner", owner);
    struct catalog_list list = {.key = "created_ms", .where = where};
    int r = where == NULL ? -ENOMEM : video_page(c, &list);
    json_decref(where);
    return r;
}

static int video_list_series(struct call *c)
{
    json_t *series = NULL;
    json_t *where = NULL;
    int r = db_get(c->db, MODEL_SERIES, call_path(c, "series"), &series);
    json_decref(series);
    if (r == 0)
        r = catalog_filters(c, &where);
    const json_t *season = json_object_get(c->query, "season");
    if (r == 0 && season != NULL)
        r = json_object_set(where, "season", (json_t *)(uintptr_t)season) < 0 ? -ENOMEM : 0;
    json_t *equal = json_pack("[s]", call_path(c, "series"));
    struct catalog_list list = {
        .key = "series place", .equal = equal, .where = where, .ascending = true};
    if (r == 0)
        r = equal == NULL ? -ENOMEM : video_page(c, &list);
    json_decref(equal);
    json_decref(where);
    return catalog_refuse(c, r, "SERIES_NOT_FOUND", "series");
}

/* --- search ----------------------------------------------------------------------------------- */

/* The counts under the names that the query has for them. */
static json_t *video_facets_view(const json_t *facets)
{
    json_t *view = json_object();
    for (unsigned i = 0; i < ARRAY_LEN(video_facets); i++)
        if (json_object_set(view, video_facets_shown[i], json_object_get(facets, video_facets[i])) <
            0) {
            json_decref(view);
            return NULL;
        }
    return view;
}

static int video_found(struct call *c, struct search_found *f)
{
    json_t *videos = catalog_show_all(c, f->videos);
    json_t *facets = f->facets == NULL ? json_null() : video_facets_view(f->facets);
    json_t *total =
        f->facets == NULL ? json_null() : json_incref(json_object_get(f->facets, "total"));
    json_t *corrected = f->corrected == NULL ? json_array() : json_incref(f->corrected);
    return call_answer(c, json_pack("{s:o, s:s?, s:o, s:o, s:o}", "videos", videos, "next", f->next,
                                    "total", total, "facets", facets, "corrected", corrected));
}

static int video_search(struct call *c)
{
    struct db_list page = {.limit = 1};
    struct search_found found = {NULL, NULL, NULL, NULL};
    json_t *where = NULL;
    CLEAN(words_unref) struct words_list *words = words_ref(upkeep_words(c->control->upkeep));
    call_list(c, &page);
    bool facets = call_query_true(c, "facets");
    int r = catalog_filters(c, &where);
    const struct search_ask ask = {
        .text = str_of(call_query_text(c, "q")),
        .where = where,
        .limit = page.limit,
        .cursor = page.cursor,
        .facets = video_facets,
        .facets_count = facets ? ARRAY_LEN(video_facets) : 0,
    };
    if (r == 0)
        r = search_run(c->db, MODEL_VIDEOS, words, &ask, &found);
    json_decref(where);
    if (r == -EINVAL && page.cursor != NULL)
        return call_bad_cursor(c);
    if (r == -EINVAL)
        return fault_set(&c->fault, 422, "QUERY_EMPTY", "\"q\" has no word to look for");
    if (r < 0)
        return r;
    r = video_found(c, &found);
    search_found_clear(&found);
    return r;
}

static int video_suggest(struct call *c)
{
    json_t *where = NULL;
    json_t *titles = NULL;
    CLEAN(words_unref) struct words_list *words = words_ref(upkeep_words(c->control->upkeep));
    int r = catalog_filters(c, &where);
    if (r == 0)
        r = search_suggest(c->db, MODEL_VIDEOS, words, str_of(call_query_text(c, "q")), where,
                           (unsigned)call_query_integer(c, "limit"), &titles);
    json_decref(where);
    return r < 0 ? r : call_answer(c, json_pack("{s:o}", "suggestions", titles));
}

/* --- one video -------------------------------------------------------------------------------- */

static int video_answer(struct call *c, const json_t *video)
{
    int r = call_answer(c, catalog_show(c, video));
    return r == 0 ? catalog_tag(c, video) : r;
}

static int video_create(struct call *c)
{
    const struct viewer viewer = catalog_viewer(c);
    json_t *video = NULL;
    int r = catalog_create(c->db, c->body, &viewer, c->now_ms, &video, &c->fault);
    if (r == 0)
        r = video_answer(c, video);
    json_decref(video);
    return r;
}

static int video_get(struct call *c)
{
    json_t *video = NULL;
    int r = catalog_path_video(c, &video);
    if (r == 0)
        r = video_answer(c, video);
    json_decref(video);
    return r;
}

static int video_change(struct call *c)
{
    const struct viewer viewer = catalog_viewer(c);
    json_t *video = NULL;
    int64_t rev = -1;
    int r = catalog_rev(c, &rev);
    if (r == 0)
        r = catalog_change(c->db, call_path(c, "video"), c->body, rev, &viewer, c->now_ms, &video,
                           &c->fault);
    if (r == 0)
        r = video_answer(c, video);
    json_decref(video);
    return catalog_refuse(c, r, "VIDEO_NOT_FOUND", "video");
}

static int video_delete(struct call *c)
{
    const struct viewer viewer = catalog_viewer(c);
    json_t *video = NULL;
    int r = catalog_path_video(c, &video);
    if (r == 0 && !visible_is_owner(video, &viewer))
        r = fault_set(&c->fault, 403, "NOT_YOURS", "only its creator may delete this video");
    json_decref(video);
    if (r == 0)
        r = catalog_delete(c->db, call_path(c, "video"), c->now_ms);
    return catalog_refuse(c, r, "VIDEO_NOT_FOUND", "video");
}

/* --- what ingest tells ------------------------------------------------------------------------ */

static int video_put_asset(struct call *c)
{
    json_t *doc = NULL;
    int r = catalog_put(c->db, call_path(c, "asset"), c->body, c->now_ms, &doc);
    if (r == 0)
        r = call_answer(c, catalog_show(c, doc));
    json_decref(doc);
    return r;
}

static int video_delete_asset(struct call *c)
{
    int r = catalog_delete(c->db, call_path(c, "asset"), c->now_ms);
    return r == -ENOENT ? 0 : r; /* gone is what was asked for */
}

const struct op_handler video_ops[] = {
    {"videos_list", video_list, NULL},
    {"videos_mine", video_list_mine, NULL},
    {"videos_admin", video_list_admin, NULL},
    {"videos_search", video_search, NULL},
    {"videos_suggest", video_suggest, NULL},
    {"videos_create", video_create, NULL},
    {"videos_get", video_get, NULL},
    {"videos_change", video_change, NULL},
    {"videos_delete", video_delete, NULL},
    {"series_episodes", video_list_series, NULL},
    {"assets_put", video_put_asset, NULL},
    {"assets_delete", video_delete_asset, NULL},
    {NULL, NULL, NULL},
};
