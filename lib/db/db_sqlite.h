/* SPDX-License-Identifier: Apache-2.0 */
/* db_sqlite: the embedded backend: one SQLite file in WAL mode, a set of connections.
 *
 * Life:    db_sqlite_open (db_sqlite_open.c) -> operations (db_sqlite.c) -> close.
 * Owner:   a connection belongs to the set, and to one operation while it is borrowed; its prepared
 *          statements are the connection's.
 * Threads: any; an operation waits until a connection is free.
 * Errors:  as db.h; db_sqlite_error translates, no SQLite code leaves these two files.
 * Units:   -
 * Source:  SQLite's documentation: WAL, JSON functions, indexes on expressions.
 *
 * A collection is a table c_NAME (id TEXT PRIMARY KEY, doc TEXT); a key is an index named
 * u_NAME$FIELD (unique) or k_NAME$FIELD on json_extract(doc, '$.FIELD'). user_version holds the
 * schema's version, application_id says that the file is ours. */
#pragma once
#include <pthread.h>
#include <sqlite3.h>
#include "db/db_backend.h"

#define DB_SQLITE_CONNECTIONS    8
#define DB_SQLITE_STATEMENTS     128 /* kept prepared, per connection */
#define DB_SQLITE_SQL_SIZE       512
#define DB_SQLITE_APPLICATION_ID 0x57656972 /* "Weir" */

struct db_sqlite_conn {
    sqlite3 *handle;
    struct {
        char *sql;
        sqlite3_stmt *stmt;
    } kept[DB_SQLITE_STATEMENTS];
    unsigned kept_count;
    unsigned kept_oldest; /* the next to give way once all places are taken */
    struct db_sqlite_conn *next_free;
};

struct db_sqlite {
    struct db db; /* first: what db.c sees */
    char *path;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t freed;
    struct db_sqlite_conn *free;
    struct db_sqlite_conn *all[DB_SQLITE_CONNECTIONS];
    unsigned all_count;
};

extern const struct db_backend_ops db_sqlite_ops;

int db_sqlite_error(int code);
int db_sqlite_connect(const char *path, struct db_sqlite_conn **ret);
struct db_sqlite_conn *db_sqlite_disconnect(struct db_sqlite_conn *c);
