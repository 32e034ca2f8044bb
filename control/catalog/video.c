/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/video.h"
#include "base/heading.h"
#include "control/catalog/country.h"
#include "control/catalog/member.h"

#define VIDEO_PLACE_SEASON 100000 /* episodes of a season are below */

enum video_state video_state_of(const json_t *video)
{
    enum video_state state = VIDEO_DRAFT;
    if (video_state_parse(member_str(video, "state"), &state) < 0)
        return VIDEO_FAILED; /* whoever else wrote it: it is not shown */
    return state;
}

struct video_schedule video_schedule_of(const json_t *video)
{
    return (struct video_schedule){
        .state = video_state_of(video),
        .publish_at_ms = member_int(video, "publish_at_ms"),
        .withdraw_at_ms = member_int(video, "withdraw_at_ms"),
    };
}

json_t *video_new(const char *id, const char *owner, int64_t now_ms)
{
    json_t *video =
        json_pack("{s:s, s:s, s:[], s:[], s:i, s:i, s:s, s:s, s:[s], s:I, s:I, s:i}", "id", id,
                  "title", id, "audio", "subtitles", "duration_ms", 0, "height", 0, "tier",
                  VIDEO_TIER, "state", video_state_name(VIDEO_DRAFT), "countries", COUNTRY_ANY,
                  "created_ms", (json_int_t)now_ms, "updated_ms", (json_int_t)now_ms, "rev", 1);
    if (video != NULL && owner != NULL && member_set_text(video, "owner", owner) < 0) {
        json_decref(video);
        return NULL;
    }
    return video;
}

/* --- changes ---------------------------------------------------------------------------------- */

/* Members that are stored as they are sent. */
static const char *const video_plain[] = {
    "summary", "kind",       "channel", "series",   "season",
    "episode", "categories", "tags",    "language", "age",
};

