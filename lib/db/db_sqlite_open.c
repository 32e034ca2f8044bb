/* SPDX-License-Identifier: Apache-2.0 */
#include "db/db_sqlite.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "db/db_stored.h"

static int db_sqlite_number(sqlite3 *handle, const char *sql, int64_t *ret)
{
    sqlite3_stmt *stmt = NULL;
    int code = sqlite3_prepare_v2(handle, sql, -1, &stmt, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(stmt);
    if (code == SQLITE_ROW)
        *ret = sqlite3_column_int64(stmt, 0);
    (void)sqlite3_finalize(stmt); /* its error is the step's */
    return code == SQLITE_ROW ? 0 : code == SQLITE_DONE ? -EBADMSG : db_sqlite_error(code);
}

/* *ret: the version stored; 0 for an empty file. */
static int db_sqlite_version(struct db_sqlite *s, sqlite3 *handle, struct err *err, unsigned *ret)
{
    int64_t application = 0;
    int64_t version = 0;
    int64_t tables = 0;
    int r = db_sqlite_number(handle, "PRAGMA application_id", &application);
    if (r == 0)
        r = db_sqlite_number(handle, "PRAGMA user_version", &version);
    if (r == 0)
        r = db_sqlite_number(handle, "SELECT count(*) FROM sqlite_master", &tables);
    if (r < 0)
        return err_errno(err, r, "reading the database %s", s->path);
    bool is_new = application == 0 && version == 0 && tables == 0;
    if (!is_new && (application != DB_SQLITE_APPLICATION_ID || version <= 0))
        return err_set(err, -EBADMSG, "%s is a database of another program", s->path);
    if (version > s->db.schema->version)
        return err_set(err, -EPROTO,
                       "the database %s has version %lld, this program knows %u: use a newer one",
                       s->path, (long long)version, s->db.schema->version);
    *ret = (unsigned)version;
    return 0;
}

/* *ret: whether the table of the collection is there, and made by the first version of this code,
 * which had no num: SQLite may renumber such rows, so nothing else can name them. */
static int db_sqlite_is_old(sqlite3 *handle, const char *name, bool *ret)
{
    char sql[DB_SQLITE_SQL_SIZE];
    int64_t columns = 0;
    (void)snprintf(sql, sizeof sql, "SELECT count(*) = 2 FROM pragma_table_info('c_%s')", name);
    int r = db_sqlite_number(handle, sql, &columns);
    if (r == 0)
        *ret = columns == 1;
    return r;
}

static int db_sqlite_make_table(sqlite3 *handle, const char *name)
{
    char sql[DB_SQLITE_SQL_SIZE];
    bool old = false;
    int r = db_sqlite_is_old(handle, name, &old);
    if (r == 0 && old) {
        (void)snprintf(sql, sizeof sql, "ALTER TABLE c_%s RENAME TO o_%s", name, name);
        r = db_sqlite_exec(handle, sql);
    }
    if (r < 0)
        return r;
    (void)snprintf(sql, sizeof sql,
                   "CREATE TABLE IF NOT EXISTS c_%s (num INTEGER PRIMARY KEY,"
                   " id TEXT UNIQUE NOT NULL, doc TEXT NOT NULL)",
                   name);
    r = db_sqlite_exec(handle, sql);
    if (r == 0 && old) { /* the old indexes go with the old table */
        (void)snprintf(sql, sizeof sql,
                       "INSERT INTO c_%s (id, doc) SELECT id, doc FROM o_%s ORDER BY id;"
                       "DROP TABLE o_%s",
                       name, name, name);
        r = db_sqlite_exec(handle, sql);
    }
    return r;
}

static int db_sqlite_make_tables(const struct db_schema *schema, sqlite3 *handle)
{
    int r = 0;
    for (unsigned i = 0; r == 0 && i < schema->collections_count; i++)
        r = db_sqlite_make_table(handle, schema->collections[i].name);
    return r;
}

static bool db_sqlite_is_declared(const struct db *db, const char *index)
{
    for (unsigned i = 0; i < db->schema->collections_count; i++)
        for (unsigned k = 0; k < db->shapes[i].keys_count; k++) {
            char declared[DB_SQLITE_SQL_SIZE];
            db_sqlite_index_name(db->shapes[i].name, &db->shapes[i].keys[k], declared,
                                 sizeof declared);
            if (strcmp(declared, index) == 0)
                return true;
        }
    return false;
}

/* Drops the indexes of keys that are declared no more, or otherwise than before. */
static int db_sqlite_drop_indexes(const struct db *db, sqlite3 *handle)
{
    CLEAN_BUF struct buf sql = BUF_EMPTY;
    sqlite3_stmt *stmt = NULL;
    int code = sqlite3_prepare_v2(handle,
                                  "SELECT name FROM sqlite_master WHERE type = 'index'"
                                  " AND (name GLOB 'u_*' OR name GLOB 'k_*')",
                                  -1, &stmt, NULL);
    while (code == SQLITE_OK || code == SQLITE_ROW) {
        code = sqlite3_step(stmt);
        if (code != SQLITE_ROW)
            break;
        const char *name = (const char *)sqlite3_column_text(stmt, 0);
        if (name != NULL && db_sqlite_is_declared(db, name))
            continue;
        char *drop = sqlite3_mprintf("DROP INDEX \"%w\";", name);
        if (drop != NULL)
            buf_puts(&sql, drop);
        else
            code = SQLITE_NOMEM;
        sqlite3_free(drop);
    }
    (void)sqlite3_finalize(stmt); /* its error is the step's */
    if (code != SQLITE_DONE)
        return db_sqlite_error(code);
    if (buf_error(&sql) < 0)
        return buf_error(&sql);
    return sql.size > 0 ? db_sqlite_exec(handle, sql.data) : 0;
}

static int db_sqlite_make_index(const struct db_shape *shape, const struct db_key_shape *key,
                                sqlite3 *handle)
{
    CLEAN_BUF struct buf sql = BUF_EMPTY;
    char name[DB_SQLITE_SQL_SIZE];
    db_sqlite_index_name(shape->name, key, name, sizeof name);
    buf_printf(&sql, "CREATE %sINDEX IF NOT EXISTS %s ON c_%s (", key->unique ? "UNIQUE " : "",
               name, shape->name);
    for (unsigned i = 0; i < key->fields_count; i++)
        buf_printf(&sql, "%sjson_extract(doc, '$.%s')", i > 0 ? ", " : "", key->fields[i]);
    /* With the id, so that a list needs no sort. */
    buf_puts(&sql, key->unique ? ")" : ", id)");
    return buf_error(&sql) < 0 ? buf_error(&sql) : db_sqlite_exec(handle, sql.data);
}

static int db_sqlite_make_indexes(const struct db *db, sqlite3 *handle)
{
    int r = 0;
    for (unsigned i = 0; r == 0 && i < db->schema->collections_count; i++)
        for (unsigned k = 0; r == 0 && k < db->shapes[i].keys_count; k++)
            r = db_sqlite_make_index(&db->shapes[i], &db->shapes[i].keys[k], handle);
    return r;
}

static int db_sqlite_describe(const struct db_schema *schema, sqlite3 *handle)
{
    CLEAN(base_free) char *text = NULL;
    int r = db_stored_write(schema, &text);
    if (r < 0)
        return r;
    char *sql = sqlite3_mprintf("CREATE TABLE IF NOT EXISTS weir_meta (name TEXT PRIMARY KEY,"
                                " value TEXT NOT NULL) WITHOUT ROWID;"
                                "INSERT OR REPLACE INTO weir_meta VALUES ('schema', %Q);"
                                "PRAGMA application_id = %d; PRAGMA user_version = %u",
                                text, DB_SQLITE_APPLICATION_ID, schema->version);
    r = sql == NULL ? -ENOMEM : db_sqlite_exec(handle, sql);
    sqlite3_free(sql);
    return r;
}

/* All in the caller's transaction: a crash or an error leaves the file as it was. */
static int db_sqlite_prepare(struct db_sqlite *s, sqlite3 *handle, struct err *err)
{
    const struct db_schema *schema = s->db.schema;
    unsigned stored = 0;
    int r = db_sqlite_version(s, handle, err, &stored);
    if (r < 0)
        return r;
    r = db_sqlite_make_tables(schema, handle);
    if (r == 0) /* before the steps: they may break what is no rule any more */
        r = db_sqlite_drop_indexes(&s->db, handle);
    if (r < 0)
        return err_errno(err, r, "making the tables of %s", s->path);
    r = db_sqlite_text_open(s, s->writer);
    if (r < 0)
        return err_errno(err, r, "making the words of %s", s->path);
    if (stored > 0)
        r = db_migrate(&s->db, stored, err);
    if (r < 0)
        return r;
    r = db_sqlite_make_indexes(&s->db, handle);
    if (r < 0)
        return err_errno(err, r, "making the keys of %s", s->path);
    r = db_sqlite_describe(schema, handle);
    return r < 0 ? err_errno(err, r, "writing the version of %s", s->path) : 0;
}

/* Created by us and not by SQLite: it holds password hashes, so nobody else may read it. */
static int db_sqlite_create(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    base_close(fd);
    return 0;
}

static int db_sqlite_new(const char *path, const struct db_schema *schema, struct db_sqlite **ret)
{
    struct db_sqlite *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    s->path = str_dup(str_of(path));
    (void)pthread_mutex_init(&s->lock, NULL); /* default attributes: cannot fail */
    (void)pthread_cond_init(&s->freed, NULL);
    int r = db_begin(&s->db, &db_sqlite_ops, schema);
    if (r < 0 || s->path == NULL) {
        db_sqlite_ops.close(&s->db);
        return -ENOMEM;
    }
    *ret = s;
    return 0;
}

int db_sqlite_open(const char *path, const struct db_schema *schema, struct err *err,
                   struct db **ret)
{
    struct db_sqlite *s = NULL;
    int r = db_sqlite_create(path);
    if (r == 0)
        r = db_sqlite_new(path, schema, &s);
    if (r < 0)
        return err_errno(err, r, "opening the database %s", path);
    s->opening = true;
    r = db_sqlite_connect(path, &s->writer);
    if (r < 0) {
        err_errno(err, r, "opening the database %s", path);
        goto fail;
    }
    r = db_sqlite_exec(s->writer->handle, "BEGIN IMMEDIATE");
    if (r < 0) {
        err_errno(err, r, "locking the database %s", path);
        goto fail;
    }
    r = db_sqlite_prepare(s, s->writer->handle, err);
    if (r == 0 && (r = db_sqlite_exec(s->writer->handle, "COMMIT")) < 0)
        err_errno(err, r, "committing to the database %s", path);
    if (r < 0)
        goto fail; /* closing rolls back */
    s->opening = false;
    *ret = &s->db;
    return 0;
fail:
    db_sqlite_ops.close(&s->db);
    return r;
}
