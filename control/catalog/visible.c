/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/visible.h"
#include <string.h>
#include "control/catalog/country.h"
#include "control/catalog/video_state.h"
#include "control/people/profiles.h"

static bool visible_equals(const json_t *doc, const char *member, const char *text)
{
    const char *value = json_string_value(json_object_get(doc, member));
    return value != NULL && text != NULL && strcmp(value, text) == 0;
}

bool visible_is_owner(const json_t *doc, const struct viewer *viewer)
{
    return viewer->is_admin || visible_equals(doc, "owner", viewer->user);
}

int visible_age(const json_t *video)
{
    const json_t *age = json_object_get(video, "age");
    return json_is_integer(age) ? (int)MAX(MIN(json_integer_value(age), VISIBLE_AGE_MOST), 0) : -1;
}

enum visible visible_video(const json_t *video, const struct viewer *viewer)
{
    if (viewer->age_max < 0 && visible_is_owner(video, viewer))
        return VISIBLE_YES; /* a child at the owner's account is no owner */
    if (!visible_equals(video, "state", video_state_name(VIDEO_PUBLISHED)))
        return VISIBLE_NO;
    /* Age first: a child is told nothing of where the film may be seen. */
    if (!profile_may_watch(viewer->age_max, visible_age(video)))
        return VISIBLE_AGE;
    if (!country_has(json_object_get(video, "countries"), viewer->country))
        return VISIBLE_COUNTRY;
    return VISIBLE_YES;
}

json_t *visible_where(const struct viewer *viewer)
{
    json_t *countries = json_pack("[s, s]", COUNTRY_ANY,
                                  viewer->country[0] != 0 ? viewer->country : COUNTRY_UNKNOWN);
    int r = countries == NULL ? -1 : 0;
    json_t *where = r < 0 ? NULL
                          : json_pack("{s:s, s:O}", "state", video_state_name(VIDEO_PUBLISHED),
                                      "countries", countries);
    json_decref(countries);
    if (where != NULL && viewer->age_max >= 0)
        r = json_object_set_new(where, "age", json_pack("{s:i}", "max", viewer->age_max));
    if (r == 0 && where != NULL)
        return where;
    json_decref(where);
    return NULL;
}
