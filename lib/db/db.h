/* SPDX-License-Identifier: Apache-2.0 */
/* db: documents: JSON objects in collections, found by id or by a declared key. One interface over
 * every backend, so it promises only what each of them can keep: operations on a single document
 * are atomic and durable; nothing spans two documents.
 *
 * Life:    db_open (makes or migrates) -> db_* -> db_close.
 * Owner:   documents given are only read; documents answered belong to the caller (json_decref).
 *          The schema must outlive the database (static data).
 * Threads: any, at once; every call blocks on a disk or a network: never call on a loop.
 * Errors:  0 or -errno. -EINVAL a document or value that the schema forbids; -EEXIST a unique key
 *          that is taken; -ENOENT no such document; -ESTALE it is not as expected any more;
 *          -EBADMSG what is stored is not a document; -EBUSY the backend is overloaded, try later;
 *          -EIO and others the backend failed. Of db_open also: -EPROTO the database was made by a
 *          newer version, -EPROTONOSUPPORT no backend for such an address.
 * Units:   documents as jansson objects, at most DB_DOCUMENT_SIZE_MAX bytes of text.
 *
 * A document is an object with a member "id": a string of 1 to DB_ID_SIZE_MAX bytes, unique in its
 * collection. A keyed field holds a string of at most DB_KEY_SIZE_MAX bytes or an integer; where a
 * document lacks it, or it is null, the document is not found by that key and collides with none.
 * Ids and keys contain no U+0000. Strings are ordered by their bytes, integers come before them. */
#pragma once
#include <jansson.h>
#include "base/err.h"

#define DB_ID_SIZE_MAX       128
#define DB_KEY_SIZE_MAX      1024
#define DB_DOCUMENT_SIZE_MAX ((size_t)1 << 20)
#define DB_COLLECTIONS_MAX   64
#define DB_KEYS_MAX          8 /* of one collection */
#define DB_LIST_MAX          1000
#define DB_CURSOR_SIZE_MAX   4096

struct db;

struct db_key {
    const char *field; /* member at the top level: [a-z][a-z0-9_]*, at most 32 characters */
    bool unique;
};

struct db_collection {
    const char *name; /* as a field */
    struct db_key keys[DB_KEYS_MAX];
    unsigned keys_count;
};

/* A program's collections. Where the stored version is lower than `version`, migrate is called for
 * each step (from = stored, stored + 1, ... version - 1) before db_open returns: old keys that are
 * declared no more are dropped by then, new ones not enforced yet. -errno from it fails db_open,
 * with the step undone or to be repeated: a step must stand being run twice, because not every
 * backend can undo. A new database starts at `version` with no step run. */
struct db_schema {
    unsigned version; /* > 0; raise it with every change that old programs would misread */
    const struct db_collection *collections;
    unsigned collections_count;
    int (*migrate)(struct db *db, unsigned from, struct err *err); /* NULL while version is 1 */
};

/* address: the path of a file (SQLite), or a URL whose scheme names another backend. */
MUST_USE int db_open(const char *address, const struct db_schema *schema, struct err *err,
                     struct db **ret);
struct db *db_close(struct db *db); /* takes NULL, returns NULL; no call may be under way */
DEFINE_CLEAN(struct db *, db_close)

/* Everywhere below, coll is the index of the collection in the schema, field one of its keys. */

MUST_USE int db_insert(struct db *db, unsigned coll, const json_t *doc);  /* -EEXIST */
MUST_USE int db_replace(struct db *db, unsigned coll, const json_t *doc); /* -ENOENT, -EEXIST */
MUST_USE int db_put(struct db *db, unsigned coll, const json_t *doc);     /* made or replaced */

/* Replaces only if the stored document's member `field` (any, keyed or not) equals `expected`, a
 * string or an integer: -ESTALE if not. So read, change, write back is safe against others. */
MUST_USE int db_replace_if(struct db *db, unsigned coll, const json_t *doc, const char *field,
                           const json_t *expected);

MUST_USE int db_get(struct db *db, unsigned coll, const char *id, json_t **ret);
MUST_USE int db_find(struct db *db, unsigned coll, const char *field, const json_t *value,
                     json_t **ret);                                   /* field: a unique key */
MUST_USE int db_delete(struct db *db, unsigned coll, const char *id); /* -ENOENT */

/* Deletes every document whose integer at the key `field` is below the limit; one by one as far as
 * other callers see. ret_count may be NULL. */
MUST_USE int db_delete_below(struct db *db, unsigned coll, const char *field, int64_t limit,
                             uint64_t *ret_count);

struct db_list {
    const char *field;   /* the key to order by; NULL: by id. Documents without it are left out */
    bool descending;     /* ties are ordered by id, in the same direction */
    unsigned limit;      /* 1 .. DB_LIST_MAX */
    const char *cursor;  /* what the page before answered; NULL: from the start */
    const json_t *equal; /* only documents whose `field` equals this string or integer; or NULL */
};

/* *ret is an array; *ret_cursor the text that continues behind its last, or NULL at the end (free).
 * A cursor stays good while documents come and go. -EINVAL: not a cursor of such a list. */
MUST_USE int db_list(struct db *db, unsigned coll, const struct db_list *list, json_t **ret,
                     char **ret_cursor);
