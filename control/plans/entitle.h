/* SPDX-License-Identifier: Apache-2.0 */
/* entitle: may this viewer watch this title, and how much of it? All rules are here, and nothing
 * else is: no clock, no database, so that each can be shown by a table of cases.
 *
 * Life:    fill a struct entitle_ask -> entitle.
 * Owner:   the caller; texts are lent for the call. The verdict's plans are the list's.
 * Threads: any.
 * Errors:  none: what is not known counts against the viewer.
 * Units:   milliseconds since 1970, years of age, lines of video.
 *
 * Rules, in this order; the first that answers decides:
 *  1. An administrator, and the owner of the title, may watch it as it is (full height), but not by
 *     a profile with an age limit.
 *  2. A title that is not published is not there for anybody else.
 *  3. A title beyond the profile's age limit is refused; one that nobody rated is beyond any limit.
 *  4. A country that the title is blocked in, or that is not among those it is allowed in, refuses;
 *     an unknown country fails a list of allowed ones that does not name it ("?", as the catalogue
 *     does where only some countries are blocked).
 *  5. The viewer's plan, while it lasts, includes the title's plan: allowed.
 *  6. A grant of this title (rented or bought) that is valid now: allowed, at the grant's height.
 *  7. Otherwise refused: the verdict names the lowest plan that would do. */
#pragma once
#include "control/plans/plan.h"

enum entitle_why {
    ENTITLE_BY_PLAN,
    ENTITLE_BY_GRANT,
    ENTITLE_BY_OWNER,
    ENTITLE_BY_ADMIN,
    ENTITLE_NOT_PUBLISHED,
    ENTITLE_AGE,
    ENTITLE_COUNTRY,
    ENTITLE_PLAN_NEEDED,
};

/* What was paid for apart from a plan. */
struct entitle_grant {
    const char *asset;
    int64_t from_ms;
    int64_t until_ms;    /* 0: for ever */
    uint32_t height_max; /* 0: no cap */
};

/* A list of two-letter codes of countries (ISO 3166-1 alpha-2). */
struct entitle_countries {
    const char *const *at;
    unsigned count;
};

struct entitle_ask {
    const struct plan_list *plans;
    int64_t now_ms;
    const char *country; /* "?", "" or NULL: not known */

    const char *user;         /* NULL: nobody is logged in */
    const char *plan;         /* NULL, or one that is no more: the default */
    int64_t plan_until_ms;    /* 0: for ever; afterwards the default counts */
    unsigned stream_limit;    /* the user's own; 0: the plan's */
    const char *default_plan; /* of whoever has none; NULL, or one that is no more: the lowest */
    unsigned default_limit;   /* of streams, of those; 0: the plan's */
    bool is_admin;
    int age_max; /* of the profile: titles for older ones are refused; < 0: no limit */
    const struct entitle_grant *grants;
    unsigned grants_count;

    const char *asset;
    const char *owner; /* NULL: nobody's */
    const char *tier;  /* the id of the plan it needs; NULL: the lowest */
    bool is_published;
    int age; /* from which on it is fit to be seen; < 0: not rated */
    struct entitle_countries allow;
    struct entitle_countries block;
};

struct entitle_verdict {
    bool allowed;
    enum entitle_why why;
    const struct plan *plan;   /* what the viewer has now */
    const struct plan *needed; /* ENTITLE_PLAN_NEEDED: the lowest that would do */
    uint32_t height_max;       /* 0: no cap */
    unsigned stream_limit;
    bool ads;
    bool downloads;
    int64_t until_ms; /* when this may become otherwise: a token ends by then; 0: never */
};

struct entitle_verdict entitle(const struct entitle_ask *ask);

/* "plan", "grant", "owner", "admin", "not_published", "age", "country", "plan_needed". */
const char *entitle_why_text(enum entitle_why why);

/* What the viewer has now, whatever they watch: plan, stream_limit, ads, downloads, until_ms. */
struct entitle_verdict entitle_viewer(const struct entitle_ask *ask);
