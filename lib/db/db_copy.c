/* SPDX-License-Identifier: Apache-2.0 */
#include "db/db_copy.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/digest.h"
#include "db/db_backend.h"

#define DB_COPY_PAGE 500

int db_open_stored(const char *address, struct err *err, struct db **ret,
                   struct db_schema **ret_schema)
{
    CLEAN_BUF struct buf text = BUF_EMPTY;
    struct db_schema *schema = NULL;
    int r = db_is_mongo(address) ? db_mongo_stored(address, err, &text)
                                 : db_sqlite_stored(address, err, &text);
    if (r < 0)
        return r;
    r = db_stored_read(buf_str(&text), &schema);
    if (r < 0)
        return err_set(err, r, "what %s says of its collections cannot be read", address);
    r = db_open(address, schema, err, ret);
    if (r < 0) {
        db_stored_free(schema);
        return r;
    }
    *ret_schema = schema;
    return 0;
}

/* --- all documents of a collection, by id ----------------------------------------------------- */

struct db_walk {
    struct db *db;
    unsigned coll;
    json_t *page;
    size_t at;
    char *cursor;
    bool over;
};

static void db_walk_end(struct db_walk *w)
{
    json_decref(w->page);
    free(w->cursor);
}

static int db_walk_page(struct db_walk *w)
{
    json_t *page = NULL;
    char *next = NULL;
    const struct db_list list = {.limit = DB_COPY_PAGE, .cursor = w->cursor};
    int r = db_list(w->db, w->coll, &list, &page, &next);
    if (r < 0)
        return r;
    db_walk_end(w);
    w->page = page;
    w->cursor = next;
    w->at = 0;
    w->over = next == NULL;
    return 0;
}

/* *ret borrows until the next call; NULL at the end. */
static int db_walk_next(struct db_walk *w, const json_t **ret)
{
    while (w->at == json_array_size(w->page)) {
        if (w->over) {
            *ret = NULL;
            return 0;
        }
        int r = db_walk_page(w);
        if (r < 0)
            return r;
    }
    *ret = json_array_get(w->page, w->at++);
    return 0;
}

static const char *db_walk_id(const json_t *doc)
{
    return json_string_value(json_object_get(doc, "id"));
}

static bool db_watch_progress(const struct db_watch *watch, const char *name, uint64_t done,
                              uint64_t total)
{
    return watch == NULL || watch->progress == NULL ||
           watch->progress(watch->arg, name, done, total);
}

static int db_watch_stopped(struct err *err)
{
    return err_set(err, -EINTR, "interrupted");
}

/* --- copying ---------------------------------------------------------------------------------- */

static int db_copy_page(struct db *to, unsigned coll, const json_t *page, const char *behind)
{
    json_t *docs = json_array();
    size_t i;
    json_t *doc;
    int r = docs == NULL ? -ENOMEM : 0;
    json_array_foreach(page, i, doc)
    {
        const char *id = db_walk_id(doc);
        if (id != NULL && (behind == NULL || strcmp(id, behind) > 0) &&
            json_array_append(docs, doc) < 0)
            r = -ENOMEM;
    }
    if (r == 0)
        r = db_put_many(to, coll, docs);
    json_decref(docs);
    return r;
}

/* *ret: the last id there is, or NULL. */
static int db_copy_last(struct db *db, unsigned coll, char **ret)
{
    json_t *docs = NULL;
    char *cursor = NULL;
    const struct db_list list = {.descending = true, .limit = 1};
    int r = db_list(db, coll, &list, &docs, &cursor);
    if (r < 0)
        return r;
    const char *id = db_walk_id(json_array_get(docs, 0));
    *ret = id != NULL ? str_dup(str_of(id)) : NULL;
    r = id != NULL && *ret == NULL ? -ENOMEM : 0;
    json_decref(docs);
    free(cursor);
    return r;
}

/* A page is put in no order, so what stands before the last id when that was stopped may have
 * holes, but none further back than a page. */
static int db_copy_behind(struct db *to, unsigned coll, char **ret)
{
    json_t *docs = NULL;
    char *cursor = NULL;
    const struct db_list list = {.descending = true, .limit = DB_COPY_PAGE};
    int r = db_list(to, coll, &list, &docs, &cursor);
    if (r < 0)
        return r;
    size_t count = json_array_size(docs);
    const char *id = count == DB_COPY_PAGE ? db_walk_id(json_array_get(docs, count - 1)) : NULL;
    *ret = id != NULL ? str_dup(str_of(id)) : NULL;
    r = id != NULL && *ret == NULL ? -ENOMEM : 0;
    json_decref(docs);
    free(cursor);
    return r;
}

