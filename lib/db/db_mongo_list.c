/* SPDX-License-Identifier: Apache-2.0 */
/* Filters, lists and counts. All operators are written here, around names of the schema's. */
#include "db/db_mongo.h"
#include <errno.h>
#include <string.h>
#include "db/db_doc.h"

#define DB_MONGO_SCAN_BATCH 1000

/* One condition of the array `and`: {FIELD: {...}} or {"$or": [...]}. */
static void db_mongo_open_cond(bson_t *and, unsigned *next, bson_t *ret)
{
    char number[16];
    const char *name;
    (void)bson_uint32_to_string((*next)++, &name, number, sizeof number);
    (void)bson_append_document_begin(and, name, -1, ret);
}

static void db_mongo_close_cond(bson_t *and, bson_t *cond)
{
    (void)bson_append_document_end(and, cond);
}

static const char *db_mongo_field(const char *name)
{
    return strcmp(name, "id") == 0 ? "_id" : name;
}

static int db_mongo_op(bson_t *cond, const char *op, const json_t *value)
{
    return db_mongo_put(cond, op, value);
}

static void db_mongo_no_array(bson_t *tests)
{
    bson_t not ;
    (void)bson_append_document_begin(tests, "$not", -1, &not );
    (void)bson_append_utf8(&not, "$type", -1, "array", -1);
    (void)bson_append_document_end(tests, &not );
}

static int db_mongo_where_tests(bson_t *tests, char type, const json_t *wanted)
{
    if (json_is_array(wanted))
        return db_mongo_op(tests, "$in", wanted);
    if (!json_is_object(wanted) && !json_is_null(wanted))
        return db_mongo_op(tests, "$eq", wanted);
    /* Of an array these would be asked of each element. */
    if (type == 0 || type == 'a')
        db_mongo_no_array(tests);
    if (json_is_null(wanted))
        return db_mongo_op(tests, "$eq", wanted);
    const json_t *min = json_object_get(wanted, "min");
    const json_t *max = json_object_get(wanted, "max");
    int r = min != NULL ? db_mongo_op(tests, "$gte", min) : 0;
    return r == 0 && max != NULL ? db_mongo_op(tests, "$lte", max) : r;
}

int db_mongo_where(const struct db_shape *shape, const json_t *where, bson_t *and, unsigned *next)
{
    const char *name;
    const json_t *wanted;
    json_object_foreach((json_t *)(uintptr_t)where, name, wanted)
    {
        bson_t cond;
        bson_t tests;
        db_mongo_open_cond(and, next, &cond);
        (void)bson_append_document_begin(&cond, db_mongo_field(name), -1, &tests);
        int r = db_mongo_where_tests(&tests, db_shape_type(shape, name), wanted);
        (void)bson_append_document_end(&cond, &tests);
        db_mongo_close_cond(and, &cond);
        if (r < 0)
            return r;
    }
    return 0;
}

void db_mongo_filter(bson_t *and, unsigned count, bson_t *ret)
{
    bson_init(ret);
    if (count > 0)
        (void)bson_append_array(ret, "$and", -1, and);
    bson_destroy(and);
}

static int db_mongo_cond(bson_t *and, unsigned *next, const char *field, const char *op,
                         const json_t *value)
{
    bson_t cond;
    bson_t tests;
    db_mongo_open_cond(and, next, &cond);
    (void)bson_append_document_begin(&cond, field, -1, &tests);
    int r = db_mongo_op(&tests, op, value);
    (void)bson_append_document_end(&cond, &tests);
    db_mongo_close_cond(and, &cond);
    return r;
}

/* Comparing in MongoDB stays within a type; in ours integers come before strings. So what lies
 * beyond a value may need the other type as well, unless the member cannot have it. */
static int db_mongo_other_type(bson_t * or, unsigned *next, const char *field, char type, bool up,
                               const json_t *value)
{
    bool strings = up && json_is_integer(value) && type != 'i';
    bool integers = !up && json_is_string(value) && type != 's';
    json_t *first = strings ? json_string("") : integers ? json_integer(INT64_MAX) : NULL;
    if (!strings && !integers)
        return 0;
    int r =
        first == NULL ? -ENOMEM : db_mongo_cond(or, next, field, strings ? "$gte" : "$lte", first);
    json_decref(first);
    return r;
}

