/* SPDX-License-Identifier: Apache-2.0 */
/* tally: counts that are kept in a document of what other documents say: a video's stars and
 * comments, a comment's replies, a channel's followers. Nothing spans two documents, so:
 *
 *   tally_begin   marks the parent with the time     (a crash from here on is mended)
 *   ...           the child is made, changed or taken away
 *   tally_end     adds to the parent's counts, and marks it anew
 *   tally_sweep   counts anew where the mark is older than TALLY_QUIET_MS, and takes it away
 *
 * So long after its mark whoever was in between has either come to its end or never will. A parent
 * that is never left alone so long may be wrong by what crashes have left, until it is.
 *
 * Life:    calls.
 * Owner:   -
 * Threads: any; each blocks on the database.
 * Errors:  tally_begin -ENOENT: there is no such parent. Others as db.h.
 * Units:   milliseconds since 1970. */
#pragma once
#include "base/str.h"
#include "db/db.h"

#define TALLY_QUIET_MS (30 * 1000)
#define TALLY_SWEEP    200 /* parents a sweep, of each kind */

enum tally {
    TALLY_STARS,     /* of a video: stars_sum, stars_count */
    TALLY_COMMENTS,  /* of a video: comments */
    TALLY_REPLIES,   /* of a comment: replies */
    TALLY_FOLLOWERS, /* of a channel: followers */
};

/* ret (may be NULL): the parent as it is. */
MUST_USE int tally_begin(struct db *db, enum tally tally, const char *parent, int64_t now_ms,
                         json_t **ret);

/* by: how many more or less there are; sum: of stars, else 0. ret as above. */
MUST_USE int tally_end(struct db *db, enum tally tally, const char *parent, int64_t now_ms,
                       int64_t by, int64_t sum, json_t **ret);

MUST_USE int tally_sweep(struct db *db, int64_t now_ms, uint64_t *ret_count);
