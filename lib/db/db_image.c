/* SPDX-License-Identifier: Apache-2.0 */
#include "db/db_image.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DB_IMAGE_FIRST 64

int db_numbers_insert(struct db_numbers *n, uint32_t at, uint32_t number)
{
    ASSERT(at <= n->count);
    if (n->count == n->room) {
        uint32_t room = n->room == 0 ? DB_IMAGE_FIRST : 2 * n->room;
        uint32_t *wider = room < n->room ? NULL : realloc(n->at, (size_t)room * sizeof *n->at);
        if (wider == NULL)
            return -ENOMEM;
        n->at = wider;
        n->room = room;
    }
    memmove(n->at + at + 1, n->at + at, (size_t)(n->count - at) * sizeof *n->at);
    n->at[at] = number;
    n->count++;
    return 0;
}

int db_numbers_add(struct db_numbers *n, uint32_t number)
{
    return db_numbers_insert(n, n->count, number);
}

void db_numbers_cut(struct db_numbers *n, uint32_t at)
{
    ASSERT(at < n->count);
    n->count--;
    memmove(n->at + at, n->at + at + 1, (size_t)(n->count - at) * sizeof *n->at);
}

/* --- life ------------------------------------------------------------------------------------- */

int db_image_new(const struct db_shape *shape, struct db_image **ret)
{
    ASSERT(!shape->open);
    struct db_image *m = calloc(1, sizeof *m);
    if (m == NULL)
        return -ENOMEM;
    m->magic = DB_IMAGE_MAGIC;
    m->shape = shape;
    m->bulk = true;
    *ret = m;
    return 0;
}

static void db_image_doc_free(const struct db_shape *shape, struct db_image_doc *doc)
{
    if (doc == NULL)
        return;
    for (unsigned i = 0; i < shape->members_count; i++)
        if (doc->cells[i].kind == DB_CELL_LIST)
            free(doc->cells[i].list);
    free(doc->words);
    free(doc->text);
    free(doc);
}

struct db_image *db_image_free(struct db_image *m)
{
    if (m == NULL)
        return NULL;
    ASSERT(m->magic == DB_IMAGE_MAGIC);
    for (uint32_t i = 0; i < m->slots; i++)
        db_image_doc_free(m->shape, m->docs[i]);
    for (uint32_t i = 0; i < m->texts.count; i++)
        free((char *)(uintptr_t)m->texts_of[i].data);
    for (uint32_t i = 0; i < m->words.count; i++) {
        free(m->words_of[i].text);
        free(m->words_of[i].at);
    }
    for (unsigned i = 0; i <= DB_KEYS_MAX; i++)
        free(m->orders[i].at);
    free(m->docs);
    free(m->spare.at);
    free(m->texts_of);
    free(m->words_of);
    free(m->vocabulary.at);
    db_map_free(&m->ids);
    db_map_free(&m->texts);
    db_map_free(&m->words);
    MAGIC_CLEAR(m);
    free(m);
    return NULL;
}

/* --- cells ------------------------------------------------------------------------------------ */

int db_image_member(const struct db_shape *shape, const char *name)
{
    for (unsigned i = 0; i < shape->members_count; i++)
        if (strcmp(shape->members[i].name, name) == 0)
            return (int)i;
    return -1;
}

int db_image_intern(struct db_image *m, struct str text, uint32_t *ret)
{
    uint32_t at = text.size == 0 ? db_map_get(&m->texts, STR("")) : db_map_get(&m->texts, text);
    if (at != DB_MAP_NONE) {
        *ret = at;
        return 0;
    }
    at = m->texts.count;
    if (at == m->texts_room) {
        uint32_t room = at == 0 ? DB_IMAGE_FIRST : 2 * at;
        struct str *wider = realloc(m->texts_of, (size_t)room * sizeof *wider);
        if (wider == NULL)
            return -ENOMEM;
        m->texts_of = wider;
        m->texts_room = room;
    }
    char *copy = str_dup(text.size == 0 ? STR("") : text);
    int r = copy == NULL ? -ENOMEM : db_map_put(&m->texts, (struct str){copy, text.size}, at);
    if (r < 0) {
        free(copy);
        return r;
    }
    m->texts_of[at] = (struct str){copy, text.size};
    m->size += text.size + 2 * sizeof(struct db_map_place);
    *ret = at;
    return 0;
}

