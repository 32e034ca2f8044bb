/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/comment.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/id.h"
#include "control/catalog/member.h"
#include "control/catalog/tally.h"
#include "control/model.h"

void comment_thread(char out[COMMENT_THREAD_SIZE], const char *video, const char *comment)
{
    int size = snprintf(out, COMMENT_THREAD_SIZE, comment == NULL ? "%s" : "%s/%s", video, comment);
    ASSERT(size > 0);
    ASSERT(size < COMMENT_THREAD_SIZE); /* both are ids */
}

static bool comment_is_deleted(const json_t *comment)
{
    return member_has(comment, "deleted_ms");
}

int comment_get(struct db *db, const char *video, const char *id, json_t **ret)
{
    json_t *doc = NULL;
    int r = db_get(db, MODEL_COMMENTS, id, &doc);
    if (r < 0)
        return r;
    const char *of = member_text(doc, "video");
    bool is_gone = comment_is_deleted(doc) && member_int(doc, "replies") <= 0;
    if (of == NULL || strcmp(of, video) != 0 || is_gone) {
        json_decref(doc);
        return -ENOENT;
    }
    *ret = doc;
    return 0;
}

/* The comment below which a reply stands: what it replies to, or what that is a reply to. */
static int comment_top(struct db *db, const struct comment_ask *ask, char out[DB_ID_SIZE_MAX + 1])
{
    json_t *parent = NULL;
    int r = comment_get(db, ask->video, ask->parent, &parent);
    if (r < 0)
        return r;
    struct str top = member_str(parent, "thread");
    struct str below = STR_NONE;
    (void)str_cut(top, '/', &below); /* asset names have no slash */
    if (comment_is_deleted(parent))
        r = -ENOENT;
    else
        r = str_copy(below.size > 0 ? below : member_str(parent, "id"), out, DB_ID_SIZE_MAX + 1);
    json_decref(parent);
    return r == -ENAMETOOLONG ? -EBADMSG : r;
}

static int comment_insert(struct db *db, const struct comment_ask *ask, const char *top,
                          int64_t now_ms, json_t **ret)
{
    char id[ID_TEXT_SIZE];
    char thread[COMMENT_THREAD_SIZE];
    id_text(id);
    comment_thread(thread, ask->video, top);
    json_t *doc = json_pack("{s:s, s:s, s:s, s:s*, s:s, s:s*, s:s, s:I, s:I, s:i}", "id", id,
                            "thread", thread, "video", ask->video, "parent", ask->parent, "user",
                            ask->user, "name", ask->name, "text", ask->text, "created_ms",
                            (json_int_t)now_ms, "updated_ms", (json_int_t)now_ms, "rev", 1);
    int r = doc == NULL ? -ENOMEM : db_insert(db, MODEL_COMMENTS, doc);
    if (r < 0)
        json_decref(doc);
    else
        *ret = doc;
    return r;
}

int comment_add(struct db *db, const struct comment_ask *ask, int64_t now_ms, json_t **ret)
{
    char top[DB_ID_SIZE_MAX + 1] = "";
    json_t *doc = NULL;
    int r = ask->parent == NULL ? 0 : comment_top(db, ask, top);
    if (r == 0)
        r = tally_begin(db, TALLY_COMMENTS, ask->video, now_ms, NULL);
    if (r == 0 && top[0] != 0)
        r = tally_begin(db, TALLY_REPLIES, top, now_ms, NULL);
    if (r == 0)
        r = comment_insert(db, ask, top[0] != 0 ? top : NULL, now_ms, &doc);
    if (r < 0)
        return r;
    r = tally_end(db, TALLY_COMMENTS, ask->video, now_ms, 1, 0, NULL);
    if (r == 0 && top[0] != 0)
        r = tally_end(db, TALLY_REPLIES, top, now_ms, 1, 0, NULL);
    if (r < 0)
        json_decref(doc); /* it stands, though: the sweep counts it */
    else
        *ret = doc;
    return r;
}

