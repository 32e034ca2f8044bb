/* SPDX-License-Identifier: Apache-2.0 */
/* gone: taking something away with all that hangs on it, though nothing spans two documents.
 * gone_put writes down what is to go, then takes the thing itself; the sweep takes what hangs on it
 * and, when nothing is left, the note. Stopped anywhere, the next sweep goes on.
 *
 * What was made under the same name after the note stays.
 *
 * Life:    gone_put -> gone_sweep.
 * Owner:   -
 * Threads: any; each blocks on the database.
 * Errors:  -ENOENT there is no such thing (and none was on its way out); else as db.h.
 * Units:   milliseconds since 1970. */
#pragma once
#include "control/catalog/category.h"
#include "db/db.h"

enum gone_kind {
    GONE_VIDEO,     /* its comments, scores, favourites, history */
    GONE_CHANNEL,   /* its followers; videos and series lose it */
    GONE_SERIES,    /* its videos lose it */
    GONE_CATEGORY,  /* likewise */
    GONE_PROFILE,   /* what it has watched, and its favourites: another may get its place, and id */
    GONE_USER,      /* all that is the account's or that it did, its channels and videos too */
    GONE_USER_KEPT, /* the same, but channels, series and videos stay, and are nobody's */
    GONE_KINDS,
};

/* The note of an account stays for as long: what its last requests wrote behind the first sweep
 * goes with a later one, and each control forgets it and ends what it plays (upkeep.h). */
#define GONE_USER_MS (30 * 1000)

MUST_USE int gone_put(struct db *db, enum gone_kind kind, const char *id, int64_t now_ms);
MUST_USE int gone_sweep(struct db *db, int64_t now_ms, uint64_t *ret_count);
MUST_USE int gone_users(struct db *db, json_t **ret); /* ids of accounts that are noted: an array */

/* Makes the paths of the videos anew that have the category in theirs. */
MUST_USE int gone_repath(struct db *db, const struct category_tree *t, const char *category);
