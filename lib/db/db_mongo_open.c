/* SPDX-License-Identifier: Apache-2.0 */
/* Opening: whose database it is, migrations, indexes. */
#include "db/db_mongo.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "db/db_stored.h"

#define DB_MONGO_SCHEMA "schema" /* the document of weir_meta that says what there is */

/* What weir_meta has of the database; all zero: nothing. */
struct db_mongo_meta {
    int64_t version;
    bson_t *stored;
};

static void db_mongo_close(struct db *db)
{
    struct db_mongo *m = db_mongo_of(db);
    db_mongo_unlock(m);
    for (unsigned i = 0; i < DB_MONGO_STRIPES; i++)
        (void)pthread_mutex_destroy(&m->stripes[i]);
    mongoc_read_prefs_destroy(m->primary);
    if (m->pool != NULL)
        mongoc_client_pool_destroy(m->pool);
    db_end(db);
    free(m->name);
    free(m->label);
    free(m);
}

/* *ret: some collection is there that is not ours. */
static int db_mongo_is_foreign(struct db_mongo *m, bool *ret)
{
    struct db_mongo_use use;
    bson_error_t error;
    int r = 0;
    db_mongo_begin_meta(m, &use);
    mongoc_database_t *database = mongoc_client_get_database(use.client, m->name);
    char **names = mongoc_database_get_collection_names_with_opts(database, NULL, &error);
    if (names == NULL)
        r = db_mongo_error(&error);
    *ret = false;
    for (unsigned i = 0; names != NULL && names[i] != NULL; i++)
        *ret = *ret || (strcmp(names[i], DB_MONGO_META) != 0 &&
                        strncmp(names[i], "system.", sizeof "system." - 1) != 0);
    bson_strfreev(names);
    mongoc_database_destroy(database);
    db_mongo_end(&use);
    return r;
}

static int db_mongo_meta_read(struct db_mongo *m, struct db_mongo_meta *ret)
{
    struct db_mongo_use use;
    bson_iter_t iter;
    db_mongo_begin_meta(m, &use);
    int r = db_mongo_load(&use, DB_MONGO_SCHEMA, &ret->stored);
    db_mongo_end(&use);
    if (r < 0)
        return r;
    if (!bson_iter_init_find(&iter, ret->stored, "version") || !BSON_ITER_HOLDS_INT64(&iter) ||
        bson_iter_int64(&iter) < 0)
        return -EBADMSG;
    ret->version = bson_iter_int64(&iter);
    return 0;
}

/* A collection's keys and words as they were when it was last opened, or NULL. */
static const char *db_mongo_meta_derived(const struct db_mongo_meta *meta, const char *name)
{
    bson_iter_t iter;
    bson_iter_t inner;
    if (meta->stored == NULL || !bson_iter_init_find(&iter, meta->stored, "derived") ||
        !BSON_ITER_HOLDS_DOCUMENT(&iter) || !bson_iter_recurse(&iter, &inner) ||
        !bson_iter_find(&inner, name) || !BSON_ITER_HOLDS_UTF8(&inner))
        return NULL;
    return bson_iter_utf8(&inner, NULL);
}

static int db_mongo_meta_doc(const struct db_schema *schema, unsigned version, bson_t *out)
{
    CLEAN(base_free) char *text = NULL;
    bson_t derived;
    int r = db_stored_write(schema, &text);
    if (r < 0)
        return r;
    (void)bson_append_utf8(out, "_id", -1, DB_MONGO_SCHEMA, -1);
    (void)bson_append_int64(out, "version", -1, version);
    (void)bson_append_utf8(out, "schema", -1, text, -1);
    (void)bson_append_document_begin(out, "derived", -1, &derived);
    for (unsigned i = 0; r == 0 && version > 0 && i < schema->collections_count; i++) {
        CLEAN(base_free) char *one = NULL;
        r = db_stored_derived(&schema->collections[i], &one);
        if (r == 0)
            (void)bson_append_utf8(&derived, schema->collections[i].name, -1, one, -1);
    }
    (void)bson_append_document_end(out, &derived);
    return r;
}

