/* SPDX-License-Identifier: Apache-2.0 */
/* Writes. Each gives the document a new _rev, and that makes them sure of two things: a document
 * that is read, changed and written back is written only where its _rev is still the one read; and
 * where an answer was lost on its way, the _rev that is found tells whether the write was done. */
#include "db/db_mongo.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/backoff.h"
#include "base/digest.h"

#define DB_MONGO_RACE_MS     1
#define DB_MONGO_RACE_MAX_MS 20

static void db_mongo_by_id(const char *id, bson_t *ret)
{
    bson_init(ret);
    (void)bson_append_utf8(ret, "_id", -1, id, -1);
}

static int db_mongo_count_in(const bson_t *reply, const char *name)
{
    bson_iter_t iter;
    return bson_iter_init_find(&iter, reply, name) ? (int)bson_iter_as_int64(&iter) : 0;
}

static int db_mongo_keep(void *arg, const bson_t *stored)
{
    bson_t **kept = arg;
    if (*kept == NULL)
        *kept = bson_copy(stored);
    return 0;
}

/* As it is on the primary; *ret (destroy) -ENOENT. */
int db_mongo_load(struct db_mongo_use *use, const char *id, bson_t **ret)
{
    bson_t filter;
    bson_t *kept = NULL;
    db_mongo_by_id(id, &filter);
    int r = db_mongo_each(use, &filter, NULL, use->m->primary, db_mongo_keep, &kept);
    bson_destroy(&filter);
    if (r < 0) {
        bson_destroy(kept);
        return r;
    }
    *ret = kept;
    return kept != NULL ? 0 : -ENOENT;
}

/* What there is of the document: 1: with this _rev, 0: with another one, -ENOENT, -errno. */
static int db_mongo_has_rev(struct db_mongo_use *use, const char *id, const bson_oid_t *rev)
{
    bson_t *stored = NULL;
    bson_oid_t is;
    int r = db_mongo_load(use, id, &stored);
    if (r == 0)
        r = db_mongo_rev(stored, &is) && bson_oid_equal(&is, rev) ? 1 : 0;
    bson_destroy(stored);
    return r;
}

int db_mongo_insert(struct db_mongo_use *use, const char *id, const bson_t *doc,
                    const bson_oid_t *rev)
{
    bson_error_t error;
    while (!mongoc_collection_insert_one(use->coll, doc, NULL, NULL, &error)) {
        if (db_mongo_again(use, &error))
            continue;
        int r = db_mongo_error(&error);
        /* Taken, perhaps by ourselves: an earlier try whose answer was lost. */
        if (r == -EEXIST && use->doubtful && db_mongo_has_rev(use, id, rev) == 1)
            r = 0;
        return r;
    }
    return 0;
}

static int db_mongo_is_other(void *arg, const bson_t *stored)
{
    (void)arg;
    (void)stored;
    return -EEXIST;
}

/* Whether another document has one of this one's unique values: -EEXIST. Some servers tell that as
 * an error like any other. */
static int db_mongo_taken(struct db_mongo_use *use, const bson_t *doc)
{
    bson_iter_t iter;
    bson_iter_t id;
    int r = 0;
    if (use->shape == NULL || !bson_iter_init_find(&id, doc, "_id"))
        return 0;
    for (unsigned k = 0; r == 0 && k < use->shape->keys_count; k++) {
        char name[DB_MONGO_NAME_MAX];
        bson_t filter = BSON_INITIALIZER;
        bson_t other;
        db_mongo_unique_name(&use->shape->keys[k], name);
        if (bson_iter_init_find(&iter, doc, name) && BSON_ITER_HOLDS_UTF8(&iter)) {
            (void)bson_append_iter(&filter, name, -1, &iter);
            (void)bson_append_document_begin(&filter, "_id", -1, &other);
            (void)bson_append_iter(&other, "$ne", -1, &id);
            (void)bson_append_document_end(&filter, &other);
            r = db_mongo_each(use, &filter, NULL, use->m->primary, db_mongo_is_other, NULL);
        }
        bson_destroy(&filter);
    }
    return r;
}

