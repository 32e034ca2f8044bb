/* SPDX-License-Identifier: Apache-2.0 */
/* Words in FTS5. The words are found by db_text, the same for every backend, and FTS5 gets them
 * ready made: its tokenizer has only to part them at the blanks. What it stores of a document is
 * its words, so they can be taken out again whatever has become of the document. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "db/db_sqlite.h"
#include "db/db_text.h"

/* w1_NAME: 1 is the version of the words. */
_Static_assert(DB_TEXT_VERSION == 1, "the tables' names have the version of what is in them");
#define DB_SQLITE_WORDS "w1_%s"
#define DB_SQLITE_VOCAB "v1_%s"

static void db_sqlite_text_sql(const struct db_shape *shape, struct buf *out)
{
    buf_printf(out, "CREATE VIRTUAL TABLE " DB_SQLITE_WORDS " USING fts5(", shape->name);
    for (unsigned i = 0; i < shape->text_count; i++)
        buf_printf(out, "t_%s, ", shape->text[i]);
    /* ascii: all but blanks is a word's, from U+0080 on too. column: which member has a word is
     * asked, where in it is not. 2, 3: the first letters that are typed find many words. */
    buf_puts(out, "tokenize = 'ascii', detail = column, columnsize = 0, prefix = '2 3')");
}

/* *ret: the table is there and as it is to be. */
static int db_sqlite_text_is(struct db_sqlite_conn *c, const struct db_shape *shape,
                             const struct buf *sql, bool *ret)
{
    struct db_sqlite_query q;
    int64_t is = 0;
    db_sqlite_query_init(&q);
    buf_printf(&q.sql, "SELECT sql = ? FROM sqlite_master WHERE name = '" DB_SQLITE_WORDS "'",
               shape->name);
    db_sqlite_bind_str(&q, buf_str(sql));
    int r = db_sqlite_run(&q, NULL, c);
    if (r == 0)
        r = db_sqlite_int(&q, &is);
    db_sqlite_end(&q);
    *ret = r == 0 && is != 0;
    return r == -ENOENT ? 0 : r;
}

static int db_sqlite_text_fill(struct db_sqlite_conn *c, const struct db_shape *shape)
{
    struct db_sqlite_query q;
    db_sqlite_query_init(&q);
    buf_printf(&q.sql, "SELECT num, doc FROM c_%s", shape->name);
    int r = db_sqlite_run(&q, NULL, c);
    while (r >= 0 && (r = db_sqlite_step(&q)) > 0) {
        json_t *doc = NULL;
        r = db_sqlite_document(&q, 1, &doc);
        if (r == 0)
            r = db_sqlite_text_put(c, shape, sqlite3_column_int64(q.stmt, 0), doc);
        json_decref(doc);
    }
    db_sqlite_end(&q);
    return r;
}

static int db_sqlite_text_make(struct db_sqlite_conn *c, const struct db_shape *shape)
{
    CLEAN_BUF struct buf sql = BUF_EMPTY;
    char drop[DB_SQLITE_SQL_SIZE];
    char vocab[DB_SQLITE_SQL_SIZE];
    bool is = false;
    db_sqlite_text_sql(shape, &sql);
    int r = buf_error(&sql);
    if (r == 0)
        r = db_sqlite_text_is(c, shape, &sql, &is);
    if (r < 0 || is)
        return r;
    (void)snprintf(drop, sizeof drop,
                   "DROP TABLE IF EXISTS " DB_SQLITE_VOCAB
                   "; DROP TABLE IF EXISTS " DB_SQLITE_WORDS,
                   shape->name, shape->name);
    (void)snprintf(vocab, sizeof vocab,
                   "CREATE VIRTUAL TABLE " DB_SQLITE_VOCAB " USING fts5vocab('" DB_SQLITE_WORDS
                   "', 'row')",
                   shape->name, shape->name);
    r = db_sqlite_exec(c->handle, drop);
    if (r == 0 && shape->text_count > 0)
        r = db_sqlite_exec(c->handle, sql.data);
    if (r == 0 && shape->text_count > 0)
        r = db_sqlite_exec(c->handle, vocab);
    return r == 0 && shape->text_count > 0 ? db_sqlite_text_fill(c, shape) : r;
}

