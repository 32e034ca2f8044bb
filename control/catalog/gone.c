/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/gone.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "control/catalog/key.h"
#include "control/catalog/member.h"
#include "control/catalog/tally.h"
#include "control/model.h"

#define GONE_BATCH 200

/* What hangs on a thing: documents that are found by a key. */
struct gone_part {
    unsigned coll;
    const char *key;  /* its first field is the thing's id; NULL: looked for in all, by `lose` */
    const char *time; /* when the document was made */
    const char *lose; /* the member that it loses; NULL: the document goes */
};

static const struct gone_part gone_video[] = {
    {MODEL_SCORES, "video stars", "created_ms", NULL},
    {MODEL_COMMENTS, "video created_ms", "created_ms", NULL},
    {MODEL_FAVOURITES, "video created_ms", "created_ms", NULL},
    {MODEL_HISTORY, "video last_ms", "first_ms", NULL},
};
static const struct gone_part gone_channel[] = {
    {MODEL_FOLLOWS, "channel created_ms", "created_ms", NULL},
    {MODEL_VIDEOS, NULL, "created_ms", "channel"}, /* not all are in the key: drafts */
    {MODEL_SERIES, "channel created_ms", "created_ms", "channel"},
};
static const struct gone_part gone_series[] = {
    {MODEL_VIDEOS, "series place", "created_ms", "series"},
};
static const struct gone_part gone_user[] = {
    {MODEL_FOLLOWS, "user created_ms", "created_ms", NULL},
    {MODEL_SCORES, "user created_ms", "created_ms", NULL},
    {MODEL_COMMENTS, "user created_ms", "created_ms", NULL},
    {MODEL_FAVOURITES, "user created_ms", "created_ms", NULL},
    {MODEL_HISTORY, "user last_ms", "first_ms", NULL},
    {MODEL_HISTORY_MONTHS, "user month", NULL, NULL},
    {MODEL_PLAYLISTS, "owner created_ms", "created_ms", NULL},
    {MODEL_VIDEOS, "owner created_ms", "created_ms", "owner"},
    {MODEL_CHANNELS, "owner created_ms", "created_ms", "owner"},
};

static const struct {
    const char *name;
    int coll; /* of the thing itself; -1: none here */
    const struct gone_part *parts;
    size_t count;
} gone_kinds[GONE_KINDS] = {
    [GONE_VIDEO] = {"video", MODEL_VIDEOS, gone_video, ARRAY_LEN(gone_video)},
    [GONE_CHANNEL] = {"channel", MODEL_CHANNELS, gone_channel, ARRAY_LEN(gone_channel)},
    [GONE_SERIES] = {"series", MODEL_SERIES, gone_series, ARRAY_LEN(gone_series)},
    [GONE_CATEGORY] = {"category", MODEL_CATEGORIES, NULL, 0},
    [GONE_USER] = {"user", -1, gone_user, ARRAY_LEN(gone_user)},
};

/* --- the thing itself ------------------------------------------------------------------------- */

/* Only what was there when it was noted. */
static int gone_take_thing(struct db *db, enum gone_kind kind, const char *id, int64_t noted_ms)
{
    if (gone_kinds[kind].coll < 0)
        return 0;
    json_t *where = json_pack("{s:{s:I}}", "created_ms", "max", (json_int_t)noted_ms);
    int r = where == NULL ? -ENOMEM : db_delete_if(db, (unsigned)gone_kinds[kind].coll, id, where);
    json_decref(where);
    return r;
}

int gone_put(struct db *db, enum gone_kind kind, const char *id, int64_t now_ms)
{
    char key[KEY_SIZE];
    json_t *thing = NULL;
    int r = gone_kinds[kind].coll < 0 ? 0 : db_get(db, (unsigned)gone_kinds[kind].coll, id, &thing);
    json_decref(thing);
    if (r < 0)
        return r; /* so that notes are not made by asking for what never was */
    key_join(key, gone_kinds[kind].name, id, NULL);
    json_t *note = json_pack("{s:s, s:s, s:s, s:I}", "id", key, "kind", gone_kinds[kind].name, "of",
                             id, "created_ms", (json_int_t)now_ms);
    r = note == NULL ? -ENOMEM : db_put(db, MODEL_GONE, note);
    json_decref(note);
    if (r == 0)
        r = gone_take_thing(db, kind, id, now_ms);
    return r == -ESTALE ? 0 : r; /* made anew in the same moment: the old one is gone */
}

