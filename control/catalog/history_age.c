/* SPDX-License-Identifier: Apache-2.0 */
/* Hot entries become warm: each is put into the packed document of its viewer and month, then taken
 * away. Stopped in between it is there twice; the next turn finds it in the packed one already. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "control/catalog/history.h"
#include "control/catalog/key.h"
#include "control/catalog/member.h"
#include "control/catalog/month.h"
#include "control/model.h"

#define HISTORY_PACK_MAX 1000 /* entries a turn */

static json_t *history_entry(const json_t *doc)
{
    static const char *const names[] = {"video", "position_ms", "duration_ms",
                                        "done",  "first_ms",    "last_ms"};
    json_t *entry = json_object();
    int r = entry == NULL ? -ENOMEM : 0;
    for (unsigned i = 0; r == 0 && i < ARRAY_LEN(names); i++)
        r = member_copy(entry, names[i], doc, names[i]);
    if (r == 0)
        return entry;
    json_decref(entry);
    return NULL;
}

/* Whether this very entry is packed already: then the last turn was stopped behind it. */
static int history_is_packed(struct db *db, const char *id, const json_t *entry, bool *ret)
{
    json_t *packed = NULL;
    size_t i;
    json_t *other;
    bool found = false;
    int r = db_get(db, MODEL_HISTORY_MONTHS, id, &packed);
    json_array_foreach(json_object_get(packed, "entries"), i, other)
    {
        found = found || json_equal(other, entry);
    }
    json_decref(packed);
    *ret = found;
    return r == -ENOENT ? 0 : r;
}

static int history_push(struct db *db, const char *id, const json_t *doc, json_t *entry)
{
    const struct db_update update = {
        .push = json_pack("{s:O}", "entries", entry),
        .push_keep = HISTORY_ENTRIES_MAX,
    };
    int r = update.push == NULL ? -ENOMEM : db_update(db, MODEL_HISTORY_MONTHS, id, &update, NULL);
    json_decref((json_t *)(uintptr_t)update.push);
    if (r != -ENOENT)
        return r;
    json_t *packed = json_pack(
        "{s:s, s:O, s:O, s:O, s:[O]}", "id", id, "month", json_object_get(doc, "month"), "viewer",
        json_object_get(doc, "viewer"), "user", json_object_get(doc, "user"), "entries", entry);
    r = packed == NULL ? -ENOMEM : db_insert(db, MODEL_HISTORY_MONTHS, packed);
    json_decref(packed);
    return r;
}

static int history_pack_one(struct db *db, const json_t *doc)
{
    char id[KEY_SIZE];
    bool packed = false;
    const char *month = member_text(doc, "month");
    const char *viewer = member_text(doc, "viewer");
    if (month == NULL || viewer == NULL || member_text(doc, "user") == NULL)
        return -EBADMSG;
    key_join(id, month, viewer, NULL);
    json_t *entry = history_entry(doc);
    int r = entry == NULL ? -ENOMEM : history_is_packed(db, id, entry, &packed);
    if (r == 0 && !packed) {
        r = history_push(db, id, doc, entry);
        if (r == -EEXIST) /* another control made it just now */
            r = history_push(db, id, doc, entry);
    }
    json_decref(entry);
    if (r < 0)
        return r;
    json_t *where = json_pack("{s:O}", "last_ms", json_object_get(doc, "last_ms"));
    r = where == NULL ? -ENOMEM : db_delete_if(db, MODEL_HISTORY, member_text(doc, "id"), where);
    json_decref(where);
    return r == -ENOENT || r == -ESTALE ? 0 : r;
}

/* Only whole months age: one is packed when its end is long enough ago. */
static bool history_is_old(const json_t *doc, int64_t now_ms, int64_t age_ms)
{
    int64_t end_ms = 0;
    return month_end(member_str(doc, "month"), &end_ms) == 0 && end_ms + age_ms <= now_ms;
}

int history_pack(struct db *db, int64_t now_ms, uint64_t *ret_count)
{
    json_t *below = json_integer(now_ms - HISTORY_HOT_MS);
    const struct db_list list = {.key = "last_ms", .limit = HISTORY_PACK_MAX, .below = below};
    json_t *docs = NULL;
    char *next = NULL;
    uint64_t count = 0;
    size_t i;
    json_t *doc;
    int r = below == NULL ? -ENOMEM : db_list(db, MODEL_HISTORY, &list, &docs, &next);
    free(next);
    json_array_foreach(docs, i, doc)
    {
        if (r < 0 || !history_is_old(doc, now_ms, HISTORY_HOT_MS))
            continue;
        r = history_pack_one(db, doc);
        count++;
    }
    json_decref(below);
    json_decref(docs);
    if (r == 0)
        *ret_count = count;
    return r;
}