/* {"$or": [{field: {op: value}}, the other type, and if id != NULL {field: value, _id: beyond}]} */
static int db_mongo_bound(bson_t *and, unsigned *next, const char *field, char type, const char *op,
                          const json_t *value, const char *id)
{
    bool up = op[1] == 'g';
    unsigned inner = 0;
    bson_t cond;
    bson_t or ;
    db_mongo_open_cond(and, next, &cond);
    (void)bson_append_array_begin(&cond, "$or", -1, & or);
    int r = db_mongo_cond(& or, &inner, field, op, value);
    if (r == 0)
        r = db_mongo_other_type(& or, &inner, field, type, up, value);
    if (r == 0 && id != NULL) {
        bson_t same;
        bson_t beyond;
        db_mongo_open_cond(& or, &inner, &same);
        r = db_mongo_put(&same, field, value);
        (void)bson_append_document_begin(&same, "_id", -1, &beyond);
        (void)bson_append_utf8(&beyond, up ? "$gt" : "$lt", -1, id, -1);
        (void)bson_append_document_end(&same, &beyond);
        db_mongo_close_cond(& or, &same);
    }
    (void)bson_append_array_end(&cond, & or);
    db_mongo_close_cond(and, &cond);
    return r;
}

static int db_mongo_present(bson_t *and, unsigned *next, const char *field)
{
    json_t *null = json_null();
    return db_mongo_cond(and, next, field, "$ne", null);
}

/* The bounds of the key's last field. */
static int db_mongo_bounds(bson_t *and, unsigned *next, const struct db_range *range)
{
    unsigned last = range->key->fields_count - 1;
    const char *field = range->key->fields[last];
    char type = range->key->types[last];
    int r = 0;
    if (range->equal_count <= last)
        r = db_mongo_present(and, next, field);
    if (r == 0 && range->from != NULL)
        r = db_mongo_bound(and, next, field, type, "$gte", range->from, NULL);
    if (r == 0 && range->below != NULL)
        r = db_mongo_bound(and, next, field, type, "$lt", range->below, NULL);
    if (r < 0 || range->after == NULL)
        return r;
    /* Said twice: this an index can use whatever the server makes of an $or with two fields. */
    if (type != 0)
        r = db_mongo_cond(and, next, field, range->descending ? "$lte" : "$gte",
                          range->after->value);
    return r < 0 ? r
                 : db_mongo_bound(and, next, field, type, range->descending ? "$lt" : "$gt",
                                  range->after->value, range->after->id);
}

static int db_mongo_range(const struct db_shape *shape, const struct db_range *range, bson_t *ret)
{
    bson_t and = BSON_INITIALIZER;
    unsigned next = 0;
    int r = 0;
    for (unsigned i = 0; r == 0 && i < range->equal_count; i++)
        r = db_mongo_cond(&and, &next, range->key->fields[i], "$eq", range->equal[i]);
    if (r == 0 && range->key != NULL) {
        r = db_mongo_bounds(&and, &next, range);
    } else if (r == 0 && range->after != NULL) {
        json_t *id = json_string(range->after->id);
        r = id == NULL ? -ENOMEM
                       : db_mongo_cond(&and, &next, "_id", range->descending ? "$lt" : "$gt", id);
        json_decref(id);
    }
    if (r == 0)
        r = db_mongo_where(shape, range->where, &and, &next);
    if (r < 0) {
        bson_destroy(&and);
        return r;
    }
    db_mongo_filter(&and, next, ret);
    return 0;
}

int db_mongo_each(struct db_mongo_use *use, const bson_t *filter, const bson_t *opts,
                  const mongoc_read_prefs_t *prefs, db_mongo_each_fn *fn, void *arg)
{
    for (;;) {
        bson_error_t error;
        const bson_t *stored;
        unsigned seen = 0;
        int r = 0;
        mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(use->coll, filter, opts, prefs);
        while (r == 0 && mongoc_cursor_next(cursor, &stored)) {
            seen++;
            r = fn(arg, stored);
        }
        bool failed = mongoc_cursor_error(cursor, &error);
        mongoc_cursor_destroy(cursor);
        if (r < 0 || !failed)
            return r;
        if (seen > 0 || !db_mongo_again(use, &error))
            return db_mongo_error(&error);
    }
}