/* --- what hangs on it ------------------------------------------------------------------------- */

/* Its parents count one less. Before it goes, so that a stop in between is mended. */
static int gone_mark(struct db *db, unsigned coll, const json_t *doc, int64_t now_ms)
{
    int r = 0;
    struct str below = STR_NONE;
    if (coll == MODEL_FOLLOWS && member_text(doc, "channel") != NULL)
        r = tally_begin(db, TALLY_FOLLOWERS, member_text(doc, "channel"), now_ms, NULL);
    if ((coll == MODEL_SCORES || coll == MODEL_COMMENTS) && member_text(doc, "video") != NULL)
        r = tally_begin(db, TALLY_STARS, member_text(doc, "video"), now_ms, NULL);
    if (coll == MODEL_COMMENTS)
        (void)str_cut(member_str(doc, "thread"), '/', &below);
    if ((r == 0 || r == -ENOENT) && below.size > 0)
        r = tally_begin(db, TALLY_REPLIES, below.data, now_ms, NULL);
    return r == -ENOENT ? 0 : r;
}

static int gone_take(struct db *db, const struct gone_part *part, const json_t *doc)
{
    const char *id = member_text(doc, "id");
    int r = gone_mark(db, part->coll, doc, clock_real_ms());
    if (r < 0)
        return r;
    if (part->lose == NULL) {
        r = db_delete(db, part->coll, id);
    } else {
        bool episode = strcmp(part->lose, "series") == 0;
        const struct db_update update = {
            .set = json_pack("{s:n, s:n}", part->lose, episode ? "place" : part->lose)};
        r = update.set == NULL ? -ENOMEM : db_update(db, part->coll, id, &update, NULL);
        json_decref((json_t *)(uintptr_t)update.set);
    }
    return r == -ENOENT ? 0 : r;
}

static json_t *gone_where(const struct gone_part *part, const char *of, int64_t noted_ms)
{
    json_t *where = json_object();
    int r = where == NULL ? -ENOMEM : 0;
    if (r == 0 && part->time != NULL)
        r = json_object_set_new(where, part->time, json_pack("{s:I}", "max", (json_int_t)noted_ms));
    if (r == 0 && part->key == NULL)
        r = member_set_text(where, part->lose, of);
    if (r == 0)
        return where;
    json_decref(where);
    return NULL;
}

/* A page of them; *ret_more where there may be others behind it. Taken ones are listed no more, so
 * each turn begins at the front; those that stay (newer ones) are left out by the condition. */
static int gone_take_page(struct db *db, const struct gone_part *part, const char *of,
                          int64_t noted_ms, bool *ret_more)
{
    json_t *equal = part->key == NULL ? NULL : json_pack("[s]", of);
    json_t *where = gone_where(part, of, noted_ms);
    const struct db_list list = {
        .key = part->key, .limit = GONE_BATCH, .equal = equal, .where = where};
    json_t *docs = NULL;
    char *next = NULL;
    size_t i;
    json_t *doc;
    int r = where == NULL || (part->key != NULL && equal == NULL)
                ? -ENOMEM
                : db_list(db, part->coll, &list, &docs, &next);
    json_array_foreach(docs, i, doc)
    {
        if (r == 0)
            r = gone_take(db, part, doc);
    }
    *ret_more = next != NULL;
    free(next);
    json_decref(equal);
    json_decref(where);
    json_decref(docs);
    return r;
}

static int gone_take_parts(struct db *db, enum gone_kind kind, const char *of, int64_t noted_ms)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < gone_kinds[kind].count; i++) {
        bool more = true;
        while (r == 0 && more)
            r = gone_take_page(db, &gone_kinds[kind].parts[i], of, noted_ms, &more);
    }
    return r;
}

/* --- categories of videos --------------------------------------------------------------------- */

