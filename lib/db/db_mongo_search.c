/* SPDX-License-Identifier: Apache-2.0 */
/* Searches by the index on _words: the server finds which documents have the words, and sends those
 * members of them; db_search.c weighs. $text is not used: it stems and drops words by the rules of
 * one language, finds no prefixes, and is not had everywhere. */
#include "db/db_mongo.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "db/db_text.h"

#define DB_MONGO_BATCH 1000

/* {"_words": word} or, for a prefix, {"_words": /^word/}: words are letters and digits. */
static void db_mongo_term(bson_t * or, unsigned *next, const struct db_term *term)
{
    char number[16];
    char pattern[DB_WORD_SIZE + 1];
    const char *name;
    bson_t cond;
    (void)bson_uint32_to_string((*next)++, &name, number, sizeof number);
    (void)bson_append_document_begin(or, name, -1, &cond);
    if (term->prefix) {
        pattern[0] = '^';
        memcpy(pattern + 1, term->word, strlen(term->word) + 1);
        (void)bson_append_regex(&cond, "_words", -1, pattern, "");
    } else {
        (void)bson_append_utf8(&cond, "_words", -1, term->word, -1);
    }
    (void)bson_append_document_end(or, &cond);
}

/* One {"$or": [...]} for each group. */
static void db_mongo_terms(const struct db_term *terms, unsigned count, bson_t *and, unsigned *next)
{
    for (unsigned i = 0; i < count; i++) {
        char number[16];
        const char *name;
        bson_t cond;
        bson_t or ;
        unsigned inner = 0;
        bool first = true;
        for (unsigned k = 0; k < i; k++)
            first = first && terms[k].group != terms[i].group;
        if (!first)
            continue;
        (void)bson_uint32_to_string((*next)++, &name, number, sizeof number);
        (void)bson_append_document_begin(and, name, -1, &cond);
        (void)bson_append_array_begin(&cond, "$or", -1, & or);
        for (unsigned k = i; k < count; k++)
            if (terms[k].group == terms[i].group)
                db_mongo_term(& or, &inner, &terms[k]);
        (void)bson_append_array_end(&cond, & or);
        (void)bson_append_document_end(and, &cond);
    }
}

static int db_mongo_query(const struct db_shape *shape, const struct db_term *terms, unsigned count,
                          const json_t *where, bson_t *ret)
{
    bson_t and = BSON_INITIALIZER;
    unsigned next = 0;
    db_mongo_terms(terms, count, &and, &next);
    int r = db_mongo_where(shape, where, &and, &next);
    if (r < 0) {
        bson_destroy(&and);
        return r;
    }
    db_mongo_filter(&and, next, ret);
    return 0;
}

static void db_mongo_only(const char *const *names, unsigned count, bson_t *opts)
{
    bson_t projection;
    bson_init(opts);
    (void)bson_append_int32(opts, "batchSize", -1, DB_MONGO_BATCH);
    (void)bson_append_document_begin(opts, "projection", -1, &projection);
    for (unsigned i = 0; i < count; i++)
        (void)bson_append_bool(&projection, names[i], -1, true);
    (void)bson_append_document_end(opts, &projection);
}

/* The most telling member that has each term. */
static void db_mongo_places(const struct db_hits *hits, bson_iter_t *words, const uint8_t *at,
                            uint32_t at_size, uint8_t out[DB_TERMS_MAX])
{
    memset(out, DB_NOWHERE, DB_TERMS_MAX);
    for (uint32_t i = 0; i < at_size && bson_iter_next(words); i++) {
        if (!BSON_ITER_HOLDS_UTF8(words))
            continue;
        const char *word = bson_iter_utf8(words, NULL);
        for (unsigned t = 0; t < hits->terms_count; t++) {
            const char *wanted = hits->terms[t].word;
            bool has = hits->terms[t].prefix ? strncmp(word, wanted, strlen(wanted)) == 0
                                             : strcmp(word, wanted) == 0;
            if (has && at[i] < out[t])
                out[t] = at[i];
        }
    }
}

