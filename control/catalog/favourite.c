/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/favourite.h"
#include <errno.h>
#include "control/catalog/key.h"
#include "control/model.h"

int favourite_get(struct db *db, const char *viewer, const char *video, json_t **ret)
{
    char id[KEY_SIZE];
    key_join(id, viewer, video, NULL);
    return db_get(db, MODEL_FAVOURITES, id, ret);
}

int favourite_put(struct db *db, const char *viewer, const char *user, const char *video,
                  int64_t now_ms, json_t **ret, bool *ret_is_new)
{
    char id[KEY_SIZE];
    key_join(id, viewer, video, NULL);
    json_t *doc = json_pack("{s:s, s:s, s:s, s:s, s:I}", "id", id, "viewer", viewer, "user", user,
                            "video", video, "created_ms", (json_int_t)now_ms);
    int r = doc == NULL ? -ENOMEM : db_insert(db, MODEL_FAVOURITES, doc);
    if (r < 0)
        json_decref(doc);
    if (r == -EEXIST) {
        *ret_is_new = false;
        return db_get(db, MODEL_FAVOURITES, id, ret);
    }
    if (r < 0)
        return r;
    *ret = doc;
    *ret_is_new = true;
    return 0;
}

int favourite_delete(struct db *db, const char *viewer, const char *video)
{
    char id[KEY_SIZE];
    key_join(id, viewer, video, NULL);
    return db_delete(db, MODEL_FAVOURITES, id);
}

int favourite_list(struct db *db, const char *viewer, unsigned limit, const char *cursor,
                   json_t **ret, char **ret_cursor)
{
    json_t *equal = json_pack("[s]", viewer);
    const struct db_list list = {
        .key = "viewer created_ms",
        .descending = true,
        .limit = limit,
        .cursor = cursor,
        .equal = equal,
    };
    int r = equal == NULL ? -ENOMEM : db_list(db, MODEL_FAVOURITES, &list, ret, ret_cursor);
    json_decref(equal);
    return r;
}
