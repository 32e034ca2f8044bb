/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/history.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "control/catalog/key.h"
#include "control/catalog/member.h"
#include "control/catalog/month.h"
#include "control/model.h"

#define HISTORY_TRIES_MAX  16
#define HISTORY_WARM_PAGE  12 /* months */
#define HISTORY_HOT_MONTHS 3  /* this one, the one before, and one whose packing is due */
#define HISTORY_BATCH      200

/* Whose history: a viewer's, or a user's with all viewers of the account. */
struct history_whose {
    const char *hot;  /* the key */
    const char *warm; /* likewise, of packed months */
    const char *id;
};

static struct history_whose history_of_viewer(const char *viewer)
{
    return (struct history_whose){"viewer last_ms", "viewer month", viewer};
}

static struct history_whose history_of_user(const char *user)
{
    return (struct history_whose){"user last_ms", "user month", user};
}

/* --- marking ---------------------------------------------------------------------------------- */

static bool history_is_done(const struct history_ask *ask)
{
    return ask->duration_ms > 0 && ask->position_ms >= ask->duration_ms / 100 * HISTORY_DONE_PCT;
}

static int history_insert(struct db *db, const struct history_ask *ask, const char *id,
                          const char *month, json_t **ret)
{
    json_t *doc = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:b, s:I, s:I}", "id", id, "month",
                            month, "viewer", ask->viewer, "user", ask->user, "video", ask->video,
                            "position_ms", (json_int_t)ask->position_ms, "duration_ms",
                            (json_int_t)ask->duration_ms, "done", history_is_done(ask), "first_ms",
                            (json_int_t)ask->now_ms, "last_ms", (json_int_t)ask->now_ms);
    int r = doc == NULL ? -ENOMEM : db_insert(db, MODEL_HISTORY, doc);
    if (r == 0 && ret != NULL)
        *ret = doc;
    else
        json_decref(doc);
    return r;
}

int history_mark(struct db *db, const struct history_ask *ask, json_t **ret)
{
    char month[MONTH_SIZE];
    char id[KEY_SIZE];
    month_of(ask->now_ms, month);
    key_join(id, month, ask->viewer, ask->video);
    json_t *set = json_pack("{s:I, s:I, s:b, s:I}", "position_ms", (json_int_t)ask->position_ms,
                            "duration_ms", (json_int_t)ask->duration_ms, "done",
                            history_is_done(ask), "last_ms", (json_int_t)ask->now_ms);
    const struct db_update update = {.set = set};
    int r = set == NULL ? -ENOMEM : -ENOENT;
    for (unsigned i = 0; set != NULL && i < HISTORY_TRIES_MAX; i++) {
        r = db_update(db, MODEL_HISTORY, id, &update, ret);
        if (r == -ENOENT)
            r = history_insert(db, ask, id, month, ret);
        if (r != -EEXIST)
            break;
    }
    json_decref(set);
    return r == -EEXIST ? -EBUSY : r;
}

/* --- where a viewer was ----------------------------------------------------------------------- */

static json_t *history_later(json_t *a, json_t *b)
{
    if (a == NULL || (b != NULL && member_int(b, "last_ms") > member_int(a, "last_ms"))) {
        json_decref(a);
        return b;
    }
    json_decref(b);
    return a;
}

/* The start of each month, counted back from this one. */
static int history_hot_ids(const char *viewer, const char *video, int64_t now_ms,
                           char out[HISTORY_HOT_MONTHS][KEY_SIZE])
{
    char month[MONTH_SIZE];
    int64_t at_ms = now_ms;
    for (unsigned i = 0; i < HISTORY_HOT_MONTHS; i++) {
        int64_t end_ms = 0;
        month_of(at_ms, month);
        key_join(out[i], month, viewer, video);
        int r = month_end(str_of(month), &end_ms);
        if (r < 0)
            return r;
        /* No month has more than 31 days, so a day before the month's first lies in the last. */
        at_ms = MAX(end_ms - INT64_C(32) * 24 * 3600 * 1000, INT64_C(0));
    }
    return 0;
}

