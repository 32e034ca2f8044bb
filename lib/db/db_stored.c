/* SPDX-License-Identifier: Apache-2.0 */
#include "db/db_stored.h"
#include <errno.h>
#include <stdlib.h>
#include "db/db_shape.h"
#include "db/db_text.h"

/* What db_stored_read makes: all in one, the texts borrowed from json. */
struct db_stored {
    struct db_schema schema; /* first: what the caller sees */
    uint32_t magic;
#define DB_STORED_MAGIC UINT32_C(0x5c4e3a91)
    json_t *json;
    struct db_collection collections[DB_COLLECTIONS_MAX];
};

static json_t *db_stored_keys(const struct db_collection *c)
{
    json_t *keys = json_array();
    for (unsigned i = 0; i < c->keys_count; i++)
        if (json_array_append_new(keys, json_pack("{s:s, s:b}", "fields", c->keys[i].fields,
                                                  "unique", c->keys[i].unique ? 1 : 0)) < 0) {
            json_decref(keys);
            return NULL;
        }
    return keys;
}

static int db_stored_text(json_t *json, char **ret)
{
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    if (text == NULL)
        return -ENOMEM;
    *ret = text;
    return 0;
}

int db_stored_derived(const struct db_collection *c, char **ret)
{
    return db_stored_text(json_pack("{s:i, s:o, s:s?}", "words", DB_TEXT_VERSION, "keys",
                                    db_stored_keys(c), "text", c->text),
                          ret);
}

int db_stored_write(const struct db_schema *schema, char **ret)
{
    json_t *collections = json_array();
    for (unsigned i = 0; i < schema->collections_count; i++) {
        const struct db_collection *c = &schema->collections[i];
        json_t *one = json_pack("{s:s, s:s?, s:o, s:s?}", "name", c->name, "members", c->members,
                                "keys", db_stored_keys(c), "text", c->text);
        if (json_array_append_new(collections, one) < 0) {
            json_decref(collections);
            return -ENOMEM;
        }
    }
    return db_stored_text(
        json_pack("{s:I, s:o}", "version", (json_int_t)schema->version, "collections", collections),
        ret);
}

static bool db_stored_collection(const json_t *json, struct db_collection *out)
{
    const json_t *keys = json_object_get(json, "keys");
    *out = (struct db_collection){.name = json_string_value(json_object_get(json, "name")),
                                  .members = json_string_value(json_object_get(json, "members")),
                                  .text = json_string_value(json_object_get(json, "text"))};
    if (json_array_size(keys) > DB_KEYS_MAX)
        return false;
    out->keys_count = (unsigned)json_array_size(keys);
    for (unsigned k = 0; k < out->keys_count; k++) {
        const json_t *key = json_array_get(keys, k);
        out->keys[k].fields = json_string_value(json_object_get(key, "fields"));
        out->keys[k].unique = json_is_true(json_object_get(key, "unique"));
    }
    return true;
}

/* Never called: db_copy opens with the stored version. */
static int db_stored_migrate(struct db *db, unsigned from, struct err *err)
{
    (void)db;
    return err_set(err, -EPROTO, "a tool does not migrate from version %u", from);
}

int db_stored_read(struct str text, struct db_schema **ret)
{
    struct db_stored *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    s->magic = DB_STORED_MAGIC;
    s->json = json_loadb(text.data, text.size, 0, NULL);
    const json_t *version = json_object_get(s->json, "version");
    const json_t *collections = json_object_get(s->json, "collections");
    size_t count = json_array_size(collections);
    bool good = json_integer_value(version) > 0 && json_integer_value(version) <= INT32_MAX &&
                count > 0 && count <= DB_COLLECTIONS_MAX;
    for (size_t i = 0; good && i < count; i++)
        good = db_stored_collection(json_array_get(collections, i), &s->collections[i]);
    s->schema = (struct db_schema){.version = (unsigned)json_integer_value(version),
                                   .collections = s->collections,
                                   .collections_count = (unsigned)count,
                                   .migrate = db_stored_migrate};
    if (!good || db_schema_fault(&s->schema) != NULL) {
        db_stored_free(&s->schema);
        return -EBADMSG;
    }
    *ret = &s->schema;
    return 0;
}

struct db_schema *db_stored_free(struct db_schema *schema)
{
    if (schema == NULL)
        return NULL;
    struct db_stored *s = CONTAINER_OF(schema, struct db_stored, schema);
    ASSERT(s->magic == DB_STORED_MAGIC);
    json_decref(s->json);
    MAGIC_CLEAR(s);
    free(s);
    return NULL;
}