static int db_copy_collection(struct db *from, struct db *to, unsigned coll, const char *behind,
                              const struct db_watch *watch, struct err *err)
{
    struct db_walk walk = {.db = from, .coll = coll};
    const char *name = from->shapes[coll].name;
    uint64_t total = 0;
    uint64_t done = 0;
    int r = db_count(from, coll, &(struct db_list){.limit = 1}, &total);
    while (r == 0 && !walk.over) {
        r = db_walk_page(&walk);
        if (r == 0)
            r = db_copy_page(to, coll, walk.page, behind);
        done += json_array_size(walk.page);
        if (r == 0 && !db_watch_progress(watch, name, done, total)) {
            db_walk_end(&walk);
            return db_watch_stopped(err);
        }
    }
    db_walk_end(&walk);
    return r < 0 ? err_errno(err, r, "copying %s", name) : 0;
}

static int db_copy_empty(struct db *to, struct err *err)
{
    for (unsigned i = 0; i < to->schema->collections_count; i++) {
        CLEAN(base_free) char *last = NULL;
        int r = db_copy_last(to, i, &last);
        if (r < 0)
            return err_errno(err, r, "reading %s", to->shapes[i].name);
        if (last != NULL)
            return err_set(err, -ENOTEMPTY,
                           "the target has documents already (%s): copy into an empty database, or "
                           "go on with one that was interrupted by --resume",
                           to->shapes[i].name);
    }
    return 0;
}

int db_copy_all(struct db *from, struct db *to, bool resume, const struct db_watch *watch,
                struct err *err)
{
    ASSERT(from->schema->collections_count == to->schema->collections_count);
    int r = resume ? 0 : db_copy_empty(to, err);
    for (unsigned i = 0; r == 0 && i < from->schema->collections_count; i++) {
        CLEAN(base_free) char *behind = NULL;
        if (resume)
            r = db_copy_behind(to, i, &behind);
        r = r < 0 ? err_errno(err, r, "reading %s", to->shapes[i].name)
                  : db_copy_collection(from, to, i, behind, watch, err);
    }
    return r;
}

/* --- comparing -------------------------------------------------------------------------------- */

struct db_comparing {
    struct db_walk a;
    struct db_walk b;
    struct digest_state *digest;
    uint64_t count;
    uint64_t total;
};

static int db_digest_add(struct digest_state *digest, const json_t *doc)
{
    char *text = json_dumps(doc, JSON_COMPACT | JSON_SORT_KEYS);
    if (text == NULL)
        return -ENOMEM;
    digest_state_update(digest, text, strlen(text) + 1);
    free(text);
    return 0;
}

static int db_compare_pair(struct db_comparing *c, const char *name, const json_t *a,
                           const json_t *b, struct err *err)
{
    const char *x = db_walk_id(a);
    const char *y = db_walk_id(b);
    if ((a != NULL && x == NULL) || (b != NULL && y == NULL))
        return err_set(err, -EBADMSG, "%s has a document without an id", name);
    int order = x == NULL ? 1 : y == NULL ? -1 : strcmp(x, y);
    if (order != 0)
        return err_set(err, -EBADMSG, "%s: the document %s is only in the %s", name,
                       order < 0 ? x : y, order < 0 ? "source" : "target");
    if (json_equal(a, b) != 1)
        return err_set(err, -EBADMSG, "%s: the document %s is not the same", name, x);
    int r = db_digest_add(c->digest, a);
    return r < 0 ? err_errno(err, r, "comparing %s", name) : 0;
}

static int db_compare_walk(struct db_comparing *c, const char *name, const struct db_watch *watch,
                           struct err *err)
{
    for (;;) {
        const json_t *a = NULL;
        const json_t *b = NULL;
        int r = db_walk_next(&c->a, &a);
        if (r == 0)
            r = db_walk_next(&c->b, &b);
        if (r < 0)
            return err_errno(err, r, "reading %s", name);
        if (a == NULL && b == NULL)
            return 0;
        r = db_compare_pair(c, name, a, b, err);
        if (r < 0)
            return r;
        if (++c->count % DB_COPY_PAGE == 0 && !db_watch_progress(watch, name, c->count, c->total))
            return db_watch_stopped(err);
    }
}

static void db_watch_done(const struct db_watch *watch, const char *name, uint64_t count,
                          const struct digest_state *digest)
{
    struct digest d = digest_state_final(digest);
    char text[DIGEST_TEXT_SIZE];
    digest_format(&d, text);
    if (watch != NULL && watch->collection != NULL)
        watch->collection(watch->arg, name, count, text);
}

