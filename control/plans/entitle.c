/* SPDX-License-Identifier: Apache-2.0 */
#include "control/plans/entitle.h"
#include "control/people/profiles.h"

const char *entitle_why_text(enum entitle_why why)
{
    static const char *const texts[] = {
        [ENTITLE_BY_PLAN] = "plan",    [ENTITLE_BY_GRANT] = "grant",
        [ENTITLE_BY_OWNER] = "owner",  [ENTITLE_BY_ADMIN] = "admin",
        [ENTITLE_AGE] = "age",         [ENTITLE_NOT_PUBLISHED] = "not_published",
        [ENTITLE_COUNTRY] = "country", [ENTITLE_PLAN_NEEDED] = "plan_needed",
    };
    return texts[why];
}

struct entitle_verdict entitle_viewer(const struct entitle_ask *ask)
{
    const struct plan *p = plan_find(ask->plans, ask->plan);
    bool is_over = ask->plan_until_ms != 0 && ask->plan_until_ms <= ask->now_ms;
    bool is_own = p != NULL && !is_over;
    if (!is_own)
        p = plan_find(ask->plans, ask->default_plan);
    if (p == NULL)
        p = &ask->plans->at[0];
    unsigned limit = ask->stream_limit;
    if (limit == 0 && !is_own)
        limit = ask->default_limit;
    return (struct entitle_verdict){
        .plan = p,
        .stream_limit = limit != 0 ? limit : p->stream_limit,
        .ads = p->ads,
        .downloads = p->downloads,
        .until_ms = is_own ? ask->plan_until_ms : 0,
    };
}

static bool entitle_has(const struct entitle_countries *list, const char *country)
{
    for (unsigned i = 0; country != NULL && country[0] != 0 && i < list->count; i++)
        if (strcmp(list->at[i], country) == 0)
            return true;
    return false;
}

static bool entitle_country_fits(const struct entitle_ask *ask)
{
    if (entitle_has(&ask->block, ask->country))
        return false;
    return ask->allow.count == 0 || entitle_has(&ask->allow, ask->country);
}

static bool entitle_is_same(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

/* Of several the one with the largest picture, and of those the one that lasts longest. */
static const struct entitle_grant *entitle_grant_of(const struct entitle_ask *ask)
{
    const struct entitle_grant *best = NULL;
    for (unsigned i = 0; i < ask->grants_count; i++) {
        const struct entitle_grant *g = &ask->grants[i];
        if (!entitle_is_same(g->asset, ask->asset) || g->from_ms > ask->now_ms ||
            (g->until_ms != 0 && g->until_ms <= ask->now_ms))
            continue;
        uint32_t height = g->height_max - 1; /* no cap is the most: 0 - 1 */
        uint64_t until = (uint64_t)g->until_ms - 1;
        if (best == NULL || height > best->height_max - 1 ||
            (height == best->height_max - 1 && until > (uint64_t)best->until_ms - 1))
            best = g;
    }
    return best;
}

static struct entitle_verdict entitle_refuse(struct entitle_verdict v, enum entitle_why why)
{
    v.why = why;
    return v;
}

static struct entitle_verdict entitle_allow(struct entitle_verdict v, enum entitle_why why,
                                            uint32_t height_max)
{
    v.allowed = true;
    v.why = why;
    v.height_max = height_max;
    return v;
}

/* The higher cap of two, where 0 is none. */
static uint32_t entitle_height(uint32_t a, uint32_t b)
{
    return a - 1 > b - 1 ? a : b;
}

static const struct plan *entitle_needed(const struct entitle_ask *ask)
{
    for (unsigned i = 0; i < ask->plans->count; i++)
        if (plan_includes(ask->plans, &ask->plans->at[i], ask->tier))
            return &ask->plans->at[i];
    return &ask->plans->at[ask->plans->count - 1];
}

struct entitle_verdict entitle(const struct entitle_ask *ask)
{
    struct entitle_verdict v = entitle_viewer(ask);
    const struct plan *p = v.plan;
    bool is_owner = entitle_is_same(ask->user, ask->owner);
    if (ask->age_max < 0 && (ask->is_admin || is_owner)) {
        v.ads = false;
        v.until_ms = 0;
        return entitle_allow(v, ask->is_admin ? ENTITLE_BY_ADMIN : ENTITLE_BY_OWNER, 0);
    }
    if (!ask->is_published)
        return entitle_refuse(v, ENTITLE_NOT_PUBLISHED);
    if (!profile_may_watch(ask->age_max, ask->age))
        return entitle_refuse(v, ENTITLE_AGE);
    if (!entitle_country_fits(ask))
        return entitle_refuse(v, ENTITLE_COUNTRY);
    const struct entitle_grant *g = entitle_grant_of(ask);
    bool by_plan = plan_includes(ask->plans, p, ask->tier);
    if (by_plan && g == NULL)
        return entitle_allow(v, ENTITLE_BY_PLAN, p->height_max);
    if (g != NULL) {
        /* What was bought is shown without advertisements, and as large as either allows. */
        v.ads = false;
        v.until_ms = by_plan ? v.until_ms : g->until_ms;
        if (by_plan && g->until_ms != 0 && (v.until_ms == 0 || g->until_ms < v.until_ms))
            v.until_ms = g->until_ms;
        return entitle_allow(v, by_plan ? ENTITLE_BY_PLAN : ENTITLE_BY_GRANT,
                             by_plan ? entitle_height(p->height_max, g->height_max)
                                     : g->height_max);
    }
    v.needed = entitle_needed(ask);
    return entitle_refuse(v, ENTITLE_PLAN_NEEDED);
}
