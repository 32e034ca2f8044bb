/* SPDX-License-Identifier: Apache-2.0 */
/* Lists and filters as SQL. Names are the schema's, of letters, digits and '_'; all that comes from
 * documents and callers is bound. */
#include <errno.h>
#include <stdio.h>
#include "db/db_doc.h"
#include "db/db_sqlite.h"

/* No value is below it, and NULL, which stands before all values in an index, is not above it. */
#define DB_SQLITE_LOWEST "-9223372036854775808"

void db_sqlite_index_name(const char *coll, const struct db_key_shape *key, char *out, size_t size)
{
    int used = snprintf(out, size, "%c_%s", key->unique ? 'u' : 'k', coll);
    for (unsigned i = 0; i < key->fields_count; i++)
        used += snprintf(out + used, size - (size_t)used, "$%s", key->fields[i]);
    ASSERT(used > 0 && (size_t)used < size);
}

/* Named, so that no planner's mood turns a look-up into a scan; a migration may be without it. */
void db_sqlite_indexed(struct db_sqlite_query *q, const struct db_sqlite *s,
                       const struct db_shape *shape, const struct db_key_shape *key)
{
    char index[DB_SQLITE_SQL_SIZE];
    if (s->opening)
        return;
    db_sqlite_index_name(shape->name, key, index, sizeof index);
    buf_printf(&q->sql, " INDEXED BY \"%s\"", index);
}

/* Strings and booleans are compared as JSON text: json_extract ends a string at its first U+0000
 * and makes true a 1. Both sides are written by jansson, so equal values have equal texts. */
static void db_sqlite_where_scalar(struct db_sqlite_query *q, const char *name, char type,
                                   const json_t *value)
{
    bool number = json_is_number(value);
    bool maybe_array = type == 0 || type == 'a';
    if (maybe_array)
        buf_puts(&q->sql, "(");
    if (number) {
        buf_printf(&q->sql,
                   "(json_type(c.doc, '$.%s') IN ('integer', 'real')"
                   " AND json_extract(c.doc, '$.%s') = ?)",
                   name, name);
        db_sqlite_bind_value(q, value);
    } else {
        buf_printf(&q->sql, "c.doc -> '$.%s' = ?", name);
        db_sqlite_bind_json(q, value);
    }
    if (!maybe_array)
        return;
    buf_printf(&q->sql,
               " OR (json_type(c.doc, '$.%s') = 'array' AND EXISTS"
               " (SELECT 1 FROM json_each(c.doc, '$.%s') e WHERE ",
               name, name);
    if (number) {
        buf_puts(&q->sql, "e.type IN ('integer', 'real') AND e.value = ?)))");
        db_sqlite_bind_value(q, value);
    } else {
        buf_puts(&q->sql, "c.doc -> e.fullkey = ?)))");
        db_sqlite_bind_json(q, value);
    }
}

static void db_sqlite_where_range(struct db_sqlite_query *q, const char *name, const json_t *range)
{
    const json_t *min = json_object_get(range, "min");
    const json_t *max = json_object_get(range, "max");
    buf_printf(&q->sql, "json_type(c.doc, '$.%s') IN ('integer', 'real')", name);
    if (min != NULL) {
        buf_printf(&q->sql, " AND json_extract(c.doc, '$.%s') >= ?", name);
        db_sqlite_bind_value(q, min);
    }
    if (max != NULL) {
        buf_printf(&q->sql, " AND json_extract(c.doc, '$.%s') <= ?", name);
        db_sqlite_bind_value(q, max);
    }
}

static void db_sqlite_where_any(struct db_sqlite_query *q, const char *name, char type,
                                const json_t *any)
{
    size_t i;
    const json_t *one;
    buf_puts(&q->sql, "(FALSE");
    json_array_foreach(any, i, one)
    {
        buf_puts(&q->sql, " OR ");
        db_sqlite_where_scalar(q, name, type, one);
    }
    buf_puts(&q->sql, ")");
}

void db_sqlite_where(struct db_sqlite_query *q, const struct db_shape *shape, const json_t *where)
{
    const char *name;
    const json_t *wanted;
    json_object_foreach((json_t *)(uintptr_t)where, name, wanted)
    {
        char type = db_shape_type(shape, name);
        buf_puts(&q->sql, " AND ");
        if (json_is_null(wanted))
            buf_printf(&q->sql, "coalesce(json_type(c.doc, '$.%s'), 'null') = 'null'", name);
        else if (json_is_object(wanted))
            db_sqlite_where_range(q, name, wanted);
        else if (json_is_array(wanted))
            db_sqlite_where_any(q, name, type, wanted);
        else
            db_sqlite_where_scalar(q, name, type, wanted);
    }
}

/* One bound. Of a fixed value it is a constant, and must not look like a range to SQLite; behind a
 * cursor, which bounds tighter, '+' keeps SQLite from choosing this one for the index. */
static void db_sqlite_bound(struct db_sqlite_query *q, const char *field, const char *op,
                            const struct db_range *range, const json_t *value, bool tighter)
{
    bool fixed = range->equal_count == range->key->fields_count;
    buf_printf(&q->sql, " AND %s%s %s ?", tighter && !fixed ? "+" : "", fixed ? "?" : field, op);
    if (fixed)
        db_sqlite_bind_value(q, range->equal[range->equal_count - 1]);
    db_sqlite_bind_value(q, value);
}

