/* SPDX-License-Identifier: Apache-2.0 */
/* Documents as BSON. Values are always values here: nothing that a document or a caller holds can
 * become an operator: names are coded, and db_mongo_list.c alone writes operators. */
#include "db/db_mongo.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/enc.h"
#include "db/db_text.h"

#define DB_MONGO_NESTED "%a"

static bool db_mongo_is_plain(const char *name, bool top)
{
    return name[0] != 0 && strpbrk(name, "%$.") == NULL && !(top && name[0] == '_');
}

/* "" becomes "%", which no other name does. */
static int db_mongo_name(const char *name, bool top, struct buf *out)
{
    static const char digits[] = "0123456789ABCDEF";
    buf_clear(out);
    if (name[0] == 0)
        buf_putc(out, '%');
    for (const char *p = name; *p != 0; p++) {
        bool coded = *p == '%' || *p == '$' || *p == '.' || (top && p == name && *p == '_');
        if (!coded) {
            buf_putc(out, *p);
            continue;
        }
        buf_putc(out, '%');
        buf_putc(out, digits[((unsigned char)*p) >> 4]);
        buf_putc(out, digits[((unsigned char)*p) & 15]);
    }
    return buf_error(out);
}

static int db_mongo_put_any(bson_t *out, const char *name, const json_t *value);

