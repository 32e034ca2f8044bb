/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a database has the indexes that its schema declares, and each document the members that
 * they need. */
#include "db/db_mongo.h"
#include <errno.h>
#include <string.h>

struct db_mongo_checking {
    const struct db_shape *shape;
    struct err *err;
};

/* Made anew from what it holds, it is what is stored. */
static int db_mongo_check_one(void *arg, const bson_t *stored)
{
    struct db_mongo_checking *c = arg;
    bson_oid_t rev;
    bson_t wanted;
    json_t *doc = NULL;
    int r = db_mongo_decode(stored, &doc);
    const char *id = json_string_value(json_object_get(doc, "id"));
    id = id != NULL ? id : "without an id";
    if (r < 0 || !db_mongo_rev(stored, &rev))
        r = err_set(c->err, -EBADMSG, "%s: the document %s is not one of ours", c->shape->name, id);
    else
        r = db_mongo_encode(c->shape, doc, &rev, &wanted);
    if (r == 0) {
        if (!bson_equal(stored, &wanted))
            r = err_set(c->err, -EBADMSG, "%s: the document %s lacks members of its keys or words",
                        c->shape->name, id);
        bson_destroy(&wanted);
    }
    json_decref(doc);
    return r;
}

static int db_mongo_has_index(struct db_mongo_use *use, const char *wanted, bool *ret)
{
    bson_error_t error;
    const bson_t *index;
    bool has = false;
    mongoc_cursor_t *cursor = mongoc_collection_find_indexes_with_opts(use->coll, NULL);
    while (mongoc_cursor_next(cursor, &index)) {
        bson_iter_t iter;
        has = has || (bson_iter_init_find(&iter, index, "name") && BSON_ITER_HOLDS_UTF8(&iter) &&
                      strcmp(bson_iter_utf8(&iter, NULL), wanted) == 0);
    }
    int r = mongoc_cursor_error(cursor, &error) ? db_mongo_error(&error) : 0;
    mongoc_cursor_destroy(cursor);
    *ret = has;
    return r;
}

static int db_mongo_check_index(struct db_mongo_use *use, const char *name, struct err *err)
{
    bool has = false;
    int r = db_mongo_has_index(use, name, &has);
    if (r < 0)
        return err_errno(err, r, "reading the indexes of %s", use->shape->name);
    return has ? 0 : err_set(err, -EBADMSG, "%s: the index %s is missing", use->shape->name, name);
}

static int db_mongo_check_indexes(struct db_mongo_use *use, struct err *err)
{
    const struct db_shape *shape = use->shape;
    int r = shape->text_count > 0 ? db_mongo_check_index(use, "w", err) : 0;
    for (unsigned k = 0; r == 0 && k < shape->keys_count; k++) {
        char name[DB_MONGO_NAME_MAX];
        db_mongo_index_name('k', &shape->keys[k], name);
        r = db_mongo_check_index(use, name, err);
        if (r < 0 || !shape->keys[k].unique)
            continue;
        db_mongo_index_name('u', &shape->keys[k], name);
        r = db_mongo_check_index(use, name, err);
    }
    return r;
}

int db_mongo_check(struct db *db, struct err *err)
{
    int r = 0;
    for (unsigned i = 0; r == 0 && i < db->schema->collections_count; i++) {
        struct db_mongo_use use;
        struct db_mongo_checking checking = {.shape = &db->shapes[i], .err = err};
        const bson_t all = BSON_INITIALIZER;
        err->text[0] = 0;
        db_mongo_begin(db_mongo_of(db), i, &use);
        r = db_mongo_check_indexes(&use, err);
        if (r == 0)
            r = db_mongo_each(&use, &all, NULL, NULL, db_mongo_check_one, &checking);
        db_mongo_end(&use);
        if (r < 0 && err->text[0] == 0)
            r = err_errno(err, r, "checking %s", db->shapes[i].name);
    }
    return r;
}