int db_mongo_count_of(struct db_mongo_use *use, const bson_t *filter, uint64_t *ret)
{
    for (;;) {
        bson_error_t error;
        int64_t count =
            mongoc_collection_count_documents(use->coll, filter, NULL, NULL, NULL, &error);
        if (count >= 0) {
            *ret = (uint64_t)count;
            return 0;
        }
        if (!db_mongo_again(use, &error))
            return db_mongo_error(&error);
    }
}

static int db_mongo_append(void *arg, const bson_t *stored)
{
    json_t *doc = NULL;
    int r = db_mongo_decode(stored, &doc);
    if (r == 0 && json_array_append_new(arg, doc) < 0)
        r = -ENOMEM;
    return r;
}

void db_mongo_hide_words(const struct db_shape *shape, bson_t *opts)
{
    bson_t projection;
    if (shape->text_count == 0)
        return;
    (void)bson_append_document_begin(opts, "projection", -1, &projection);
    (void)bson_append_bool(&projection, "_words", -1, false);
    (void)bson_append_bool(&projection, "_at", -1, false);
    (void)bson_append_document_end(opts, &projection);
}

static void db_mongo_list_opts(const struct db_shape *shape, const struct db_range *range,
                               bson_t *opts)
{
    bson_t sort;
    int order = range->descending ? -1 : 1;
    bson_init(opts);
    (void)bson_append_document_begin(opts, "sort", -1, &sort);
    if (range->key != NULL)
        (void)bson_append_int32(&sort, range->key->fields[range->key->fields_count - 1], -1, order);
    (void)bson_append_int32(&sort, "_id", -1, order);
    (void)bson_append_document_end(opts, &sort);
    (void)bson_append_int64(opts, "limit", -1, range->limit);
    db_mongo_hide_words(shape, opts);
}

int db_mongo_list(struct db *db, unsigned coll, const struct db_range *range, json_t *into)
{
    struct db_mongo_use use;
    bson_t filter;
    bson_t opts;
    int r = db_mongo_range(&db->shapes[coll], range, &filter);
    if (r < 0)
        return r;
    db_mongo_list_opts(&db->shapes[coll], range, &opts);
    db_mongo_begin(db_mongo_of(db), coll, &use);
    r = db_mongo_each(&use, &filter, &opts, NULL, db_mongo_append, into);
    db_mongo_end(&use);
    bson_destroy(&filter);
    bson_destroy(&opts);
    return r;
}

struct db_mongo_scanning {
    db_scan_fn *fn;
    void *arg;
};

static int db_mongo_scan_one(void *arg, const bson_t *stored)
{
    const struct db_mongo_scanning *s = arg;
    json_t *doc = NULL;
    int r = db_mongo_decode(stored, &doc);
    if (r == 0)
        r = s->fn(s->arg, doc);
    json_decref(doc);
    return r;
}

int db_mongo_scan(struct db *db, unsigned coll, db_scan_fn *fn, void *arg)
{
    struct db_mongo_scanning scanning = {fn, arg};
    struct db_mongo_use use;
    bson_t filter = BSON_INITIALIZER;
    bson_t opts = BSON_INITIALIZER;
    (void)bson_append_int32(&opts, "batchSize", -1, DB_MONGO_SCAN_BATCH);
    db_mongo_hide_words(&db->shapes[coll], &opts);
    db_mongo_begin(db_mongo_of(db), coll, &use);
    /* The primary: what was written before this began is among what is read. */
    int r =
        db_mongo_each(&use, &filter, &opts, db_mongo_of(db)->primary, db_mongo_scan_one, &scanning);
    db_mongo_end(&use);
    bson_destroy(&filter);
    bson_destroy(&opts);
    return r;
}

int db_mongo_count(struct db *db, unsigned coll, const struct db_range *range, uint64_t *ret)
{
    struct db_mongo_use use;
    bson_t filter;
    int r = db_mongo_range(&db->shapes[coll], range, &filter);
    if (r < 0)
        return r;
    db_mongo_begin(db_mongo_of(db), coll, &use);
    r = db_mongo_count_of(&use, &filter, ret);
    db_mongo_end(&use);
    bson_destroy(&filter);
    return r;
}