/* version 0: it is being made. */
static int db_mongo_meta_write(struct db_mongo *m, unsigned version)
{
    struct db_mongo_use use;
    bson_t doc = BSON_INITIALIZER;
    bson_t filter = BSON_INITIALIZER;
    int count;
    (void)bson_append_utf8(&filter, "_id", -1, DB_MONGO_SCHEMA, -1);
    int r = db_mongo_meta_doc(m->db.schema, version, &doc);
    if (r == 0) {
        db_mongo_begin_meta(m, &use);
        r = db_mongo_replace(&use, &filter, &doc, true, &count);
        db_mongo_end(&use);
    }
    bson_destroy(&filter);
    bson_destroy(&doc);
    return r;
}

void db_mongo_index_name(char kind, const struct db_key_shape *key, char out[DB_MONGO_NAME_MAX])
{
    char unique[DB_MONGO_NAME_MAX];
    db_mongo_unique_name(key, unique); /* "_u-FIELD-FIELD" */
    (void)snprintf(out, DB_MONGO_NAME_MAX, "%c%.*s", kind, DB_MONGO_NAME_MAX - 2, unique + 2);
}

static bool db_mongo_is_declared(const struct db_shape *shape, const char *index)
{
    if (strcmp(index, "_id_") == 0)
        return true;
    if (strcmp(index, "w") == 0)
        return shape->text_count > 0;
    for (unsigned k = 0; k < shape->keys_count; k++) {
        char name[DB_MONGO_NAME_MAX];
        db_mongo_index_name('k', &shape->keys[k], name);
        if (strcmp(index, name) == 0)
            return true;
        db_mongo_index_name('u', &shape->keys[k], name);
        if (strcmp(index, name) == 0)
            return shape->keys[k].unique;
    }
    return false;
}

/* Drops what is declared no more. */
static int db_mongo_drop_indexes(struct db_mongo *m, unsigned coll)
{
    struct db_mongo_use use;
    bson_error_t error;
    const bson_t *index;
    int r = 0;
    db_mongo_begin(m, coll, &use);
    mongoc_cursor_t *cursor = mongoc_collection_find_indexes_with_opts(use.coll, NULL);
    while (r == 0 && mongoc_cursor_next(cursor, &index)) {
        bson_iter_t iter;
        if (!bson_iter_init_find(&iter, index, "name") || !BSON_ITER_HOLDS_UTF8(&iter))
            continue;
        const char *name = bson_iter_utf8(&iter, NULL);
        if (!db_mongo_is_declared(use.shape, name) &&
            !mongoc_collection_drop_index_with_opts(use.coll, name, NULL, &error))
            r = db_mongo_error(&error);
    }
    if (r == 0 && mongoc_cursor_error(cursor, &error) && error.code != 26) /* no such collection */
        r = db_mongo_error(&error);
    mongoc_cursor_destroy(cursor);
    db_mongo_end(&use);
    return r;
}

static int db_mongo_create_index(struct db_mongo_use *use, const char *name, const bson_t *fields,
                                 bool unique)
{
    bson_error_t error;
    bson_t command = BSON_INITIALIZER;
    bson_t indexes;
    bson_t index;
    int r = 0;
    (void)bson_append_utf8(&command, "createIndexes", -1, use->shape->name, -1);
    (void)bson_append_array_begin(&command, "indexes", -1, &indexes);
    (void)bson_append_document_begin(&indexes, "0", -1, &index);
    (void)bson_append_document(&index, "key", -1, fields);
    (void)bson_append_utf8(&index, "name", -1, name, -1);
    if (unique)
        (void)bson_append_bool(&index, "unique", -1, true);
    (void)bson_append_document_end(&indexes, &index);
    (void)bson_append_array_end(&command, &indexes);
    while (!mongoc_collection_write_command_with_opts(use->coll, &command, NULL, NULL, &error))
        if (!db_mongo_again(use, &error)) {
            r = db_mongo_error(&error);
            break;
        }
    bson_destroy(&command);
    return r;
}