static int db_mongo_hit(void *arg, const bson_t *stored)
{
    struct db_hits *hits = arg;
    bson_iter_t iter;
    bson_iter_t words;
    bson_subtype_t subtype;
    const uint8_t *at = NULL;
    uint32_t at_size = 0;
    uint8_t places[DB_TERMS_MAX];
    if (!bson_iter_init_find(&iter, stored, "_at") || !BSON_ITER_HOLDS_BINARY(&iter))
        return -EBADMSG;
    bson_iter_binary(&iter, &subtype, &at_size, &at);
    if (!bson_iter_init_find(&iter, stored, "_words") || !BSON_ITER_HOLDS_ARRAY(&iter) ||
        !bson_iter_recurse(&iter, &words))
        return -EBADMSG;
    db_mongo_places(hits, &words, at, at_size, places);
    if (!bson_iter_init_find(&iter, stored, "_id") || !BSON_ITER_HOLDS_UTF8(&iter))
        return -EBADMSG;
    return hits->found(hits, bson_iter_utf8(&iter, NULL), places);
}

int db_mongo_search(struct db *db, unsigned coll, struct db_hits *hits)
{
    static const char *const names[] = {"_words", "_at"};
    struct db_mongo_use use;
    bson_t filter;
    bson_t opts;
    int r = db_mongo_query(&db->shapes[coll], hits->terms, hits->terms_count, hits->where, &filter);
    if (r < 0)
        return r;
    db_mongo_only(names, ARRAY_LEN(names), &opts);
    db_mongo_begin(db_mongo_of(db), coll, &use);
    r = db_mongo_each(&use, &filter, &opts, NULL, db_mongo_hit, hits);
    db_mongo_end(&use);
    bson_destroy(&filter);
    bson_destroy(&opts);
    return r;
}

static int db_mongo_facet(void *arg, const bson_t *stored)
{
    struct db_facets *facets = arg;
    json_t *values[DB_FACETS_MAX] = {NULL};
    const json_t *told[DB_FACETS_MAX];
    bson_iter_t iter;
    int r = 0;
    for (unsigned i = 0; i < facets->fields_count; i++) {
        const char *name = strcmp(facets->fields[i], "id") == 0 ? "_id" : facets->fields[i];
        if (r == 0 && bson_iter_init_find(&iter, stored, name))
            r = db_mongo_value(&iter, &values[i]);
        told[i] = values[i];
    }
    if (r == 0)
        r = facets->found(facets, told);
    for (unsigned i = 0; i < facets->fields_count; i++)
        json_decref(values[i]);
    return r;
}

int db_mongo_facets(struct db *db, unsigned coll, struct db_facets *facets)
{
    const char *names[DB_FACETS_MAX + 1] = {"_id"}; /* at least one, else all would come */
    struct db_mongo_use use;
    bson_t filter;
    bson_t opts;
    unsigned count = 1;
    int r = db_mongo_query(&db->shapes[coll], facets->terms, facets->terms_count, facets->where,
                           &filter);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < facets->fields_count; i++)
        if (strcmp(facets->fields[i], "id") != 0)
            names[count++] = facets->fields[i];
    db_mongo_only(names, count, &opts);
    db_mongo_begin(db_mongo_of(db), coll, &use);
    r = db_mongo_each(&use, &filter, &opts, NULL, db_mongo_facet, facets);
    db_mongo_end(&use);
    bson_destroy(&filter);
    bson_destroy(&opts);
    return r;
}

int db_mongo_rarity(struct db *db, unsigned coll, const struct db_term *term, uint64_t *ret_count)
{
    struct db_mongo_use use;
    bson_t filter;
    int r = db_mongo_query(&db->shapes[coll], term, 1, NULL, &filter);
    if (r < 0)
        return r;
    db_mongo_begin(db_mongo_of(db), coll, &use);
    r = db_mongo_count_of(&use, &filter, ret_count);
    db_mongo_end(&use);
    bson_destroy(&filter);
    return r;
}

int db_mongo_total(struct db *db, unsigned coll, uint64_t *ret_count)
{
    struct db_mongo_use use;
    bson_error_t error;
    int64_t count;
    int r = 0;
    db_mongo_begin(db_mongo_of(db), coll, &use);
    while ((count =
                mongoc_collection_estimated_document_count(use.coll, NULL, NULL, NULL, &error)) < 0)
        if (!db_mongo_again(&use, &error)) {
            r = db_mongo_error(&error);
            break;
        }
    db_mongo_end(&use);
    if (r == 0)
        *ret_count = (uint64_t)count;
    return r;
}

