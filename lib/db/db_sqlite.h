/* SPDX-License-Identifier: Apache-2.0 */
/* db_sqlite: the embedded backend: one SQLite file in WAL mode, connections that read side by side
 * and one that writes.
 *
 * Life:    db_sqlite_open (db_sqlite_open.c) -> operations -> close. Until open has returned there
 *          is one connection and one transaction, in which a migration's operations run.
 * Owner:   a reading connection belongs to the set, and to one operation while it is borrowed; the
 *          writing one to whoever leads (db_sqlite_write.c); prepared statements to their
 *          connection.
 * Threads: any; an operation waits until a connection is free.
 * Errors:  as db.h; db_sqlite_error translates, no SQLite code leaves the db_sqlite*.c files.
 * Units:   -
 * Source:  SQLite's documentation: WAL, JSON functions, indexes on expressions, FTS5.
 *
 * A collection is a table c_NAME (num INTEGER PRIMARY KEY, id TEXT UNIQUE, doc TEXT); a key is an
 * index u_NAME$FIELD$FIELD (unique) or k_NAME$FIELD$FIELD (the id behind) on json_extract(doc,
 * '$.FIELD'); its words are in the FTS5 table w1_NAME with num as rowid and a column for each text
 * member, v1_NAME shows that table's vocabulary. user_version holds the schema's version,
 * application_id says that the file is ours. */
#pragma once
#include <pthread.h>
#include <sqlite3.h>
#include "db/db_backend.h"

#define DB_SQLITE_READERS        8
#define DB_SQLITE_STATEMENTS     128 /* kept prepared, per connection */
#define DB_SQLITE_SQL_SIZE       1024
#define DB_SQLITE_BINDS          (2 * DB_WHERE_MAX + 16)
#define DB_SQLITE_BATCH_MAX      256
#define DB_SQLITE_APPLICATION_ID 0x57656972 /* "Weir" */

struct db_sqlite_kept {
    uint64_t hash; /* of sql */
    char *sql;
    sqlite3_stmt *stmt;
};

struct db_sqlite_conn {
    sqlite3 *handle;
    struct db_sqlite_kept kept[DB_SQLITE_STATEMENTS];
    unsigned kept_count;
    unsigned kept_oldest; /* the next to give way once all places are taken */
    struct db_sqlite_conn *next_free;
};

struct db_sqlite_job;

struct db_sqlite {
    struct db db; /* first: what db.c sees */
    char *path;
    bool opening; /* set and cleared by db_sqlite_open alone */
    struct db_sqlite_conn *writer;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t freed;
    struct db_sqlite_conn *free;
    struct db_sqlite_conn *readers[DB_SQLITE_READERS];
    unsigned readers_count;
    struct db_sqlite_job *first; /* what is to be written */
    struct db_sqlite_job *last;
    bool leading; /* some thread writes */
    int64_t seen; /* whoever leads: what tells of other processes' writes; 0: never asked */
};

extern const struct db_backend_ops db_sqlite_ops;

static inline struct db_sqlite *db_sqlite_of(struct db *db)
{
    return CONTAINER_OF(db, struct db_sqlite, db);
}

/* --- db_sqlite_conn.c ------------------------------------------------------------------------- */

MUST_USE int db_sqlite_error(int code);
MUST_USE int db_sqlite_exec(sqlite3 *handle, const char *sql);
MUST_USE int db_sqlite_connect(const char *path, struct db_sqlite_conn **ret);
struct db_sqlite_conn *db_sqlite_disconnect(struct db_sqlite_conn *c);
MUST_USE int db_sqlite_take(struct db_sqlite *s, struct db_sqlite_conn **ret);
void db_sqlite_give(struct db_sqlite *s, struct db_sqlite_conn *c);

/* A statement in the making: text, and what is bound to its '?' from left to right. Texts bound
 * are borrowed until db_sqlite_end, except those of db_sqlite_bind_json. */
struct db_sqlite_bind {
    char kind; /* 'i', 'd', 's', 'b' (a blob) */
    int64_t number;
    double real;
    struct str text;
    char *own;
};

struct db_sqlite_query {
    struct buf sql;
    struct db_sqlite_bind binds[DB_SQLITE_BINDS];
    unsigned binds_count;
    int error;
    sqlite3_stmt *stmt; /* from db_sqlite_run on */
    struct db_sqlite_conn *conn;
    struct db_sqlite *from; /* gets conn back, or NULL */
};

