/* SPDX-License-Identifier: Apache-2.0 */
/* Connections, statements, and what SQLite's codes mean to us. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/backoff.h"
#include "base/clock.h"
#include "db/db_sqlite.h"

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

int db_sqlite_exec(sqlite3 *handle, const char *sql)
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

/* Who finds another one at the same change is told so at once, whatever the busy timeout: both hold
 * a lock that the other waits for. Then it is tried again. */
static int db_sqlite_use_wal(sqlite3 *handle)
{
    uint64_t until_ms = clock_mono_ms() + DB_SQLITE_BUSY_MS;
    for (unsigned tries = 1;; tries++) {
        int r = db_sqlite_exec(handle, "PRAGMA journal_mode = WAL");
        if (r != -EBUSY || clock_mono_ms() >= until_ms)
            return r;
        (void)usleep((useconds_t)(1000 * backoff_ms(tries, 2, 50)));
    }
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
        r = db_sqlite_use_wal(c->handle);
    }
    if (r == 0) /* FULL: what was answered is on the disk, not only in the page cache */
        r = db_sqlite_exec(c->handle, "PRAGMA synchronous = FULL; PRAGMA cell_size_check = ON;"
                                      "PRAGMA cache_size = -32768");
    if (r == 0)
        r = db_sqlite_text_connect(c->handle);
    if (r < 0) {
        db_sqlite_disconnect(c);
        return r;
    }
    *ret = c;
    return 0;
}

/* A free connection; opens one more while there are few; else waits for one. */
int db_sqlite_take(struct db_sqlite *s, struct db_sqlite_conn **ret)
{
    int r = 0;
    struct db_sqlite_conn *c = NULL;
    if (s->opening) { /* one thread, one transaction */
        *ret = s->writer;
        return 0;
    }
    (void)pthread_mutex_lock(&s->lock);
    while (s->free == NULL && s->readers_count == DB_SQLITE_READERS)
        (void)pthread_cond_wait(&s->freed, &s->lock);
    if (s->free != NULL) {
        c = s->free;
        s->free = c->next_free;
    } else {
        r = db_sqlite_connect(s->path, &c);
        if (r == 0)
            s->readers[s->readers_count++] = c;
    }
    (void)pthread_mutex_unlock(&s->lock);
    if (r < 0)
        return r;
    ASSERT(c != NULL);
    *ret = c;
    return 0;
}

void db_sqlite_give(struct db_sqlite *s, struct db_sqlite_conn *c)
{
    ASSERT(s != NULL && c != NULL);
    if (c == s->writer)
        return;
    (void)pthread_mutex_lock(&s->lock);
    c->next_free = s->free;
    s->free = c;
    (void)pthread_cond_signal(&s->freed);
    (void)pthread_mutex_unlock(&s->lock);
}