static int history_hot_position(struct db *db, const char *viewer, const char *video,
                                int64_t now_ms, json_t **ret)
{
    char ids[HISTORY_HOT_MONTHS][KEY_SIZE];
    const char *list[HISTORY_HOT_MONTHS];
    json_t *docs = NULL;
    json_t *best = NULL;
    int r = history_hot_ids(viewer, video, now_ms, ids);
    for (unsigned i = 0; i < HISTORY_HOT_MONTHS; i++)
        list[i] = ids[i];
    if (r == 0)
        r = db_get_many(db, MODEL_HISTORY, list, HISTORY_HOT_MONTHS, &docs);
    for (size_t i = 0; r == 0 && i < json_array_size(docs); i++)
        if (json_is_object(json_array_get(docs, i)))
            best = history_later(best, json_incref(json_array_get(docs, i)));
    json_decref(docs);
    *ret = best;
    return r;
}

/* An entry of a packed document, as if it stood by itself. NULL: no memory. */
static json_t *history_unpack(const json_t *packed, const json_t *entry)
{
    json_t *doc = json_copy((json_t *)(uintptr_t)entry);
    int r = doc == NULL ? -ENOMEM : member_copy(doc, "month", packed, "month");
    if (r == 0)
        r = member_copy(doc, "viewer", packed, "viewer");
    if (r == 0)
        return doc;
    json_decref(doc);
    return NULL;
}

static int history_warm_list(struct db *db, const struct history_whose *of, unsigned limit,
                             const char *cursor, json_t **ret, char **ret_cursor)
{
    json_t *equal = json_pack("[s]", of->id);
    const struct db_list list = {
        .key = of->warm,
        .descending = true,
        .limit = limit,
        .cursor = cursor,
        .equal = equal,
    };
    int r = equal == NULL ? -ENOMEM : db_list(db, MODEL_HISTORY_MONTHS, &list, ret, ret_cursor);
    json_decref(equal);
    return r;
}

static int history_warm_position(struct db *db, const char *viewer, const char *video, json_t **ret)
{
    json_t *docs = NULL;
    json_t *best = NULL;
    char *next = NULL;
    const struct history_whose whose = history_of_viewer(viewer);
    int r = history_warm_list(db, &whose, HISTORY_WARM_PAGE, NULL, &docs, &next);
    free(next); /* what is older is archived soon */
    for (size_t i = 0; r == 0 && best == NULL && i < json_array_size(docs); i++) {
        const json_t *packed = json_array_get(docs, i);
        size_t at;
        json_t *entry;
        json_array_foreach(json_object_get(packed, "entries"), at, entry)
        {
            const char *of = member_text(entry, "video");
            if (of != NULL && strcmp(of, video) == 0)
                best = history_later(best, history_unpack(packed, entry));
        }
    }
    json_decref(docs);
    *ret = best;
    return r;
}

int history_position(struct db *db, const char *viewer, const char *video, int64_t now_ms,
                     json_t **ret)
{
    json_t *best = NULL;
    int r = history_hot_position(db, viewer, video, now_ms, &best);
    if (r == 0 && best == NULL)
        r = history_warm_position(db, viewer, video, &best);
    if (r == 0 && best == NULL)
        r = -ENOENT;
    if (r == 0)
        *ret = best;
    return r;
}

/* --- lists ------------------------------------------------------------------------------------ */

/* A cursor is "h" and the database's among the hot ones, or "w" and the database's among the warm
 * ones; "w" alone: none was shown yet. */