/* *ret_count: how many documents the filter found. */
int db_mongo_replace(struct db_mongo_use *use, const bson_t *filter, const bson_t *doc, bool upsert,
                     int *ret_count)
{
    bson_error_t error;
    bson_t reply;
    bson_t opts = BSON_INITIALIZER;
    int r = 0;
    (void)bson_append_bool(&opts, "upsert", -1, upsert);
    for (;;) {
        bool good = mongoc_collection_replace_one(use->coll, filter, doc, &opts, &reply, &error);
        *ret_count =
            db_mongo_count_in(&reply, "matchedCount") + db_mongo_count_in(&reply, "upsertedCount");
        bson_destroy(&reply);
        if (good)
            break;
        if (!db_mongo_again(use, &error)) {
            r = db_mongo_error(&error);
            break;
        }
    }
    bson_destroy(&opts);
    if (r == -EIO && db_mongo_taken(use, doc) == -EEXIST)
        r = -EEXIST;
    return r;
}

static int db_mongo_replace_any(struct db_mongo_use *use, const char *id, const bson_t *doc)
{
    bson_t filter;
    int count = 0;
    db_mongo_by_id(id, &filter);
    int r = db_mongo_replace(use, &filter, doc, false, &count);
    bson_destroy(&filter);
    return r == 0 && count == 0 ? -ENOENT : r;
}

/* Two that put the same new document may both find none, and one is told that its id is taken: it
 * goes on as if it had come later. */
static int db_mongo_put_any(struct db_mongo_use *use, const char *id, const bson_t *doc)
{
    bson_t filter;
    int count = 0;
    db_mongo_by_id(id, &filter);
    int r = db_mongo_replace(use, &filter, doc, true, &count);
    for (unsigned i = 0; r == -EEXIST && i < DB_MONGO_RACES; i++) {
        bson_t *stored = NULL;
        r = db_mongo_load(use, id, &stored);
        bson_destroy(stored);
        if (r == -ENOENT) { /* it is another key that is taken */
            r = -EEXIST;
            break;
        }
        r = db_mongo_replace(use, &filter, doc, false, &count);
        if (r < 0 || count > 0)
            break;
        r = db_mongo_replace(use, &filter, doc, true, &count);
    }
    bson_destroy(&filter);
    return r;
}

int db_mongo_write(struct db *db, unsigned coll, enum db_write how, const struct db_draft *draft)
{
    struct db_mongo_use use;
    bson_oid_t rev;
    bson_t doc;
    bson_oid_init(&rev, NULL);
    int r = db_mongo_encode(&db->shapes[coll], draft->doc, &rev, &doc);
    if (r < 0)
        return r;
    db_mongo_begin(db_mongo_of(db), coll, &use);
    if (how == DB_INSERT)
        r = db_mongo_insert(&use, draft->id, &doc, &rev);
    else if (how == DB_REPLACE)
        r = db_mongo_replace_any(&use, draft->id, &doc);
    else
        r = db_mongo_put_any(&use, draft->id, &doc);
    db_mongo_end(&use);
    bson_destroy(&doc);
    return r;
}

