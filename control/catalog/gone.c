/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/gone.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "control/catalog/key.h"
#include "control/catalog/member.h"
#include "control/catalog/tally.h"
#include "control/model.h"
#include "control/people/profiles.h"

#define GONE_BATCH 200

/* What becomes of a document that hangs on a thing. */
enum gone_how {
    GONE_DROP,  /* it goes */
    GONE_LOSE,  /* it stays, and names the thing no more */
    GONE_HIDE,  /* a comment: what it says and who said it go; what others replied stays */
    GONE_ALONG, /* it is a thing itself, and goes as one */
};

struct gone_part {
    unsigned coll;
    enum gone_how how;
    const char *member; /* has the thing's id */
    const char *key;    /* that begins with it; NULL: all documents are looked through */
    const char *time;   /* when the document was made; NULL: whenever it was */
};

static const struct gone_part gone_video[] = {
    {MODEL_SCORES, GONE_DROP, "video", "video stars", "created_ms"},
    {MODEL_COMMENTS, GONE_DROP, "video", "video created_ms", "created_ms"},
    {MODEL_FAVOURITES, GONE_DROP, "video", "video created_ms", "created_ms"},
    {MODEL_HISTORY, GONE_DROP, "video", "video last_ms", "first_ms"},
};
static const struct gone_part gone_channel[] = {
    {MODEL_FOLLOWS, GONE_DROP, "channel", "channel created_ms", "created_ms"},
    {MODEL_VIDEOS, GONE_LOSE, "channel", NULL, "created_ms"}, /* drafts are not in the key */
    {MODEL_SERIES, GONE_LOSE, "channel", "channel created_ms", "created_ms"},
};
static const struct gone_part gone_series[] = {
    {MODEL_VIDEOS, GONE_LOSE, "series", "series place", "created_ms"},
};

static const struct gone_part gone_profile[] = {
    {MODEL_FAVOURITES, GONE_DROP, "viewer", "viewer created_ms", "created_ms"},
    {MODEL_HISTORY, GONE_DROP, "viewer", "viewer last_ms", "first_ms"},
    {MODEL_HISTORY_MONTHS, GONE_DROP, "viewer", "viewer month", NULL}, /* older than any note */
};

/* An account's id never comes again, so it does not matter when something was made. What keeps the
 * account usable goes first. */
#define GONE_USER_PARTS                                                                            \
    {MODEL_SESSIONS, GONE_DROP, "user", "user created_ms", NULL},                                  \
        {MODEL_API_KEYS, GONE_DROP, "user", "user created_ms", NULL},                              \
        {MODEL_LINKS, GONE_DROP, "user", "user created_ms", NULL},                                 \
        {MODEL_TICKETS, GONE_DROP, "about", "about created_ms", NULL},                             \
        {MODEL_BROADCASTS, GONE_DROP, "owner", "owner created_ms", NULL},                          \
        {MODEL_FOLLOWS, GONE_DROP, "user", "user created_ms", NULL},                               \
        {MODEL_SCORES, GONE_DROP, "user", "user created_ms", NULL},                                \
        {MODEL_COMMENTS, GONE_HIDE, "user", "user created_ms", NULL},                              \
        {MODEL_FAVOURITES, GONE_DROP, "user", "user created_ms", NULL},                            \
        {MODEL_HISTORY, GONE_DROP, "user", "user last_ms", NULL},                                  \
        {MODEL_HISTORY_MONTHS, GONE_DROP, "user", "user month", NULL},                             \
    {                                                                                              \
        MODEL_PLAYLISTS, GONE_DROP, "owner", "owner created_ms", NULL                              \
    }

static const struct gone_part gone_user[] = {
    GONE_USER_PARTS,
    {MODEL_VIDEOS, GONE_ALONG, "owner", "owner created_ms", NULL},
    {MODEL_SERIES, GONE_ALONG, "owner", NULL, NULL},
    {MODEL_CHANNELS, GONE_ALONG, "owner", "owner created_ms", NULL},
};
static const struct gone_part gone_user_kept[] = {
    GONE_USER_PARTS,
    {MODEL_VIDEOS, GONE_LOSE, "owner", "owner created_ms", NULL},
    {MODEL_SERIES, GONE_LOSE, "owner", NULL, NULL},
    {MODEL_CHANNELS, GONE_LOSE, "owner", "owner created_ms", NULL},
};