static bool db_image_is_text(const struct db_shape *shape, const char *name)
{
    for (unsigned i = 0; i < shape->text_count; i++)
        if (strcmp(shape->text[i], name) == 0)
            return true;
    return false;
}

static bool db_image_is_keyed(const struct db_shape *shape, const char *name)
{
    for (unsigned i = 0; i < shape->keys_count; i++)
        for (unsigned k = 0; k < shape->keys[i].fields_count; k++)
            if (strcmp(shape->keys[i].fields[k], name) == 0)
                return true;
    return false;
}

static struct str db_image_str(const json_t *value)
{
    return (struct str){json_string_value(value), json_string_length(value)};
}

static int db_cell_list(struct db_image *m, const json_t *array, struct db_cell *ret)
{
    size_t i;
    const json_t *one;
    size_t count = json_array_size(array);
    bool hard = count > DB_IMAGE_LIST_MAX;
    json_array_foreach(array, i, one)
    {
        hard = hard || !json_is_string(one) || json_string_length(one) > DB_IMAGE_TEXT_MAX;
    }
    if (hard) {
        ret->kind = DB_CELL_HARD;
        return 0;
    }
    uint32_t *list = calloc(MAX(count, (size_t)1), sizeof *list);
    int r = list == NULL ? -ENOMEM : 0;
    for (i = 0; r == 0 && i < count; i++)
        r = db_image_intern(m, db_image_str(json_array_get(array, i)), &list[i]);
    if (r < 0) {
        free(list);
        return r;
    }
    *ret = (struct db_cell){.kind = DB_CELL_LIST, .count = (uint32_t)count, .list = list};
    return 0;
}

static int db_cell_of(struct db_image *m, const struct db_member *member, const json_t *value,
                      struct db_cell *ret)
{
    switch (value == NULL ? JSON_NULL : json_typeof(value)) {
    case JSON_NULL:
        return 0; /* zeroed: none */
    case JSON_INTEGER:
        *ret = (struct db_cell){.kind = DB_CELL_INTEGER, .integer = json_integer_value(value)};
        return 0;
    case JSON_REAL:
        *ret = (struct db_cell){.kind = DB_CELL_REAL, .real = json_real_value(value)};
        return 0;
    case JSON_TRUE:
    case JSON_FALSE:
        *ret = (struct db_cell){.kind = DB_CELL_BOOLEAN, .integer = json_is_true(value)};
        return 0;
    case JSON_ARRAY:
        return db_cell_list(m, value, ret);
    case JSON_OBJECT:
        break;
    case JSON_STRING:
        /* Titles are as many as documents, and nobody filters by them. */
        if (!db_image_is_keyed(m->shape, member->name) &&
            (json_string_length(value) > DB_IMAGE_TEXT_MAX ||
             db_image_is_text(m->shape, member->name)))
            break;
        ret->kind = DB_CELL_TEXT;
        return db_image_intern(m, db_image_str(value), &ret->text);
    }
    ret->kind = DB_CELL_HARD;
    return 0;
}

/* --- documents -------------------------------------------------------------------------------- */

static size_t db_image_doc_size(const struct db_image *m, const struct db_image_doc *doc)
{
    /* A word's posting is as large as the word's number; memory comes in lumps. */
    return sizeof *doc + m->shape->members_count * sizeof *doc->cells + doc->size +
           2 * doc->words_count * sizeof *doc->words + 128;
}

static int db_image_make(struct db_image *m, const json_t *doc, struct db_image_doc **ret)
{
    const struct db_shape *shape = m->shape;
    struct db_image_doc *d = calloc(1, sizeof *d + shape->members_count * sizeof d->cells[0]);
    if (d == NULL)
        return -ENOMEM;
    d->text = json_dumps(doc, JSON_COMPACT);
    d->size = d->text == NULL ? 0 : (uint32_t)strlen(d->text);
    int r = d->text == NULL ? -ENOMEM
                            : str_copy(str_of(json_string_value(json_object_get(doc, "id"))), d->id,
                                       sizeof d->id);
    if (r == -ENAMETOOLONG || (r == 0 && d->id[0] == 0))
        r = -EBADMSG;
    for (unsigned i = 0; r == 0 && i < shape->members_count; i++)
        r = db_cell_of(m, &shape->members[i], json_object_get(doc, shape->members[i].name),
                       &d->cells[i]);
    if (r == 0)
        r = db_image_words_of(m, doc, &d->words, &d->words_count);
    if (r < 0) {
        db_image_doc_free(shape, d);
        return r;
    }
    *ret = d;
    return 0;
}

