/* SPDX-License-Identifier: Apache-2.0 */
#include "db/db_sqlite.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct db_sqlite *db_sqlite_of(struct db *db)
{
    return CONTAINER_OF(db, struct db_sqlite, db);
}

/* A free connection; opens one more while there are few; else waits for one. */
static int db_sqlite_take(struct db_sqlite *s, struct db_sqlite_conn **ret)
{
    int r = 0;
    struct db_sqlite_conn *c = NULL;
    (void)pthread_mutex_lock(&s->lock);
    while (s->free == NULL && s->all_count == DB_SQLITE_CONNECTIONS)
        (void)pthread_cond_wait(&s->freed, &s->lock);
    if (s->free != NULL) {
        c = s->free;
        s->free = c->next_free;
    } else {
        r = db_sqlite_connect(s->path, &c);
        if (r == 0)
            s->all[s->all_count++] = c;
    }
    (void)pthread_mutex_unlock(&s->lock);
    if (r < 0)
        return r;
    ASSERT(c != NULL);
    *ret = c;
    return 0;
}

static void db_sqlite_give(struct db_sqlite *s, struct db_sqlite_conn *c)
{
    ASSERT(s != NULL && c != NULL);
    (void)pthread_mutex_lock(&s->lock);
    c->next_free = s->free;
    s->free = c;
    (void)pthread_cond_signal(&s->freed);
    (void)pthread_mutex_unlock(&s->lock);
}

static void db_sqlite_close(struct db *db)
{
    struct db_sqlite *s = db_sqlite_of(db);
    for (unsigned i = 0; i < s->all_count; i++)
        db_sqlite_disconnect(s->all[i]);
    (void)pthread_mutex_destroy(&s->lock);
    (void)pthread_cond_destroy(&s->freed);
    MAGIC_CLEAR(db);
    free(s->path);
    free(s);
}

/* The statement of this text, from those kept or prepared now; bindings are cleared. */
static int db_sqlite_statement(struct db_sqlite_conn *c, const char *sql, sqlite3_stmt **ret)
{
    for (unsigned i = 0; i < c->kept_count; i++)
        if (strcmp(c->kept[i].sql, sql) == 0) {
            *ret = c->kept[i].stmt;
            return 0;
        }
    sqlite3_stmt *stmt = NULL;
    char *copy = str_dup(str_of(sql));
    if (copy == NULL)
        return -ENOMEM;
    int code = sqlite3_prepare_v3(c->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL);
    if (code != SQLITE_OK) {
        free(copy);
        return db_sqlite_error(code);
    }
    unsigned at = c->kept_count;
    if (at < DB_SQLITE_STATEMENTS) {
        c->kept_count++;
    } else {
        at = c->kept_oldest;
        c->kept_oldest = (at + 1) % DB_SQLITE_STATEMENTS;
        (void)sqlite3_finalize(c->kept[at].stmt); /* not under way: its user gave c back */
        free(c->kept[at].sql);
    }
    c->kept[at].sql = copy;
    c->kept[at].stmt = stmt;
    *ret = stmt;
    return 0;
}

/* One operation: a borrowed connection and its statement. */
struct db_sqlite_use {
    struct db_sqlite *s;
    struct db_sqlite_conn *c;
    sqlite3_stmt *stmt;
    int error; /* of a binding; told by the first step */
};

static int db_sqlite_begin(struct db *db, const char *sql, struct db_sqlite_use *ret)
{
    struct db_sqlite_use use = {.s = db_sqlite_of(db)};
    int r = db_sqlite_take(use.s, &use.c);
    if (r < 0)
        return r;
    r = db_sqlite_statement(use.c, sql, &use.stmt);
    if (r < 0) {
        db_sqlite_give(use.s, use.c);
        return r;
    }
    *ret = use;
    return 0;
}

static void db_sqlite_end(struct db_sqlite_use *use)
{
    (void)sqlite3_reset(use->stmt); /* repeats the last step's error */
    (void)sqlite3_clear_bindings(use->stmt);
    db_sqlite_give(use->s, use->c);
}

/* Texts stay with the caller until db_sqlite_end: not copied. */
static void db_sqlite_bind_str(struct db_sqlite_use *use, int at, struct str text)
{
    int code = sqlite3_bind_text64(use->stmt, at, text.data, text.size, SQLITE_STATIC, SQLITE_UTF8);
    if (code != SQLITE_OK && use->error == 0)
        use->error = db_sqlite_error(code);
}

static void db_sqlite_bind_number(struct db_sqlite_use *use, int at, int64_t number)
{
    int code = sqlite3_bind_int64(use->stmt, at, number);
    if (code != SQLITE_OK && use->error == 0)
        use->error = db_sqlite_error(code);
}