static const struct {
    const char *name;
    unsigned coll; /* of the thing itself */
    const struct gone_part *parts;
    size_t count;
} gone_kinds[GONE_KINDS] = {
    [GONE_VIDEO] = {"video", MODEL_VIDEOS, gone_video, ARRAY_LEN(gone_video)},
    [GONE_CHANNEL] = {"channel", MODEL_CHANNELS, gone_channel, ARRAY_LEN(gone_channel)},
    [GONE_SERIES] = {"series", MODEL_SERIES, gone_series, ARRAY_LEN(gone_series)},
    [GONE_CATEGORY] = {"category", MODEL_CATEGORIES, NULL, 0},
    [GONE_PROFILE] = {"profile", MODEL_PROFILES, gone_profile, ARRAY_LEN(gone_profile)},
    [GONE_USER] = {"user", MODEL_USERS, gone_user, ARRAY_LEN(gone_user)},
    [GONE_USER_KEPT] = {"user_kept", MODEL_USERS, gone_user_kept, ARRAY_LEN(gone_user_kept)},
};

/* --- the thing itself ------------------------------------------------------------------------- */

/* Only what was there when it was noted. */
static int gone_take_thing(struct db *db, enum gone_kind kind, const char *id, int64_t noted_ms)
{
    json_t *where = json_pack("{s:{s:I}}", "created_ms", "max", (json_int_t)noted_ms);
    int r = where == NULL ? -ENOMEM : db_delete_if(db, gone_kinds[kind].coll, id, where);
    json_decref(where);
    return r;
}