static int db_mongo_put_members(bson_t *out, const json_t *object, bool top)
{
    CLEAN_BUF struct buf coded = BUF_EMPTY;
    const char *name;
    const json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const char *as = name;
        int r = 0;
        if (top && strcmp(name, "id") == 0) {
            as = "_id";
        } else if (!db_mongo_is_plain(name, top)) {
            r = db_mongo_name(name, top, &coded);
            as = coded.data;
        }
        if (r == 0)
            r = db_mongo_put_any(out, as, value);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Not every server takes an array in an array: there it is {"%a": [...]}, a name that no member
 * has. */
static int db_mongo_put_nested(bson_t *out, const char *name, const json_t *array)
{
    bson_t wrap;
    if (!bson_append_document_begin(out, name, -1, &wrap))
        return -EINVAL;
    int r = db_mongo_put_any(&wrap, DB_MONGO_NESTED, array);
    return bson_append_document_end(out, &wrap) ? r : -EINVAL;
}

static int db_mongo_put_elements(bson_t *out, const json_t *array)
{
    size_t i;
    const json_t *value;
    json_array_foreach(array, i, value)
    {
        char number[16];
        const char *name;
        (void)bson_uint32_to_string((uint32_t)i, &name, number, sizeof number);
        int r = json_is_array(value) ? db_mongo_put_nested(out, name, value)
                                     : db_mongo_put_any(out, name, value);
        if (r < 0)
            return r;
    }
    return 0;
}

static int db_mongo_put_any(bson_t *out, const char *name, const json_t *value)
{
    bson_t inner;
    int r = 0;
    bool good = false;
    switch (json_typeof(value)) {
    case JSON_STRING:
        good = bson_append_utf8(out, name, -1, json_string_value(value),
                                (int)json_string_length(value));
        break;
    case JSON_INTEGER:
        good = bson_append_int64(out, name, -1, json_integer_value(value));
        break;
    case JSON_REAL:
        good = bson_append_double(out, name, -1, json_real_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        good = bson_append_bool(out, name, -1, json_is_true(value));
        break;
    case JSON_NULL:
        good = bson_append_null(out, name, -1);
        break;
    case JSON_OBJECT:
        good = bson_append_document_begin(out, name, -1, &inner);
        r = good ? db_mongo_put_members(&inner, value, false) : 0;
        good = good && bson_append_document_end(out, &inner);
        break;
    case JSON_ARRAY:
        good = bson_append_array_begin(out, name, -1, &inner);
        r = good ? db_mongo_put_elements(&inner, value) : 0;
        good = good && bson_append_array_end(out, &inner);
        break;
    }
    return r < 0 ? r : good ? 0 : -EINVAL; /* too large: libbson aborts when out of memory */
}

int db_mongo_put(bson_t *out, const char *name, const json_t *value)
{
    return db_mongo_put_any(out, name, value);
}

void db_mongo_unique_name(const struct db_key_shape *key, char out[DB_MONGO_NAME_MAX])
{
    int used = snprintf(out, DB_MONGO_NAME_MAX, "_u");
    for (unsigned i = 0; i < key->fields_count; i++)
        used += snprintf(out + used, DB_MONGO_NAME_MAX - (size_t)used, "-%s", key->fields[i]);
    ASSERT(used > 0 && used < DB_MONGO_NAME_MAX);
}

char *db_mongo_unique_value(const struct db_key_shape *key, const json_t *doc, int *ret_error)
{
    json_t *values = json_array();
    bool whole = true;
    for (unsigned i = 0; i < key->fields_count; i++) {
        json_t *value = json_object_get(doc, key->fields[i]);
        whole = whole && value != NULL && !json_is_null(value);
        if (whole && json_array_append(values, value) < 0)
            *ret_error = -ENOMEM;
    }
    char *text = whole ? json_dumps(values, JSON_COMPACT) : NULL;
    if (whole && text == NULL)
        *ret_error = -ENOMEM;
    json_decref(values);
    return text;
}

static int db_mongo_put_keys(const struct db_shape *shape, const json_t *doc, const bson_oid_t *rev,
                             bson_t *out)
{
    for (unsigned k = 0; k < shape->keys_count; k++) {
        char name[DB_MONGO_NAME_MAX];
        int r = 0;
        if (!shape->keys[k].unique)
            continue;
        db_mongo_unique_name(&shape->keys[k], name);
        char *text = db_mongo_unique_value(&shape->keys[k], doc, &r);
        bool good = text != NULL ? bson_append_utf8(out, name, -1, text, -1)
                                 : bson_append_oid(out, name, -1, rev);
        free(text);
        if (r < 0 || !good)
            return r < 0 ? r : -EINVAL;
    }
    return 0;
}

/* The words of all members, each once, with the first member that has it. */
static int db_mongo_words_of(const struct db_shape *shape, const json_t *doc, json_t **ret)
{
    CLEAN_BUF struct buf line = BUF_EMPTY;
    json_t *words = json_object();
    int r = words == NULL ? -ENOMEM : 0;
    for (unsigned i = 0; r == 0 && i < shape->text_count; i++) {
        buf_clear(&line);
        r = db_text_of(shape, i, doc, &line);
        struct str rest = buf_str(&line);
        while (r == 0 && rest.size > 0) {
            struct str word = str_cut(rest, ' ', &rest);
            if (json_object_getn(words, word.data, word.size) == NULL &&
                json_object_setn_new(words, word.data, word.size, json_integer(i)) < 0)
                r = -ENOMEM;
        }
    }
    if (r < 0) {
        json_decref(words);
        return r;
    }
    *ret = words;
    return 0;
}

static int db_mongo_put_words(const struct db_shape *shape, const json_t *doc, bson_t *out)
{
    CLEAN_BUF struct buf at = BUF_EMPTY;
    bson_t array;
    json_t *words = NULL;
    const char *word;
    const json_t *member;
    uint32_t i = 0;
    if (shape->text_count == 0)
        return 0;
    int r = db_mongo_words_of(shape, doc, &words);
    if (r < 0)
        return r;
    bool good = bson_append_array_begin(out, "_words", -1, &array);
    json_object_foreach(words, word, member)
    {
        char number[16];
        const char *name;
        (void)bson_uint32_to_string(i++, &name, number, sizeof number);
        good = good && bson_append_utf8(&array, name, -1, word, -1);
        buf_putc(&at, (char)json_integer_value(member));
    }
    good = good && bson_append_array_end(out, &array);
    json_decref(words);
    if (buf_error(&at) < 0)
        return buf_error(&at);
    good = good &&
           bson_append_binary(out, "_at", -1, BSON_SUBTYPE_BINARY,
                              (const uint8_t *)(at.size > 0 ? at.data : ""), (uint32_t)at.size);
    return good ? 0 : -EINVAL;
}

int db_mongo_encode(const struct db_shape *shape, const json_t *doc, const bson_oid_t *rev,
                    bson_t *ret)
{
    bson_init(ret);
    int r = db_mongo_put_members(ret, doc, true);
    if (r == 0 && !bson_append_oid(ret, "_rev", -1, rev))
        r = -EINVAL;
    if (r == 0)
        r = db_mongo_put_keys(shape, doc, rev, ret);
    if (r == 0)
        r = db_mongo_put_words(shape, doc, ret);
    if (r < 0)
        bson_destroy(ret);
    return r;
}

static int db_mongo_plain(const char *coded, struct buf *out)
{
    buf_clear(out);
    if (strcmp(coded, "%") == 0) {
        buf_put(out, "", 0);
        return buf_error(out);
    }
    for (const char *p = coded; *p != 0; p++) {
        if (*p != '%') {
            buf_putc(out, *p);
            continue;
        }
        if (strncmp(p, "%24", 3) == 0)
            buf_putc(out, '$');
        else if (strncmp(p, "%25", 3) == 0)
            buf_putc(out, '%');
        else if (strncmp(p, "%2E", 3) == 0)
            buf_putc(out, '.');
        else if (strncmp(p, "%5F", 3) == 0)
            buf_putc(out, '_');
        else
            return -EBADMSG;
        p += 2;
    }
    return buf_error(out);
}

static int db_mongo_members(bson_iter_t *iter, bool top, unsigned depth, json_t **ret);
static int db_mongo_any(const bson_iter_t *iter, unsigned depth, json_t **ret);

/* Whether the element is {"%a": [...]}; *ret_inner is at the array. */
static bool db_mongo_is_nested(const bson_iter_t *iter, bson_iter_t *ret_inner)
{
    return BSON_ITER_HOLDS_DOCUMENT(iter) && bson_iter_recurse(iter, ret_inner) &&
           bson_iter_next(ret_inner) && strcmp(bson_iter_key(ret_inner), DB_MONGO_NESTED) == 0 &&
           BSON_ITER_HOLDS_ARRAY(ret_inner);
}

static int db_mongo_elements(bson_iter_t *iter, unsigned depth, json_t **ret)
{
    json_t *array = json_array();
    int r = array == NULL ? -ENOMEM : 0;
    while (r == 0 && bson_iter_next(iter)) {
        json_t *value = NULL;
        bson_iter_t nested;
        r = db_mongo_any(db_mongo_is_nested(iter, &nested) ? &nested : iter, depth + 1, &value);
        if (r == 0 && json_array_append_new(array, value) < 0)
            r = -ENOMEM;
    }
    if (r < 0) {
        json_decref(array);
        return r;
    }
    *ret = array;
    return 0;
}

static int db_mongo_any(const bson_iter_t *iter, unsigned depth, json_t **ret)
{
    bson_iter_t inner;
    json_t *value = NULL;
    uint32_t size = 0;
    if (depth > DB_DEPTH_MAX + 1)
        return -EBADMSG;
    switch (bson_iter_type(iter)) {
    case BSON_TYPE_UTF8: {
        const char *text = bson_iter_utf8(iter, &size);
        value = json_stringn(text, size);
        if (value == NULL)
            return -EBADMSG; /* not UTF-8, or out of memory */
        break;
    }
    case BSON_TYPE_INT32:
    case BSON_TYPE_INT64:
        value = json_integer(bson_iter_as_int64(iter));
        break;
    case BSON_TYPE_DOUBLE:
        value = json_real(bson_iter_double(iter));
        break;
    case BSON_TYPE_BOOL:
        value = json_boolean(bson_iter_bool(iter));
        break;
    case BSON_TYPE_NULL:
        value = json_null();
        break;
    case BSON_TYPE_DOCUMENT:
        return bson_iter_recurse(iter, &inner) ? db_mongo_members(&inner, false, depth, ret)
                                               : -EBADMSG;
    case BSON_TYPE_ARRAY:
        return bson_iter_recurse(iter, &inner) ? db_mongo_elements(&inner, depth, ret) : -EBADMSG;
    default:
        return -EBADMSG; /* nothing that we write */
    }
    if (value == NULL)
        return -ENOMEM;
    *ret = value;
    return 0;
}

static int db_mongo_member(json_t *object, const bson_iter_t *iter, bool top, unsigned depth,
                           struct buf *plain)
{
    const char *name = bson_iter_key(iter);
    json_t *value = NULL;
    if (top && name[0] == '_' && strcmp(name, "_id") != 0)
        return 0; /* ours */
    if (top && name[0] == '_')
        name = "id";
    int r = 0;
    if (strchr(name, '%') != NULL) {
        r = db_mongo_plain(name, plain);
        name = plain->size > 0 ? plain->data : "";
    }
    if (r == 0)
        r = db_mongo_any(iter, depth + 1, &value);
    if (r == 0 && json_object_set_new(object, name, value) < 0)
        r = -EBADMSG;
    return r;
}

static int db_mongo_members(bson_iter_t *iter, bool top, unsigned depth, json_t **ret)
{
    CLEAN_BUF struct buf plain = BUF_EMPTY;
    json_t *object = json_object();
    int r = object == NULL ? -ENOMEM : 0;
    while (r == 0 && bson_iter_next(iter))
        r = db_mongo_member(object, iter, top, depth, &plain);
    if (r < 0) {
        json_decref(object);
        return r;
    }
    *ret = object;
    return 0;
}

int db_mongo_value(const bson_iter_t *iter, json_t **ret)
{
    return db_mongo_any(iter, 0, ret);
}

int db_mongo_decode(const bson_t *stored, json_t **ret)
{
    bson_iter_t iter;
    if (!bson_iter_init(&iter, stored))
        return -EBADMSG;
    return db_mongo_members(&iter, true, 0, ret);
}

bool db_mongo_rev(const bson_t *stored, bson_oid_t *ret)
{
    bson_iter_t iter;
    if (!bson_iter_init_find(&iter, stored, "_rev") || !BSON_ITER_HOLDS_OID(&iter))
        return false;
    bson_oid_copy(bson_iter_oid(&iter), ret);
    return true;
}
