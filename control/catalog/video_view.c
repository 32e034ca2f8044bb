/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/member.h"
#include "control/catalog/video.h"

/* {as it is shown, as it is stored}; null where there is none. */
static const char *const video_view_all[][2] = {
    {"id", "id"},
    {"asset", "id"},
    {"title", "title"},
    {"summary", "summary"},
    {"kind", "kind"},
    {"channel", "channel"},
    {"series", "series"},
    {"season", "season"},
    {"episode", "episode"},
    {"categories", "categories"},
    {"tags", "tags"},
    {"language", "language"},
    {"audio", "audio"},
    {"subtitles", "subtitles"},
    {"duration_ms", "duration_ms"},
    {"length", "length"},
    {"height", "height"},
    {"tier", "tier"},
    {"age", "age"},
    {"state", "state"},
    {"rev", "rev"},
};

static const char *const video_view_owner[][2] = {
    {"owner", "owner"},
    {"countries_allow", "allow"},
    {"countries_deny", "deny"},
    {"failure", "failure"},
};

static const char *const video_view_lists[] = {"categories", "tags", "countries_allow",
                                               "countries_deny"};

static int video_view_counts(json_t *view, const json_t *video)
{
    int64_t count = member_int(video, "stars_count");
    json_t *stars = json_pack("{s:I}", "count", (json_int_t)count);
    int r = json_object_set_new(
                stars, "average",
                count > 0 ? json_real((double)member_int(video, "stars_sum") / (double)count)
                          : json_null()) < 0
                ? -ENOMEM
                : 0;
    if (json_object_set_new(view, "stars", stars) < 0 || r < 0)
        return -ENOMEM;
    return member_set_int(view, "comments", member_int(video, "comments"));
}

static int video_view_owners(json_t *view, const json_t *video)
{
    int r = 0;
    for (unsigned i = 0; r == 0 && i < ARRAY_LEN(video_view_owner); i++)
        r = member_copy(view, video_view_owner[i][0], video, video_view_owner[i][1]);
    if (r == 0)
        r = member_set_time(view, "publish_at", video, "publish_at_ms");
    if (r == 0)
        r = member_set_time(view, "withdraw_at", video, "withdraw_at_ms");
    bool at_once = json_is_true(json_object_get(video, "at_once"));
    if (r == 0 && json_object_set_new(view, "publish_when_ready", json_boolean(at_once)) < 0)
        r = -ENOMEM;
    return r;
}

static int video_view_fill(json_t *view, const json_t *video, const struct viewer *viewer)
{
    int r = view == NULL ? -ENOMEM : 0;
    for (unsigned i = 0; r == 0 && i < ARRAY_LEN(video_view_all); i++)
        r = member_copy(view, video_view_all[i][0], video, video_view_all[i][1]);
    if (r == 0)
        r = video_view_counts(view, video);
    if (r == 0)
        r = member_set_time(view, "published", video, "published_ms");
    if (r == 0)
        r = member_set_time(view, "created", video, "created_ms");
    if (r == 0)
        r = member_set_time(view, "updated", video, "updated_ms");
    if (r == 0 && visible_is_owner(video, viewer))
        r = video_view_owners(view, video);
    for (unsigned i = 0; r == 0 && i < ARRAY_LEN(video_view_lists); i++)
        if (json_is_null(json_object_get(view, video_view_lists[i])) &&
            json_object_set_new(view, video_view_lists[i], json_array()) < 0)
            r = -ENOMEM;
    return r;
}

json_t *video_public(const json_t *video, const struct viewer *viewer)
{
    json_t *view = json_object();
    if (video_view_fill(view, video, viewer) == 0)
        return view;
    json_decref(view);
    return NULL;
}