static void db_sqlite_bind_value(struct db_sqlite_use *use, int at, const json_t *value)
{
    if (json_is_integer(value))
        db_sqlite_bind_number(use, at, json_integer_value(value));
    else
        db_sqlite_bind_str(use, at, str_of(json_string_value(value)));
}

/* 1: a row, 0: done, -errno. */
static int db_sqlite_step(struct db_sqlite_use *use)
{
    if (use->error < 0)
        return use->error;
    int code = sqlite3_step(use->stmt);
    return code == SQLITE_ROW ? 1 : db_sqlite_error(code);
}

/* For statements that change: how many rows they did. */
static int db_sqlite_change(struct db_sqlite_use *use, uint64_t *ret_count)
{
    int r = db_sqlite_step(use);
    if (r < 0)
        return r;
    *ret_count = (uint64_t)sqlite3_changes64(use->c->handle);
    return 0;
}

static int db_sqlite_document(struct db_sqlite_use *use, json_t **ret)
{
    const char *text = (const char *)sqlite3_column_text(use->stmt, 0);
    size_t size = (size_t)sqlite3_column_bytes(use->stmt, 0);
    if (text == NULL)
        return -ENOMEM;
    json_t *doc = json_loadb(text, size, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(doc)) {
        json_decref(doc);
        return -EBADMSG;
    }
    *ret = doc;
    return 0;
}

/* The first row's document, -ENOENT when there is none; ends the use. */
static int db_sqlite_one(struct db_sqlite_use *use, json_t **ret)
{
    int r = db_sqlite_step(use);
    if (r == 0)
        r = -ENOENT;
    else if (r > 0)
        r = db_sqlite_document(use, ret);
    db_sqlite_end(use);
    return r;
}

static const char *db_sqlite_name(const struct db *db, unsigned coll)
{
    return db->schema->collections[coll].name;
}

static const char *db_sqlite_field(const struct db *db, unsigned coll, unsigned key)
{
    return db->schema->collections[coll].keys[key].field;
}

static int db_sqlite_get(struct db *db, unsigned coll, const char *id, json_t **ret)
{
    char sql[DB_SQLITE_SQL_SIZE];
    struct db_sqlite_use use = {.s = NULL};
    (void)snprintf(sql, sizeof sql, "SELECT doc FROM c_%s WHERE id = ?1", db_sqlite_name(db, coll));
    int r = db_sqlite_begin(db, sql, &use);
    if (r < 0)
        return r;
    db_sqlite_bind_str(&use, 1, str_of(id));
    return db_sqlite_one(&use, ret);
}

/* Why a replace_if found nothing. A race can only change which of two refusals is told. */
static int db_sqlite_stale(struct db *db, unsigned coll, const char *id)
{
    json_t *doc = NULL;
    int r = db_sqlite_get(db, coll, id, &doc);
    json_decref(doc);
    return r == 0 ? -ESTALE : r;
}

static int db_sqlite_write(struct db *db, unsigned coll, const struct db_change *change)
{
    const char *name = db_sqlite_name(db, coll);
    char sql[DB_SQLITE_SQL_SIZE];
    if (change->how == DB_REPLACE && change->if_field != NULL)
        (void)snprintf(sql, sizeof sql,
                       "UPDATE c_%s SET doc = ?2 WHERE id = ?1"
                       " AND json_type(doc, '$.%s') = ?4 AND json_extract(doc, '$.%s') = ?3",
                       name, change->if_field, change->if_field);
    else if (change->how == DB_REPLACE)
        (void)snprintf(sql, sizeof sql, "UPDATE c_%s SET doc = ?2 WHERE id = ?1", name);
    else
        (void)snprintf(sql, sizeof sql, "INSERT INTO c_%s (id, doc) VALUES (?1, ?2)%s", name,
                       change->how == DB_PUT ? " ON CONFLICT (id) DO UPDATE SET doc = excluded.doc"
                                             : "");
    struct db_sqlite_use use = {.s = NULL};
    uint64_t count = 0;
    int r = db_sqlite_begin(db, sql, &use);
    if (r < 0)
        return r;
    db_sqlite_bind_str(&use, 1, str_of(change->id));
    db_sqlite_bind_str(&use, 2, change->text);
    if (change->if_field != NULL) {
        db_sqlite_bind_value(&use, 3, change->if_equal);
        db_sqlite_bind_str(&use, 4,
                           json_is_integer(change->if_equal) ? STR("integer") : STR("text"));
    }
    r = db_sqlite_change(&use, &count);
    db_sqlite_end(&use);
    if (r < 0 || count > 0)
        return r;
    return change->if_field != NULL ? db_sqlite_stale(db, coll, change->id) : -ENOENT;
}

