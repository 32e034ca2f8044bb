/* SPDX-License-Identifier: Apache-2.0 */
/* Filters of documents in memory: db_where_holds, told by their cells. */
#include <errno.h>
#include <stdlib.h>
#include "db/db_doc.h"
#include "db/db_image.h"

static int db_filter_texts(const struct db_image *m, const json_t *wanted,
                           struct db_filter_test *test)
{
    size_t count = json_is_array(wanted) ? json_array_size(wanted) : 1;
    test->texts = calloc(MAX(count, (size_t)1), sizeof *test->texts);
    if (test->texts == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const json_t *one = json_is_array(wanted) ? json_array_get(wanted, i) : wanted;
        struct str text = {json_string_value(one), json_string_length(one)};
        uint32_t at = json_is_string(one) ? db_map_get(&m->texts, text) : DB_MAP_NONE;
        if (at != DB_MAP_NONE)
            test->texts[test->texts_count++] = at;
    }
    return 0;
}

int db_filter_make(const struct db_image *m, const json_t *where, struct db_filter *ret)
{
    const char *name;
    json_t *wanted;
    int r = 0;
    *ret = (struct db_filter){.where = where};
    json_object_foreach((json_t *)(uintptr_t)where, name, wanted)
    {
        struct db_filter_test *test = &ret->tests[ret->count++];
        *test =
            (struct db_filter_test){.member = db_image_member(m->shape, name), .wanted = wanted};
        if (r == 0 && !json_is_object(wanted) && !json_is_null(wanted))
            r = db_filter_texts(m, wanted, test);
    }
    if (r < 0)
        db_filter_free(ret);
    return r;
}

void db_filter_free(struct db_filter *f)
{
    for (unsigned i = 0; i < f->count; i++)
        free(f->tests[i].texts);
    f->count = 0;
}

static bool db_filter_has_text(const struct db_filter_test *test, uint32_t text)
{
    for (unsigned i = 0; i < test->texts_count; i++)
        if (test->texts[i] == text)
            return true;
    return false;
}

/* A cell as JSON on the stack is no more than its value: numbers are compared as db_doc.c does. */
static bool db_filter_number(const json_t *bound, const struct db_cell *cell, int *ret_order)
{
    double x;
    double y;
    if (cell->kind == DB_CELL_INTEGER && json_is_integer(bound)) {
        json_int_t other = json_integer_value(bound);
        *ret_order = (cell->integer > other) - (cell->integer < other);
        return true;
    }
    if ((cell->kind != DB_CELL_INTEGER && cell->kind != DB_CELL_REAL) || !json_is_number(bound))
        return false;
    x = cell->kind == DB_CELL_REAL ? cell->real : (double)cell->integer;
    y = json_number_value(bound);
    *ret_order = (x > y) - (x < y);
    return true;
}

static bool db_filter_range(const json_t *range, const struct db_cell *cell)
{
    const json_t *min = json_object_get(range, "min");
    const json_t *max = json_object_get(range, "max");
    int order = 0;
    if (cell->kind != DB_CELL_INTEGER && cell->kind != DB_CELL_REAL)
        return false;
    if (min != NULL && (!db_filter_number(min, cell, &order) || order < 0))
        return false;
    return max == NULL || (db_filter_number(max, cell, &order) && order <= 0);
}

static bool db_filter_scalar(const json_t *wanted, const struct db_cell *cell)
{
    int order = 0;
    if (cell->kind == DB_CELL_BOOLEAN)
        return json_is_boolean(wanted) && json_is_true(wanted) == (cell->integer != 0);
    return db_filter_number(wanted, cell, &order) && order == 0;
}

static bool db_filter_one_of(const struct db_filter_test *test, const struct db_cell *cell)
{
    size_t i;
    const json_t *one;
    if (cell->kind == DB_CELL_TEXT)
        return db_filter_has_text(test, cell->text);
    for (uint32_t k = 0; cell->kind == DB_CELL_LIST && k < cell->count; k++)
        if (db_filter_has_text(test, cell->list[k]))
            return true;
    if (!json_is_array(test->wanted))
        return db_filter_scalar(test->wanted, cell);
    json_array_foreach(test->wanted, i, one) if (db_filter_scalar(one, cell)) return true;
    return false;
}

static bool db_filter_read(const struct db_filter *f, const struct db_image_doc *doc)
{
    json_t *whole = json_loadb(doc->text, doc->size, JSON_ALLOW_NUL, NULL);
    bool holds = whole != NULL && db_where_holds(f->where, whole);
    json_decref(whole);
    return holds;
}

bool db_filter_holds(const struct db_filter *f, const struct db_image_doc *doc)
{
    bool unsure = false;
    for (unsigned i = 0; i < f->count; i++) {
        const struct db_filter_test *test = &f->tests[i];
        const struct db_cell *cell = test->member < 0 ? NULL : &doc->cells[test->member];
        bool holds = true;
        if (json_is_null(test->wanted) && cell != NULL)
            holds = cell->kind == DB_CELL_NONE;
        else if (cell == NULL || cell->kind == DB_CELL_HARD)
            unsure = true;
        else if (cell->kind == DB_CELL_NONE)
            holds = false;
        else if (json_is_object(test->wanted))
            holds = db_filter_range(test->wanted, cell);
        else
            holds = db_filter_one_of(test, cell);
        if (!holds)
            return false;
    }
    return !unsure || db_filter_read(f, doc);
}
