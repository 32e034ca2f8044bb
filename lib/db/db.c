/* SPDX-License-Identifier: Apache-2.0 */
#include "db/db.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "db/db_backend.h"
#include "db/db_doc.h"
#include "db/db_memory.h"

static const struct db_shape *db_check(const struct db *db, unsigned coll)
{
    ASSERT(db != NULL);
    ASSERT(db->magic == DB_MAGIC);
    ASSERT(coll < db->schema->collections_count);
    return &db->shapes[coll];
}

bool db_is_mongo(const char *address)
{
    return str_starts(str_of(address), STR("mongodb://")) ||
           str_starts(str_of(address), STR("mongodb+srv://"));
}

int db_open(const char *address, const struct db_schema *schema, struct err *err, struct db **ret)
{
    ASSERT(address != NULL && schema != NULL);
    ASSERT(ret != NULL);
    /* The schema is program text: a wrong one is a bug, found at the first start. */
    const char *fault = db_schema_fault(schema);
    if (fault != NULL)
        return err_set(err, -EINVAL, "the schema of %s is wrong: %s", address, fault);
    if (db_is_mongo(address))
        return db_mongo_open(address, schema, err, ret);
    if (strstr(address, "://") != NULL)
        return err_set(err, -EPROTONOSUPPORT, "%s: no database of that kind is supported", address);
    return db_sqlite_open(address, schema, err, ret);
}

struct db *db_close(struct db *db)
{
    if (db == NULL)
        return NULL;
    ASSERT(db->magic == DB_MAGIC);
    db->ops->close(db);
    return NULL;
}

const struct db_schema *db_schema(const struct db *db)
{
    ASSERT(db != NULL);
    ASSERT(db->magic == DB_MAGIC);
    return db->schema;
}

int db_begin(struct db *db, const struct db_backend_ops *ops, const struct db_schema *schema)
{
    *db = (struct db){.magic = DB_MAGIC, .ops = ops, .schema = schema};
    return db_shapes_new(schema, &db->shapes);
}

void db_end(struct db *db)
{
    db->memory = db_memory_free(db->memory);
    free(db->shapes);
    MAGIC_CLEAR(db);
}

int db_migrate(struct db *db, unsigned from, struct err *err)
{
    for (unsigned step = from; step < db->schema->version; step++) {
        ASSERT(db->schema->migrate != NULL);
        int r = db->schema->migrate(db, step, err);
        if (r < 0)
            return r;
    }
    return 0;
}

int db_draft(const struct db_shape *shape, const json_t *doc, struct db_draft *ret)
{
    int r = db_shape_check(shape, doc);
    if (r < 0)
        return r;
    char *text = json_dumps(doc, JSON_COMPACT);
    if (text == NULL)
        return -ENOMEM;
    if (strlen(text) > DB_DOCUMENT_SIZE_MAX) {
        free(text);
        return -EINVAL;
    }
    *ret = (struct db_draft){
        .id = json_string_value(json_object_get(doc, "id")), .doc = doc, .text = text};
    return 0;
}

static int db_write(struct db *db, unsigned coll, enum db_write how, const json_t *doc)
{
    struct db_draft draft = {.id = NULL};
    int r = db_draft(db_check(db, coll), doc, &draft);
    if (r < 0)
        return r;
    db_changing(db, coll, draft.id);
    r = db->ops->write(db, coll, how, &draft);
    db_changed(db, coll, draft.id);
    free(draft.text);
    return r;
}

int db_insert(struct db *db, unsigned coll, const json_t *doc)
{
    return db_write(db, coll, DB_INSERT, doc);
}

int db_replace(struct db *db, unsigned coll, const json_t *doc)
{
    return db_write(db, coll, DB_REPLACE, doc);
}

int db_put(struct db *db, unsigned coll, const json_t *doc)
{
    return db_write(db, coll, DB_PUT, doc);
}

int db_put_many(struct db *db, unsigned coll, const json_t *docs)
{
    const struct db_shape *shape = db_check(db, coll);
    size_t i;
    const json_t *doc;
    json_array_foreach(docs, i, doc)
    {
        int r = db_shape_check(shape, doc);
        if (r < 0)
            return r;
    }
    if (json_array_size(docs) == 0)
        return 0;
    db_changing(db, coll, NULL);
    int r = db->ops->put_many(db, coll, docs);
    db_changed(db, coll, NULL);
    return r;
}

static int db_change(struct db *db, unsigned coll, const char *id, db_change_fn *fn, void *arg)
{
    db_changing(db, coll, id);
    int r = db->ops->change(db, coll, id, fn, arg);
    db_changed(db, coll, id);
    return r;
}

struct db_replacing {
    const json_t *doc;
    const char *field;
    const json_t *expected;
};