int db_sqlite_text_open(struct db_sqlite *s, struct db_sqlite_conn *c)
{
    int r = 0;
    for (unsigned i = 0; r == 0 && i < s->db.schema->collections_count; i++)
        r = db_sqlite_text_make(c, &s->db.shapes[i]);
    return r;
}

/* *ret: the row of words is there; *ret_same: and has these. */
static int db_sqlite_text_compare(struct db_sqlite_conn *c, const struct db_shape *shape,
                                  int64_t num, const struct buf *texts, bool *ret, bool *ret_same)
{
    struct db_sqlite_query q;
    db_sqlite_query_init(&q);
    buf_printf(&q.sql, "SELECT * FROM " DB_SQLITE_WORDS " WHERE rowid = ?", shape->name);
    db_sqlite_bind_int(&q, num);
    int r = db_sqlite_run(&q, NULL, c);
    if (r == 0)
        r = db_sqlite_step(&q);
    if (r >= 0) {
        *ret = r > 0;
        *ret_same = r > 0;
    }
    for (unsigned i = 0; r > 0 && i < shape->text_count; i++)
        *ret_same = *ret_same && str_eq(db_sqlite_text(&q, (int)i), buf_str(&texts[i]));
    db_sqlite_end(&q);
    return r < 0 ? r : 0;
}

static int db_sqlite_text_done(struct db_sqlite_query *q, struct db_sqlite_conn *c)
{
    int r = db_sqlite_run(q, NULL, c);
    if (r == 0)
        r = db_sqlite_step(q);
    db_sqlite_end(q);
    return r;
}

int db_sqlite_text_remove(struct db_sqlite_conn *c, const struct db_shape *shape, int64_t num)
{
    struct db_sqlite_query q;
    if (shape->text_count == 0)
        return 0;
    db_sqlite_query_init(&q);
    buf_printf(&q.sql, "DELETE FROM " DB_SQLITE_WORDS " WHERE rowid = ?", shape->name);
    db_sqlite_bind_int(&q, num);
    return db_sqlite_text_done(&q, c);
}

static int db_sqlite_text_insert(struct db_sqlite_conn *c, const struct db_shape *shape,
                                 int64_t num, const struct buf *texts)
{
    struct db_sqlite_query q;
    db_sqlite_query_init(&q);
    buf_printf(&q.sql, "INSERT INTO " DB_SQLITE_WORDS " (rowid", shape->name);
    for (unsigned i = 0; i < shape->text_count; i++)
        buf_printf(&q.sql, ", t_%s", shape->text[i]);
    buf_puts(&q.sql, ") VALUES (?");
    db_sqlite_bind_int(&q, num);
    for (unsigned i = 0; i < shape->text_count; i++) {
        buf_puts(&q.sql, ", ?");
        db_sqlite_bind_str(&q, texts[i].size > 0 ? buf_str(&texts[i]) : STR(""));
    }
    buf_puts(&q.sql, ")");
    return db_sqlite_text_done(&q, c);
}

int db_sqlite_text_put(struct db_sqlite_conn *c, const struct db_shape *shape, int64_t num,
                       const json_t *doc)
{
    struct buf texts[DB_TEXT_MAX] = {BUF_EMPTY};
    bool there = false;
    bool same = false;
    int r = 0;
    if (shape->text_count == 0)
        return 0;
    for (unsigned i = 0; r == 0 && i < shape->text_count; i++)
        r = db_text_of(shape, i, doc, &texts[i]);
    if (r == 0)
        r = db_sqlite_text_compare(c, shape, num, texts, &there, &same);
    if (r == 0 && there && !same)
        r = db_sqlite_text_remove(c, shape, num);
    if (r == 0 && !same)
        r = db_sqlite_text_insert(c, shape, num, texts);
    for (unsigned i = 0; i < shape->text_count; i++)
        buf_free(&texts[i]);
    return r;
}