static int comment_update(struct db *db, const json_t *comment, json_t *set, json_t **ret)
{
    json_t *where = json_pack("{s:O, s:n}", "rev", json_object_get(comment, "rev"), "deleted_ms");
    json_t *add = json_pack("{s:i}", "rev", 1);
    const struct db_update update = {.where = where, .set = set, .add = add};
    int r = where == NULL || add == NULL || set == NULL
                ? -ENOMEM
                : db_update(db, MODEL_COMMENTS, member_text(comment, "id"), &update, ret);
    json_decref(where);
    json_decref(add);
    return r;
}

int comment_edit(struct db *db, const json_t *comment, const char *text, int64_t now_ms,
                 json_t **ret)
{
    json_t *set = json_pack("{s:s, s:I}", "text", text, "updated_ms", (json_int_t)now_ms);
    int r = comment_update(db, comment, set, ret);
    json_decref(set);
    return r;
}

int comment_delete(struct db *db, const json_t *comment, const char *by, int64_t now_ms)
{
    const char *video = member_text(comment, "video");
    struct str below = STR_NONE;
    (void)str_cut(member_str(comment, "thread"), '/', &below);
    if (comment_is_deleted(comment) || video == NULL)
        return -ENOENT;
    int r = tally_begin(db, TALLY_COMMENTS, video, now_ms, NULL);
    if (r == 0 && below.size > 0)
        r = tally_begin(db, TALLY_REPLIES, below.data, now_ms, NULL);
    if (r < 0 && r != -ENOENT) /* what counted it may be gone already */
        return r;
    json_t *set = json_pack("{s:I, s:s, s:n, s:n}", "deleted_ms", (json_int_t)now_ms, "deleted_by",
                            by, "text", "name");
    r = comment_update(db, comment, set, NULL);
    json_decref(set);
    if (r == 0)
        r = tally_end(db, TALLY_COMMENTS, video, now_ms, -1, 0, NULL);
    if (r == 0 && below.size > 0)
        r = tally_end(db, TALLY_REPLIES, below.data, now_ms, -1, 0, NULL);
    return r;
}

int comment_list(struct db *db, const char *video, const char *comment, unsigned limit,
                 const char *cursor, json_t **ret, char **ret_cursor)
{
    char thread[COMMENT_THREAD_SIZE];
    json_t *docs = NULL;
    comment_thread(thread, video, comment);
    json_t *equal = json_pack("[s]", thread);
    const struct db_list list = {
        .key = "thread created_ms",
        .descending = comment == NULL,
        .limit = limit,
        .cursor = cursor,
        .equal = equal,
    };
    int r = equal == NULL ? -ENOMEM : db_list(db, MODEL_COMMENTS, &list, &docs, ret_cursor);
    json_decref(equal);
    if (r < 0)
        return r;
    for (size_t i = json_array_size(docs); i-- > 0;) {
        const json_t *doc = json_array_get(docs, i);
        if (comment_is_deleted(doc) && member_int(doc, "replies") <= 0)
            (void)json_array_remove(docs, i); /* i is within */
    }
    *ret = docs;
    return 0;
}

json_t *comment_public(const json_t *comment)
{
    static const char *const names[][2] = {
        {"id", "id"},     {"video", "video"}, {"parent", "parent"}, {"user", "user"},
        {"name", "name"}, {"text", "text"},   {"rev", "rev"},
    };
    json_t *view = json_object();
    int r = view == NULL ? -ENOMEM : 0;
    for (unsigned i = 0; r == 0 && i < ARRAY_LEN(names); i++)
        r = member_copy(view, names[i][0], comment, names[i][1]);
    if (r == 0 && comment_is_deleted(comment))
        r = json_object_set_new(view, "user", json_null()) < 0 ? -ENOMEM : 0;
    if (r == 0)
        r = member_set_int(view, "replies", member_int(comment, "replies"));
    if (r == 0)
        r = json_object_set_new(view, "deleted", json_boolean(comment_is_deleted(comment))) < 0
                ? -ENOMEM
                : 0;
    if (r == 0)
        r = member_set_time(view, "created", comment, "created_ms");
    if (r == 0)
        r = member_set_time(view, "updated", comment, "updated_ms");
    if (r == 0)
        return view;
    json_decref(view);
    return NULL;
}