static int gone_repath_video(struct db *db, const struct category_tree *t, const json_t *video)
{
    json_t *path = category_tree_path(t, json_object_get(video, "categories"));
    json_t *kept = json_array();
    size_t i;
    json_t *id;
    int r = path == NULL || kept == NULL ? -ENOMEM : 0;
    json_array_foreach(json_object_get(video, "categories"), i, id)
    {
        if (r == 0 && category_tree_get(t, json_string_value(id)) != NULL)
            r = json_array_append(kept, id) < 0 ? -ENOMEM : 0;
    }
    json_t *set = r < 0 ? NULL : json_pack("{s:O, s:O}", "path", path, "categories", kept);
    json_t *where = json_pack("{s:O}", "rev", json_object_get(video, "rev"));
    const struct db_update update = {.where = where, .set = set};
    if (r == 0)
        r = set == NULL || where == NULL
                ? -ENOMEM
                : db_update(db, MODEL_VIDEOS, member_text(video, "id"), &update, NULL);
    json_decref(path);
    json_decref(kept);
    json_decref(set);
    json_decref(where);
    /* Stale: whoever changed it has made its path of the tree as it was then, perhaps of the one
     * before: it is looked at again. */
    return r == -ENOENT ? 0 : r;
}

int gone_repath(struct db *db, const struct category_tree *t, const char *category)
{
    json_t *where = json_pack("{s:s}", "path", category);
    char *cursor = NULL;
    int r = where == NULL ? -ENOMEM : 0;
    bool more = r == 0;
    while (r == 0 && more) {
        const struct db_list list = {.limit = GONE_BATCH, .cursor = cursor, .where = where};
        json_t *docs = NULL;
        char *next = NULL;
        size_t i;
        json_t *doc;
        r = db_list(db, MODEL_VIDEOS, &list, &docs, &next);
        json_array_foreach(docs, i, doc)
        {
            if (r == 0)
                r = gone_repath_video(db, t, doc);
        }
        json_decref(docs);
        free(cursor);
        cursor = next;
        more = next != NULL;
    }
    free(cursor);
    json_decref(where);
    return r == -ESTALE ? -EAGAIN : r;
}

static int gone_repath_all(struct db *db, const char *category)
{
    struct category_tree t;
    int r = category_tree_load(db, &t);
    if (r < 0)
        return r;
    r = gone_repath(db, &t, category);
    category_tree_free(&t);
    return r;
}

/* --- the sweep -------------------------------------------------------------------------------- */

static int gone_kind_of(const json_t *note)
{
    const char *name = member_text(note, "kind");
    for (int i = 0; name != NULL && i < GONE_KINDS; i++)
        if (strcmp(name, gone_kinds[i].name) == 0)
            return i;
    return -1;
}

static int gone_one(struct db *db, const json_t *note)
{
    int kind = gone_kind_of(note);
    const char *of = member_text(note, "of");
    int64_t noted_ms = member_int(note, "created_ms");
    if (kind < 0 || of == NULL)
        return -EBADMSG;
    int r = gone_take_thing(db, (enum gone_kind)kind, of, noted_ms);
    if (r == -ENOENT || r == -ESTALE)
        r = 0;
    if (r == 0)
        r = gone_take_parts(db, (enum gone_kind)kind, of, noted_ms);
    if (r == 0 && kind == GONE_CATEGORY)
        r = gone_repath_all(db, of);
    if (r < 0)
        return r == -EAGAIN ? 0 : r; /* next time */
    json_t *where = json_pack("{s:I}", "created_ms", (json_int_t)noted_ms);
    r = where == NULL ? -ENOMEM : db_delete_if(db, MODEL_GONE, member_text(note, "id"), where);
    json_decref(where);
    return r == -ENOENT || r == -ESTALE ? 0 : r;
}

int gone_sweep(struct db *db, uint64_t *ret_count)
{
    const struct db_list list = {.key = "created_ms", .limit = GONE_BATCH};
    json_t *notes = NULL;
    char *next = NULL;
    size_t i;
    json_t *note;
    int r = db_list(db, MODEL_GONE, &list, &notes, &next);
    free(next);
    if (r < 0)
        return r;
    json_array_foreach(notes, i, note)
    {
        if (r == 0)
            r = gone_one(db, note);
    }
    if (r == 0)
        *ret_count = json_array_size(notes);
    json_decref(notes);
    return r;
}
