/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/tally.h"
#include <errno.h>
#include "control/catalog/comment.h"
#include "control/catalog/member.h"
#include "control/catalog/score.h"
#include "control/model.h"

static unsigned tally_coll(enum tally tally)
{
    return tally == TALLY_FOLLOWERS ? MODEL_CHANNELS
           : tally == TALLY_REPLIES ? MODEL_COMMENTS
                                    : MODEL_VIDEOS;
}

static int tally_update(struct db *db, unsigned coll, const char *parent, int64_t now_ms,
                        json_t *add, json_t **ret)
{
    const struct db_update update = {
        .set = json_pack("{s:I}", "tally_ms", (json_int_t)now_ms),
        .add = add,
    };
    int r = update.set == NULL ? -ENOMEM : db_update(db, coll, parent, &update, ret);
    json_decref((json_t *)(uintptr_t)update.set);
    return r;
}

int tally_begin(struct db *db, enum tally tally, const char *parent, int64_t now_ms, json_t **ret)
{
    return tally_update(db, tally_coll(tally), parent, now_ms, NULL, ret);
}

int tally_end(struct db *db, enum tally tally, const char *parent, int64_t now_ms, int64_t by,
              int64_t sum, json_t **ret)
{
    static const char *const names[] = {
        [TALLY_STARS] = "stars_count",
        [TALLY_COMMENTS] = "comments",
        [TALLY_REPLIES] = "replies",
        [TALLY_FOLLOWERS] = "followers",
    };
    json_t *add = json_pack("{s:I}", names[tally], (json_int_t)by);
    int r = add == NULL ? -ENOMEM : 0;
    if (r == 0 && tally == TALLY_STARS)
        r = member_set_int(add, "stars_sum", sum);
    if (r == 0)
        r = tally_update(db, tally_coll(tally), parent, now_ms, add, ret);
    json_decref(add);
    /* The child has been changed; a parent that is gone meanwhile needs no count. */
    return r == -ENOENT && ret == NULL ? 0 : r;
}

/* --- counting anew ---------------------------------------------------------------------------- */

static int tally_count(struct db *db, unsigned coll, const char *key, json_t *equal, json_t *where,
                       uint64_t *ret)
{
    const struct db_list list = {.key = key, .limit = 1, .equal = equal, .where = where};
    return equal == NULL ? -ENOMEM : db_count(db, coll, &list, ret);
}

static int tally_stars(struct db *db, const char *video, json_t *set)
{
    int64_t count = 0;
    int64_t sum = 0;
    int r = 0;
    for (int stars = SCORE_MIN; r == 0 && stars <= SCORE_MAX; stars++) {
        uint64_t n = 0;
        json_t *equal = json_pack("[s, i]", video, stars);
        r = tally_count(db, MODEL_SCORES, "video stars", equal, NULL, &n);
        json_decref(equal);
        count += (int64_t)n;
        sum += (int64_t)n * stars;
    }
    if (r == 0)
        r = member_set_int(set, "stars_count", count);
    return r == 0 ? member_set_int(set, "stars_sum", sum) : r;
}

/* Those of a key's value, deleted ones left out. */
static int tally_comments(struct db *db, const char *key, const char *value, const char *name,
                          json_t *set)
{
    uint64_t n = 0;
    json_t *equal = json_pack("[s]", value);
    json_t *where = json_pack("{s:n}", "deleted_ms");
    int r = where == NULL ? -ENOMEM : tally_count(db, MODEL_COMMENTS, key, equal, where, &n);
    json_decref(equal);
    json_decref(where);
    return r == 0 ? member_set_int(set, name, (int64_t)n) : r;
}

static int tally_replies(struct db *db, const json_t *comment, json_t *set)
{
    char thread[COMMENT_THREAD_SIZE];
    comment_thread(thread, member_text(comment, "video"), member_text(comment, "id"));
    return tally_comments(db, "thread created_ms", thread, "replies", set);
}

static int tally_followers(struct db *db, const char *channel, json_t *set)
{
    uint64_t n = 0;
    json_t *equal = json_pack("[s]", channel);
    int r = tally_count(db, MODEL_FOLLOWS, "channel created_ms", equal, NULL, &n);
    json_decref(equal);
    return r == 0 ? member_set_int(set, "followers", (int64_t)n) : r;
}

static int tally_recount(struct db *db, unsigned coll, const json_t *doc)
{
    const char *id = member_text(doc, "id");
    json_t *set = json_pack("{s:n}", "tally_ms");
    json_t *where = json_pack("{s:O}", "tally_ms", json_object_get(doc, "tally_ms"));
    int r = id == NULL ? -EBADMSG : set == NULL || where == NULL ? -ENOMEM : 0;
    if (r == 0 && coll == MODEL_VIDEOS)
        r = tally_stars(db, id, set);
    if (r == 0 && coll == MODEL_VIDEOS)
        r = tally_comments(db, "video created_ms", id, "comments", set);
    if (r == 0 && coll == MODEL_COMMENTS)
        r = member_text(doc, "video") == NULL ? -EBADMSG : tally_replies(db, doc, set);
    if (r == 0 && coll == MODEL_CHANNELS)
        r = tally_followers(db, id, set);
    const struct db_update update = {.where = where, .set = set};
    if (r == 0)
        r = db_update(db, coll, id, &update, NULL);
    json_decref(set);
    json_decref(where);
    /* Stale: somebody is at it again, and its turn comes. */
    return r == -ESTALE || r == -ENOENT ? 0 : r;
}

int tally_sweep(struct db *db, int64_t now_ms, uint64_t *ret_count)
{
    static const unsigned colls[] = {MODEL_VIDEOS, MODEL_COMMENTS, MODEL_CHANNELS};
    json_t *below = json_integer(now_ms - TALLY_QUIET_MS + 1);
    uint64_t count = 0;
    int r = below == NULL ? -ENOMEM : 0;
    for (unsigned i = 0; r == 0 && i < ARRAY_LEN(colls); i++) {
        const struct db_list list = {.key = "tally_ms", .limit = TALLY_SWEEP, .below = below};
        json_t *docs = NULL;
        char *next = NULL;
        size_t at;
        json_t *doc;
        r = db_list(db, colls[i], &list, &docs, &next);
        free(next);
        json_array_foreach(docs, at, doc)
        {
            if (r == 0)
                r = tally_recount(db, colls[i], doc);
        }
        count += json_array_size(docs);
        json_decref(docs);
    }
    json_decref(below);
    if (r == 0)
        *ret_count = count;
    return r;
}