int db_compare(struct db *from, struct db *to, const struct db_watch *watch, struct err *err)
{
    int r = 0;
    for (unsigned i = 0; r == 0 && i < from->schema->collections_count; i++) {
        const char *name = from->shapes[i].name;
        CLEAN(digest_state_free) struct digest_state *digest = NULL;
        struct db_comparing c = {.a = {.db = from, .coll = i}, .b = {.db = to, .coll = i}};
        r = digest_state_new(&digest);
        if (r == 0)
            r = db_count(from, i, &(struct db_list){.limit = 1}, &c.total);
        if (r < 0)
            return err_errno(err, r, "comparing %s", name);
        c.digest = digest;
        r = db_compare_walk(&c, name, watch, err);
        db_walk_end(&c.a);
        db_walk_end(&c.b);
        if (r == 0)
            db_watch_done(watch, name, c.count, digest);
    }
    return r;
}

/* --- checking --------------------------------------------------------------------------------- */

struct db_checking {
    struct digest_state *digest;
    uint64_t count;
    uint64_t total;
    uint64_t keyed[DB_KEYS_MAX]; /* documents that have all fields of the key */
};

static int db_check_document(struct db *db, unsigned coll, struct db_checking *c, const json_t *doc,
                             struct err *err)
{
    const struct db_shape *shape = &db->shapes[coll];
    const char *id = db_walk_id(doc);
    if (db_shape_check(shape, doc) < 0)
        return err_set(err, -EBADMSG, "%s: the document %s is not as the schema wants it",
                       shape->name, id != NULL ? id : "without an id");
    for (unsigned k = 0; k < shape->keys_count; k++) {
        bool whole = true;
        for (unsigned i = 0; i < shape->keys[k].fields_count; i++) {
            const json_t *value = json_object_get(doc, shape->keys[k].fields[i]);
            whole = whole && value != NULL && !json_is_null(value);
        }
        c->keyed[k] += whole ? 1 : 0;
    }
    c->count++;
    int r = db_digest_add(c->digest, doc);
    return r < 0 ? err_errno(err, r, "checking %s", shape->name) : 0;
}

static int db_check_walk(struct db *db, unsigned coll, struct db_checking *c,
                         const struct db_watch *watch, struct err *err)
{
    struct db_walk walk = {.db = db, .coll = coll};
    const char *name = db->shapes[coll].name;
    int r = db_count(db, coll, &(struct db_list){.limit = 1}, &c->total);
    const json_t *doc = NULL;
    if (r < 0)
        return err_errno(err, r, "counting %s", name);
    while (r == 0 && (r = db_walk_next(&walk, &doc)) == 0 && doc != NULL) {
        r = db_check_document(db, coll, c, doc, err);
        if (r < 0)
            break;
        if (c->count % DB_COPY_PAGE == 0 && !db_watch_progress(watch, name, c->count, c->total)) {
            r = db_watch_stopped(err);
            break;
        }
    }
    db_walk_end(&walk);
    if (r < 0 && err->text[0] == 0)
        return err_errno(err, r, "reading %s", name);
    return r;
}

/* Those that an index of one field lists are as many as have it; keys of several fields need a
 * value of their first, and are the backend's to check. */
static int db_check_keys(struct db *db, unsigned coll, const struct db_checking *c, struct err *err)
{
    const struct db_shape *shape = &db->shapes[coll];
    for (unsigned k = 0; k < shape->keys_count; k++) {
        uint64_t count = 0;
        if (shape->keys[k].fields_count > 1)
            continue;
        const struct db_list list = {.key = shape->keys[k].fields[0], .limit = 1};
        int r = db_count(db, coll, &list, &count);
        if (r < 0)
            return err_errno(err, r, "counting %s by %s", shape->name, list.key);
        if (count != c->keyed[k])
            return err_set(err, -EBADMSG, "%s: by the key %s there are %llu documents of %llu",
                           shape->name, list.key, (unsigned long long)count,
                           (unsigned long long)c->keyed[k]);
    }
    return 0;
}

int db_check_all(struct db *db, const struct db_watch *watch, struct err *err)
{
    struct err ignored;
    err = err != NULL ? err : &ignored;
    err->text[0] = 0;
    int r = db->ops->check(db, err);
    for (unsigned i = 0; r == 0 && i < db->schema->collections_count; i++) {
        CLEAN(digest_state_free) struct digest_state *digest = NULL;
        struct db_checking c = {.count = 0};
        r = digest_state_new(&digest);
        if (r < 0)
            return err_errno(err, r, "checking %s", db->shapes[i].name);
        c.digest = digest;
        r = db_check_walk(db, i, &c, watch, err);
        if (r == 0)
            r = db_check_keys(db, i, &c, err);
        if (r == 0)
            db_watch_done(watch, db->shapes[i].name, c.count, digest);
    }
    return r;
}
