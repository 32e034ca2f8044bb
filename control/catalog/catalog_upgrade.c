/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/catalog_upgrade.h"
#include <errno.h>
#include <stdlib.h>
#include "control/catalog/member.h"
#include "control/catalog/video.h"
#include "control/model.h"

#define CATALOG_UPGRADE_PAGE 500

static int catalog_upgrade_video(struct db *db, const json_t *old)
{
    const char *id = member_text(old, "id");
    int64_t created_ms = member_int(old, "created_ms");
    if (member_has(old, "state"))
        return 0; /* an earlier run did it */
    json_t *video = id == NULL ? NULL : video_new(id, NULL, created_ms);
    int r = id == NULL ? -EBADMSG : video == NULL ? -ENOMEM : 0;
    if (r == 0)
        r = json_object_set_new(video, "at_once", json_true()) < 0 ? -ENOMEM
                                                                   : video_film(video, old);
    if (r == 0)
        r = video_settle(video, created_ms);
    if (r == 0)
        r = member_set_int(video, "updated_ms", member_int(old, "updated_ms"));
    if (r == 0)
        r = db_replace(db, MODEL_VIDEOS, video);
    json_decref(video);
    return r;
}

int catalog_upgrade(struct db *db)
{
    char *cursor = NULL;
    int r = 0;
    bool more = true;
    while (r == 0 && more) {
        const struct db_list list = {.limit = CATALOG_UPGRADE_PAGE, .cursor = cursor};
        json_t *docs = NULL;
        char *next = NULL;
        size_t i;
        json_t *doc;
        r = db_list(db, MODEL_VIDEOS, &list, &docs, &next);
        json_array_foreach(docs, i, doc)
        {
            if (r == 0)
                r = catalog_upgrade_video(db, doc);
        }
        json_decref(docs);
        free(cursor);
        cursor = next;
        more = next != NULL;
    }
    free(cursor);
    return r;
}