/* {"$match": {"_words": /^prefix/}} */
static void db_mongo_stage_match(bson_t *stages, const char *name, const char *prefix)
{
    const struct db_term term = {.word = prefix, .prefix = true};
    bson_t stage;
    bson_t or ;
    bson_t match;
    unsigned next = 0;
    (void)bson_append_document_begin(stages, name, -1, &stage);
    (void)bson_append_document_begin(&stage, "$match", -1, &match);
    (void)bson_append_array_begin(&match, "$or", -1, & or);
    db_mongo_term(& or, &next, &term);
    (void)bson_append_array_end(&match, & or);
    (void)bson_append_document_end(&stage, &match);
    (void)bson_append_document_end(stages, &stage);
}

/* Documents with such a word -> one of each word -> those words -> how many of each, sorted. */
static void db_mongo_words_stages(const char *prefix, unsigned limit, bson_t *out)
{
    bson_t group;
    bson_t stage;
    bson_t sum;
    bson_init(out);
    db_mongo_stage_match(out, "0", prefix);
    (void)bson_append_document_begin(out, "1", -1, &stage);
    (void)bson_append_utf8(&stage, "$unwind", -1, "$_words", -1);
    (void)bson_append_document_end(out, &stage);
    db_mongo_stage_match(out, "2", prefix);
    (void)bson_append_document_begin(out, "3", -1, &stage);
    (void)bson_append_document_begin(&stage, "$group", -1, &group);
    (void)bson_append_utf8(&group, "_id", -1, "$_words", -1);
    (void)bson_append_document_begin(&group, "count", -1, &sum);
    (void)bson_append_int32(&sum, "$sum", -1, 1);
    (void)bson_append_document_end(&group, &sum);
    (void)bson_append_document_end(&stage, &group);
    (void)bson_append_document_end(out, &stage);
    (void)bson_append_document_begin(out, "4", -1, &stage);
    (void)bson_append_document_begin(&stage, "$sort", -1, &group);
    (void)bson_append_int32(&group, "count", -1, -1);
    (void)bson_append_int32(&group, "_id", -1, 1);
    (void)bson_append_document_end(&stage, &group);
    (void)bson_append_document_end(out, &stage);
    (void)bson_append_document_begin(out, "5", -1, &stage);
    (void)bson_append_int64(&stage, "$limit", -1, limit);
    (void)bson_append_document_end(out, &stage);
}

static int db_mongo_word(json_t *into, const bson_t *found)
{
    bson_iter_t word;
    bson_iter_t count;
    if (!bson_iter_init_find(&word, found, "_id") || !BSON_ITER_HOLDS_UTF8(&word) ||
        !bson_iter_init_find(&count, found, "count"))
        return -EBADMSG;
    json_t *pair =
        json_pack("[s, I]", bson_iter_utf8(&word, NULL), (json_int_t)bson_iter_as_int64(&count));
    return json_array_append_new(into, pair) < 0 ? -ENOMEM : 0;
}

int db_mongo_words(struct db *db, unsigned coll, const char *prefix, unsigned limit, json_t *into)
{
    struct db_mongo_use use;
    bson_t stages;
    bson_t pipeline = BSON_INITIALIZER;
    int r;
    db_mongo_words_stages(prefix, limit, &stages);
    (void)bson_append_array(&pipeline, "pipeline", -1, &stages);
    bson_destroy(&stages);
    db_mongo_begin(db_mongo_of(db), coll, &use);
    for (;;) {
        bson_error_t error;
        const bson_t *found;
        mongoc_cursor_t *cursor =
            mongoc_collection_aggregate(use.coll, MONGOC_QUERY_NONE, &pipeline, NULL, NULL);
        r = 0;
        while (r == 0 && mongoc_cursor_next(cursor, &found))
            r = db_mongo_word(into, found);
        bool failed = mongoc_cursor_error(cursor, &error);
        mongoc_cursor_destroy(cursor);
        if (r < 0 || !failed)
            break;
        r = db_mongo_error(&error);
        if (json_array_size(into) > 0 || !db_mongo_again(&use, &error))
            break;
    }
    db_mongo_end(&use);
    bson_destroy(&pipeline);
    return r;
}
