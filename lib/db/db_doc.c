/* SPDX-License-Identifier: Apache-2.0 */
#include "db/db_doc.h"
#include <errno.h>
#include <string.h>

static json_t *db_doc_loose(const json_t *value)
{
    return (json_t *)(uintptr_t)value; /* for jansson's functions that only count a reference */
}

bool db_scalar(const json_t *value)
{
    return json_is_string(value) || json_is_number(value) || json_is_boolean(value);
}

bool db_scalar_equal(const json_t *a, const json_t *b)
{
    if (json_is_integer(a) && json_is_integer(b))
        return json_integer_value(a) == json_integer_value(b);
    if (json_is_number(a) && json_is_number(b)) {
        double x = json_number_value(a);
        double y = json_number_value(b);
        return x <= y && x >= y;
    }
    return json_equal(a, b) == 1;
}

static bool db_where_range_ok(const json_t *range)
{
    const json_t *min = json_object_get(range, "min");
    const json_t *max = json_object_get(range, "max");
    size_t known = (min != NULL ? 1U : 0U) + (max != NULL ? 1U : 0U);
    return known > 0 && json_object_size(range) == known && (min == NULL || json_is_number(min)) &&
           (max == NULL || json_is_number(max));
}

static bool db_where_value_ok(const json_t *wanted)
{
    size_t i;
    const json_t *one;
    if (json_is_object(wanted))
        return db_where_range_ok(wanted);
    if (!json_is_array(wanted))
        return json_is_null(wanted) || db_scalar(wanted);
    if (json_array_size(wanted) > DB_WHERE_MAX)
        return false;
    json_array_foreach(wanted, i, one) if (!db_scalar(one)) return false;
    return true;
}

int db_where_check(const struct db_shape *shape, const json_t *where)
{
    const char *name;
    const json_t *wanted;
    if (where == NULL)
        return 0;
    if (!json_is_object(where) || json_object_size(where) > DB_MEMBERS_MAX)
        return -EINVAL;
    json_object_foreach(db_doc_loose(where), name, wanted)
    {
        if (!db_name_ok(name) || !db_shape_has(shape, name) || !db_where_value_ok(wanted))
            return -EINVAL;
    }
    return 0;
}

/* The member equals the scalar, or is an array that has it. */
static bool db_where_has(const json_t *member, const json_t *scalar)
{
    size_t i;
    const json_t *one;
    if (!json_is_array(member))
        return db_scalar_equal(member, scalar);
    json_array_foreach(member, i, one) if (db_scalar_equal(one, scalar)) return true;
    return false;
}

static int db_number_compare(const json_t *a, const json_t *b)
{
    if (json_is_integer(a) && json_is_integer(b))
        return (json_integer_value(a) > json_integer_value(b)) -
               (json_integer_value(a) < json_integer_value(b));
    double x = json_number_value(a);
    double y = json_number_value(b);
    return (x > y) - (x < y);
}

static bool db_where_one_holds(const json_t *wanted, const json_t *member)
{
    size_t i;
    const json_t *one;
    if (json_is_null(wanted))
        return member == NULL || json_is_null(member);
    if (member == NULL)
        return false;
    if (json_is_object(wanted)) {
        const json_t *min = json_object_get(wanted, "min");
        const json_t *max = json_object_get(wanted, "max");
        return json_is_number(member) && (min == NULL || db_number_compare(member, min) >= 0) &&
               (max == NULL || db_number_compare(member, max) <= 0);
    }
    if (!json_is_array(wanted))
        return db_where_has(member, wanted);
    json_array_foreach(wanted, i, one) if (db_where_has(member, one)) return true;
    return false;
}

bool db_where_holds(const json_t *where, const json_t *doc)
{
    const char *name;
    const json_t *wanted;
    json_object_foreach(db_doc_loose(where), name, wanted)
    {
        if (!db_where_one_holds(wanted, json_object_get(doc, name)))
            return false;
    }
    return true;
}

