/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/follow.h"
#include <errno.h>
#include "control/catalog/key.h"
#include "control/catalog/tally.h"
#include "control/model.h"

int follow_get(struct db *db, const char *channel, const char *user, json_t **ret)
{
    char id[KEY_SIZE];
    key_join(id, channel, user, NULL);
    return db_get(db, MODEL_FOLLOWS, id, ret);
}

int follow_put(struct db *db, const char *channel, const char *user, int64_t now_ms, json_t **ret,
               bool *ret_is_new)
{
    char id[KEY_SIZE];
    key_join(id, channel, user, NULL);
    int r = tally_begin(db, TALLY_FOLLOWERS, channel, now_ms, NULL);
    if (r < 0)
        return r;
    json_t *doc = json_pack("{s:s, s:s, s:s, s:I}", "id", id, "channel", channel, "user", user,
                            "created_ms", (json_int_t)now_ms);
    r = doc == NULL ? -ENOMEM : db_insert(db, MODEL_FOLLOWS, doc);
    if (r == 0)
        r = tally_end(db, TALLY_FOLLOWERS, channel, now_ms, 1, 0, NULL);
    else if (r == -EEXIST) {
        json_decref(doc);
        *ret_is_new = false;
        return db_get(db, MODEL_FOLLOWS, id, ret);
    }
    if (r < 0) {
        json_decref(doc);
        return r;
    }
    *ret = doc;
    *ret_is_new = true;
    return 0;
}

int follow_delete(struct db *db, const char *channel, const char *user, int64_t now_ms)
{
    char id[KEY_SIZE];
    key_join(id, channel, user, NULL);
    int r = tally_begin(db, TALLY_FOLLOWERS, channel, now_ms, NULL);
    if (r < 0 && r != -ENOENT) /* of a channel that is gone nothing is counted */
        return r;
    r = db_delete(db, MODEL_FOLLOWS, id);
    return r < 0 ? r : tally_end(db, TALLY_FOLLOWERS, channel, now_ms, -1, 0, NULL);
}

int follow_list(struct db *db, const char *user, unsigned limit, const char *cursor, json_t **ret,
                char **ret_cursor)
{
    json_t *equal = json_pack("[s]", user);
    const struct db_list list = {
        .key = "user created_ms",
        .descending = true,
        .limit = limit,
        .cursor = cursor,
        .equal = equal,
    };
    int r = equal == NULL ? -ENOMEM : db_list(db, MODEL_FOLLOWS, &list, ret, ret_cursor);
    json_decref(equal);
    return r;
}
