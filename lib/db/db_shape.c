/* SPDX-License-Identifier: Apache-2.0 */
#include "db/db_shape.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/str.h"

bool db_name_ok(const char *name)
{
    if (name == NULL || name[0] < 'a' || name[0] > 'z')
        return false;
    size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return name[size] == 0 && size < DB_NAME_SIZE;
}

/* The next of the words that blanks part: false at the end. Two blanks give an empty word, which is
 * no name. */
static bool db_shape_word(struct str *rest, struct str *ret)
{
    if (rest->size == 0)
        return false;
    *ret = str_cut(*rest, ' ', rest);
    return true;
}

static bool db_shape_name(struct str word, char out[DB_NAME_SIZE])
{
    return str_copy(word, out, DB_NAME_SIZE) == 0 && db_name_ok(out);
}

static bool db_shape_members(struct db_shape *s, const char *text)
{
    struct str rest = str_of(text);
    struct str word;
    s->open = text == NULL;
    while (db_shape_word(&rest, &word)) {
        struct str type;
        struct str name = str_cut(word, ':', &type);
        struct db_member *m = &s->members[s->members_count];
        bool optional = str_ends(type, STR("?"));
        if (s->members_count == DB_MEMBERS_MAX || type.size != (optional ? 2 : 1) ||
            strchr("sinboa", type.data[0]) == NULL)
            return false;
        if (!db_shape_name(name, m->name) || strcmp(m->name, "id") == 0 ||
            db_shape_type(s, m->name) != 0)
            return false;
        m->type = type.data[0];
        m->optional = optional;
        s->members_count++;
    }
    return true;
}

static bool db_shape_keys(struct db_shape *s, const struct db_collection *c)
{
    if (c->keys_count > DB_KEYS_MAX)
        return false;
    for (unsigned k = 0; k < c->keys_count; k++) {
        struct db_key_shape *key = &s->keys[k];
        struct str rest = str_of(c->keys[k].fields);
        struct str word;
        key->unique = c->keys[k].unique;
        while (db_shape_word(&rest, &word)) {
            if (key->fields_count == DB_KEY_FIELDS_MAX ||
                !db_shape_name(word, key->fields[key->fields_count]))
                return false;
            char type = db_shape_type(s, key->fields[key->fields_count]);
            if (!db_shape_has(s, key->fields[key->fields_count]) ||
                strcmp(key->fields[key->fields_count], "id") == 0 || /* every key ends with it */
                (type != 0 && type != 's' && type != 'i'))
                return false;
            key->types[key->fields_count++] = type;
        }
        if (key->fields_count == 0)
            return false;
    }
    s->keys_count = c->keys_count;
    return true;
}

static bool db_shape_text(struct db_shape *s, const char *text)
{
    struct str rest = str_of(text);
    struct str word;
    while (db_shape_word(&rest, &word)) {
        if (s->text_count == DB_TEXT_MAX || !db_shape_name(word, s->text[s->text_count]) ||
            !db_shape_has(s, s->text[s->text_count]))
            return false;
        char type = db_shape_type(s, s->text[s->text_count]);
        if (type != 0 && type != 's' && type != 'a')
            return false;
        s->text_count++;
    }
    return true;
}

static const char *db_shape_read(const struct db_collection *c, struct db_shape *out)
{
    *out = (struct db_shape){.name = c->name};
    if (!db_name_ok(c->name) || str_starts(str_of(c->name), STR("weir_"))) /* those are ours */
        return "a collection's name";
    if (!db_shape_members(out, c->members))
        return "a collection's members";
    if (!db_shape_keys(out, c))
        return "a collection's keys";
    return db_shape_text(out, c->text) ? NULL : "a collection's text members";
}

const char *db_schema_fault(const struct db_schema *s)
{
    if (s->version == 0 || (s->version > 1 && s->migrate == NULL))
        return "the version";
    if (s->collections_count == 0 || s->collections_count > DB_COLLECTIONS_MAX)
        return "the number of collections";
    for (unsigned i = 0; i < s->collections_count; i++) {
        struct db_shape shape;
        const char *fault = db_shape_read(&s->collections[i], &shape);
        for (unsigned other = 0; fault == NULL && other < i; other++)
            if (strcmp(s->collections[i].name, s->collections[other].name) == 0)
                fault = "a collection's name, which is there twice";
        if (fault != NULL)
            return fault;
    }
    return NULL;
}

