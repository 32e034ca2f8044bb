/* SPDX-License-Identifier: Apache-2.0 */
/* visible: may this viewer see that video? One rule, twice: for a document at hand, and as a
 * condition by which the database leaves the others out. Pure.
 *
 * Life:    calls.
 * Owner:   the caller's memory; a viewer borrows its texts.
 * Threads: any.
 * Errors:  -ENOMEM.
 * Units:   years of age. */
#pragma once
#include <jansson.h>
#include "base/base.h"

struct viewer {
    const char *user;    /* account; NULL: nobody is logged in */
    const char *profile; /* which of its viewers; NULL: as the account */
    bool is_admin;
    bool is_creator;
    int age_max;         /* the profile's limit; < 0: none. What is not rated is beyond any */
    const char *country; /* two capital letters; "": unknown */
};

#define VISIBLE_AGE_MOST 99

enum visible {
    VISIBLE_YES,
    VISIBLE_NO,      /* as if it did not exist */
    VISIBLE_COUNTRY, /* not in the viewer's country */
    VISIBLE_AGE,     /* not for a viewer so young */
};

/* Whoever owns it, and admins, see it in any state and from everywhere. */
enum visible visible_video(const json_t *video, const struct viewer *viewer);
int visible_age(const json_t *video); /* from which on it is fit to be seen; < 0: not rated */
bool visible_is_owner(const json_t *doc, const struct viewer *viewer); /* or an admin */

/* For db_list.where and db_search.where: what anybody like this viewer may see. Caller decrefs;
 * NULL when out of memory. */
json_t *visible_where(const struct viewer *viewer);
