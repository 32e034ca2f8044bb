/* SPDX-License-Identifier: Apache-2.0 */
/* Stars and comments: openapi/social.yaml. */
#include <errno.h>
#include <string.h>
#include "control/catalog/catalog_ops.h"
#include "control/catalog/comment.h"
#include "control/catalog/member.h"
#include "control/catalog/score.h"
#include "control/model.h"
#include "control/ops.h"

/* --- stars ------------------------------------------------------------------------------------ */

static int social_stars_answer(struct call *c, int64_t own, const json_t *video)
{
    int64_t count = member_int(video, "stars_count");
    json_t *average =
        count > 0 ? json_real((double)member_int(video, "stars_sum") / (double)count) : json_null();
    return call_answer(c, json_pack("{s:o, s:I, s:o}", "stars",
                                    own > 0 ? json_integer(own) : json_null(), "count",
                                    (json_int_t)count, "average", average));
}

static int social_stars_get(struct call *c)
{
    json_t *video = NULL;
    json_t *own = NULL;
    int r = catalog_path_video(c, &video);
    if (r == 0)
        r = score_get(c->db, call_path(c, "video"), c->caller.user, &own);
    if (r == 0 || r == -ENOENT)
        r = social_stars_answer(c, member_int(own, "stars"), video);
    json_decref(video);
    json_decref(own);
    return r;
}

static int social_stars_put(struct call *c)
{
    json_t *video = NULL;
    json_t *after = NULL;
    int64_t stars = call_integer(c, "stars");
    int r = catalog_path_video(c, &video);
    json_decref(video);
    if (r == 0)
        r = score_put(c->db, call_path(c, "video"), c->caller.user, (int)stars, c->now_ms, &after);
    if (r == 0)
        r = social_stars_answer(c, stars, after);
    json_decref(after);
    return catalog_refuse(c, r, "VIDEO_NOT_FOUND", "video");
}

static int social_stars_delete(struct call *c)
{
    int r = score_delete(c->db, call_path(c, "video"), c->caller.user, c->now_ms);
    return r == -ENOENT ? 0 : r; /* gone is what was asked for */
}

/* --- comments --------------------------------------------------------------------------------- */

static int social_comments_page(struct call *c, const char *comment)
{
    struct db_list page = {.limit = 1};
    json_t *docs = NULL;
    char *next = NULL;
    call_list(c, &page);
    int r =
        comment_list(c->db, call_path(c, "video"), comment, page.limit, page.cursor, &docs, &next);
    return call_page_of(c, r, "comments", docs, next, comment_public);
}

/* The comment of the path, of a video that the viewer may see. */
static int social_comment(struct call *c, json_t **ret_video, json_t **ret)
{
    json_t *video = NULL;
    int r = catalog_path_video(c, &video);
    if (r < 0)
        return r;
    r = comment_get(c->db, call_path(c, "video"), call_path(c, "comment"), ret);
    if (r < 0)
        json_decref(video);
    else
        *ret_video = video;
    return catalog_refuse(c, r, "COMMENT_NOT_FOUND", "comment");
}

static int social_comments_list(struct call *c)
{
    json_t *video = NULL;
    int r = catalog_path_video(c, &video);
    json_decref(video);
    return r < 0 ? r : social_comments_page(c, NULL);
}

static int social_replies_list(struct call *c)
{
    json_t *video = NULL;
    json_t *comment = NULL;
    int r = social_comment(c, &video, &comment);
    json_decref(video);
    json_decref(comment);
    return r < 0 ? r : social_comments_page(c, call_path(c, "comment"));
}

/* The profile's name, else the account's. *ret_doc holds it. */
static int social_name(struct call *c, json_t **ret_doc, const char **ret)
{
    bool chosen = c->caller.profile[0] != 0;
    int r = db_get(c->db, chosen ? MODEL_PROFILES : MODEL_USERS,
                   chosen ? c->caller.profile : c->caller.user, ret_doc);
    *ret = member_text(*ret_doc, "name");
    return r == -ENOENT ? 0 : r;
}

static int social_comment_add(struct call *c)
{
    json_t *video = NULL;
    json_t *comment = NULL;
    json_t *who = NULL;
    struct comment_ask ask = {
        .video = call_path(c, "video"),
        .parent = call_text(c, "parent"),
        .user = c->caller.user,
        .text = call_text(c, "text"),
    };
    int r = catalog_path_video(c, &video);
    json_decref(video);
    if (r == 0)
        r = social_name(c, &who, &ask.name);
    if (r == 0)
        r = comment_add(c->db, &ask, c->now_ms, &comment);
    if (r == 0)
        r = call_answer(c, comment_public(comment));
    json_decref(comment);
    json_decref(who);
    return catalog_refuse(c, r, "COMMENT_NOT_FOUND", "comment");
}

static bool social_is_author(const struct call *c, const json_t *comment)
{
    const char *user = member_text(comment, "user");
    return user != NULL && c->caller.user[0] != 0 && strcmp(user, c->caller.user) == 0;
}

static int social_comment_change(struct call *c)
{
    json_t *video = NULL;
    json_t *comment = NULL;
    json_t *changed = NULL;
    int64_t rev = -1;
    int r = social_comment(c, &video, &comment);
    json_decref(video);
    if (r == 0)
        r = catalog_rev(c, &rev);
    if (r == 0 && !social_is_author(c, comment))
        r = fault_set(&c->fault, 403, "NOT_YOURS", "only its author may change a comment");
    if (r == 0 && rev >= 0 && member_int(comment, "rev") != rev)
        r = -ESTALE;
    if (r == 0)
        r = comment_edit(c->db, comment, call_text(c, "text"), c->now_ms, &changed);
    if (r == 0)
        r = call_answer(c, comment_public(changed));
    if (r == 0)
        r = catalog_tag(c, changed);
    json_decref(comment);
    json_decref(changed);
    return catalog_refuse(c, r, "COMMENT_NOT_FOUND", "comment");
}

/* By its author, the video's creator, or an admin. */
static int social_comment_delete(struct call *c)
{
    const struct viewer viewer = catalog_viewer(c);
    json_t *video = NULL;
    json_t *comment = NULL;
    int r = social_comment(c, &video, &comment);
    if (r == 0 && !social_is_author(c, comment) && !visible_is_owner(video, &viewer))
        r = fault_set(&c->fault, 403, "NOT_YOURS", "this comment is not yours to delete");
    if (r == 0)
        r = comment_delete(c->db, comment, c->caller.user[0] != 0 ? c->caller.user : "operator",
                           c->now_ms);
    json_decref(video);
    json_decref(comment);
    if (r == -ESTALE)
        r = -EBUSY; /* edited in the same moment: the client tries again */
    return catalog_refuse(c, r, "COMMENT_NOT_FOUND", "comment");
}

const struct op_handler social_ops[] = {
    {"stars_get", social_stars_get, NULL},
    {"stars_put", social_stars_put, NULL},
    {"stars_delete", social_stars_delete, NULL},
    {"comments_list", social_comments_list, NULL},
    {"comments_add", social_comment_add, NULL},
    {"comments_replies", social_replies_list, NULL},
    {"comments_change", social_comment_change, NULL},
    {"comments_delete", social_comment_delete, NULL},
    {NULL, NULL, NULL},
};