static uint64_t db_sqlite_hash(const char *sql, size_t size)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (uint8_t)sql[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* The statement of this text, from those kept or prepared now. */
static int db_sqlite_statement(struct db_sqlite_conn *c, const struct buf *sql, sqlite3_stmt **ret)
{
    uint64_t hash = db_sqlite_hash(sql->data, sql->size);
    for (unsigned i = 0; i < c->kept_count; i++)
        if (c->kept[i].hash == hash && strcmp(c->kept[i].sql, sql->data) == 0) {
            *ret = c->kept[i].stmt;
            return 0;
        }
    sqlite3_stmt *stmt = NULL;
    char *copy = str_dup(buf_str(sql));
    if (copy == NULL)
        return -ENOMEM;
    int code = sqlite3_prepare_v3(c->handle, sql->data, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL);
    if (code != SQLITE_OK) {
        free(copy);
        return db_sqlite_error(code);
    }
    unsigned at = c->kept_count;
    if (at < DB_SQLITE_STATEMENTS) {
        c->kept_count++;
    } else {
        at = c->kept_oldest;
        /* One that is under way has its turn next time: its user comes back to it. */
        for (unsigned i = 0; sqlite3_stmt_busy(c->kept[at].stmt) && i < DB_SQLITE_STATEMENTS; i++)
            at = (at + 1) % DB_SQLITE_STATEMENTS;
        c->kept_oldest = (at + 1) % DB_SQLITE_STATEMENTS;
        (void)sqlite3_finalize(c->kept[at].stmt); /* repeats the last step's error, if any */
        free(c->kept[at].sql);
    }
    c->kept[at] = (struct db_sqlite_kept){.hash = hash, .sql = copy, .stmt = stmt};
    *ret = stmt;
    return 0;
}

void db_sqlite_query_init(struct db_sqlite_query *q)
{
    /* Not the binds: 20 KB that nobody reads. */
    q->sql = BUF_EMPTY;
    q->binds_count = 0;
    q->error = 0;
    q->stmt = NULL;
    q->conn = NULL;
    q->from = NULL;
}

static void db_sqlite_bind(struct db_sqlite_query *q, struct db_sqlite_bind bind)
{
    if (q->binds_count == DB_SQLITE_BINDS) {
        free(bind.own);
        q->error = q->error < 0 ? q->error : -EINVAL;
        return;
    }
    q->binds[q->binds_count++] = bind;
}

void db_sqlite_bind_int(struct db_sqlite_query *q, int64_t number)
{
    db_sqlite_bind(q, (struct db_sqlite_bind){.kind = 'i', .number = number});
}

void db_sqlite_bind_str(struct db_sqlite_query *q, struct str text)
{
    db_sqlite_bind(q, (struct db_sqlite_bind){.kind = 's', .text = text});
}

void db_sqlite_bind_blob(struct db_sqlite_query *q, const void *data, size_t size)
{
    db_sqlite_bind(q, (struct db_sqlite_bind){.kind = 'b', .text = {data, size}});
}

void db_sqlite_bind_value(struct db_sqlite_query *q, const json_t *value)
{
    if (json_is_integer(value))
        db_sqlite_bind_int(q, json_integer_value(value));
    else if (json_is_real(value))
        db_sqlite_bind(q, (struct db_sqlite_bind){.kind = 'd', .real = json_real_value(value)});
    else
        db_sqlite_bind_str(q, str_of(json_string_value(value)));
}

void db_sqlite_bind_json(struct db_sqlite_query *q, const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    if (text == NULL)
        q->error = -ENOMEM;
    else
        db_sqlite_bind(q, (struct db_sqlite_bind){.kind = 's', .text = str_of(text), .own = text});
}

static int db_sqlite_bind_all(struct db_sqlite_query *q)
{
    int code = SQLITE_OK;
    for (unsigned i = 0; code == SQLITE_OK && i < q->binds_count; i++) {
        const struct db_sqlite_bind *b = &q->binds[i];
        int at = (int)i + 1;
        if (b->kind == 'i')
            code = sqlite3_bind_int64(q->stmt, at, b->number);
        else if (b->kind == 'd')
            code = sqlite3_bind_double(q->stmt, at, b->real);
        else if (b->kind == 'b')
            code = sqlite3_bind_blob64(q->stmt, at, b->text.data, b->text.size, SQLITE_STATIC);
        else
            code = sqlite3_bind_text64(q->stmt, at, b->text.data, b->text.size, SQLITE_STATIC,
                                       SQLITE_UTF8);
    }
    return db_sqlite_error(code);
}

int db_sqlite_run(struct db_sqlite_query *q, struct db_sqlite *s, struct db_sqlite_conn *c)
{
    int r = q->error;
    if (r == 0)
        r = buf_error(&q->sql);
    if (r == 0 && c == NULL) {
        r = db_sqlite_take(s, &c);
        q->from = r == 0 ? s : NULL;
    }
    if (r < 0)
        return r;
    q->conn = c;
    r = db_sqlite_statement(c, &q->sql, &q->stmt);
    return r < 0 ? r : db_sqlite_bind_all(q);
}

int db_sqlite_step(struct db_sqlite_query *q)
{
    int code = sqlite3_step(q->stmt);
    return code == SQLITE_ROW ? 1 : db_sqlite_error(code);
}

struct str db_sqlite_text(struct db_sqlite_query *q, int column)
{
    const char *text = (const char *)sqlite3_column_text(q->stmt, column);
    return (struct str){text, (size_t)sqlite3_column_bytes(q->stmt, column)};
}

int db_sqlite_document(struct db_sqlite_query *q, int column, json_t **ret)
{
    struct str text = db_sqlite_text(q, column);
    if (text.data == NULL)
        return -ENOMEM;
    json_t *doc = json_loadb(text.data, text.size, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(doc)) {
        json_decref(doc);
        return -EBADMSG;
    }
    *ret = doc;
    return 0;
}

int db_sqlite_int(struct db_sqlite_query *q, int64_t *ret)
{
    int r = db_sqlite_step(q);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    int64_t first = sqlite3_column_int64(q->stmt, 0);
    while ((r = db_sqlite_step(q)) > 0)
        continue;
    if (r == 0)
        *ret = first;
    return r;
}

void db_sqlite_end(struct db_sqlite_query *q)
{
    if (q->stmt != NULL) {
        (void)sqlite3_reset(q->stmt); /* repeats the last step's error */
        (void)sqlite3_clear_bindings(q->stmt);
    }
    for (unsigned i = 0; i < q->binds_count; i++)
        free(q->binds[i].own);
    if (q->from != NULL)
        db_sqlite_give(q->from, q->conn);
    buf_free(&q->sql);
    q->binds_count = 0;
    q->stmt = NULL;
    q->from = NULL;
}
