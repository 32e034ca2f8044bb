/* SPDX-License-Identifier: Apache-2.0 */
#include "control/plans/viewer.h"
#include <errno.h>
#include <stdlib.h>
#include "control/catalog/country.h"
#include "control/catalog/visible.h"
#include "control/people/profiles.h"
#include "control/plans/rights.h"

#define VIEWER_COUNTRIES_MAX 300

void viewer_place(const struct call *c, struct geo_place *ret)
{
    struct addr a;
    *ret = (struct geo_place){.country = ""};
    if (c->live->geo == NULL || addr_parse(str_of(c->peer), &a) < 0 ||
        geo_find(c->live->geo, &a, ret) < 0)
        return; /* not known */
}

const char *viewer_country(const struct call *c)
{
    static _Thread_local char country[3]; /* a work stays on its thread */
    struct geo_place place;
    viewer_place(c, &place);
    memcpy(country, place.country, sizeof country);
    return country;
}

static void viewer_find_place(struct call *c, struct viewer_of *v)
{
    viewer_place(c, &v->place);
    v->where = (struct edge_viewer){
        .country = v->place.country,
        .continent = v->place.continent,
        .has_position = v->place.has_position,
        .latitude = v->place.latitude,
        .longitude = v->place.longitude,
    };
}

static struct entitle_ask viewer_ask(const struct call *c, const struct viewer_of *v,
                                     struct entitle_grant *grants)
{
    struct entitle_ask ask = {
        .plans = v->plans,
        .now_ms = c->now_ms,
        .country = v->place.country[0] != 0 ? v->place.country : COUNTRY_UNKNOWN,
        .user = c->caller.user[0] != 0 ? c->caller.user : NULL,
        .default_plan = c->live->default_plan,
        .default_limit = c->live->stream_limit,
        .is_admin = c->caller.kind == CALLER_OPERATOR || (c->caller.roles & CALLER_ADMIN) != 0,
        .age_max = v->age_max,
    };
    rights_fill(v->rights, &ask, grants);
    return ask;
}

struct viewer_of *viewer_free(struct viewer_of *v)
{
    if (v == NULL)
        return NULL;
    plan_list_free(v->plans);
    json_decref(v->rights);
    free(v);
    return NULL;
}

int viewer_load(struct call *c, struct viewer_of **ret)
{
    struct viewer_of *v = calloc(1, sizeof *v);
    if (v == NULL)
        return -ENOMEM;
    int r = plans_get(c->control->plans, &v->plans, NULL);
    if (r == 0)
        r = rights_get(c->db, c->caller.user, &v->rights);
    if (r < 0) {
        viewer_free(v);
        return r;
    }
    viewer_find_place(c, v);
    /* a key has no profile, unless the call names one */
    v->age_max = c->caller.kind == CALLER_USER ? c->caller.rating_max : -1;
    const struct entitle_ask ask = viewer_ask(c, v, NULL);
    v->has = entitle_viewer(&ask);
    *ret = v;
    return 0;
}

/* --- profiles --------------------------------------------------------------------------------- */

int viewer_as(struct call *c, struct viewer_of *v, const char *profile, const char *pin)
{
    json_t *doc = NULL;
    unsigned wait_s = 0;
    if (profile == NULL || strcmp(profile, c->caller.profile) == 0)
        return 0; /* chosen already, with its PIN */
    int r = profile_get(c->db, c->caller.user, profile, &doc);
    if (r == -ENOENT)
        return fault_set(&c->fault, 404, "PROFILE_NOT_FOUND", "there is no such profile");
    if (r == 0)
        r = profile_check_pin(c->db, doc, pin, c->now_ms, &c->fault, &wait_s);
    if (r == 0)
        v->age_max = profile_limit(doc);
    json_decref(doc);
    return call_wait(c, r, wait_s);
}

/* Beyond the profile's limit: a PIN of somebody who may watch it lets it be watched this once. 0:
 * it was right. */
static int viewer_check_over(struct call *c, const struct viewer_of *v, int rating, const char *pin)
{
    unsigned wait_s = 0;
    int r = profile_check_over(c->db, c->caller.user, rating, pin, c->now_ms, &c->fault, &wait_s);
    if (r != -ENOENT && r != -EACCES)
        return call_wait(c, r, wait_s);
    c->details =
        json_pack("{s:o, s:i, s:b}", "age", rating < 0 ? json_null() : json_integer(rating),
                  "rating_max", v->age_max, "pin_helps", r == -EACCES);
    if (c->details == NULL)
        return -ENOMEM;
    return fault_set(&c->fault, 403, "AGE_RESTRICTED", "this profile may not watch this title");
}

/* --- titles ----------------------------------------------------------------------------------- */

