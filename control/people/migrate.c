/* SPDX-License-Identifier: Apache-2.0 */
#include "control/people/migrate.h"
#include <errno.h>
#include <stdlib.h>
#include "control/model.h"
#include "control/people/roles.h"

/* Every document of the collection, page by page. */
static int migrate_each(struct db *db, unsigned coll, int (*each)(struct db *db, const char *id))
{
    char *cursor = NULL;
    int r = 0;
    do {
        const struct db_list list = {.limit = DB_LIST_MAX, .cursor = cursor};
        json_t *docs = NULL;
        json_t *doc;
        char *next = NULL;
        size_t i;
        r = db_list(db, coll, &list, &docs, &next);
        json_array_foreach(docs, i, doc)
        {
            const char *id = json_string_value(json_object_get(doc, "id"));
            if (r == 0 && id != NULL)
                r = each(db, id);
        }
        json_decref(docs);
        free(cursor);
        cursor = next;
    } while (r == 0 && cursor != NULL);
    free(cursor);
    return r;
}

static int migrate_user(struct db *db, const char *id)
{
    json_t *set = json_pack("{s:s}", "role", role_name(ROLE_FREE));
    const struct db_update update = {.set = set};
    int r = set == NULL ? -ENOMEM : db_update(db, MODEL_USERS, id, &update, NULL);
    json_decref(set);
    return r == -ENOENT ? 0 : r;
}

static int migrate_session(struct db *db, const char *id)
{
    int r = db_delete(db, MODEL_SESSIONS, id);
    return r == -ENOENT ? 0 : r;
}

int people_migrate(struct db *db, struct err *err)
{
    int r = migrate_each(db, MODEL_USERS, migrate_user);
    if (r == 0)
        r = migrate_each(db, MODEL_SESSIONS, migrate_session);
    return r < 0 ? err_errno(err, r, "bringing accounts to version 2") : 0;
}