/* The bounds of the key's last field. */
static void db_sqlite_bounds(struct db_sqlite_query *q, const char *field,
                             const struct db_range *range, bool fixed)
{
    const char *beyond = range->descending ? "<" : ">";
    bool goes_on = range->after != NULL;
    if (range->from != NULL)
        db_sqlite_bound(q, field, ">=", range, range->from, goes_on && !range->descending);
    else if (!fixed && (!goes_on || range->descending)) /* else the cursor's place is above it */
        buf_printf(&q->sql, " AND %s >= %s", field, DB_SQLITE_LOWEST);
    if (range->below != NULL)
        db_sqlite_bound(q, field, "<", range, range->below, goes_on && range->descending);
    if (range->after == NULL)
        return;
    if (fixed) { /* all have the same value */
        buf_printf(&q->sql, " AND c.id %s ?", beyond);
        db_sqlite_bind_str(q, str_of(range->after->id));
    } else if (range->key->unique) { /* no two have the same: the id need not decide */
        buf_printf(&q->sql, " AND %s %s ?", field, beyond);
        db_sqlite_bind_value(q, range->after->value);
    } else {
        /* Said twice: of the pair SQLite makes no range of an index on expressions. */
        buf_printf(&q->sql, " AND %s %s= ? AND (%s, c.id) %s (?, ?)", field, beyond, field, beyond);
        db_sqlite_bind_value(q, range->after->value);
        db_sqlite_bind_value(q, range->after->value);
        db_sqlite_bind_str(q, str_of(range->after->id));
    }
}

/* As the index is ordered; what cannot differ is left out, or SQLite would sort by it. */
static void db_sqlite_order(struct db_sqlite_query *q, const char *field,
                            const struct db_range *range)
{
    const struct db_key_shape *key = range->key;
    const char *order = range->descending ? "DESC" : "ASC";
    bool fixed = key != NULL && range->equal_count == key->fields_count;
    if (key != NULL && key->unique && fixed)
        return; /* there is at most one */
    buf_puts(&q->sql, " ORDER BY ");
    if (key != NULL && !fixed)
        buf_printf(&q->sql, "%s %s%s", field, order, key->unique ? "" : ", ");
    if (key == NULL || !key->unique)
        buf_printf(&q->sql, "c.id %s", order);
}

void db_sqlite_range(struct db_sqlite_query *q, const struct db_sqlite *s, unsigned coll,
                     const char *what, const struct db_range *range, bool counts)
{
    const struct db_shape *shape = &s->db.shapes[coll];
    const struct db_key_shape *key = range->key;
    char field[64] = "";
    buf_printf(&q->sql, "SELECT %s FROM c_%s c", what, shape->name);
    if (key != NULL)
        db_sqlite_indexed(q, s, shape, key);
    buf_puts(&q->sql, " WHERE TRUE");
    for (unsigned i = 0; key != NULL && i < key->fields_count; i++) {
        (void)snprintf(field, sizeof field, "json_extract(c.doc, '$.%s')", key->fields[i]);
        if (i < range->equal_count) {
            buf_printf(&q->sql, " AND %s = ?", field);
            db_sqlite_bind_value(q, range->equal[i]);
        }
    }
    if (key != NULL) {
        db_sqlite_bounds(q, field, range, range->equal_count == key->fields_count);
    } else if (range->after != NULL) {
        buf_printf(&q->sql, " AND c.id %s ?", range->descending ? "<" : ">");
        db_sqlite_bind_str(q, str_of(range->after->id));
    }
    db_sqlite_where(q, shape, range->where);
    if (counts)
        return;
    db_sqlite_order(q, field, range);
    buf_puts(&q->sql, " LIMIT ?");
    db_sqlite_bind_int(q, range->limit);
}

int db_sqlite_list(struct db *db, unsigned coll, const struct db_range *range, json_t *into)
{
    struct db_sqlite_query q;
    db_sqlite_query_init(&q);
    db_sqlite_range(&q, db_sqlite_of(db), coll, "c.doc", range, false);
    int r = db_sqlite_run(&q, db_sqlite_of(db), NULL);
    while (r >= 0 && (r = db_sqlite_step(&q)) > 0) {
        json_t *doc = NULL;
        r = db_sqlite_document(&q, 0, &doc);
        if (r == 0 && json_array_append_new(into, doc) < 0)
            r = -ENOMEM;
    }
    db_sqlite_end(&q);
    return r;
}

/* One statement: as the collection is now, while others go on writing. */
int db_sqlite_scan(struct db *db, unsigned coll, db_scan_fn *fn, void *arg)
{
    struct db_sqlite_query q;
    db_sqlite_query_init(&q);
    buf_printf(&q.sql, "SELECT doc FROM c_%s", db->shapes[coll].name);
    int r = db_sqlite_run(&q, db_sqlite_of(db), NULL);
    while (r >= 0 && (r = db_sqlite_step(&q)) > 0) {
        json_t *doc = NULL;
        r = db_sqlite_document(&q, 0, &doc);
        if (r == 0)
            r = fn(arg, doc);
        json_decref(doc);
    }
    db_sqlite_end(&q);
    return r;
}

int db_sqlite_count(struct db *db, unsigned coll, const struct db_range *range, uint64_t *ret)
{
    struct db_sqlite_query q;
    int64_t count = 0;
    db_sqlite_query_init(&q);
    db_sqlite_range(&q, db_sqlite_of(db), coll, "count(*)", range, true);
    int r = db_sqlite_run(&q, db_sqlite_of(db), NULL);
    if (r == 0)
        r = db_sqlite_int(&q, &count);
    db_sqlite_end(&q);
    if (r == 0)
        *ret = (uint64_t)count;
    return r;
}