static int db_image_slot(struct db_image *m, uint32_t *ret)
{
    if (m->spare.count > 0) {
        *ret = m->spare.at[--m->spare.count];
        return 0;
    }
    if (m->slots == DB_IMAGE_SLOTS_MAX)
        return -ENOTSUP;
    if (m->slots == m->room) {
        uint32_t room = m->room == 0 ? DB_IMAGE_FIRST : 2 * m->room;
        struct db_image_doc **wider = realloc(m->docs, (size_t)room * sizeof(*wider));
        if (wider == NULL)
            return -ENOMEM;
        m->docs = wider;
        m->room = room;
    }
    m->docs[m->slots] = NULL;
    *ret = m->slots++;
    return 0;
}

static void db_image_drop(struct db_image *m, uint32_t slot)
{
    struct db_image_doc *old = m->docs[slot];
    m->size -= db_image_doc_size(m, old);
    m->count--;
    db_map_remove(&m->ids, str_of(old->id));
    m->docs[slot] = NULL;
    db_image_doc_free(m->shape, old);
}

int db_image_remove(struct db_image *m, const char *id)
{
    uint32_t slot = db_map_get(&m->ids, str_of(id));
    ASSERT(m->magic == DB_IMAGE_MAGIC);
    if (slot == DB_MAP_NONE)
        return 0;
    if (!m->bulk)
        db_order_remove(m, slot);
    db_image_words_remove(m, slot);
    db_image_drop(m, slot);
    return db_numbers_add(&m->spare, slot);
}

static bool db_image_same_words(const struct db_image_doc *a, const struct db_image_doc *b)
{
    return a->words_count == b->words_count &&
           (a->words_count == 0 ||
            memcmp(a->words, b->words, a->words_count * sizeof *a->words) == 0);
}

/* Most changes leave the words as they are: then nothing is done about them. */
static int db_image_replace(struct db_image *m, uint32_t slot, struct db_image_doc *doc)
{
    bool same = db_image_same_words(m->docs[slot], doc);
    if (!m->bulk)
        db_order_remove(m, slot);
    if (!same)
        db_image_words_remove(m, slot);
    db_image_drop(m, slot);
    m->docs[slot] = doc;
    m->size += db_image_doc_size(m, doc);
    m->count++;
    int r = db_map_put(&m->ids, str_of(doc->id), slot);
    if (r == 0 && !same)
        r = db_image_words_add(m, slot);
    return r == 0 && !m->bulk ? db_order_add(m, slot) : r;
}

int db_image_put(struct db_image *m, const json_t *doc)
{
    struct db_image_doc *d = NULL;
    uint32_t slot = 0;
    ASSERT(m->magic == DB_IMAGE_MAGIC);
    int r = db_image_make(m, doc, &d);
    if (r < 0)
        return r;
    slot = db_map_get(&m->ids, str_of(d->id));
    if (slot != DB_MAP_NONE)
        return db_image_replace(m, slot, d);
    r = db_image_slot(m, &slot);
    if (r < 0) {
        db_image_doc_free(m->shape, d);
        return r;
    }
    m->docs[slot] = d;
    m->size += db_image_doc_size(m, d);
    m->count++;
    r = db_map_put(&m->ids, str_of(d->id), slot);
    if (r == 0)
        r = db_image_words_add(m, slot);
    return r == 0 && !m->bulk ? db_order_add(m, slot) : r;
}

int db_image_ready(struct db_image *m)
{
    ASSERT(m->magic == DB_IMAGE_MAGIC);
    ASSERT(m->bulk);
    int r = db_order_sort(m);
    if (r < 0)
        return r;
    db_image_words_sort(m);
    m->bulk = false;
    return 0;
}

int db_image_get(const struct db_image *m, const char *id, json_t **ret)
{
    ASSERT(m->magic == DB_IMAGE_MAGIC);
    uint32_t slot = db_map_get(&m->ids, str_of(id));
    if (slot == DB_MAP_NONE)
        return -ENOENT;
    *ret = json_loadb(m->docs[slot]->text, m->docs[slot]->size, JSON_ALLOW_NUL, NULL);
    return *ret == NULL ? -ENOMEM : 0; /* our own text */
}
