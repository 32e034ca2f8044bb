/* SPDX-License-Identifier: Apache-2.0 */
/* viewer: what a call's caller may watch: everything that entitle.h asks for, from where it is
 * kept.
 *
 * Life:    viewer_load -> use -> viewer_free.
 * Owner:   the call; texts of the verdict live as long as the viewer.
 * Threads: a pool's: it blocks on the database.
 * Errors:  as db.h; -EPROTO with the fault filled where the caller may not watch.
 * Units:   milliseconds since 1970. */
#pragma once
#include "control/api/call.h"
#include "control/plans/edge_choice.h"
#include "control/plans/entitle.h"
#include "geo/geo.h"

struct viewer_of {
    struct plan_list *plans;
    json_t *rights;
    struct geo_place place;
    struct edge_viewer where;   /* for the choice of an edge */
    struct entitle_verdict has; /* whatever is watched */
    int age_max;                /* of the profile that watches; < 0: no limit */
};

/* Where the caller is, by their address; nothing where it is not known. Any thread. */
void viewer_place(const struct call *c, struct geo_place *ret);

/* The country of that, "" where it is not known: good until this thread asks again. */
const char *viewer_country(const struct call *c);

MUST_USE int viewer_load(struct call *c, struct viewer_of **ret);
struct viewer_of *viewer_free(struct viewer_of *v); /* takes NULL, returns NULL */

/* From now on as this profile of the account (NULL: the log-in's), for this call. 404
 * PROFILE_NOT_FOUND, 403 PIN_NEEDED, PIN_WRONG, 429. */
MUST_USE int viewer_as(struct call *c, struct viewer_of *v, const char *profile, const char *pin);

/* May they watch this title (a document of the catalogue)? pin (or NULL): of a profile that may,
 * where theirs may not. *ret on 0; else the fault: 404 VIDEO_NOT_FOUND, 403 AGE_RESTRICTED
 * (details: {"age", "rating_max", "pin_helps"}), PIN_WRONG, 429, 451 UNAVAILABLE_IN_COUNTRY, 403
 * PLAN_NEEDED (details: the plans that would do). */
MUST_USE int viewer_may(struct call *c, const struct viewer_of *v, const json_t *video,
                        const char *pin, struct entitle_verdict *ret);

/* [{"action":"upgrade","plan_id","label"}]: the plans from `from` on (NULL: those with more streams
 * than now). NULL: out of memory. */
json_t *viewer_upgrades(const struct viewer_of *v, const struct plan *from);