static int db_mongo_create_key(struct db_mongo_use *use, const struct db_key_shape *key)
{
    char name[DB_MONGO_NAME_MAX];
    bson_t fields = BSON_INITIALIZER;
    for (unsigned i = 0; i < key->fields_count; i++)
        (void)bson_append_int32(&fields, key->fields[i], -1, 1);
    (void)bson_append_int32(&fields, "_id", -1, 1);
    db_mongo_index_name('k', key, name);
    int r = db_mongo_create_index(use, name, &fields, false);
    bson_destroy(&fields);
    if (r < 0 || !key->unique)
        return r;
    char member[DB_MONGO_NAME_MAX];
    bson_init(&fields);
    db_mongo_unique_name(key, member);
    (void)bson_append_int32(&fields, member, -1, 1);
    db_mongo_index_name('u', key, name);
    r = db_mongo_create_index(use, name, &fields, true);
    bson_destroy(&fields);
    return r;
}

static int db_mongo_create_indexes(struct db_mongo *m, unsigned coll)
{
    struct db_mongo_use use;
    const struct db_shape *shape = &m->db.shapes[coll];
    int r = 0;
    db_mongo_begin(m, coll, &use);
    for (unsigned k = 0; r == 0 && k < shape->keys_count; k++)
        r = db_mongo_create_key(&use, &shape->keys[k]);
    if (r == 0 && shape->text_count > 0) {
        bson_t fields = BSON_INITIALIZER;
        (void)bson_append_int32(&fields, "_words", -1, 1);
        r = db_mongo_create_index(&use, "w", &fields, false);
        bson_destroy(&fields);
    }
    db_mongo_end(&use);
    return r;
}

/* Gives all documents of a collection the members that its keys and words ask for. */
static int db_mongo_derive(struct db_mongo *m, unsigned coll)
{
    struct db_list list = {.limit = DB_LIST_MAX};
    char *cursor = NULL;
    int r = 0;
    do {
        json_t *docs = NULL;
        char *next = NULL;
        size_t i;
        const json_t *doc;
        list.cursor = cursor;
        r = db_list(&m->db, coll, &list, &docs, &next);
        json_array_foreach(docs, i, doc)
        {
            if (r == 0)
                r = db_mongo_rewrite(&m->db, coll, json_string_value(json_object_get(doc, "id")));
            if (r == -ENOENT) /* it has gone meanwhile */
                r = 0;
        }
        json_decref(docs);
        free(cursor);
        cursor = next;
    } while (r == 0 && cursor != NULL);
    free(cursor);
    return r;
}

/* What is as it was when it was last opened needs nothing. */
static int db_mongo_make_keys(struct db_mongo *m, const struct db_mongo_meta *meta)
{
    int r = 0;
    for (unsigned i = 0; r == 0 && i < m->db.schema->collections_count; i++) {
        const char *was = db_mongo_meta_derived(meta, m->db.shapes[i].name);
        CLEAN(base_free) char *is = NULL;
        r = db_stored_derived(&m->db.schema->collections[i], &is);
        if (r < 0 || (was != NULL && strcmp(was, is) == 0))
            continue;
        if (meta->version > 0)
            r = db_mongo_derive(m, i);
        if (r == 0)
            r = db_mongo_create_indexes(m, i);
    }
    return r;
}

/* *ret: the version stored; 0 for an empty database. */
static int db_mongo_version(struct db_mongo *m, struct db_mongo_meta *ret, struct err *err)
{
    bool foreign = false;
    int r = db_mongo_meta_read(m, ret);
    if (r == -ENOENT) {
        r = db_mongo_is_foreign(m, &foreign);
        if (r == 0 && foreign)
            return err_set(err, -EBADMSG, "%s is a database of another program", m->label);
        if (r == 0)
            r = db_mongo_meta_write(m, 0);
    }
    if (r < 0)
        return err_errno(err, r, "reading the database %s", m->label);
    if (ret->version > m->db.schema->version)
        return err_set(err, -EPROTO,
                       "the database %s has version %lld, this program knows %u: use a newer one",
                       m->label, (long long)ret->version, m->db.schema->version);
    return 0;
}

