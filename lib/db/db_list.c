/* SPDX-License-Identifier: Apache-2.0 */
/* Lists, counts, and the cursors between the pages of a list. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/enc.h"
#include "db/db_backend.h"
#include "db/db_cursor.h"
#include "db/db_doc.h"
#include "db/db_memory.h"

int db_cursor_pack(json_t *cursor, char **ret)
{
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

int db_cursor_unpack(const char *cursor, json_t **ret)
{
    struct str text = str_of(cursor);
    CLEAN_BUF struct buf plain = BUF_EMPTY;
    if (text.size == 0 || text.size > DB_CURSOR_SIZE_MAX)
        return -EINVAL;
    if (enc_unbase64url(text, &plain) < 0 || plain.size == 0)
        return -EINVAL;
    json_t *array = json_loadb(plain.data, plain.size, 0, NULL);
    if (!json_is_array(array)) {
        json_decref(array);
        return -EINVAL;
    }
    *ret = array;
    return 0;
}

/* ["key" or null, descending, the key's last value or null, "id"] */
static int db_list_cursor(const struct db_list *list, const struct db_range *range,
                          const json_t *last, char **ret)
{
    json_t *value = NULL;
    if (range->key != NULL)
        value = json_object_get(last, range->key->fields[range->key->fields_count - 1]);
    return db_cursor_pack(json_pack("[s?, b, O?, O]", list->key, list->descending ? 1 : 0, value,
                                    json_object_get(last, "id")),
                          ret);
}

/* *ret_json holds what *ret borrows from. */
static int db_list_place(const struct db_list *list, json_t **ret_json, struct db_place *ret)
{
    json_t *cursor = NULL;
    int r = db_cursor_unpack(list->cursor, &cursor);
    if (r < 0)
        return r;
    const char *key = json_string_value(json_array_get(cursor, 0));
    json_t *value = json_array_get(cursor, 2);
    const char *id = json_string_value(json_array_get(cursor, 3));
    bool fits = json_array_size(cursor) == 4 && db_id_ok(id) &&
                json_is_boolean(json_array_get(cursor, 1)) &&
                json_is_true(json_array_get(cursor, 1)) == list->descending;
    if (list->key != NULL)
        fits = fits && key != NULL && strcmp(key, list->key) == 0 && db_value_ok(value);
    else
        fits = fits && json_is_null(json_array_get(cursor, 0)) && json_is_null(value);
    if (!fits) {
        json_decref(cursor);
        return -EINVAL;
    }
    *ret = (struct db_place){.value = list->key != NULL ? value : NULL, .id = id};
    *ret_json = cursor;
    return 0;
}

static int db_list_equal(const json_t *equal, struct db_range *out)
{
    size_t i;
    const json_t *one;
    if (json_is_array(equal)) {
        ASSERT(json_array_size(equal) <= DB_KEY_FIELDS_MAX);
        json_array_foreach(equal, i, one) out->equal[out->equal_count++] = one;
    } else if (equal != NULL) {
        out->equal[out->equal_count++] = equal;
    }
    for (i = 0; i < out->equal_count; i++)
        if (!db_value_ok(out->equal[i]))
            return -EINVAL;
    return 0;
}

/* What the list asks for, without its place. Wrong names and counts are the program's mistakes;
 * wrong values may be a stranger's. */
static int db_list_range(const struct db *db, unsigned coll, const struct db_list *list,
                         struct db_range *ret)
{
    ASSERT(db != NULL && db->magic == DB_MAGIC);
    ASSERT(coll < db->schema->collections_count);
    const struct db_shape *shape = &db->shapes[coll];
    struct db_range range = {.from = list->from,
                             .below = list->below,
                             .where = list->where,
                             .descending = list->descending};
    int r = db_list_equal(list->equal, &range);
    if (list->key != NULL) {
        range.key = db_shape_key(shape, list->key);
        ASSERT(range.key != NULL);
        ASSERT(range.equal_count <= range.key->fields_count);
        ASSERT(range.equal_count + 1 >= range.key->fields_count);
    } else {
        ASSERT(range.equal_count == 0);
        ASSERT(list->from == NULL && list->below == NULL);
    }
    if (r == 0 && list->from != NULL && !db_value_ok(list->from))
        r = -EINVAL;
    if (r == 0 && list->below != NULL && !db_value_ok(list->below))
        r = -EINVAL;
    if (r == 0)
        r = db_where_check(shape, list->where);
    if (r == 0)
        *ret = range;
    return r;
}

int db_list(struct db *db, unsigned coll, const struct db_list *list, json_t **ret,
            char **ret_cursor)
{
    ASSERT(ret != NULL && ret_cursor != NULL);
    ASSERT(list->limit > 0 && list->limit <= DB_LIST_MAX);
    struct db_range range;
    struct db_place place;
    json_t *cursor = NULL;
    char *next = NULL;
    int r = db_list_range(db, coll, list, &range);
    if (r == 0 && list->cursor != NULL && (r = db_list_place(list, &cursor, &place)) == 0)
        range.after = &place;
    if (r < 0)
        return r;
    range.limit = list->limit + 1; /* one beyond tells whether there is a next page */
    json_t *into = json_array();
    r = into == NULL ? -ENOMEM : db_ask_list(db, coll, &range, into);
    json_decref(cursor);
    if (r == 0 && json_array_size(into) > list->limit) {
        (void)json_array_remove(into, list->limit); /* in range: cannot fail */
        r = db_list_cursor(list, &range, json_array_get(into, list->limit - 1), &next);
    }
    if (r < 0) {
        json_decref(into);
        return r;
    }
    *ret = into;
    *ret_cursor = next;
    return 0;
}

int db_count(struct db *db, unsigned coll, const struct db_list *list, uint64_t *ret)
{
    ASSERT(ret != NULL);
    struct db_range range;
    uint64_t count = 0;
    int r = db_list_range(db, coll, list, &range);
    if (r == 0)
        r = db_ask_count(db, coll, &range, &count);
    if (r == 0)
        *ret = count;
    return r;
}
