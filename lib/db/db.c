/* SPDX-License-Identifier: Apache-2.0 */
#include "db/db.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/enc.h"
#include "db/db_backend.h"

#define DB_FIELD_SIZE_MAX 32

static bool db_is_name(const char *name)
{
    if (name == NULL || name[0] < 'a' || name[0] > 'z')
        return false;
    size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return name[size] == 0 && size <= DB_FIELD_SIZE_MAX;
}

/* The schema is program text: a wrong one is a bug, found at the first start. */
static void db_check_schema(const struct db_schema *s)
{
    ASSERT(s != NULL && s->version > 0);
    ASSERT(s->version == 1 || s->migrate != NULL);
    ASSERT(s->collections_count > 0 && s->collections_count <= DB_COLLECTIONS_MAX);
    for (unsigned i = 0; i < s->collections_count; i++) {
        ASSERT(db_is_name(s->collections[i].name));
        ASSERT(s->collections[i].keys_count <= DB_KEYS_MAX);
        for (unsigned k = 0; k < s->collections[i].keys_count; k++)
            ASSERT(db_is_name(s->collections[i].keys[k].field));
    }
}

static const struct db_collection *db_check(const struct db *db, unsigned coll)
{
    ASSERT(db != NULL && db->magic == DB_MAGIC);
    ASSERT(coll < db->schema->collections_count);
    return &db->schema->collections[coll];
}

/* The index of the key, or -1. */
static int db_key_index(const struct db_collection *c, const char *field)
{
    for (unsigned k = 0; k < c->keys_count; k++)
        if (strcmp(c->keys[k].field, field) == 0)
            return (int)k;
    return -1;
}

static bool db_is_id(const char *id)
{
    return id != NULL && id[0] != 0 && strnlen(id, DB_ID_SIZE_MAX + 1) <= DB_ID_SIZE_MAX;
}

static bool db_is_value(const json_t *value)
{
    if (json_is_integer(value))
        return true;
    if (!json_is_string(value))
        return false;
    size_t size = json_string_length(value);
    return size <= DB_KEY_SIZE_MAX && strlen(json_string_value(value)) == size;
}