int gone_put(struct db *db, enum gone_kind kind, const char *id, int64_t now_ms)
{
    char key[KEY_SIZE];
    json_t *thing = NULL;
    int r = db_get(db, gone_kinds[kind].coll, id, &thing);
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

/* Only as long as it still hangs on the thing. */
static int gone_drop(struct db *db, const struct gone_part *part, const char *id, const char *of)
{
    json_t *where = json_pack("{s:s}", part->member, of);
    int r = where == NULL ? -ENOMEM : db_delete_if(db, part->coll, id, where);
    json_decref(where);
    return r;
}

static int gone_change(struct db *db, const struct gone_part *part, const char *id, const char *of,
                       json_t *set)
{
    json_t *where = json_pack("{s:s}", part->member, of);
    const struct db_update update = {.where = where, .set = set};
    int r = where == NULL || set == NULL ? -ENOMEM : db_update(db, part->coll, id, &update, NULL);
    json_decref(where);
    json_decref(set);
    return r;
}

static json_t *gone_hidden(const json_t *comment, int64_t now_ms)
{
    if (member_has(comment, "deleted_ms"))
        return json_pack("{s:n}", "user");
    return json_pack("{s:n, s:n, s:n, s:I, s:s}", "user", "name", "text", "deleted_ms",
                     (json_int_t)now_ms, "deleted_by", "gone");
}

static int gone_along(struct db *db, unsigned coll, const char *id, int64_t now_ms)
{
    enum gone_kind kind = coll == MODEL_VIDEOS     ? GONE_VIDEO
                          : coll == MODEL_CHANNELS ? GONE_CHANNEL
                                                   : GONE_SERIES;
    ASSERT(gone_kinds[kind].coll == coll);
    return gone_put(db, kind, id, now_ms);
}

static int gone_take(struct db *db, const struct gone_part *part, const json_t *doc, const char *of,
                     int64_t now_ms)
{
    const char *id = member_text(doc, "id");
    int r = part->how == GONE_LOSE ? 0 : gone_mark(db, part->coll, doc, now_ms);
    if (r < 0)
        return r;
    switch (part->how) {
    case GONE_DROP:
        r = gone_drop(db, part, id, of);
        break;
    case GONE_LOSE: {
        bool episode = strcmp(part->member, "series") == 0;
        r = gone_change(db, part, id, of,
                        json_pack("{s:n, s:n}", part->member, episode ? "place" : part->member));
        break;
    }
    case GONE_HIDE:
        r = gone_change(db, part, id, of, gone_hidden(doc, now_ms));
        break;
    case GONE_ALONG:
        r = gone_along(db, part->coll, id, now_ms);
        break;
    }
    return r == -ENOENT || r == -ESTALE ? 0 : r;
}

static json_t *gone_where(const struct gone_part *part, const char *of, int64_t noted_ms)
{
    json_t *where = json_object();
    int r = where == NULL ? -ENOMEM : 0;
    if (r == 0 && part->time != NULL)
        r = json_object_set_new(where, part->time, json_pack("{s:I}", "max", (json_int_t)noted_ms));
    if (r == 0 && part->key == NULL)
        r = member_set_text(where, part->member, of);
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
            r = gone_take(db, part, doc, of, MAX(clock_real_ms(), noted_ms));
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

/* --- an account ------------------------------------------------------------------------------- */

static bool gone_is_user(int kind)
{
    return kind == GONE_USER || kind == GONE_USER_KEPT;
}

static int gone_drop_id(struct db *db, unsigned coll, const char *id)
{
    int r = db_delete(db, coll, id);
    return r == -ENOENT ? 0 : r;
}

/* What is found by an id that is made of the account's. */
static int gone_take_named(struct db *db, const char *user)
{
    json_t *profiles = NULL;
    json_t *profile;
    size_t i;
    int r = profiles_list(db, user, &profiles);
    json_array_foreach(profiles, i, profile)
    {
        if (r == 0)
            r = gone_drop_id(db, MODEL_PROFILES, member_text(profile, "id"));
    }
    json_decref(profiles);
    if (r == 0)
        r = gone_drop_id(db, MODEL_RIGHTS, user);
    return r == 0 ? gone_drop_id(db, MODEL_LEASES, user) : r;
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

static int gone_one(struct db *db, const json_t *note, int64_t now_ms, uint64_t *count)
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
    if (r == 0 && gone_is_user(kind))
        r = gone_take_named(db, of);
    if (r == 0 && kind == GONE_CATEGORY)
        r = gone_repath_all(db, of);
    if (r < 0)
        return r == -EAGAIN ? 0 : r; /* next time */
    if (gone_is_user(kind) && now_ms - noted_ms < GONE_USER_MS)
        return 0;
    (*count)++;
    json_t *where = json_pack("{s:I}", "created_ms", (json_int_t)noted_ms);
    r = where == NULL ? -ENOMEM : db_delete_if(db, MODEL_GONE, member_text(note, "id"), where);
    json_decref(where);
    return r == -ENOENT || r == -ESTALE ? 0 : r;
}

/* A page of notes; those of accounts may stay, so the next page is behind it. */
static int gone_sweep_page(struct db *db, int64_t now_ms, char **cursor, uint64_t *count)
{
    const struct db_list list = {.key = "created_ms", .limit = GONE_BATCH, .cursor = *cursor};
    json_t *notes = NULL;
    char *next = NULL;
    size_t i;
    json_t *note;
    int r = db_list(db, MODEL_GONE, &list, &notes, &next);
    free(*cursor);
    *cursor = next;
    json_array_foreach(notes, i, note)
    {
        if (r == 0)
            r = gone_one(db, note, now_ms, count);
    }
    json_decref(notes);
    return r;
}

int gone_sweep(struct db *db, int64_t now_ms, uint64_t *ret_count)
{
    char *cursor = NULL;
    uint64_t count = 0;
    int r = 0;
    do
        r = gone_sweep_page(db, now_ms, &cursor, &count);
    while (r == 0 && cursor != NULL);
    free(cursor);
    if (r == 0)
        *ret_count = count;
    return r;
}

int gone_users(struct db *db, json_t **ret)
{
    json_t *where = json_pack("{s:[s, s]}", "kind", gone_kinds[GONE_USER].name,
                              gone_kinds[GONE_USER_KEPT].name);
    const struct db_list list = {
        .key = "created_ms", .descending = true, .limit = DB_LIST_MAX, .where = where};
    json_t *notes = NULL;
    json_t *users = json_array();
    char *next = NULL;
    size_t i;
    json_t *note;
    int r =
        where == NULL || users == NULL ? -ENOMEM : db_list(db, MODEL_GONE, &list, &notes, &next);
    free(next);
    json_array_foreach(notes, i, note)
    {
        if (r == 0 && json_array_append(users, json_object_get(note, "of")) < 0)
            r = -ENOMEM;
    }
    json_decref(where);
    json_decref(notes);
    if (r < 0)
        json_decref(users);
    else
        *ret = users;
    return r;
}