static int history_list_hot(struct db *db, const struct history_whose *of, unsigned limit,
                            const char *cursor, json_t **ret, char **ret_cursor)
{
    json_t *equal = json_pack("[s]", of->id);
    char *next = NULL;
    const struct db_list list = {
        .key = of->hot,
        .descending = true,
        .limit = limit,
        .cursor = cursor,
        .equal = equal,
    };
    CLEAN_BUF struct buf out = BUF_EMPTY;
    int r = equal == NULL ? -ENOMEM : db_list(db, MODEL_HISTORY, &list, ret, &next);
    json_decref(equal);
    if (r < 0)
        return r;
    buf_putc(&out, next == NULL ? 'w' : 'h');
    buf_puts(&out, next == NULL ? "" : next);
    free(next);
    *ret_cursor = buf_take(&out);
    if (*ret_cursor != NULL)
        return 0;
    json_decref(*ret);
    return -ENOMEM;
}

static int history_order(const void *a, const void *b)
{
    int64_t x = member_int(*(json_t *const *)a, "last_ms");
    int64_t y = member_int(*(json_t *const *)b, "last_ms");
    return x > y ? -1 : x < y;
}

/* The entries, the latest first, each video once. */
static int history_unpack_all(const json_t *packed, json_t *into)
{
    const json_t *entries = json_object_get(packed, "entries");
    size_t count = json_array_size(entries);
    json_t **order = calloc(MAX(count, (size_t)1), sizeof(json_t *));
    json_t *seen = json_object();
    int r = order == NULL || seen == NULL ? -ENOMEM : 0;
    for (size_t i = 0; r == 0 && i < count; i++)
        order[i] = json_array_get(entries, i);
    if (r == 0)
        qsort(order, count, sizeof(json_t *), history_order);
    for (size_t i = 0; r == 0 && i < count; i++) {
        const char *video = member_text(order[i], "video");
        if (video == NULL || json_object_get(seen, video) != NULL)
            continue;
        if (json_object_set_new(seen, video, json_true()) < 0 ||
            json_array_append_new(into, history_unpack(packed, order[i])) < 0)
            r = -ENOMEM;
    }
    free(order);
    json_decref(seen);
    return r;
}

/* A whole month is a page: it is one document, and cannot be large. */
static int history_list_warm(struct db *db, const struct history_whose *of, const char *cursor,
                             json_t **ret, char **ret_cursor)
{
    CLEAN_BUF struct buf out = BUF_EMPTY;
    json_t *docs = NULL;
    char *next = NULL;
    int r = history_warm_list(db, of, 1, cursor, &docs, &next);
    if (r < 0)
        return r;
    const json_t *packed = json_array_get(docs, 0);
    json_t *list = json_array();
    r = list == NULL ? -ENOMEM : packed == NULL ? 0 : history_unpack_all(packed, list);
    if (r == 0 && next != NULL) {
        buf_printf(&out, "w%s", next);
        r = buf_error(&out);
    }
    free(next);
    json_decref(docs);
    if (r < 0) {
        json_decref(list);
        return r;
    }
    *ret = list;
    *ret_cursor = next == NULL ? NULL : buf_take(&out);
    return 0;
}

static int history_list_of(struct db *db, const struct history_whose *of, unsigned limit,
                           const char *cursor, json_t **ret, char **ret_cursor)
{
    if (cursor == NULL || (cursor[0] == 'h' && cursor[1] != 0))
        return history_list_hot(db, of, limit, cursor == NULL ? NULL : cursor + 1, ret, ret_cursor);
    if (cursor[0] != 'w')
        return -EINVAL;
    return history_list_warm(db, of, cursor[1] == 0 ? NULL : cursor + 1, ret, ret_cursor);
}

int history_list(struct db *db, const char *viewer, unsigned limit, const char *cursor,
                 json_t **ret, char **ret_cursor)
{
    const struct history_whose of = history_of_viewer(viewer);
    return history_list_of(db, &of, limit, cursor, ret, ret_cursor);
}

int history_list_user(struct db *db, const char *user, unsigned limit, const char *cursor,
                      json_t **ret, char **ret_cursor)
{
    const struct history_whose of = history_of_user(user);
    return history_list_of(db, &of, limit, cursor, ret, ret_cursor);
}