static int video_apply_plain(json_t *video, const json_t *patch)
{
    for (unsigned i = 0; i < ARRAY_LEN(video_plain); i++) {
        json_t *value = json_object_get(patch, video_plain[i]);
        if (json_is_null(value))
            (void)json_object_del(video, video_plain[i]); /* may not have been there */
        else if (value != NULL && json_object_set(video, video_plain[i], value) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int video_apply_title(json_t *video, const json_t *patch, struct fault *fault)
{
    struct err err = {0};
    if (json_object_get(patch, "title") == NULL)
        return 0;
    if (heading_check(member_str(patch, "title"), &err) < 0)
        return fault_set(fault, 422, "BODY_INVALID", "%s", err.text);
    if (member_set_text(video, "title", member_text(patch, "title")) < 0)
        return -ENOMEM;
    return json_object_set(video, "named", json_true()) < 0 ? -ENOMEM : 0;
}

/* Members that always stand: null brings the default back. */
static int video_apply_terms(json_t *video, const json_t *patch)
{
    const json_t *tier = json_object_get(patch, "tier");
    const json_t *at_once = json_object_get(patch, "publish_when_ready");
    int r = 0;
    if (tier != NULL)
        r = member_set_text(video, "tier",
                            json_is_string(tier) ? json_string_value(tier) : VIDEO_TIER);
    if (r == 0 && at_once != NULL)
        r = json_object_set_new(video, "at_once", json_boolean(json_is_true(at_once))) < 0 ? -ENOMEM
                                                                                           : 0;
    return r;
}

static int video_apply_countries(json_t *video, const json_t *patch, struct fault *fault)
{
    static const char *const names[][2] = {{"countries_allow", "allow"},
                                           {"countries_deny", "deny"}};
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        json_t *list = json_object_get(patch, names[i][0]);
        json_t *where = NULL;
        if (list == NULL)
            continue;
        if (json_array_size(list) == 0) {
            (void)json_object_del(video, names[i][1]); /* may not have been there */
            continue;
        }
        int r = country_where(list, NULL, &where);
        json_decref(where);
        if (r == -EINVAL)
            return fault_set(fault, 422, "COUNTRY_INVALID",
                             "\"%s\" is not a list of countries by their two letters", names[i][0]);
        if (r < 0 || json_object_set(video, names[i][1], list) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int video_apply_times(json_t *video, const json_t *patch, struct fault *fault)
{
    static const char *const names[][2] = {{"publish_at", "publish_at_ms"},
                                           {"withdraw_at", "withdraw_at_ms"}};
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        const json_t *value = json_object_get(patch, names[i][0]);
        int64_t at_ms = 0;
        if (value == NULL)
            continue;
        if (json_is_null(value)) {
            (void)json_object_del(video, names[i][1]); /* may not have been there */
            continue;
        }
        if (clock_parse(member_str(patch, names[i][0]), &at_ms) < 0 || at_ms <= 0)
            return fault_set(fault, 422, "TIME_INVALID",
                             "\"%s\" is not a time such as 2030-01-31T08:30:00Z", names[i][0]);
        int r = member_set_int(video, names[i][1], at_ms);
        if (r < 0)
            return r;
    }
    return 0;
}

/* What the wanted state needs beside the arrow. */
static int video_check_state(const json_t *video, enum video_state to, int64_t now_ms,
                             struct fault *fault)
{
    struct video_schedule s = video_schedule_of(video);
    if (to == VIDEO_SCHEDULED && s.publish_at_ms == 0)
        return fault_set(fault, 422, "PUBLISH_AT_MISSING",
                         "\"publish_at\" must say when a scheduled video is published");
    bool shown = to == VIDEO_SCHEDULED || to == VIDEO_PUBLISHED;
    int64_t from_ms = to == VIDEO_SCHEDULED ? MAX(s.publish_at_ms, now_ms) : now_ms;
    if (shown && s.withdraw_at_ms != 0 && s.withdraw_at_ms <= from_ms)
        return fault_set(fault, 422, "WITHDRAW_AT_PAST",
                         "\"withdraw_at\" is before the video would be published");
    return 0;
}

int video_move(json_t *video, enum video_state to, enum video_mover by, struct fault *fault)
{
    enum video_state from = video_state_of(video);
    if (!video_state_may(from, to, by))
        return fault_set(fault, 409, "STATE_CONFLICT", "a video that is %s cannot become %s",
                         video_state_name(from), video_state_name(to));
    return member_set_text(video, "state", video_state_name(to));
}

static int video_apply_state(json_t *video, const json_t *patch, int64_t now_ms,
                             struct fault *fault)
{
    enum video_state to = video_state_of(video);
    int r = 0;
    if (json_object_get(patch, "state") != NULL) {
        if (video_state_parse(member_str(patch, "state"), &to) < 0)
            return fault_set(fault, 422, "BODY_INVALID", "\"state\" is no state of a video");
        r = video_move(video, to, VIDEO_BY_OWNER, fault);
    }
    if (r == 0 &&
        (json_object_get(patch, "state") != NULL || json_object_get(patch, "publish_at") != NULL ||
         json_object_get(patch, "withdraw_at") != NULL))
        r = video_check_state(video, to, now_ms, fault);
    return r;
}

int video_apply(json_t *video, const json_t *patch, int64_t now_ms, struct fault *fault)
{
    int r = video_apply_title(video, patch, fault);
    if (r == 0)
        r = video_apply_plain(video, patch);
    if (r == 0)
        r = video_apply_terms(video, patch);
    if (r == 0)
        r = video_apply_countries(video, patch, fault);
    if (r == 0)
        r = video_apply_times(video, patch, fault);
    return r == 0 ? video_apply_state(video, patch, now_ms, fault) : r;
}

/* --- the film --------------------------------------------------------------------------------- */

/* Where a film that has just become ready goes on to by what its owner has asked for before. */
static enum video_state video_after_ready(const json_t *video)
{
    if (member_has(video, "publish_at_ms"))
        return VIDEO_SCHEDULED;
    return json_is_true(json_object_get(video, "at_once")) ? VIDEO_PUBLISHED : VIDEO_READY;
}

int video_film(json_t *video, const json_t *film)
{
    static const char *const facts[] = {"duration_ms", "height", "audio", "subtitles"};
    for (unsigned i = 0; i < ARRAY_LEN(facts); i++)
        if (json_object_set(video, facts[i], json_object_get(film, facts[i])) < 0)
            return -ENOMEM;
    if (!json_is_true(json_object_get(video, "named")) &&
        member_set_text(video, "title", member_text(film, "title")) < 0)
        return -ENOMEM;
    (void)json_object_del(video, "failure"); /* may not have been there */
    if (video_state_has_film(video_state_of(video)))
        return 0;
    return member_set_text(video, "state", video_state_name(video_after_ready(video)));
}

/* --- what follows ----------------------------------------------------------------------------- */

static int video_settle_place(json_t *video)
{
    int64_t duration_ms = member_int(video, "duration_ms");
    const char *length = duration_ms <= 0               ? NULL
                         : duration_ms < VIDEO_SHORT_MS ? "short"
                         : duration_ms >= VIDEO_LONG_MS ? "long"
                                                        : "medium";
    int r = member_set_text(video, "length", length);
    if (r == 0 && member_has(video, "series"))
        return member_set_int(video, "place",
                              member_int(video, "season") * VIDEO_PLACE_SEASON +
                                  member_int(video, "episode"));
    (void)json_object_del(video, "place"); /* may not have been there */
    return r;
}

int video_settle(json_t *video, int64_t now_ms)
{
    struct video_schedule s = video_schedule_of(video);
    json_t *countries = NULL;
    s.state = video_state_now(&s, now_ms);
    int64_t due_ms = video_state_due(&s);
    int r =
        country_where(json_object_get(video, "allow"), json_object_get(video, "deny"), &countries);
    if (r < 0)
        return r == -EINVAL ? -EBADMSG : r;
    r = json_object_set_new(video, "countries", countries) < 0 ? -ENOMEM : 0;
    if (r == 0)
        r = member_set_text(video, "state", video_state_name(s.state));
    if (r == 0 && due_ms != 0)
        r = member_set_int(video, "due_ms", due_ms);
    else if (r == 0)
        (void)json_object_del(video, "due_ms"); /* may not have been there */
    bool was_shown = s.state == VIDEO_PUBLISHED || s.state == VIDEO_WITHDRAWN;
    if (r == 0 && was_shown && !member_has(video, "published_ms"))
        r = member_set_int(video, "published_ms",
                           s.publish_at_ms != 0 ? MIN(s.publish_at_ms, now_ms) : now_ms);
    return r == 0 ? video_settle_place(video) : r;
}
