/* SPDX-License-Identifier: Apache-2.0 */
/* Searches in FTS5. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "db/db_sqlite.h"

/* Above every word that begins with what stands before it: the last code point. */
#define DB_SQLITE_LAST "\xf4\x8f\xbf\xbf"

/* weir_at(table): a byte for each term of the search: the first column that has it. */
static void db_sqlite_at(const Fts5ExtensionApi *api, Fts5Context *fts, sqlite3_context *context,
                         int values_count, sqlite3_value **values)
{
    uint8_t at[DB_TERMS_MAX];
    int count = api->xPhraseCount(fts);
    (void)values_count;
    (void)values;
    if (count > DB_TERMS_MAX) {
        sqlite3_result_error_code(context, SQLITE_MISUSE);
        return;
    }
    for (int i = 0; i < count; i++) {
        Fts5PhraseIter iter;
        int column = -1;
        at[i] = DB_NOWHERE;
        int code = api->xPhraseFirstColumn(fts, i, &iter, &column);
        if (code != SQLITE_OK) {
            sqlite3_result_error_code(context, code);
            return;
        }
        if (column >= 0 && column < DB_TEXT_MAX) /* they come in order */
            at[i] = (uint8_t)column;
    }
    sqlite3_result_blob(context, at, count, SQLITE_TRANSIENT);
}