static const char *viewer_text(const json_t *video, const char *name)
{
    return json_string_value(json_object_get(video, name));
}

/* The catalogue keeps where a title may be seen as the countries in which it may, and "?" where a
 * viewer may whose country is not known; "*": everywhere (country.h). A title without such a list
 * is as old as the catalogue's first form: everywhere. */
static void viewer_fill_title(const json_t *video, struct entitle_ask *ask,
                              const char *countries[VIEWER_COUNTRIES_MAX])
{
    size_t i;
    const json_t *each;
    const char *state = viewer_text(video, "state");
    const json_t *list = json_object_get(video, "countries");
    bool is_everywhere = list == NULL;
    ask->asset = viewer_text(video, "id");
    ask->owner = viewer_text(video, "owner");
    ask->tier = viewer_text(video, "tier");
    ask->is_published = state == NULL || strcmp(state, "published") == 0;
    ask->age = visible_age(video);
    json_array_foreach(list, i, each)
    {
        const char *code = json_string_value(each);
        if (code == NULL || i >= VIEWER_COUNTRIES_MAX)
            continue;
        is_everywhere = is_everywhere || strcmp(code, COUNTRY_ANY) == 0;
        countries[ask->allow.count++] = code;
    }
    ask->allow.at = countries;
    if (is_everywhere)
        ask->allow.count = 0;
    else if (ask->allow.count == 0) /* nowhere: a list that names no country */
        countries[ask->allow.count++] = "";
}

static int viewer_refuse_plan(struct call *c, const struct viewer_of *v,
                              const struct entitle_verdict *verdict)
{
    json_t *actions = viewer_upgrades(v, verdict->needed);
    c->details = json_pack("{s:s, s:s, s:o}", "plan_id", verdict->plan->id, "needed",
                           verdict->needed->id, "actions", actions);
    if (c->details == NULL)
        return -ENOMEM;
    return fault_set(&c->fault, 403, "PLAN_NEEDED", "this title needs the plan %s",
                     verdict->needed->name);
}

int viewer_may(struct call *c, const struct viewer_of *v, const json_t *video, const char *pin,
               struct entitle_verdict *ret)
{
    const char *countries[VIEWER_COUNTRIES_MAX + 1];
    struct entitle_grant *grants = NULL;
    size_t count = json_array_size(json_object_get(v->rights, "grants"));
    if (count > 0) {
        grants = calloc(RIGHTS_GRANTS_MAX, sizeof *grants);
        if (grants == NULL)
            return -ENOMEM;
    }
    struct entitle_ask ask = viewer_ask(c, v, grants);
    viewer_fill_title(video, &ask, countries);
    struct entitle_verdict verdict = entitle(&ask);
    int r = 0;
    if (verdict.why == ENTITLE_AGE && !verdict.allowed) {
        r = viewer_check_over(c, v, ask.age, pin);
        ask.age_max = -1;
        verdict = entitle(&ask);
    }
    free(grants);
    if (r < 0)
        return r;
    if (verdict.allowed) {
        *ret = verdict;
        return 0;
    }
    switch (verdict.why) {
    case ENTITLE_COUNTRY:
        return fault_set(&c->fault, 451, "UNAVAILABLE_IN_COUNTRY",
                         "this video is not available in your country");
    case ENTITLE_PLAN_NEEDED:
        return viewer_refuse_plan(c, v, &verdict);
    case ENTITLE_AGE:
    case ENTITLE_NOT_PUBLISHED:
    case ENTITLE_BY_PLAN:
    case ENTITLE_BY_GRANT:
    case ENTITLE_BY_OWNER:
    case ENTITLE_BY_ADMIN:
        break;
    }
    return fault_set(&c->fault, 404, "VIDEO_NOT_FOUND", "there is no such video");
}

/* --- upgrades --------------------------------------------------------------------------------- */

json_t *viewer_upgrades(const struct viewer_of *v, const struct plan *from)
{
    json_t *list = json_array();
    for (unsigned i = 0; list != NULL && i < v->plans->count; i++) {
        const struct plan *p = &v->plans->at[i];
        char label[PLAN_NAME_SIZE + 64];
        bool is_more = from != NULL ? p >= from : p->stream_limit > v->has.stream_limit;
        if (!is_more || p <= v->has.plan)
            continue;
        (void)snprintf(label, sizeof label, "Upgrade to %s: %u stream%s at once", p->name,
                       p->stream_limit, p->stream_limit == 1 ? "" : "s"); /* sized to fit */
        json_t *action =
            json_pack("{s:s, s:s, s:s}", "action", "upgrade", "plan_id", p->id, "label", label);
        if (json_array_append_new(list, action) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}
