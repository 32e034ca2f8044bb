/* SPDX-License-Identifier: Apache-2.0 */
/* Lists in memory: for each key the documents that have it, in its order; for no key all, by id. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "db/db_image.h"

/* What a document of an order is compared with: the key's first fields, and an id behind them. */
struct db_bound {
    const json_t *values[DB_KEY_FIELDS_MAX];
    unsigned count;
    const char *id; /* NULL: all with these values are equal */
};

static int db_order_bytes(struct str a, struct str b)
{
    int order = memcmp(a.data, b.data, MIN(a.size, b.size));
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static struct str db_order_text(const struct db_image *m, const struct db_cell *cell)
{
    return m->texts_of[cell->text];
}

/* Integers stand before texts. */
static int db_order_cells(const struct db_image *m, const struct db_cell *a,
                          const struct db_cell *b)
{
    if (a->kind != b->kind)
        return a->kind == DB_CELL_INTEGER ? -1 : 1;
    if (a->kind == DB_CELL_INTEGER)
        return (a->integer > b->integer) - (a->integer < b->integer);
    return a->text == b->text ? 0 : db_order_bytes(db_order_text(m, a), db_order_text(m, b));
}

static int db_order_value(const struct db_image *m, const struct db_cell *cell, const json_t *value)
{
    if (json_is_integer(value)) {
        json_int_t other = json_integer_value(value);
        if (cell->kind != DB_CELL_INTEGER)
            return 1;
        return (cell->integer > other) - (cell->integer < other);
    }
    if (cell->kind != DB_CELL_TEXT)
        return -1;
    return db_order_bytes(db_order_text(m, cell),
                          (struct str){json_string_value(value), json_string_length(value)});
}

static const struct db_cell *db_order_cell(const struct db_image *m, const struct db_image_doc *doc,
                                           const struct db_key_shape *key, unsigned field)
{
    int member = db_image_member(m->shape, key->fields[field]);
    ASSERT(member >= 0);
    return &doc->cells[member];
}

static int db_order_compare(const struct db_image *m, const struct db_key_shape *key,
                            const struct db_image_doc *a, const struct db_image_doc *b)
{
    for (unsigned i = 0; key != NULL && i < key->fields_count; i++) {
        int order = db_order_cells(m, db_order_cell(m, a, key, i), db_order_cell(m, b, key, i));
        if (order != 0)
            return order;
    }
    return strcmp(a->id, b->id);
}

static int db_order_beside(const struct db_image *m, const struct db_key_shape *key,
                           const struct db_image_doc *doc, const struct db_bound *bound)
{
    for (unsigned i = 0; i < bound->count; i++) {
        int order = db_order_value(m, db_order_cell(m, doc, key, i), bound->values[i]);
        if (order != 0)
            return order;
    }
    return bound->id == NULL ? 0 : strcmp(doc->id, bound->id);
}

static bool db_order_has(const struct db_image *m, const struct db_key_shape *key,
                         const struct db_image_doc *doc)
{
    for (unsigned i = 0; key != NULL && i < key->fields_count; i++) {
        const struct db_cell *cell = db_order_cell(m, doc, key, i);
        if (cell->kind != DB_CELL_INTEGER && cell->kind != DB_CELL_TEXT)
            return false;
    }
    return true;
}

static const struct db_key_shape *db_order_key(const struct db_image *m, unsigned i)
{
    return i < m->shape->keys_count ? &m->shape->keys[i] : NULL;
}

/* --- keeping ---------------------------------------------------------------------------------- */

/* Where the document is, or would be. */
static uint32_t db_order_place(const struct db_image *m, unsigned i, const struct db_image_doc *doc)
{
    const struct db_numbers *order = &m->orders[i];
    uint32_t low = 0;
    uint32_t high = order->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (db_order_compare(m, db_order_key(m, i), m->docs[order->at[mid]], doc) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

int db_order_add(struct db_image *m, uint32_t slot)
{
    int r = 0;
    for (unsigned i = 0; r == 0 && i <= m->shape->keys_count; i++)
        if (db_order_has(m, db_order_key(m, i), m->docs[slot]))
            r = db_numbers_insert(&m->orders[i], db_order_place(m, i, m->docs[slot]), slot);
    return r;
}

void db_order_remove(struct db_image *m, uint32_t slot)
{
    for (unsigned i = 0; i <= m->shape->keys_count; i++) {
        if (!db_order_has(m, db_order_key(m, i), m->docs[slot]))
            continue;
        uint32_t at = db_order_place(m, i, m->docs[slot]);
        ASSERT(at < m->orders[i].count && m->orders[i].at[at] == slot);
        db_numbers_cut(&m->orders[i], at);
    }
}

struct db_sorting {
    const struct db_image *m;
    const struct db_key_shape *key;
};

static int db_order_by(const void *a, const void *b, void *arg)
{
    const struct db_sorting *s = arg;
    const uint32_t *x = a;
    const uint32_t *y = b;
    return db_order_compare(s->m, s->key, s->m->docs[*x], s->m->docs[*y]);
}

int db_order_sort(struct db_image *m)
{
    for (unsigned i = 0; i <= m->shape->keys_count; i++) {
        struct db_numbers *order = &m->orders[i];
        struct db_sorting sorting = {m, db_order_key(m, i)};
        order->count = 0;
        for (uint32_t slot = 0; slot < m->slots; slot++)
            if (m->docs[slot] != NULL && db_order_has(m, sorting.key, m->docs[slot]) &&
                db_numbers_add(order, slot) < 0)
                return -ENOMEM;
        if (order->count > 1)
            qsort_r(order->at, order->count, sizeof *order->at, db_order_by, &sorting);
    }
    return 0;
}

/* --- asking ----------------------------------------------------------------------------------- */

struct db_span {
    const struct db_numbers *order;
    uint32_t low, high;
};

/* The first that is not before the bound; behind: the first that is after it. */
static uint32_t db_order_find(const struct db_image *m, const struct db_numbers *order,
                              const struct db_key_shape *key, const struct db_bound *bound,
                              bool behind)
{
    uint32_t low = 0;
    uint32_t high = order->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        int side = db_order_beside(m, key, m->docs[order->at[mid]], bound);
        if (side < 0 || (behind && side == 0))
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct db_bound db_order_bound(const struct db_range *range, const json_t *last)
{
    struct db_bound bound = {.count = range->equal_count};
    for (unsigned i = 0; i < range->equal_count; i++)
        bound.values[i] = range->equal[i];
    if (last != NULL && range->key != NULL) {
        bound.count = range->key->fields_count;
        bound.values[bound.count - 1] = last;
    }
    return bound;
}

static struct db_span db_order_span(const struct db_image *m, const struct db_range *range)
{
    unsigned number =
        range->key == NULL ? m->shape->keys_count : (unsigned)(range->key - m->shape->keys);
    struct db_span s = {.order = &m->orders[number]};
    struct db_bound all = db_order_bound(range, NULL);
    ASSERT(number <= m->shape->keys_count);
    s.low = db_order_find(m, s.order, range->key, &all, false);
    s.high = db_order_find(m, s.order, range->key, &all, true);
    if (range->from != NULL) {
        struct db_bound from = db_order_bound(range, range->from);
        s.low = MAX(s.low, db_order_find(m, s.order, range->key, &from, false));
    }
    if (range->below != NULL) {
        struct db_bound below = db_order_bound(range, range->below);
        s.high = MIN(s.high, db_order_find(m, s.order, range->key, &below, false));
    }
    if (range->after != NULL) {
        struct db_bound after = db_order_bound(range, range->after->value);
        after.id = range->after->id;
        if (range->descending)
            s.high = MIN(s.high, db_order_find(m, s.order, range->key, &after, false));
        else
            s.low = MAX(s.low, db_order_find(m, s.order, range->key, &after, true));
    }
    return s;
}

static const struct db_image_doc *db_span_at(const struct db_image *m, const struct db_span *s,
                                             bool descending, uint32_t i)
{
    return m->docs[s->order->at[descending ? s->high - 1 - i : s->low + i]];
}

int db_image_list(const struct db_image *m, const struct db_range *range, json_t *into)
{
    struct db_filter filter;
    ASSERT(m->magic == DB_IMAGE_MAGIC && !m->bulk);
    struct db_span s = db_order_span(m, range);
    int r = db_filter_make(m, range->where, &filter);
    if (r < 0)
        return r;
    unsigned found = 0;
    for (uint32_t i = 0; r == 0 && s.low + i < s.high && found < range->limit; i++) {
        const struct db_image_doc *doc = db_span_at(m, &s, range->descending, i);
        if (!db_filter_holds(&filter, doc))
            continue;
        found++;
        if (json_array_append_new(into, json_loadb(doc->text, doc->size, JSON_ALLOW_NUL, NULL)) < 0)
            r = -ENOMEM;
    }
    db_filter_free(&filter);
    return r;
}

int db_image_count(const struct db_image *m, const struct db_range *range, uint64_t *ret)
{
    struct db_filter filter;
    uint64_t count = 0;
    ASSERT(m->magic == DB_IMAGE_MAGIC && !m->bulk);
    struct db_span s = db_order_span(m, range);
    int r = db_filter_make(m, range->where, &filter);
    if (r < 0)
        return r;
    for (uint32_t i = 0; s.low + i < s.high; i++)
        if (db_filter_holds(&filter, db_span_at(m, &s, false, i)))
            count++;
    db_filter_free(&filter);
    *ret = count;
    return 0;
}
