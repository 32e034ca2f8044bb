/* SPDX-License-Identifier: Apache-2.0 */
/* What a search finds, counted; and the words there are. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "db/db_backend.h"
#include "db/db_doc.h"
#include "db/db_memory.h"
#include "db/db_text.h"

struct db_counting {
    struct db_facets facets;
    uint64_t total;
    json_t *counts[DB_FACETS_MAX]; /* objects */
};

static int db_count_value(json_t *counts, const json_t *value)
{
    char number[32];
    const char *name = json_string_value(value);
    if (json_is_integer(value)) {
        (void)snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        name = number;
    } else if (json_is_boolean(value)) {
        name = json_is_true(value) ? "true" : "false";
    }
    if (name == NULL) /* null, absent, or nothing to choose by */
        return 0;
    json_t *count = json_object_get(counts, name);
    if (count != NULL)
        return json_integer_set(count, json_integer_value(count) + 1);
    return json_object_set_new_nocheck(counts, name, json_integer(1)) < 0 ? -ENOMEM : 0;
}

int db_facet_count(json_t *counts, const json_t *value)
{
    size_t at;
    const json_t *one;
    int r = json_is_array(value) ? 0 : db_count_value(counts, value);
    json_array_foreach(value, at, one)
    {
        if (r == 0)
            r = db_count_value(counts, one);
    }
    return r;
}

static int db_count_found(struct db_facets *facets, const json_t *const values[DB_FACETS_MAX])
{
    struct db_counting *counting = CONTAINER_OF(facets, struct db_counting, facets);
    int r = 0;
    counting->total++;
    for (unsigned i = 0; r == 0 && i < facets->fields_count; i++)
        r = db_facet_count(counting->counts[i], values[i]);
    return r;
}

static int db_count_result(const struct db_counting *counting, json_t **ret)
{
    json_t *all = json_pack("{s:I}", "total", (json_int_t)counting->total);
    for (unsigned i = 0; i < counting->facets.fields_count; i++)
        if (json_object_set(all, counting->facets.fields[i], counting->counts[i]) < 0) {
            json_decref(all);
            return -ENOMEM;
        }
    *ret = all;
    return all != NULL ? 0 : -ENOMEM;
}

static int db_facets_check(const struct db *db, unsigned coll, const struct db_search *search,
                           const char *const *fields, unsigned fields_count)
{
    ASSERT(db != NULL && db->magic == DB_MAGIC);
    ASSERT(coll < db->schema->collections_count);
    ASSERT(db->shapes[coll].text_count > 0);
    ASSERT(search->terms_count > 0 && search->terms_count <= DB_TERMS_MAX);
    ASSERT(fields_count <= DB_FACETS_MAX);
    for (unsigned i = 0; i < fields_count; i++)
        ASSERT(db_name_ok(fields[i]) && db_shape_has(&db->shapes[coll], fields[i]));
    for (unsigned i = 0; i < search->terms_count; i++)
        if (!db_word_ok(search->terms[i].word))
            return -EINVAL;
    return db_where_check(&db->shapes[coll], search->where);
}

int db_search_facets(struct db *db, unsigned coll, const struct db_search *search,
                     const char *const *fields, unsigned fields_count, json_t **ret)
{
    ASSERT(ret != NULL);
    int r = db_facets_check(db, coll, search, fields, fields_count);
    struct db_counting counting = {.facets = {.terms = search->terms,
                                              .terms_count = search->terms_count,
                                              .where = search->where,
                                              .fields = fields,
                                              .fields_count = fields_count,
                                              .found = db_count_found}};
    bool done = false;
    if (r == 0)
        r = db_ask_facets(db, coll, &counting.facets, &done, ret);
    if (r < 0 || done)
        return r;
    for (unsigned i = 0; i < fields_count; i++) {
        counting.counts[i] = json_object();
        r = counting.counts[i] == NULL ? -ENOMEM : r;
    }
    if (r == 0)
        r = db->ops->facets(db, coll, &counting.facets);
    if (r == 0)
        r = db_count_result(&counting, ret);
    for (unsigned i = 0; i < fields_count; i++)
        json_decref(counting.counts[i]);
    return r;
}

int db_words(struct db *db, unsigned coll, const char *prefix, unsigned limit, json_t **ret)
{
    ASSERT(db != NULL && db->magic == DB_MAGIC);
    ASSERT(coll < db->schema->collections_count);
    ASSERT(db->shapes[coll].text_count > 0);
    ASSERT(prefix != NULL && ret != NULL);
    if (prefix[0] != 0 && !db_word_ok(prefix))
        return -EINVAL;
    json_t *into = json_array();
    int r = into == NULL ? -ENOMEM : db_ask_words(db, coll, prefix, limit, into);
    if (r < 0) {
        json_decref(into);
        return r;
    }
    *ret = into;
    return 0;
}
