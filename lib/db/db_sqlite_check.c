/* SPDX-License-Identifier: Apache-2.0 */
/* What a file says of itself, and whether it is sound. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "db/db_sqlite.h"

int db_sqlite_stored(const char *path, struct err *err, struct buf *out)
{
    sqlite3 *handle = NULL;
    sqlite3_stmt *stmt = NULL;
    int code = sqlite3_open_v2(path, &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_prepare_v2(handle, "SELECT value FROM weir_meta WHERE name = 'schema'", -1,
                                  &stmt, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(stmt);
    if (code == SQLITE_ROW)
        buf_put(out, sqlite3_column_text(stmt, 0), (size_t)sqlite3_column_bytes(stmt, 0));
    (void)sqlite3_finalize(stmt); /* its error is the step's */
    (void)sqlite3_close(handle);  /* no statement is left to make it fail */
    if (code == SQLITE_ROW)
        return buf_error(out) < 0 ? err_errno(err, buf_error(out), "reading %s", path) : 0;
    if (code == SQLITE_CANTOPEN)
        return err_set(err, -ENOENT, "there is no database at %s", path);
    if (code == SQLITE_ERROR || code == SQLITE_DONE)
        return err_set(err, -ENOENT, "%s says nothing of its collections: start its program once",
                       path);
    return err_errno(err, db_sqlite_error(code), "reading the database %s", path);
}

static int db_sqlite_check_file(struct db_sqlite *s, struct err *err)
{
    struct db_sqlite_query q;
    db_sqlite_query_init(&q);
    buf_puts(&q.sql, "PRAGMA integrity_check(1)");
    int r = db_sqlite_run(&q, s, NULL);
    if (r == 0)
        r = db_sqlite_step(&q);
    if (r > 0) {
        struct str text = db_sqlite_text(&q, 0);
        r = str_eq(text, STR("ok"))
                ? 0
                : err_set(err, -EBADMSG, "%s is damaged: " STR_FMT, s->path, STR_ARG(text));
    } else {
        r = err_errno(err, r < 0 ? r : -EBADMSG, "checking the database %s", s->path);
    }
    db_sqlite_end(&q);
    return r;
}

/* FTS5 compares its index with the words it stores; those with the documents we compare. */
static int db_sqlite_check_words(struct db_sqlite *s, const struct db_shape *shape, struct err *err)
{
    struct db_sqlite_query q;
    db_sqlite_query_init(&q);
    buf_printf(&q.sql, "INSERT INTO w1_%s(w1_%s) VALUES ('integrity-check')", shape->name,
               shape->name);
    int r = db_sqlite_run(&q, s, NULL);
    if (r == 0)
        r = db_sqlite_step(&q);
    db_sqlite_end(&q);
    if (r < 0)
        return err_errno(err, r, "checking the words of %s in %s", shape->name, s->path);
    int64_t count = 0;
    db_sqlite_query_init(&q);
    buf_printf(&q.sql,
               "SELECT count(*) FROM c_%s c FULL JOIN w1_%s w ON w.rowid = c.num"
               " WHERE c.num IS NULL OR w.rowid IS NULL",
               shape->name, shape->name);
    r = db_sqlite_run(&q, s, NULL);
    if (r == 0)
        r = db_sqlite_int(&q, &count);
    db_sqlite_end(&q);
    if (r == 0 && count > 0)
        return err_set(err, -EBADMSG, "%s: of %lld documents the words are missing or too many",
                       shape->name, (long long)count);
    return r < 0 ? err_errno(err, r, "checking the words of %s", shape->name) : 0;
}

int db_sqlite_check(struct db *db, struct err *err)
{
    struct db_sqlite *s = db_sqlite_of(db);
    int r = db_sqlite_check_file(s, err);
    for (unsigned i = 0; r == 0 && i < db->schema->collections_count; i++)
        if (db->shapes[i].text_count > 0)
            r = db_sqlite_check_words(s, &db->shapes[i], err);
    return r;
}