int db_open(const char *address, const struct db_schema *schema, struct err *err, struct db **ret)
{
    ASSERT(address != NULL);
    ASSERT(ret != NULL);
    db_check_schema(schema);
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

/* Checks the document against the schema; *ret_id borrows from it, *ret_text is to be freed. */
static int db_check_document(const struct db_collection *c, const json_t *doc, const char **ret_id,
                             char **ret_text)
{
    const json_t *id = json_object_get(doc, "id");
    if (!db_is_value(id) || !json_is_string(id) || !db_is_id(json_string_value(id)))
        return -EINVAL;
    for (unsigned k = 0; k < c->keys_count; k++) {
        const json_t *value = json_object_get(doc, c->keys[k].field);
        if (value != NULL && !json_is_null(value) && !db_is_value(value))
            return -EINVAL;
    }
    char *text = json_dumps(doc, JSON_COMPACT);
    if (text == NULL)
        return -ENOMEM;
    if (strlen(text) > DB_DOCUMENT_SIZE_MAX) {
        free(text);
        return -EINVAL;
    }
    *ret_id = json_string_value(id);
    *ret_text = text;
    return 0;
}

static int db_write(struct db *db, unsigned coll, enum db_write how, const json_t *doc,
                    const char *field, const json_t *expected)
{
    const struct db_collection *c = db_check(db, coll);
    struct db_change change = {.how = how, .if_field = field, .if_equal = expected};
    CLEAN(base_free) char *text = NULL;
    int r = db_check_document(c, doc, &change.id, &text);
    if (r < 0)
        return r;
    change.text = str_of(text);
    return db->ops->write(db, coll, &change);
}

int db_insert(struct db *db, unsigned coll, const json_t *doc)
{
    return db_write(db, coll, DB_INSERT, doc, NULL, NULL);
}

int db_replace(struct db *db, unsigned coll, const json_t *doc)
{
    return db_write(db, coll, DB_REPLACE, doc, NULL, NULL);
}

int db_put(struct db *db, unsigned coll, const json_t *doc)
{
    return db_write(db, coll, DB_PUT, doc, NULL, NULL);
}

int db_replace_if(struct db *db, unsigned coll, const json_t *doc, const char *field,
                  const json_t *expected)
{
    ASSERT(db_is_name(field));
    if (!db_is_value(expected))
        return -EINVAL;
    return db_write(db, coll, DB_REPLACE, doc, field, expected);
}

int db_get(struct db *db, unsigned coll, const char *id, json_t **ret)
{
    (void)db_check(db, coll);
    ASSERT(ret != NULL);
    if (!db_is_id(id))
        return -ENOENT; /* an id that no document can have: often a stranger's text */
    return db->ops->get(db, coll, id, ret);
}

int db_find(struct db *db, unsigned coll, const char *field, const json_t *value, json_t **ret)
{
    const struct db_collection *c = db_check(db, coll);
    ASSERT(ret != NULL);
    int key = db_key_index(c, field);
    ASSERT(key >= 0 && c->keys[key].unique);
    if (!db_is_value(value))
        return -ENOENT;
    return db->ops->find(db, coll, (unsigned)key, value, ret);
}

int db_delete(struct db *db, unsigned coll, const char *id)
{
    (void)db_check(db, coll);
    if (!db_is_id(id))
        return -ENOENT;
    return db->ops->remove(db, coll, id);
}

int db_delete_below(struct db *db, unsigned coll, const char *field, int64_t limit,
                    uint64_t *ret_count)
{
    const struct db_collection *c = db_check(db, coll);
    int key = db_key_index(c, field);
    ASSERT(key >= 0);
    uint64_t count = 0;
    int r = db->ops->remove_below(db, coll, (unsigned)key, limit, &count);
    if (r == 0 && ret_count != NULL)
        *ret_count = count;
    return r;
}

/* --- cursors: base64url of ["field" or null, descending, value or null, "id"] ----------------- */

static int db_cursor_write(const struct db_list *list, const json_t *last, char **ret)
{
    json_t *value = list->field != NULL ? json_object_get(last, list->field) : NULL;
    json_t *cursor = json_pack("[s?, b, O?, O]", list->field, list->descending ? 1 : 0, value,
                               json_object_get(last, "id"));
    char *text = cursor != NULL ? json_dumps(cursor, JSON_COMPACT) : NULL;
    json_decref(cursor);
    if (text == NULL)
        return -ENOMEM;
    CLEAN_BUF struct buf out = BUF_EMPTY;
    enc_base64url(text, strlen(text), &out);
    free(text);
    char *taken = buf_take(&out);
    if (taken == NULL)
        return -ENOMEM;
    *ret = taken;
    return 0;
}

/* *ret_json holds what *ret borrows from. */
static int db_cursor_read(const struct db_list *list, json_t **ret_json, struct db_place *ret)
{
    struct str text = str_of(list->cursor);
    CLEAN_BUF struct buf plain = BUF_EMPTY;
    if (text.size == 0 || text.size > DB_CURSOR_SIZE_MAX)
        return -EINVAL;
    if (enc_unbase64url(text, &plain) < 0 || plain.size == 0)
        return -EINVAL;
    json_t *cursor = json_loadb(plain.data, plain.size, 0, NULL);
    const char *field = json_string_value(json_array_get(cursor, 0));
    json_t *value = json_array_get(cursor, 2);
    const char *id = json_string_value(json_array_get(cursor, 3));
    bool fits = json_array_size(cursor) == 4 && db_is_id(id) &&
                json_is_boolean(json_array_get(cursor, 1)) &&
                json_is_true(json_array_get(cursor, 1)) == list->descending;
    if (list->field != NULL)
        fits = fits && field != NULL && strcmp(field, list->field) == 0 && db_is_value(value);
    else
        fits = fits && json_is_null(json_array_get(cursor, 0)) && json_is_null(value);
    if (!fits) {
        json_decref(cursor);
        return -EINVAL;
    }
    *ret = (struct db_place){.value = list->field != NULL ? value : NULL, .id = id};
    *ret_json = cursor;
    return 0;
}

int db_list(struct db *db, unsigned coll, const struct db_list *list, json_t **ret,
            char **ret_cursor)
{
    const struct db_collection *c = db_check(db, coll);
    ASSERT(ret != NULL && ret_cursor != NULL);
    ASSERT(list->limit > 0 && list->limit <= DB_LIST_MAX);
    int key = list->field != NULL ? db_key_index(c, list->field) : -1;
    ASSERT(list->field == NULL || key >= 0);
    ASSERT(list->equal == NULL || key >= 0);
    if (list->equal != NULL && !db_is_value(list->equal))
        return -EINVAL;
    struct db_place place;
    json_t *cursor = NULL;
    if (list->cursor != NULL) {
        int r = db_cursor_read(list, &cursor, &place);
        if (r < 0)
            return r;
    }
    struct db_list more = *list;
    more.limit++; /* one beyond tells whether there is a next page */
    char *next = NULL;
    json_t *into = json_array();
    int r = into == NULL
                ? -ENOMEM
                : db->ops->list(db, coll, key, &more, cursor != NULL ? &place : NULL, into);
    json_decref(cursor);
    if (r == 0 && json_array_size(into) > list->limit) {
        (void)json_array_remove(into, list->limit); /* in range: cannot fail */
        r = db_cursor_write(list, json_array_get(into, list->limit - 1), &next);
    }
    if (r < 0) {
        json_decref(into);
        return r;
    }
    *ret = into;
    *ret_cursor = next;
    return 0;
}