static int db_sqlite_find(struct db *db, unsigned coll, unsigned key, const json_t *value,
                          json_t **ret)
{
    char sql[DB_SQLITE_SQL_SIZE];
    struct db_sqlite_use use = {.s = NULL};
    (void)snprintf(sql, sizeof sql, "SELECT doc FROM c_%s WHERE json_extract(doc, '$.%s') = ?1",
                   db_sqlite_name(db, coll), db_sqlite_field(db, coll, key));
    int r = db_sqlite_begin(db, sql, &use);
    if (r < 0)
        return r;
    db_sqlite_bind_value(&use, 1, value);
    return db_sqlite_one(&use, ret);
}

static int db_sqlite_remove(struct db *db, unsigned coll, const char *id)
{
    char sql[DB_SQLITE_SQL_SIZE];
    struct db_sqlite_use use = {.s = NULL};
    uint64_t count = 0;
    (void)snprintf(sql, sizeof sql, "DELETE FROM c_%s WHERE id = ?1", db_sqlite_name(db, coll));
    int r = db_sqlite_begin(db, sql, &use);
    if (r < 0)
        return r;
    db_sqlite_bind_str(&use, 1, str_of(id));
    r = db_sqlite_change(&use, &count);
    db_sqlite_end(&use);
    return r == 0 && count == 0 ? -ENOENT : r;
}

static int db_sqlite_remove_below(struct db *db, unsigned coll, unsigned key, int64_t limit,
                                  uint64_t *ret_count)
{
    char sql[DB_SQLITE_SQL_SIZE];
    struct db_sqlite_use use = {.s = NULL};
    /* No text is below an integer in SQLite's order, and NULL is below nothing. */
    (void)snprintf(sql, sizeof sql, "DELETE FROM c_%s WHERE json_extract(doc, '$.%s') < ?1",
                   db_sqlite_name(db, coll), db_sqlite_field(db, coll, key));
    int r = db_sqlite_begin(db, sql, &use);
    if (r < 0)
        return r;
    db_sqlite_bind_number(&use, 1, limit);
    r = db_sqlite_change(&use, ret_count);
    db_sqlite_end(&use);
    return r;
}

/* ?1 limit, ?2 equal, ?3 value and ?4 id to go on behind; unused ones are not in the text. */
static void db_sqlite_list_sql(const struct db *db, unsigned coll, int key,
                               const struct db_list *list, bool goes_on, struct buf *out)
{
    char field[64] = "";
    const char *order = list->descending ? "DESC" : "ASC";
    const char *beyond = list->descending ? "<" : ">";
    buf_printf(out, "SELECT doc FROM c_%s WHERE ", db_sqlite_name(db, coll));
    if (key >= 0)
        (void)snprintf(field, sizeof field, "json_extract(doc, '$.%s')",
                       db_sqlite_field(db, coll, (unsigned)key));
    if (key < 0 && goes_on)
        buf_printf(out, "id %s ?4", beyond);
    else if (key < 0)
        buf_puts(out, "TRUE");
    else if (list->equal != NULL)
        buf_printf(out, "%s = ?2", field);
    else
        buf_printf(out, "%s IS NOT NULL", field);
    if (key >= 0 && goes_on)
        buf_printf(out, " AND (%s, id) %s (?3, ?4)", field, beyond);
    buf_puts(out, " ORDER BY ");
    if (key >= 0)
        buf_printf(out, "%s %s, ", field, order);
    buf_printf(out, "id %s LIMIT ?1", order);
}

static int db_sqlite_list(struct db *db, unsigned coll, int key, const struct db_list *list,
                          const struct db_place *after, json_t *into)
{
    CLEAN_BUF struct buf sql = BUF_EMPTY;
    struct db_sqlite_use use = {.s = NULL};
    db_sqlite_list_sql(db, coll, key, list, after != NULL, &sql);
    int r = buf_error(&sql);
    if (r == 0)
        r = db_sqlite_begin(db, sql.data, &use);
    if (r < 0)
        return r;
    db_sqlite_bind_number(&use, 1, list->limit);
    if (list->equal != NULL)
        db_sqlite_bind_value(&use, 2, list->equal);
    if (after != NULL && after->value != NULL)
        db_sqlite_bind_value(&use, 3, after->value);
    if (after != NULL)
        db_sqlite_bind_str(&use, 4, str_of(after->id));
    while ((r = db_sqlite_step(&use)) > 0) {
        json_t *doc = NULL;
        r = db_sqlite_document(&use, &doc);
        if (r == 0 && json_array_append_new(into, doc) < 0)
            r = -ENOMEM;
        if (r < 0)
            break;
    }
    db_sqlite_end(&use);
    return r;
}

const struct db_backend_ops db_sqlite_ops = {
    .write = db_sqlite_write,
    .get = db_sqlite_get,
    .find = db_sqlite_find,
    .remove = db_sqlite_remove,
    .remove_below = db_sqlite_remove_below,
    .list = db_sqlite_list,
    .close = db_sqlite_close,
};