/* One by one, each whatever is there. */
static int db_mongo_put_each(struct db *db, unsigned coll, const json_t *docs)
{
    size_t i;
    const json_t *doc;
    int r = 0;
    json_array_foreach(docs, i, doc)
    {
        const struct db_draft draft = {.id = json_string_value(json_object_get(doc, "id")),
                                       .doc = doc};
        r = db_mongo_write(db, coll, DB_PUT, &draft);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Most often they are new: they are sent as such, and if that is not quite so, one by one. */
int db_mongo_put_many(struct db *db, unsigned coll, const json_t *docs)
{
    struct db_mongo_use use;
    bson_error_t error;
    bson_t opts = BSON_INITIALIZER;
    size_t count = json_array_size(docs);
    size_t made = 0;
    bool good = false;
    bson_t *list = calloc(count, sizeof *list);
    const bson_t **each = calloc(count, sizeof(*each));
    int r = list == NULL || each == NULL ? -ENOMEM : 0;
    for (; r == 0 && made < count; made++) {
        bson_oid_t rev;
        bson_oid_init(&rev, NULL);
        r = db_mongo_encode(&db->shapes[coll], json_array_get(docs, made), &rev, &list[made]);
        if (r < 0)
            break;
        each[made] = &list[made];
    }
    if (r == 0) {
        (void)bson_append_bool(&opts, "ordered", -1, false);
        db_mongo_begin(db_mongo_of(db), coll, &use);
        good = mongoc_collection_insert_many(use.coll, each, count, &opts, NULL, &error);
        db_mongo_end(&use);
    }
    for (size_t i = 0; i < made; i++)
        bson_destroy(&list[i]);
    bson_destroy(&opts);
    free(list);
    free((void *)(uintptr_t)each);
    return r < 0 || good ? r : db_mongo_put_each(db, coll, docs);
}

static void db_mongo_by_rev(const char *id, const bson_oid_t *rev, bson_t *ret)
{
    db_mongo_by_id(id, ret);
    (void)bson_append_oid(ret, "_rev", -1, rev);
}

/* -EAGAIN: somebody else was faster. */
static int db_mongo_swap(struct db_mongo_use *use, const char *id, const bson_oid_t *old,
                         const bson_t *doc, const bson_oid_t *rev)
{
    bson_t filter;
    int count = 0;
    use->doubtful = false;
    db_mongo_by_rev(id, old, &filter);
    int r = db_mongo_replace(use, &filter, doc, false, &count);
    bson_destroy(&filter);
    if (r < 0 || count > 0)
        return r;
    if (!use->doubtful)
        return -EAGAIN;
    r = db_mongo_has_rev(use, id, rev);
    if (r == 1)
        return 0;
    /* An earlier try may have been done and been changed since: nobody can tell any more. */
    return r < 0 && r != -ENOENT ? r : -EIO;
}

int db_mongo_delete(struct db_mongo_use *use, const bson_t *filter, bool many, int *ret_count)
{
    bson_error_t error;
    bson_t reply;
    for (;;) {
        bool good = many ? mongoc_collection_delete_many(use->coll, filter, NULL, &reply, &error)
                         : mongoc_collection_delete_one(use->coll, filter, NULL, &reply, &error);
        *ret_count = db_mongo_count_in(&reply, "deletedCount");
        bson_destroy(&reply);
        if (good)
            return 0;
        if (!db_mongo_again(use, &error))
            return db_mongo_error(&error);
    }
}

static int db_mongo_drop(struct db_mongo_use *use, const char *id, const bson_oid_t *old)
{
    bson_t filter;
    int count = 0;
    use->doubtful = false;
    db_mongo_by_rev(id, old, &filter);
    int r = db_mongo_delete(use, &filter, false, &count);
    bson_destroy(&filter);
    if (r < 0 || count > 0)
        return r;
    if (use->doubtful && db_mongo_has_rev(use, id, old) == -ENOENT)
        return 0; /* by the try whose answer was lost */
    return -EAGAIN;
}

static int db_mongo_change_to(struct db_mongo_use *use, const char *id, const bson_oid_t *old,
                              const json_t *doc)
{
    struct db_draft draft;
    bson_oid_t rev;
    bson_t stored;
    int r = db_draft(use->shape, doc, &draft);
    if (r < 0)
        return r;
    free(draft.text);
    bson_oid_init(&rev, NULL);
    r = db_mongo_encode(use->shape, doc, &rev, &stored);
    if (r < 0)
        return r;
    r = db_mongo_swap(use, id, old, &stored, &rev);
    bson_destroy(&stored);
    return r;
}

static int db_mongo_change_once(struct db_mongo_use *use, const char *id, db_change_fn *fn,
                                void *arg)
{
    bson_t *stored = NULL;
    bson_oid_t rev;
    json_t *old = NULL;
    json_t *doc = NULL;
    bool gone = false;
    int r = db_mongo_load(use, id, &stored);
    if (r == 0 && !db_mongo_rev(stored, &rev))
        r = -EBADMSG;
    if (r == 0)
        r = db_mongo_decode(stored, &old);
    if (r == 0)
        r = fn(arg, old, &doc, &gone);
    if (r == 0 && gone)
        r = db_mongo_drop(use, id, &rev);
    else if (r == 0 && doc != NULL)
        r = db_mongo_change_to(use, id, &rev, doc);
    json_decref(old);
    json_decref(doc);
    bson_destroy(stored);
    return r;
}

static pthread_mutex_t *db_mongo_stripe(struct db_mongo *m, unsigned coll, const char *id)
{
    struct digest d = digest_of(id, strlen(id));
    return &m->stripes[(d.bytes[0] + coll) % DB_MONGO_STRIPES];
}

int db_mongo_change(struct db *db, unsigned coll, const char *id, db_change_fn *fn, void *arg)
{
    struct db_mongo *m = db_mongo_of(db);
    struct db_mongo_use use;
    int r = -EAGAIN;
    pthread_mutex_t *stripe = db_mongo_stripe(m, coll, id);
    (void)pthread_mutex_lock(stripe);
    db_mongo_begin(m, coll, &use);
    for (unsigned i = 0; r == -EAGAIN && i < DB_MONGO_RACES; i++) {
        if (i > 0)
            (void)usleep(
                (useconds_t)(1000 * backoff_ms(i, DB_MONGO_RACE_MS, DB_MONGO_RACE_MAX_MS)));
        r = db_mongo_change_once(&use, id, fn, arg);
    }
    db_mongo_end(&use);
    (void)pthread_mutex_unlock(stripe);
    return r == -EAGAIN ? -EBUSY : r;
}

static int db_mongo_same(void *arg, const json_t *old, json_t **ret_doc, bool *ret_gone)
{
    (void)arg;
    (void)ret_gone;
    *ret_doc = json_incref((json_t *)(uintptr_t)old);
    return 0;
}

int db_mongo_rewrite(struct db *db, unsigned coll, const char *id)
{
    return db_mongo_change(db, coll, id, db_mongo_same, NULL);
}

int db_mongo_remove(struct db *db, unsigned coll, const char *id)
{
    struct db_mongo_use use;
    bson_t filter;
    int count = 0;
    db_mongo_by_id(id, &filter);
    db_mongo_begin(db_mongo_of(db), coll, &use);
    int r = db_mongo_delete(&use, &filter, false, &count);
    if (r == 0 && count == 0 && !use.doubtful) /* else it may have been the lost try's doing */
        r = -ENOENT;
    db_mongo_end(&use);
    bson_destroy(&filter);
    return r;
}

int db_mongo_remove_below(struct db *db, unsigned coll, const struct db_key_shape *key,
                          int64_t limit, uint64_t *ret_count)
{
    struct db_mongo_use use;
    bson_t filter = BSON_INITIALIZER;
    bson_t below;
    int count = 0;
    (void)bson_append_document_begin(&filter, key->fields[0], -1, &below);
    (void)bson_append_int64(&below, "$lt", -1, limit); /* only numbers are below a number */
    (void)bson_append_document_end(&filter, &below);
    db_mongo_begin(db_mongo_of(db), coll, &use);
    int r = db_mongo_delete(&use, &filter, true, &count);
    db_mongo_end(&use);
    bson_destroy(&filter);
    if (r == 0)
        *ret_count = (uint64_t)count;
    return r;
}
