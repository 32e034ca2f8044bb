/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/catalog_ops.h"
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "control/catalog/catalog.h"
#include "control/catalog/member.h"
#include "control/model.h"
#include "control/plans/viewer.h"

struct viewer catalog_viewer(const struct call *c)
{
    return (struct viewer){
        .user = c->caller.user[0] != 0 ? c->caller.user : NULL,
        .profile = c->caller.profile[0] != 0 ? c->caller.profile : NULL,
        .is_admin = c->caller.kind == CALLER_OPERATOR || (c->caller.roles & CALLER_ADMIN) != 0,
        .is_creator = (c->caller.roles & CALLER_CREATOR) != 0,
        .age_max =
            c->caller.kind == CALLER_USER ? c->caller.rating_max : -1, /* a key has no profile */
        .country = viewer_country(c),
    };
}

const char *catalog_viewer_id(const struct call *c)
{
    return c->caller.profile[0] != 0 ? c->caller.profile : c->caller.user;
}

int catalog_refuse(struct call *c, int r, const char *code, const char *what)
{
    if (r == -ENOENT)
        return fault_set(&c->fault, 404, code, "there is no such %s", what);
    return r == -ESTALE ? call_stale(c) : r;
}

int catalog_path_video(struct call *c, json_t **ret)
{
    const struct viewer viewer = catalog_viewer(c);
    return catalog_see(c->db, call_path(c, "video"), &viewer, ret, &c->fault);
}

int catalog_tag(struct call *c, const json_t *doc)
{
    return call_revision(c, member_int(doc, "rev"));
}

int catalog_rev(struct call *c, int64_t *ret)
{
    bool asked = false;
    int64_t rev = -1;
    int r = call_expected(c, &asked, &rev);
    if (r == 0)
        *ret = asked ? rev : -1;
    return r;
}

/* --- videos ----------------------------------------------------------------------------------- */

static int catalog_set_poster(struct call *c, const json_t *video, json_t *view)
{
    const struct playback_signer *signer = &c->live->signer;
    CLEAN_BUF struct buf url = BUF_EMPTY;
    if (!video_state_has_film(video_state_of(video)))
        return json_object_set_new(view, "poster_url", json_null()) < 0 ? -ENOMEM : 0;
    /* Signed for nobody in particular: so one answer is good for many viewers (gate_cache.h). */
    int r = playback_sign_picture(signer, member_text(video, "id"), "poster.jpg",
                                  playback_expires_rounded(signer, clock_real_s()), &url);
    if (r < 0)
        return r;
    return json_object_set_new(view, "poster_url", json_string(url.data)) < 0 ? -ENOMEM : 0;
}

json_t *catalog_show(struct call *c, const json_t *video)
{
    const struct viewer viewer = catalog_viewer(c);
    json_t *view = video_public(video, &viewer);
    if (view != NULL && catalog_set_poster(c, video, view) == 0)
        return view;
    json_decref(view);
    return NULL;
}