int db_shapes_new(const struct db_schema *schema, struct db_shape **ret)
{
    struct db_shape *shapes = calloc(schema->collections_count, sizeof *shapes);
    if (shapes == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < schema->collections_count; i++) {
        const char *fault = db_shape_read(&schema->collections[i], &shapes[i]);
        ASSERT(fault == NULL); /* db_schema_fault was asked before */
    }
    *ret = shapes;
    return 0;
}

const struct db_key_shape *db_shape_key(const struct db_shape *shape, const char *fields)
{
    for (unsigned k = 0; k < shape->keys_count; k++) {
        const struct db_key_shape *key = &shape->keys[k];
        struct str rest = str_of(fields);
        struct str word;
        unsigned same = 0;
        while (same < key->fields_count && db_shape_word(&rest, &word) &&
               str_eq(word, str_of(key->fields[same])))
            same++;
        if (same == key->fields_count && rest.size == 0)
            return key;
    }
    return NULL;
}

static const struct db_member *db_shape_member(const struct db_shape *shape, const char *name)
{
    for (unsigned m = 0; m < shape->members_count; m++)
        if (strcmp(shape->members[m].name, name) == 0)
            return &shape->members[m];
    return NULL;
}

char db_shape_type(const struct db_shape *shape, const char *name)
{
    if (strcmp(name, "id") == 0)
        return 's';
    const struct db_member *m = db_shape_member(shape, name);
    return m != NULL ? m->type : 0;
}

bool db_shape_has(const struct db_shape *shape, const char *name)
{
    return shape->open || db_shape_type(shape, name) != 0;
}

bool db_id_ok(const char *id)
{
    return id != NULL && id[0] != 0 && strnlen(id, DB_ID_SIZE_MAX + 1) <= DB_ID_SIZE_MAX;
}

bool db_value_ok(const json_t *value)
{
    if (json_is_integer(value))
        return true;
    if (!json_is_string(value))
        return false;
    size_t size = json_string_length(value);
    return size <= DB_KEY_SIZE_MAX && strlen(json_string_value(value)) == size;
}

/* Backends have names for members that end at a zero, and limits of depth of their own. */
static bool db_shape_storable(const json_t *value, unsigned depth)
{
    const char *name;
    size_t size;
    size_t i;
    json_t *inner;
    if (depth > DB_DEPTH_MAX)
        return false;
    json_object_keylen_foreach((json_t *)(uintptr_t)value, name, size,
                               inner) /* none if no object */
    {
        if (strlen(name) != size || !db_shape_storable(inner, depth + 1))
            return false;
    }
    json_array_foreach(value, i, inner) if (!db_shape_storable(inner, depth + 1)) return false;
    return true;
}

static bool db_shape_type_fits(char type, const json_t *value)
{
    switch (type) {
    case 's':
        return json_is_string(value);
    case 'i':
        return json_is_integer(value);
    case 'n':
        return json_is_number(value);
    case 'b':
        return json_is_boolean(value);
    case 'o':
        return json_is_object(value);
    default:
        return json_is_array(value);
    }
}

static bool db_shape_members_fit(const struct db_shape *shape, const json_t *doc)
{
    const char *name;
    json_t *value;
    if (shape->open)
        return true;
    json_object_foreach((json_t *)(uintptr_t)doc, name, value)
    {
        if (!db_shape_has(shape, name))
            return false;
    }
    for (unsigned i = 0; i < shape->members_count; i++) {
        const struct db_member *m = &shape->members[i];
        value = json_object_get(doc, m->name);
        bool absent = value == NULL || json_is_null(value);
        if (absent ? !m->optional : !db_shape_type_fits(m->type, value))
            return false;
    }
    return true;
}

int db_shape_check(const struct db_shape *shape, const json_t *doc)
{
    const json_t *id = json_object_get(doc, "id");
    if (!json_is_string(id) || !db_value_ok(id) || !db_id_ok(json_string_value(id)))
        return -EINVAL;
    for (unsigned k = 0; k < shape->keys_count; k++)
        for (unsigned i = 0; i < shape->keys[k].fields_count; i++) {
            const json_t *value = json_object_get(doc, shape->keys[k].fields[i]);
            if (value != NULL && !json_is_null(value) && !db_value_ok(value))
                return -EINVAL;
        }
    return db_shape_members_fit(shape, doc) && db_shape_storable(doc, 0) ? 0 : -EINVAL;
}