static int db_update_part_check(const struct db_shape *shape, const json_t *part, bool integers)
{
    const char *name;
    const json_t *value;
    if (part == NULL)
        return 0;
    if (!json_is_object(part))
        return -EINVAL;
    json_object_foreach(db_doc_loose(part), name, value)
    {
        if (strcmp(name, "id") == 0 || !db_shape_has(shape, name) ||
            (integers && !json_is_integer(value)))
            return -EINVAL;
    }
    return 0;
}

int db_update_check(const struct db_shape *shape, const struct db_update *update)
{
    int r = db_where_check(shape, update->where);
    if (r == 0)
        r = db_update_part_check(shape, update->set, false);
    if (r == 0)
        r = db_update_part_check(shape, update->add, true);
    if (r == 0)
        r = db_update_part_check(shape, update->push, false);
    if (r == 0)
        r = db_update_part_check(shape, update->pull, false);
    return r;
}

static int db_update_set(json_t *doc, const json_t *set)
{
    const char *name;
    json_t *value;
    json_object_foreach(db_doc_loose(set), name, value)
    {
        if (json_is_null(value))
            (void)json_object_del(doc, name); /* fails only where it is absent */
        else if (json_object_set_new(doc, name, json_deep_copy(value)) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int db_update_add(json_t *doc, const json_t *add)
{
    const char *name;
    const json_t *value;
    json_object_foreach(db_doc_loose(add), name, value)
    {
        const json_t *old = json_object_get(doc, name);
        json_int_t sum = 0;
        if (old != NULL && !json_is_null(old) && !json_is_integer(old))
            return -EINVAL;
        if (__builtin_add_overflow(json_integer_value(old), json_integer_value(value), &sum))
            return -EINVAL;
        if (json_object_set_new(doc, name, json_integer(sum)) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* *ret borrows: the array at name, or NULL where there is none. */
static int db_update_array(json_t *doc, const char *name, json_t **ret)
{
    json_t *array = json_object_get(doc, name);
    if (array != NULL && !json_is_null(array) && !json_is_array(array))
        return -EINVAL;
    *ret = json_is_array(array) ? array : NULL;
    return 0;
}

static int db_update_pull(json_t *doc, const json_t *pull)
{
    const char *name;
    const json_t *value;
    json_object_foreach(db_doc_loose(pull), name, value)
    {
        json_t *array = NULL;
        int r = db_update_array(doc, name, &array);
        if (r < 0)
            return r;
        for (size_t i = json_array_size(array); i > 0; i--)
            if (db_scalar_equal(json_array_get(array, i - 1), value))
                (void)json_array_remove(array, i - 1); /* in range */
    }
    return 0;
}

static int db_update_push(json_t *doc, const json_t *push, unsigned keep)
{
    const char *name;
    json_t *value;
    json_object_foreach(db_doc_loose(push), name, value)
    {
        json_t *array = NULL;
        int r = db_update_array(doc, name, &array);
        if (r < 0)
            return r;
        if (array == NULL) {
            array = json_array();
            if (json_object_set_new(doc, name, array) < 0)
                return -ENOMEM;
        }
        if (json_array_append_new(array, json_deep_copy(value)) < 0)
            return -ENOMEM;
        while (keep > 0 && json_array_size(array) > keep)
            (void)json_array_remove(array, 0); /* in range */
    }
    return 0;
}

int db_update_apply(const struct db_update *update, const json_t *doc, json_t **ret)
{
    json_t *changed = json_deep_copy(doc);
    if (changed == NULL)
        return -ENOMEM;
    int r = db_update_set(changed, update->set);
    if (r == 0)
        r = db_update_add(changed, update->add);
    if (r == 0)
        r = db_update_pull(changed, update->pull);
    if (r == 0)
        r = db_update_push(changed, update->push, update->push_keep);
    if (r < 0) {
        json_decref(changed);
        return r;
    }
    *ret = changed;
    return 0;
}