json_t *catalog_show_all(struct call *c, const json_t *videos)
{
    json_t *list = json_array();
    size_t i;
    json_t *video;
    json_array_foreach(videos, i, video)
    {
        if (json_array_append_new(list, catalog_show(c, video)) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static int catalog_add_video(struct call *c, json_t *item, const json_t *video)
{
    const struct viewer viewer = catalog_viewer(c);
    bool seen = json_is_object(video) && visible_video(video, &viewer) == VISIBLE_YES;
    json_t *none = json_object();
    const json_t *from = seen ? video : none;
    int r = none == NULL ? -ENOMEM : member_copy(item, "title", from, "title");
    if (r == 0)
        r = member_copy(item, "duration_ms", from, "duration_ms");
    if (r == 0 && seen)
        r = catalog_set_poster(c, video, item);
    else if (r == 0)
        r = json_object_set_new(item, "poster_url", json_null()) < 0 ? -ENOMEM : 0;
    json_decref(none);
    return r;
}

static int catalog_add_some(struct call *c, json_t *items, size_t from, unsigned count)
{
    const char *ids[DB_LIST_MAX];
    json_t *videos = NULL;
    ASSERT(count > 0);
    ASSERT(count <= DB_LIST_MAX);
    for (unsigned i = 0; i < count; i++) {
        ids[i] = member_text(json_array_get(items, from + i), "video");
        if (ids[i] == NULL)
            return -EBADMSG;
    }
    int r = db_get_many(c->db, MODEL_VIDEOS, ids, count, &videos);
    for (unsigned i = 0; r == 0 && i < count; i++)
        r = catalog_add_video(c, json_array_get(items, from + i), json_array_get(videos, i));
    json_decref(videos);
    return r;
}

/* A packed month may have more than the database gives at once. */
int catalog_add_videos(struct call *c, json_t *items)
{
    size_t size = json_array_size(items);
    int r = 0;
    for (size_t from = 0; r == 0 && from < size; from += DB_LIST_MAX)
        r = catalog_add_some(c, items, from, (unsigned)MIN(size - from, (size_t)DB_LIST_MAX));
    return r;
}

int catalog_page_of(struct call *c, int r, const char *name, json_t *docs, char *next,
                    json_t *(*view)(const json_t *doc))
{
    if (r < 0)
        return r == -EINVAL ? call_bad_cursor(c) : r;
    json_t *list = call_views(docs, view);
    json_decref(docs);
    r = list == NULL ? -ENOMEM : catalog_add_videos(c, list);
    if (r == 0)
        return call_page(c, name, list, next);
    json_decref(list);
    free(next);
    return r;
}

int catalog_answer_of(struct call *c, json_t *view)
{
    json_t *list = json_pack("[o]", view);
    int r = list == NULL ? -ENOMEM : catalog_add_videos(c, list);
    if (r == 0)
        r = call_answer(c, json_incref(view));
    json_decref(list);
    return r;
}

/* --- conditions ------------------------------------------------------------------------------- */

/* {the query's, the document's}: equal, or one of them. */
static const char *const catalog_filter_equal[][2] = {
    {"category", "path"}, {"language", "audio"}, {"subtitles", "subtitles"}, {"tier", "tier"},
    {"kind", "kind"},     {"length", "length"},  {"channel", "channel"},     {"series", "series"},
};

static int catalog_filter_range(json_t *where, const char *name, const json_t *min,
                                const json_t *max)
{
    if (min == NULL && max == NULL)
        return 0;
    json_t *range = json_pack("{s:O*, s:O*}", "min", min, "max", max);
    return json_object_set_new(where, name, range) < 0 ? -ENOMEM : 0;
}

static int catalog_filter_time(struct call *c, const char *name, int64_t add, json_t **ret)
{
    int64_t at_ms = 0;
    const char *text = call_query_text(c, name);
    if (text == NULL)
        return 0;
    if (clock_parse(str_of(text), &at_ms) < 0)
        return fault_set(&c->fault, 422, "PARAMETER_INVALID", "\"%s\" is not a time", name);
    *ret = json_integer(at_ms + add);
    return *ret == NULL ? -ENOMEM : 0;
}

static int catalog_filter_ranges(struct call *c, json_t *where)
{
    json_t *from = NULL;
    json_t *below = NULL;
    int r = catalog_filter_range(where, "duration_ms", json_object_get(c->query, "duration_min"),
                                 json_object_get(c->query, "duration_max"));
    if (r == 0)
        r = catalog_filter_time(c, "published_from", 0, &from);
    if (r == 0)
        r = catalog_filter_time(c, "published_below", -1, &below);
    if (r == 0)
        r = catalog_filter_range(where, "published_ms", from, below);
    json_decref(from);
    json_decref(below);
    return r;
}

int catalog_filters(struct call *c, json_t **ret_where)
{
    const struct viewer viewer = catalog_viewer(c);
    json_t *where = visible_where(&viewer);
    int r = where == NULL ? -ENOMEM : 0;
    for (unsigned i = 0; r == 0 && i < ARRAY_LEN(catalog_filter_equal); i++) {
        json_t *value = json_object_get(c->query, catalog_filter_equal[i][0]);
        if (value != NULL && json_object_set(where, catalog_filter_equal[i][1], value) < 0)
            r = -ENOMEM;
    }
    if (r == 0)
        r = catalog_filter_ranges(c, where);
    if (r < 0)
        json_decref(where);
    else
        *ret_where = where;
    return r;
}