int db_sqlite_text_connect(sqlite3 *handle)
{
    fts5_api *api = NULL;
    sqlite3_stmt *stmt = NULL;
    int code = sqlite3_prepare_v2(handle, "SELECT fts5(?)", -1, &stmt, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_bind_pointer(stmt, 1, (void *)&api, "fts5_api_ptr", NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(stmt);
    (void)sqlite3_finalize(stmt); /* its error is the step's */
    if (code != SQLITE_ROW)
        return db_sqlite_error(code);
    if (api == NULL || api->iVersion < 2)
        return -EOPNOTSUPP;
    return db_sqlite_error(api->xCreateFunction(api, "weir_at", NULL, db_sqlite_at, NULL));
}

/* FROM and WHERE of a search: ("a" OR "b"*) AND ("c"). Words are letters and digits: nothing in
 * them means something to FTS5. order[i]: which term the i-th of the text is. */
static void db_sqlite_match(struct db_sqlite_query *q, const struct db_shape *shape,
                            const struct db_term *terms, unsigned count, const json_t *where,
                            struct buf *match, unsigned order[DB_TERMS_MAX])
{
    bool done[DB_TERMS_MAX] = {false};
    unsigned next = 0;
    for (unsigned i = 0; i < count; i++) {
        if (done[i])
            continue;
        buf_puts(match, i > 0 ? " AND (" : "(");
        for (unsigned k = i; k < count; k++) {
            if (done[k] || terms[k].group != terms[i].group)
                continue;
            buf_printf(match, "%s\"%s\"%s", k > i ? " OR " : "", terms[k].word,
                       terms[k].prefix ? " *" : "");
            order[next++] = k;
            done[k] = true;
        }
        buf_puts(match, ")");
    }
    /* CROSS: the words first, whatever the planner thinks. */
    buf_printf(&q->sql, " FROM w1_%s CROSS JOIN c_%s c ON c.num = w1_%s.rowid WHERE w1_%s MATCH ?",
               shape->name, shape->name, shape->name, shape->name);
    db_sqlite_bind_str(q, buf_str(match));
    if (buf_error(match) < 0)
        q->error = buf_error(match);
    db_sqlite_where(q, shape, where);
}

/* One document that has the words, and the question whether `where` holds of it. Few are asked
 * about: only those that would be among the best; so the JSON of the others is not read. */
struct db_sqlite_seek {
    struct db_hits *hits;
    unsigned order[DB_TERMS_MAX];
    struct db_sqlite_query words;
    struct db_sqlite_query filter; /* its first '?' is the num */
};

static int db_sqlite_holds(struct db_sqlite_seek *s, int64_t num, bool *ret)
{
    *ret = true;
    if (s->hits->where == NULL)
        return 0;
    (void)sqlite3_reset(s->filter.stmt); /* repeats the last step's error, told before */
    int r = db_sqlite_error(sqlite3_bind_int64(s->filter.stmt, 1, num));
    if (r == 0)
        r = db_sqlite_step(&s->filter);
    *ret = r > 0;
    return r < 0 ? r : 0;
}

static int db_sqlite_hit(struct db_sqlite_seek *s)
{
    uint8_t at[DB_TERMS_MAX];
    bool holds = false;
    struct str id = db_sqlite_text(&s->words, 0);
    const uint8_t *places = sqlite3_column_blob(s->words.stmt, 1);
    if (id.data == NULL || places == NULL)
        return -ENOMEM;
    if (sqlite3_column_bytes(s->words.stmt, 1) != (int)s->hits->terms_count)
        return -EBADMSG;
    for (unsigned i = 0; i < s->hits->terms_count; i++)
        at[s->order[i]] = places[i];
    if (!s->hits->wanted(s->hits, id.data, at))
        return 0;
    int r = db_sqlite_holds(s, sqlite3_column_int64(s->words.stmt, 2), &holds);
    return r == 0 && holds ? s->hits->found(s->hits, id.data, at) : r;
}

/* On one connection, so that both statements read the same state of the database. */
static int db_sqlite_seek(struct db_sqlite *db, struct db_sqlite_conn *c, struct db_sqlite_seek *s)
{
    int r = db_sqlite_run(&s->words, db, c);
    if (r == 0 && s->hits->where != NULL)
        r = db_sqlite_run(&s->filter, db, c);
    while (r >= 0 && (r = db_sqlite_step(&s->words)) > 0)
        r = db_sqlite_hit(s);
    return r;
}

int db_sqlite_search(struct db *db, unsigned coll, struct db_hits *hits)
{
    const struct db_shape *shape = &db->shapes[coll];
    struct db_sqlite_seek s = {.hits = hits};
    struct db_sqlite_conn *c = NULL;
    CLEAN_BUF struct buf match = BUF_EMPTY;
    int r = db_sqlite_take(db_sqlite_of(db), &c);
    if (r < 0)
        return r;
    db_sqlite_query_init(&s.words);
    db_sqlite_query_init(&s.filter);
    buf_printf(&s.words.sql, "SELECT c.id, weir_at(w1_%s), c.num", shape->name);
    db_sqlite_match(&s.words, shape, hits->terms, hits->terms_count, NULL, &match, s.order);
    buf_printf(&s.filter.sql, "SELECT 1 FROM c_%s c WHERE c.num = ?", shape->name);
    db_sqlite_bind_int(&s.filter, 0);
    db_sqlite_where(&s.filter, shape, hits->where);
    r = db_sqlite_seek(db_sqlite_of(db), c, &s);
    db_sqlite_end(&s.words);
    db_sqlite_end(&s.filter);
    db_sqlite_give(db_sqlite_of(db), c);
    return r;
}

static int db_sqlite_facet(struct db_sqlite_query *q, struct db_facets *facets)
{
    json_t *values[DB_FACETS_MAX] = {NULL};
    const json_t *told[DB_FACETS_MAX];
    for (unsigned i = 0; i < facets->fields_count; i++) {
        struct str text = db_sqlite_text(q, (int)i);
        if (text.data != NULL) /* else the member is absent */
            values[i] = json_loadb(text.data, text.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        told[i] = values[i];
    }
    int r = facets->found(facets, told);
    for (unsigned i = 0; i < facets->fields_count; i++)
        json_decref(values[i]);
    return r;
}

int db_sqlite_facets(struct db *db, unsigned coll, struct db_facets *facets)
{
    struct db_sqlite_query q;
    CLEAN_BUF struct buf match = BUF_EMPTY;
    unsigned order[DB_TERMS_MAX];
    db_sqlite_query_init(&q);
    buf_puts(&q.sql, "SELECT ");
    for (unsigned i = 0; i < facets->fields_count; i++)
        buf_printf(&q.sql, "c.doc -> '$.%s', ", facets->fields[i]);
    buf_puts(&q.sql, "1");
    db_sqlite_match(&q, &db->shapes[coll], facets->terms, facets->terms_count, facets->where,
                    &match, order);
    int r = db_sqlite_run(&q, db_sqlite_of(db), NULL);
    while (r >= 0 && (r = db_sqlite_step(&q)) > 0)
        r = db_sqlite_facet(&q, facets);
    db_sqlite_end(&q);
    return r;
}

static int db_sqlite_number_of(struct db_sqlite_query *q, struct db *db, uint64_t *ret)
{
    int64_t number = 0;
    int r = db_sqlite_run(q, db_sqlite_of(db), NULL);
    if (r == 0)
        r = db_sqlite_int(q, &number);
    db_sqlite_end(q);
    if (r == 0 || r == -ENOENT)
        *ret = (uint64_t)MAX(number, 0);
    return r == -ENOENT ? 0 : r;
}

int db_sqlite_rarity(struct db *db, unsigned coll, const struct db_term *term, uint64_t *ret_count)
{
    struct db_sqlite_query q;
    CLEAN_BUF struct buf last = BUF_EMPTY;
    db_sqlite_query_init(&q);
    buf_printf(&q.sql, "SELECT sum(doc) FROM v1_%s WHERE term %s", db->shapes[coll].name,
               term->prefix ? ">= ? AND term <= ?" : "= ?");
    db_sqlite_bind_str(&q, str_of(term->word));
    buf_printf(&last, "%s" DB_SQLITE_LAST, term->word);
    if (term->prefix)
        db_sqlite_bind_str(&q, buf_str(&last));
    return db_sqlite_number_of(&q, db, ret_count);
}

/* Documents that have gone count too: what is wanted is a size, and this one costs nothing. */
int db_sqlite_total(struct db *db, unsigned coll, uint64_t *ret_count)
{
    struct db_sqlite_query q;
    db_sqlite_query_init(&q);
    buf_printf(&q.sql, "SELECT max(num) FROM c_%s", db->shapes[coll].name);
    return db_sqlite_number_of(&q, db, ret_count);
}

int db_sqlite_words(struct db *db, unsigned coll, const char *prefix, unsigned limit, json_t *into)
{
    struct db_sqlite_query q;
    CLEAN_BUF struct buf last = BUF_EMPTY;
    db_sqlite_query_init(&q);
    buf_printf(&q.sql,
               "SELECT term, doc FROM v1_%s WHERE term >= ? AND term <= ?"
               " ORDER BY doc DESC, term LIMIT ?",
               db->shapes[coll].name);
    buf_printf(&last, "%s" DB_SQLITE_LAST, prefix);
    db_sqlite_bind_str(&q, str_of(prefix));
    db_sqlite_bind_str(&q, buf_str(&last));
    db_sqlite_bind_int(&q, limit);
    int r = buf_error(&last);
    if (r == 0)
        r = db_sqlite_run(&q, db_sqlite_of(db), NULL);
    while (r >= 0 && (r = db_sqlite_step(&q)) > 0) {
        struct str word = db_sqlite_text(&q, 0);
        json_t *pair =
            json_pack("[s%, I]", word.data, word.size, (json_int_t)sqlite3_column_int64(q.stmt, 1));
        if (json_array_append_new(into, pair) < 0)
            r = -ENOMEM;
    }
    db_sqlite_end(&q);
    return r;
}
