/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/score.h"
#include <errno.h>
#include "control/catalog/key.h"
#include "control/catalog/member.h"
#include "control/catalog/tally.h"
#include "control/model.h"

#define SCORE_TRIES_MAX 16

int score_get(struct db *db, const char *video, const char *user, json_t **ret)
{
    char id[KEY_SIZE];
    key_join(id, video, user, NULL);
    return db_get(db, MODEL_SCORES, id, ret);
}

static int score_insert(struct db *db, const char *id, const char *video, const char *user,
                        int stars, int64_t now_ms)
{
    json_t *doc =
        json_pack("{s:s, s:s, s:s, s:i, s:I, s:I}", "id", id, "video", video, "user", user, "stars",
                  stars, "created_ms", (json_int_t)now_ms, "updated_ms", (json_int_t)now_ms);
    int r = doc == NULL ? -ENOMEM : db_insert(db, MODEL_SCORES, doc);
    json_decref(doc);
    return r;
}

/* Only if it is still what it was: so of two changes at once each knows what it has replaced. */
static int score_change(struct db *db, const char *id, int before, int stars, int64_t now_ms)
{
    const struct db_update update = {
        .where = json_pack("{s:i}", "stars", before),
        .set = json_pack("{s:i, s:I}", "stars", stars, "updated_ms", (json_int_t)now_ms),
    };
    int r = update.where == NULL || update.set == NULL
                ? -ENOMEM
                : db_update(db, MODEL_SCORES, id, &update, NULL);
    json_decref((json_t *)(uintptr_t)update.where);
    json_decref((json_t *)(uintptr_t)update.set);
    return r;
}

/* -EEXIST, -ESTALE, -ENOENT: somebody else was quicker. */
static int score_try(struct db *db, const char *video, const char *user, int stars, int64_t now_ms,
                     int *ret_before)
{
    char id[KEY_SIZE];
    json_t *old = NULL;
    key_join(id, video, user, NULL);
    int r = db_get(db, MODEL_SCORES, id, &old);
    int before = r == 0 ? (int)member_int(old, "stars") : 0;
    json_decref(old);
    if (r == 0)
        r = before == stars ? 0 : score_change(db, id, before, stars, now_ms);
    else if (r == -ENOENT)
        r = score_insert(db, id, video, user, stars, now_ms);
    if (r == 0)
        *ret_before = before;
    return r;
}

int score_put(struct db *db, const char *video, const char *user, int stars, int64_t now_ms,
              json_t **ret_video)
{
    int before = 0;
    ASSERT(stars >= SCORE_MIN);
    ASSERT(stars <= SCORE_MAX);
    int r = tally_begin(db, TALLY_STARS, video, now_ms, NULL);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < SCORE_TRIES_MAX; i++) {
        r = score_try(db, video, user, stars, now_ms, &before);
        if (r != -EEXIST && r != -ESTALE && r != -ENOENT)
            break;
    }
    if (r < 0)
        return r == -EEXIST || r == -ESTALE || r == -ENOENT ? -EBUSY : r;
    return tally_end(db, TALLY_STARS, video, now_ms, before == 0 ? 1 : 0, stars - before,
                     ret_video);
}

int score_delete(struct db *db, const char *video, const char *user, int64_t now_ms)
{
    char id[KEY_SIZE];
    key_join(id, video, user, NULL);
    for (unsigned i = 0; i < SCORE_TRIES_MAX; i++) {
        json_t *old = NULL;
        int r = db_get(db, MODEL_SCORES, id, &old);
        if (r < 0)
            return r;
        int stars = (int)member_int(old, "stars");
        json_decref(old);
        r = tally_begin(db, TALLY_STARS, video, now_ms, NULL);
        bool orphan = r == -ENOENT; /* the video is gone: nothing is counted any more */
        if (r < 0 && !orphan)
            return r;
        json_t *where = json_pack("{s:i}", "stars", stars);
        r = where == NULL ? -ENOMEM : db_delete_if(db, MODEL_SCORES, id, where);
        json_decref(where);
        if (r == 0 && !orphan)
            r = tally_end(db, TALLY_STARS, video, now_ms, -1, -stars, NULL);
        if (r != -ESTALE)
            return r;
    }
    return -EBUSY;
}
