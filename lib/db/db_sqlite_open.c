/* SPDX-License-Identifier: Apache-2.0 */
#include "db/db_sqlite.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DB_SQLITE_BUSY_MS 5000

int db_sqlite_error(int code)
{
    if (code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY)
        return -EEXIST;
    switch (code & 0xff) { /* the primary code under the extended one */
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return -EACCES;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EBADMSG;
    case SQLITE_TOOBIG:
        return -EINVAL;
    default:
        return -EIO;
    }
}

static int db_sqlite_exec(sqlite3 *handle, const char *sql)
{
    return db_sqlite_error(sqlite3_exec(handle, sql, NULL, NULL, NULL));
}

struct db_sqlite_conn *db_sqlite_disconnect(struct db_sqlite_conn *c)
{
    if (c == NULL)
        return NULL;
    for (unsigned i = 0; i < c->kept_count; i++) {
        (void)sqlite3_finalize(c->kept[i].stmt); /* repeats the last step's error, if any */
        free(c->kept[i].sql);
    }
    (void)sqlite3_close(c->handle); /* takes NULL; no statement is left to make it fail */
    free(c);
    return NULL;
}

int db_sqlite_connect(const char *path, struct db_sqlite_conn **ret)
{
    struct db_sqlite_conn *c = calloc(1, sizeof *c);
    if (c == NULL)
        return -ENOMEM;
    /* NOMUTEX: a borrowed connection has one user. */
    int code = sqlite3_open_v2(path, &c->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    int r = db_sqlite_error(code);
    if (r == 0) {
        (void)sqlite3_extended_result_codes(c->handle, 1);
        (void)sqlite3_busy_timeout(c->handle, DB_SQLITE_BUSY_MS);
        (void)sqlite3_db_config(c->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        /* FULL: what was answered is on the disk, not only in the page cache. */
        r = db_sqlite_exec(c->handle, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                                      "PRAGMA cell_size_check = ON");
    }
    if (r < 0) {
        db_sqlite_disconnect(c);
        return r;
    }
    *ret = c;
    return 0;
}

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

static int db_sqlite_make_tables(const struct db_schema *schema, sqlite3 *handle)
{
    for (unsigned i = 0; i < schema->collections_count; i++) {
        char sql[DB_SQLITE_SQL_SIZE];
        (void)snprintf(sql, sizeof sql,
                       "CREATE TABLE IF NOT EXISTS c_%s (id TEXT PRIMARY KEY NOT NULL,"
                       " doc TEXT NOT NULL)",
                       schema->collections[i].name);
        int r = db_sqlite_exec(handle, sql);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Drops the indexes of keys that are declared no more, or otherwise than before. */
static int db_sqlite_drop_indexes(const struct db_schema *schema, sqlite3 *handle)
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
        bool wanted = false;
        for (unsigned i = 0; name != NULL && i < schema->collections_count; i++) {
            const struct db_collection *c = &schema->collections[i];
            for (unsigned k = 0; k < c->keys_count; k++) {
                char declared[128];
                (void)snprintf(declared, sizeof declared, "%c_%s$%s", c->keys[k].unique ? 'u' : 'k',
                               c->name, c->keys[k].field);
                wanted = wanted || strcmp(declared, name) == 0;
            }
        }
        char *drop = wanted ? NULL : sqlite3_mprintf("DROP INDEX \"%w\";", name);
        if (drop != NULL)
            buf_puts(&sql, drop);
        else if (!wanted)
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

static int db_sqlite_make_indexes(const struct db_schema *schema, sqlite3 *handle)
{
    int r = 0;
    for (unsigned i = 0; r == 0 && i < schema->collections_count; i++) {
        const struct db_collection *c = &schema->collections[i];
        for (unsigned k = 0; r == 0 && k < c->keys_count; k++) {
            const char *field = c->keys[k].field;
            char sql[DB_SQLITE_SQL_SIZE];
            if (c->keys[k].unique)
                (void)snprintf(sql, sizeof sql,
                               "CREATE UNIQUE INDEX IF NOT EXISTS u_%s$%s ON c_%s"
                               " (json_extract(doc, '$.%s'))",
                               c->name, field, c->name, field);
            else /* with the id, so that a list needs no sort */
                (void)snprintf(sql, sizeof sql,
                               "CREATE INDEX IF NOT EXISTS k_%s$%s ON c_%s"
                               " (json_extract(doc, '$.%s'), id)",
                               c->name, field, c->name, field);
            r = db_sqlite_exec(handle, sql);
        }
    }
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
        r = db_sqlite_drop_indexes(schema, handle);
    if (r < 0)
        return err_errno(err, r, "making the tables of %s", s->path);
    if (stored > 0)
        r = db_migrate(&s->db, stored, err);
    if (r < 0)
        return r;
    r = db_sqlite_make_indexes(schema, handle);
    if (r < 0)
        return err_errno(err, r, "making the keys of %s", s->path);
    char sql[DB_SQLITE_SQL_SIZE];
    (void)snprintf(sql, sizeof sql, "PRAGMA application_id = %d; PRAGMA user_version = %u",
                   DB_SQLITE_APPLICATION_ID, schema->version);
    r = db_sqlite_exec(handle, sql);
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

int db_sqlite_open(const char *path, const struct db_schema *schema, struct err *err,
                   struct db **ret)
{
    int r = db_sqlite_create(path);
    if (r < 0)
        return err_errno(err, r, "opening the database %s", path);
    struct db_sqlite *s = calloc(1, sizeof *s);
    char *copy = str_dup(str_of(path));
    struct db_sqlite_conn *c = NULL;
    if (s == NULL || copy == NULL) {
        free(s);
        free(copy);
        return err_errno(err, -ENOMEM, "opening the database %s", path);
    }
    s->db = (struct db){.magic = DB_MAGIC, .ops = &db_sqlite_ops, .schema = schema};
    s->path = copy;
    (void)pthread_mutex_init(&s->lock, NULL); /* default attributes: cannot fail */
    (void)pthread_cond_init(&s->freed, NULL);
    r = db_sqlite_connect(path, &c);
    if (r < 0) {
        err_errno(err, r, "opening the database %s", path);
        goto fail;
    }
    s->all[s->all_count++] = c;
    s->free = c; /* the only one until we are done: a migration's operations run on it */
    r = db_sqlite_exec(c->handle, "BEGIN IMMEDIATE");
    if (r < 0) {
        err_errno(err, r, "locking the database %s", path);
        goto fail;
    }
    r = db_sqlite_prepare(s, c->handle, err);
    if (r == 0 && (r = db_sqlite_exec(c->handle, "COMMIT")) < 0)
        err_errno(err, r, "committing to the database %s", path);
    if (r < 0)
        goto fail; /* closing rolls back */
    *ret = &s->db;
    return 0;
fail:
    db_sqlite_ops.close(&s->db);
    return r;
}