void db_sqlite_query_init(struct db_sqlite_query *q);
void db_sqlite_bind_int(struct db_sqlite_query *q, int64_t number);
void db_sqlite_bind_str(struct db_sqlite_query *q, struct str text);
void db_sqlite_bind_blob(struct db_sqlite_query *q, const void *data, size_t size);
void db_sqlite_bind_value(struct db_sqlite_query *q, const json_t *value); /* a scalar */
void db_sqlite_bind_json(struct db_sqlite_query *q, const json_t *value);  /* its text */

/* Prepares and binds, on c or else on a reader. Whatever it returns: db_sqlite_end. */
MUST_USE int db_sqlite_run(struct db_sqlite_query *q, struct db_sqlite *s,
                           struct db_sqlite_conn *c);
MUST_USE int db_sqlite_step(struct db_sqlite_query *q); /* 1: a row, 0: done, -errno */
MUST_USE int db_sqlite_document(struct db_sqlite_query *q, int column, json_t **ret);
struct str db_sqlite_text(struct db_sqlite_query *q, int column); /* until the next step */
void db_sqlite_end(struct db_sqlite_query *q);
/* Steps to the end; -ENOENT where there is no row, else the first column of the first. */
MUST_USE int db_sqlite_int(struct db_sqlite_query *q, int64_t *ret);

/* --- db_sqlite_list.c ------------------------------------------------------------------------- */

void db_sqlite_where(struct db_sqlite_query *q, const struct db_shape *shape, const json_t *where);
void db_sqlite_indexed(struct db_sqlite_query *q, const struct db_sqlite *s,
                       const struct db_shape *shape, const struct db_key_shape *key);
/* what: the columns of c. */
void db_sqlite_range(struct db_sqlite_query *q, const struct db_sqlite *s, unsigned coll,
                     const char *what, const struct db_range *range, bool counts);
int db_sqlite_list(struct db *db, unsigned coll, const struct db_range *range, json_t *into);
int db_sqlite_scan(struct db *db, unsigned coll, db_scan_fn *fn, void *arg);
int db_sqlite_count(struct db *db, unsigned coll, const struct db_range *range, uint64_t *ret);
void db_sqlite_index_name(const char *coll, const struct db_key_shape *key, char *out, size_t size);

/* --- db_sqlite_check.c ------------------------------------------------------------------------ */

int db_sqlite_check(struct db *db, struct err *err);

/* --- db_sqlite_write.c ------------------------------------------------------------------------ */

int db_sqlite_write(struct db *db, unsigned coll, enum db_write how, const struct db_draft *draft);
int db_sqlite_put_many(struct db *db, unsigned coll, const json_t *docs);
int db_sqlite_change(struct db *db, unsigned coll, const char *id, db_change_fn *fn, void *arg);
int db_sqlite_remove(struct db *db, unsigned coll, const char *id);
int db_sqlite_remove_below(struct db *db, unsigned coll, const struct db_key_shape *key,
                           int64_t limit, uint64_t *ret_count);
int db_sqlite_others(struct db *db, bool *ret);

/* --- db_sqlite_text.c ------------------------------------------------------------------------- */

/* Makes the tables of words that the schema asks for, and fills them where they were not so. */
MUST_USE int db_sqlite_text_open(struct db_sqlite *s, struct db_sqlite_conn *c);
/* Puts the document's words where the row's are; nothing where they are there already. */
MUST_USE int db_sqlite_text_put(struct db_sqlite_conn *c, const struct db_shape *shape, int64_t num,
                                const json_t *doc);
MUST_USE int db_sqlite_text_remove(struct db_sqlite_conn *c, const struct db_shape *shape,
                                   int64_t num);
/* --- db_sqlite_search.c ----------------------------------------------------------------------- */

/* What a connection needs before it can search. */
MUST_USE int db_sqlite_text_connect(sqlite3 *handle);
int db_sqlite_search(struct db *db, unsigned coll, struct db_hits *hits);
int db_sqlite_facets(struct db *db, unsigned coll, struct db_facets *facets);
int db_sqlite_rarity(struct db *db, unsigned coll, const struct db_term *term, uint64_t *ret_count);
int db_sqlite_total(struct db *db, unsigned coll, uint64_t *ret_count);
int db_sqlite_words(struct db *db, unsigned coll, const char *prefix, unsigned limit, json_t *into);