static int db_mongo_prepare(struct db_mongo *m, struct db_mongo_meta *meta, struct err *err)
{
    unsigned count = m->db.schema->collections_count;
    int r = db_mongo_version(m, meta, err);
    if (r < 0)
        return r;
    for (unsigned i = 0; r == 0 && i < count; i++) /* before the steps: they may break old rules */
        r = db_mongo_drop_indexes(m, i);
    if (r < 0)
        return err_errno(err, r, "dropping keys of %s", m->label);
    if (meta->version > 0)
        r = db_migrate(&m->db, (unsigned)meta->version, err);
    if (r < 0)
        return r;
    r = db_mongo_make_keys(m, meta);
    if (r == 0)
        r = db_mongo_meta_write(m, m->db.schema->version);
    return r < 0 ? err_errno(err, r, "making the keys of %s", m->label) : 0;
}

static int db_mongo_new(const char *address, const struct db_schema *schema, struct err *err,
                        struct db_mongo **ret)
{
    struct db_mongo *m = calloc(1, sizeof *m);
    if (m == NULL)
        return err_errno(err, -ENOMEM, "opening the database");
    for (unsigned i = 0; i < DB_MONGO_STRIPES; i++)
        (void)pthread_mutex_init(&m->stripes[i], NULL); /* default attributes: cannot fail */
    int r = db_begin(&m->db, &db_mongo_ops, schema);
    if (r < 0)
        err_errno(err, r, "opening the database");
    else
        r = db_mongo_pool(address, err, m);
    if (r < 0) {
        db_mongo_close(&m->db);
        return r;
    }
    *ret = m;
    return 0;
}

int db_mongo_open(const char *address, const struct db_schema *schema, struct err *err,
                  struct db **ret)
{
    struct db_mongo *m = NULL;
    struct db_mongo_meta meta = {0};
    int r = db_mongo_new(address, schema, err, &m);
    if (r < 0)
        return r;
    r = db_mongo_lock(m, err);
    if (r == 0)
        r = db_mongo_prepare(m, &meta, err);
    bson_destroy(meta.stored);
    if (r < 0) {
        db_mongo_close(&m->db);
        return r;
    }
    db_mongo_unlock(m);
    *ret = &m->db;
    return 0;
}

int db_mongo_stored(const char *address, struct err *err, struct buf *out)
{
    static const struct db_collection none = {.name = "none"};
    static const struct db_schema schema = {1, &none, 1, NULL};
    struct db_mongo *m = NULL;
    struct db_mongo_meta meta = {0};
    bson_iter_t iter;
    int r = db_mongo_new(address, &schema, err, &m);
    if (r < 0)
        return r;
    r = db_mongo_meta_read(m, &meta);
    if (r == 0 && (meta.version == 0 || !bson_iter_init_find(&iter, meta.stored, "schema") ||
                   !BSON_ITER_HOLDS_UTF8(&iter)))
        r = -ENOENT;
    if (r == 0) {
        buf_puts(out, bson_iter_utf8(&iter, NULL));
        r = buf_error(out);
    } else if (r == -ENOENT) {
        r = err_set(err, r, "there is no database at %s", m->label);
    } else {
        r = err_errno(err, r, "reading the database %s", m->label);
    }
    bson_destroy(meta.stored);
    db_mongo_close(&m->db);
    return r;
}

/* --- single documents read -------------------------------------------------------------------- */

static int db_mongo_keep_one(void *arg, const bson_t *stored)
{
    json_t **kept = arg;
    json_decref(*kept);
    *kept = NULL;
    return db_mongo_decode(stored, kept);
}