static int db_replace_if_is(void *arg, const json_t *old, json_t **ret_doc, bool *ret_gone)
{
    const struct db_replacing *replacing = arg;
    (void)ret_gone;
    if (json_equal(json_object_get(old, replacing->field), replacing->expected) != 1)
        return -ESTALE;
    *ret_doc = json_incref((json_t *)(uintptr_t)replacing->doc);
    return 0;
}

int db_replace_if(struct db *db, unsigned coll, const json_t *doc, const char *field,
                  const json_t *expected)
{
    const struct db_shape *shape = db_check(db, coll);
    ASSERT(db_name_ok(field));
    if (!db_value_ok(expected))
        return -EINVAL;
    int r = db_shape_check(shape, doc);
    if (r < 0)
        return r;
    struct db_replacing replacing = {.doc = doc, .field = field, .expected = expected};
    const char *id = json_string_value(json_object_get(doc, "id"));
    return db_change(db, coll, id, db_replace_if_is, &replacing);
}

struct db_updating {
    const struct db_update *update;
    json_t *result; /* the last try's */
};

static int db_update_to(void *arg, const json_t *old, json_t **ret_doc, bool *ret_gone)
{
    struct db_updating *updating = arg;
    json_t *doc = NULL;
    (void)ret_gone;
    if (!db_where_holds(updating->update->where, old))
        return -ESTALE;
    int r = db_update_apply(updating->update, old, &doc);
    if (r < 0)
        return r;
    json_decref(updating->result);
    updating->result = json_incref(doc);
    if (json_equal(doc, old) == 1)
        json_decref(doc); /* nothing to write */
    else
        *ret_doc = doc;
    return 0;
}

int db_update(struct db *db, unsigned coll, const char *id, const struct db_update *update,
              json_t **ret)
{
    const struct db_shape *shape = db_check(db, coll);
    ASSERT(update != NULL);
    int r = db_update_check(shape, update);
    if (r == 0 && !db_id_ok(id))
        r = -ENOENT;
    if (r < 0)
        return r;
    struct db_updating updating = {.update = update};
    r = db_change(db, coll, id, db_update_to, &updating);
    if (r == 0 && ret != NULL)
        *ret = json_incref(updating.result);
    json_decref(updating.result);
    return r;
}

int db_get(struct db *db, unsigned coll, const char *id, json_t **ret)
{
    (void)db_check(db, coll);
    ASSERT(ret != NULL);
    if (!db_id_ok(id))
        return -ENOENT; /* an id that no document can have: often a stranger's text */
    return db_ask_get(db, coll, id, ret);
}

int db_get_many(struct db *db, unsigned coll, const char *const *ids, unsigned count, json_t **ret)
{
    (void)db_check(db, coll);
    ASSERT(ret != NULL);
    ASSERT(count <= DB_LIST_MAX);
    json_t *into = json_array();
    int r = into == NULL ? -ENOMEM : count > 0 ? db_ask_get_many(db, coll, ids, count, into) : 0;
    if (r < 0) {
        json_decref(into);
        return r;
    }
    ASSERT(json_array_size(into) == count);
    *ret = into;
    return 0;
}

int db_find(struct db *db, unsigned coll, const char *field, const json_t *value, json_t **ret)
{
    const struct db_key_shape *key = db_shape_key(db_check(db, coll), field);
    ASSERT(ret != NULL);
    ASSERT(key != NULL);
    ASSERT(key->unique && key->fields_count == 1);
    if (!db_value_ok(value))
        return -ENOENT;
    return db->ops->find(db, coll, key, value, ret);
}

int db_delete(struct db *db, unsigned coll, const char *id)
{
    (void)db_check(db, coll);
    if (!db_id_ok(id))
        return -ENOENT;
    db_changing(db, coll, id);
    int r = db->ops->remove(db, coll, id);
    db_changed(db, coll, id);
    return r;
}

static int db_delete_if_is(void *arg, const json_t *old, json_t **ret_doc, bool *ret_gone)
{
    (void)ret_doc;
    *ret_gone = true;
    return db_where_holds(arg, old) ? 0 : -ESTALE;
}

int db_delete_if(struct db *db, unsigned coll, const char *id, const json_t *where)
{
    int r = db_where_check(db_check(db, coll), where);
    if (r == 0 && !db_id_ok(id))
        r = -ENOENT;
    if (r < 0)
        return r;
    return db_change(db, coll, id, db_delete_if_is, (void *)(uintptr_t)where);
}

int db_delete_below(struct db *db, unsigned coll, const char *field, int64_t limit,
                    uint64_t *ret_count)
{
    const struct db_key_shape *key = db_shape_key(db_check(db, coll), field);
    ASSERT(key != NULL);
    ASSERT(key->fields_count == 1);
    uint64_t count = 0;
    db_changing(db, coll, NULL);
    int r = db->ops->remove_below(db, coll, key, limit, &count);
    db_changed(db, coll, NULL);
    if (r == 0 && ret_count != NULL)
        *ret_count = count;
    return r;
}
