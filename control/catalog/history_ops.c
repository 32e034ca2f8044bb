/* SPDX-License-Identifier: Apache-2.0 */
/* What was watched: one's own (openapi/mine.yaml), and what operators see of it
 * (openapi/history.yaml). */
#include <errno.h>
#include <stdlib.h>
#include "base/enc.h"
#include "control/catalog/catalog_ops.h"
#include "control/catalog/history.h"
#include "control/catalog/member.h"
#include "control/catalog/upkeep.h"
#include "control/ops.h"
#include "control/people/accounts.h"
/* The list's own cursors have a form of their own; what clients see is base64url. */
static int history_cursor(const char *cursor, struct buf *out)
{
    int r = cursor == NULL ? 0 : enc_unbase64url(str_of(cursor), out);
    if (r == 0 && cursor != NULL && memchr(out->data, 0, out->size) != NULL)
        r = -EINVAL;
    return r < 0 ? r : buf_error(out);
}

/* Whose: of whoever looks, or of a user. */
typedef int history_lister(struct db *db, const char *whose, unsigned limit, const char *cursor,
                           json_t **ret, char **ret_cursor);

static int history_page(struct call *c, history_lister *lister, const char *whose,
                        json_t **ret_docs, char **ret_next)
{
    struct db_list page = {.limit = 1};
    CLEAN_BUF struct buf cursor = BUF_EMPTY;
    CLEAN_BUF struct buf next_text = BUF_EMPTY;
    json_t *docs = NULL;
    char *next = NULL;
    call_list(c, &page);
    int r = history_cursor(page.cursor, &cursor);
    if (r == 0)
        r = lister(c->db, whose, page.limit, page.cursor == NULL ? NULL : cursor.data, &docs,
                   &next);
    if (r < 0)
        return r;
    if (next != NULL)
        enc_base64url(next, strlen(next), &next_text);
    r = buf_error(&next_text);
    if (r < 0) {
        free(next);
        json_decref(docs);
        return r;
    }
    *ret_docs = docs;
    *ret_next = next == NULL ? NULL : buf_take(&next_text);
    free(next);
    return 0;
}

static int history_own_list(struct call *c)
{
    json_t *docs = NULL;
    char *next = NULL;
    int r = history_page(c, history_list, catalog_viewer_id(c), &docs, &next);
    return catalog_page_of(c, r, "history", docs, next, history_public);
}

static int history_own_get(struct call *c)
{
    json_t *entry = NULL;
    int r = history_position(c->db, catalog_viewer_id(c), call_path(c, "video"), c->now_ms, &entry);
    if (r == 0)
        r = catalog_answer_of(c, history_public(entry));
    json_decref(entry);
    return catalog_refuse(c, r, "HISTORY_NOT_FOUND", "entry");
}

static int history_own_put(struct call *c)
{
    json_t *video = NULL;
    json_t *entry = NULL;
    int r = catalog_path_video(c, &video);
    if (r < 0)
        return r;
    int64_t duration_ms = member_int(video, "duration_ms");
    int64_t position_ms = call_integer(c, "position_ms");
    const struct history_ask ask = {
        .viewer = catalog_viewer_id(c),
        .user = c->caller.user,
        .video = call_path(c, "video"),
        .position_ms = duration_ms > 0 ? MIN(position_ms, duration_ms) : position_ms,
        .duration_ms = duration_ms,
        .now_ms = c->now_ms,
    };
    r = history_mark(c->db, &ask, &entry);
    if (r == 0)
        r = catalog_answer_of(c, history_public(entry));
    json_decref(entry);
    json_decref(video);
    return r;
}

static int history_own_delete(struct call *c)
{
    int r = history_delete(c->db, catalog_viewer_id(c), call_path(c, "video"));
    return r == -ENOENT ? 0 : r; /* gone is what was asked for */
}

static int history_own_clear(struct call *c)
{
    return history_delete(c->db, catalog_viewer_id(c), NULL);
}

/* --- operators -------------------------------------------------------------------------------- */

/* The id of the user that the path names by id or by address. */
static int history_user(struct call *c, const char **ret)
{
    json_t *user = NULL;
    int r = account_of_text(c->db, call_path(c, "user"), &user);
    if (r == -ENOENT || r == -EINVAL) /* longer than any id */
        return fault_set(&c->fault, 404, "USER_NOT_FOUND", "there is no such user");
    if (r == 0) {
        *ret = call_keep(c, member_str(user, "id"));
        r = *ret == NULL ? -ENOMEM : 0;
    }
    json_decref(user);
    return r;
}

/* The account, or a profile of it. */
static json_t *history_seen_by(const json_t *doc)
{
    json_t *view = history_public(doc);
    if (view != NULL && member_copy(view, "viewer", doc, "viewer") == 0)
        return view;
    json_decref(view);
    return NULL;
}

static int history_list_of(struct call *c)
{
    const char *user = NULL;
    json_t *docs = NULL;
    char *next = NULL;
    int r = history_user(c, &user);
    if (r < 0)
        return r;
    r = history_page(c, history_list_user, user, &docs, &next);
    return catalog_page_of(c, r, "history", docs, next, history_seen_by);
}

static int history_clear_of(struct call *c)
{
    const char *user = NULL;
    int r = history_user(c, &user);
    return r < 0 ? r : history_delete_user(c->db, user);
}

static int history_tell(struct call *c)
{
    const char *folder = upkeep_folder(c->control->upkeep);
    json_t *status = NULL;
    json_t *archive = NULL;
    int r = history_status(c->db, &status);
    if (r == 0)
        r = folder == NULL ? 0 : history_archive_status(folder, &archive);
    if (r == 0 && archive == NULL)
        archive = json_null();
    if (r == 0 && json_object_set(status, "archive", archive) < 0)
        r = -ENOMEM;
    json_decref(archive);
    if (r == 0)
        return call_answer(c, status);
    json_decref(status);
    return r;
}

const struct op_handler history_ops[] = {
    {"history_list", history_own_list, NULL},
    {"history_clear", history_own_clear, NULL},
    {"history_get", history_own_get, NULL},
    {"history_put", history_own_put, NULL},
    {"history_delete", history_own_delete, NULL},
    {"history_list_of", history_list_of, NULL},
    {"history_clear_of", history_clear_of, NULL},
    {"history_status", history_tell, NULL},
    {NULL, NULL, NULL},
};