static int db_mongo_one(struct db *db, unsigned coll, const char *member, const char *value,
                        const mongoc_read_prefs_t *prefs, json_t **ret)
{
    struct db_mongo_use use;
    bson_t filter = BSON_INITIALIZER;
    bson_t opts = BSON_INITIALIZER;
    json_t *kept = NULL;
    (void)bson_append_utf8(&filter, member, -1, value, -1);
    (void)bson_append_int64(&opts, "limit", -1, 1);
    (void)bson_append_bool(&opts, "singleBatch", -1, true);
    db_mongo_hide_words(&db->shapes[coll], &opts);
    db_mongo_begin(db_mongo_of(db), coll, &use);
    int r = db_mongo_each(&use, &filter, &opts, prefs, db_mongo_keep_one, &kept);
    db_mongo_end(&use);
    bson_destroy(&filter);
    bson_destroy(&opts);
    if (r < 0) {
        json_decref(kept);
        return r;
    }
    if (kept == NULL)
        return -ENOENT;
    *ret = kept;
    return 0;
}

static int db_mongo_get(struct db *db, unsigned coll, const char *id, json_t **ret)
{
    return db_mongo_one(db, coll, "_id", id, NULL, ret);
}

static int db_mongo_newest(struct db *db, unsigned coll, const char *id, json_t **ret)
{
    return db_mongo_one(db, coll, "_id", id, db_mongo_of(db)->primary, ret);
}

static int db_mongo_find(struct db *db, unsigned coll, const struct db_key_shape *key,
                         const json_t *value, json_t **ret)
{
    char member[DB_MONGO_NAME_MAX];
    int r = 0;
    db_mongo_unique_name(key, member);
    json_t *doc = json_pack("{s:O}", key->fields[0], (json_t *)(uintptr_t)value);
    CLEAN(base_free) char *text = doc != NULL ? db_mongo_unique_value(key, doc, &r) : NULL;
    json_decref(doc);
    if (text == NULL || r < 0)
        return -ENOMEM;
    return db_mongo_one(db, coll, member, text, NULL, ret);
}

static int db_mongo_by_ids(void *arg, const bson_t *stored)
{
    json_t *doc = NULL;
    int r = db_mongo_decode(stored, &doc);
    const char *id = json_string_value(json_object_get(doc, "id"));
    if (r == 0 && id == NULL)
        r = -EBADMSG;
    if (r == 0 && json_object_set(arg, id, doc) < 0)
        r = -ENOMEM;
    json_decref(doc);
    return r;
}

static int db_mongo_get_many(struct db *db, unsigned coll, const char *const *ids, unsigned count,
                             json_t *into)
{
    struct db_mongo_use use;
    bson_t filter = BSON_INITIALIZER;
    bson_t in;
    bson_t list;
    json_t *found = json_object();
    (void)bson_append_document_begin(&filter, "_id", -1, &in);
    (void)bson_append_array_begin(&in, "$in", -1, &list);
    for (unsigned i = 0; i < count; i++) {
        char number[16];
        const char *name;
        (void)bson_uint32_to_string(i, &name, number, sizeof number);
        (void)bson_append_utf8(&list, name, -1, ids[i], -1);
    }
    (void)bson_append_array_end(&in, &list);
    (void)bson_append_document_end(&filter, &in);
    db_mongo_begin(db_mongo_of(db), coll, &use);
    int r =
        found == NULL ? -ENOMEM : db_mongo_each(&use, &filter, NULL, NULL, db_mongo_by_ids, found);
    db_mongo_end(&use);
    bson_destroy(&filter);
    for (unsigned i = 0; r == 0 && i < count; i++) {
        json_t *doc = json_object_get(found, ids[i]);
        if (json_array_append(into, doc != NULL ? doc : json_null()) < 0)
            r = -ENOMEM;
    }
    json_decref(found);
    return r;
}

const struct db_backend_ops db_mongo_ops = {
    .write = db_mongo_write,
    .put_many = db_mongo_put_many,
    .change = db_mongo_change,
    .get = db_mongo_get,
    .newest = db_mongo_newest,
    .get_many = db_mongo_get_many,
    .find = db_mongo_find,
    .remove = db_mongo_remove,
    .remove_below = db_mongo_remove_below,
    .list = db_mongo_list,
    .count = db_mongo_count,
    .search = db_mongo_search,
    .facets = db_mongo_facets,
    .rarity = db_mongo_rarity,
    .total = db_mongo_total,
    .words = db_mongo_words,
    .scan = db_mongo_scan,
    .check = db_mongo_check,
    .close = db_mongo_close,
};