json_t *history_public(const json_t *entry)
{
    static const char *const names[] = {"video", "position_ms", "duration_ms", "done"};
    json_t *view = json_object();
    int r = view == NULL ? -ENOMEM : 0;
    for (unsigned i = 0; r == 0 && i < ARRAY_LEN(names); i++)
        r = member_copy(view, names[i], entry, names[i]);
    if (r == 0)
        r = member_set_time(view, "first", entry, "first_ms");
    if (r == 0)
        r = member_set_time(view, "last", entry, "last_ms");
    if (r == 0)
        return view;
    json_decref(view);
    return NULL;
}

/* --- forgetting ------------------------------------------------------------------------------- */

static int history_delete_hot(struct db *db, const struct history_whose *of, const char *video,
                              uint64_t *ret_count)
{
    json_t *equal = json_pack("[s]", of->id);
    json_t *where = video == NULL ? json_object() : json_pack("{s:s}", "video", video);
    bool more = true;
    int r = equal == NULL || where == NULL ? -ENOMEM : 0;
    while (r == 0 && more) {
        const struct db_list list = {
            .key = of->hot, .limit = HISTORY_BATCH, .equal = equal, .where = where};
        json_t *docs = NULL;
        char *next = NULL;
        size_t i;
        json_t *doc;
        r = db_list(db, MODEL_HISTORY, &list, &docs, &next);
        json_array_foreach(docs, i, doc)
        {
            int gone = r < 0 ? r : db_delete(db, MODEL_HISTORY, member_text(doc, "id"));
            r = gone == -ENOENT ? 0 : gone;
            *ret_count += 1;
        }
        more = next != NULL;
        free(next);
        json_decref(docs);
    }
    json_decref(equal);
    json_decref(where);
    return r;
}

static int history_delete_warm_one(struct db *db, const json_t *packed, const char *video,
                                   uint64_t *ret_count)
{
    size_t i;
    json_t *entry;
    int r = 0;
    if (video == NULL) {
        *ret_count += 1;
        r = db_delete(db, MODEL_HISTORY_MONTHS, member_text(packed, "id"));
        return r == -ENOENT ? 0 : r;
    }
    json_array_foreach(json_object_get(packed, "entries"), i, entry)
    {
        const char *of = member_text(entry, "video");
        if (r < 0 || of == NULL || strcmp(of, video) != 0)
            continue;
        const struct db_update update = {.pull = json_pack("{s:O}", "entries", entry)};
        r = update.pull == NULL
                ? -ENOMEM
                : db_update(db, MODEL_HISTORY_MONTHS, member_text(packed, "id"), &update, NULL);
        json_decref((json_t *)(uintptr_t)update.pull);
        *ret_count += 1;
    }
    return r == -ENOENT ? 0 : r;
}

static int history_delete_of(struct db *db, const struct history_whose *of, const char *video)
{
    uint64_t count = 0;
    json_t *docs = NULL;
    char *next = NULL;
    size_t i;
    json_t *packed;
    int r = history_delete_hot(db, of, video, &count);
    if (r == 0) /* half a year of months, of 8 viewers at most */
        r = history_warm_list(db, of, DB_LIST_MAX, NULL, &docs, &next);
    free(next);
    json_array_foreach(docs, i, packed)
    {
        if (r == 0)
            r = history_delete_warm_one(db, packed, video, &count);
    }
    json_decref(docs);
    return r == 0 && video != NULL && count == 0 ? -ENOENT : r;
}

int history_delete(struct db *db, const char *viewer, const char *video)
{
    const struct history_whose of = history_of_viewer(viewer);
    return history_delete_of(db, &of, video);
}

int history_delete_user(struct db *db, const char *user)
{
    const struct history_whose of = history_of_user(user);
    return history_delete_of(db, &of, NULL);
}
