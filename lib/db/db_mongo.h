/* SPDX-License-Identifier: Apache-2.0 */
/* db_mongo: the backend for more than one machine: whatever speaks MongoDB's protocol.
 *
 * Life:    db_mongo_open (db_mongo_open.c) -> operations -> close.
 * Owner:   clients belong to libmongoc's pool, and to one operation while they are borrowed.
 * Threads: any; an operation waits while all of the pool's clients are out.
 * Errors:  as db.h; db_mongo_error translates, no error of libmongoc leaves the db_mongo*.c files.
 * Units:   -
 * Source:  libmongoc's documentation; the MongoDB manual on retryable writes and error codes.
 *
 * A collection is a collection of the same name; "id" is "_id". Names of members are kept as they
 * are, except for '$', '.', '%' and, at the top, a leading '_', which are percent-coded. A document
 * has further members: "_rev" (an ObjectId, new with each write), "_u-FIELD-FIELD" for each unique
 * key (its values as JSON, or "_rev" where it lacks one: so no index need be sparse), "_words" (its
 * words) and "_at" (a byte for each: the text member that has it). Nothing here needs a
 * transaction, a TTL or a text index. The collection weir_meta has the schema's version. */
#pragma once
#include <mongoc/mongoc.h>
#include <pthread.h>
#include "db/db_backend.h"

#define DB_MONGO_STRIPES  64
#define DB_MONGO_TRIES    6   /* of what failed on its way */
#define DB_MONGO_RACES    200 /* lost to others that change the same document */
#define DB_MONGO_META     "weir_meta"
#define DB_MONGO_NAME_MAX 256

struct db_mongo {
    struct db db; /* first: what db.c sees */
    mongoc_client_pool_t *pool;
    char *name;  /* of the database */
    char *label; /* for people: without a password */
    mongoc_read_prefs_t *primary;
    /* Threads of one process that change the same document take turns instead of racing. */
    pthread_mutex_t stripes[DB_MONGO_STRIPES];
    /* While it is being opened: the lock that keeps others from doing the same. */
    bool opening;
    bson_oid_t owner;
    uint64_t renewed_ms;
};

/* One operation: a borrowed client and its collection. */
struct db_mongo_use {
    struct db_mongo *m;
    mongoc_client_t *client;
    mongoc_collection_t *coll;
    const struct db_shape *shape; /* NULL: none of the schema's */
    unsigned tries;
    uint64_t began_ms;
    bool doubtful; /* a try has failed after which nobody knows whether it was done */
};

static inline struct db_mongo *db_mongo_of(struct db *db)
{
    return CONTAINER_OF(db, struct db_mongo, db);
}

/* --- db_mongo_conn.c -------------------------------------------------------------------------- */

int db_mongo_error(const bson_error_t *error);
MUST_USE int db_mongo_pool(const char *address, struct err *err, struct db_mongo *m);
void db_mongo_begin(struct db_mongo *m, unsigned coll, struct db_mongo_use *ret);
void db_mongo_begin_meta(struct db_mongo *m, struct db_mongo_use *ret);
void db_mongo_end(struct db_mongo_use *use);
/* True: it failed on its way and is worth trying again; has waited a moment. */
bool db_mongo_again(struct db_mongo_use *use, const bson_error_t *error);

/* --- db_mongo_bson.c -------------------------------------------------------------------------- */

/* {"id", ...} as it is stored, with all further members. */
MUST_USE int db_mongo_encode(const struct db_shape *shape, const json_t *doc, const bson_oid_t *rev,
                             bson_t *ret);
MUST_USE int db_mongo_decode(const bson_t *stored, json_t **ret); /* -EBADMSG */
MUST_USE int db_mongo_value(const bson_iter_t *iter, json_t **ret);
MUST_USE int db_mongo_put(bson_t *out, const char *name, const json_t *value); /* name as it is */
void db_mongo_unique_name(const struct db_key_shape *key, char out[DB_MONGO_NAME_MAX]);
/* That member's value: NULL where doc lacks one of the fields (or out of memory, *ret_error). */
char *db_mongo_unique_value(const struct db_key_shape *key, const json_t *doc, int *ret_error);
bool db_mongo_rev(const bson_t *stored, bson_oid_t *ret);

/* --- db_mongo_list.c -------------------------------------------------------------------------- */

/* Appends conditions to the array `and`, numbered from *next on. */
MUST_USE int db_mongo_where(const struct db_shape *shape, const json_t *where, bson_t *and,
                            unsigned *next);
/* {"$and": [...]}, or {} where there are none; takes `and`. */
void db_mongo_filter(bson_t *and, unsigned count, bson_t *ret);
/* Leaves out what only searches need. */
void db_mongo_hide_words(const struct db_shape *shape, bson_t *opts);
int db_mongo_list(struct db *db, unsigned coll, const struct db_range *range, json_t *into);
int db_mongo_scan(struct db *db, unsigned coll, db_scan_fn *fn, void *arg);
int db_mongo_count(struct db *db, unsigned coll, const struct db_range *range, uint64_t *ret);

/* Each document that the filter finds, to fn; once more from the start where the way there broke
 * before the first. */
typedef int db_mongo_each_fn(void *arg, const bson_t *stored);
MUST_USE int db_mongo_each(struct db_mongo_use *use, const bson_t *filter, const bson_t *opts,
                           const mongoc_read_prefs_t *prefs, db_mongo_each_fn *fn, void *arg);
MUST_USE int db_mongo_count_of(struct db_mongo_use *use, const bson_t *filter, uint64_t *ret);

/* --- db_mongo_write.c ------------------------------------------------------------------------- */

int db_mongo_write(struct db *db, unsigned coll, enum db_write how, const struct db_draft *draft);
int db_mongo_put_many(struct db *db, unsigned coll, const json_t *docs);
int db_mongo_change(struct db *db, unsigned coll, const char *id, db_change_fn *fn, void *arg);
int db_mongo_remove(struct db *db, unsigned coll, const char *id);
int db_mongo_remove_below(struct db *db, unsigned coll, const struct db_key_shape *key,
                          int64_t limit, uint64_t *ret_count);
/* Writes the document again as it is, with the further members that the schema asks for now. */
MUST_USE int db_mongo_rewrite(struct db *db, unsigned coll, const char *id);

/* The steps of these, for db_mongo_lock.c and db_mongo_open.c. */
MUST_USE int db_mongo_insert(struct db_mongo_use *use, const char *id, const bson_t *doc,
                             const bson_oid_t *rev);
MUST_USE int db_mongo_replace(struct db_mongo_use *use, const bson_t *filter, const bson_t *doc,
                              bool upsert, int *ret_count);
MUST_USE int db_mongo_delete(struct db_mongo_use *use, const bson_t *filter, bool many,
                             int *ret_count);
MUST_USE int db_mongo_load(struct db_mongo_use *use, const char *id, bson_t **ret); /* destroy */

/* --- db_mongo_lock.c -------------------------------------------------------------------------- */

/* One at a time opens a database. -EBUSY: somebody else has for minutes. */
MUST_USE int db_mongo_lock(struct db_mongo *m, struct err *err);
void db_mongo_unlock(struct db_mongo *m);
void db_mongo_renew(struct db_mongo *m); /* now and then while it is held */

/* --- db_mongo_search.c ------------------------------------------------------------------------ */

int db_mongo_search(struct db *db, unsigned coll, struct db_hits *hits);
int db_mongo_facets(struct db *db, unsigned coll, struct db_facets *facets);
int db_mongo_rarity(struct db *db, unsigned coll, const struct db_term *term, uint64_t *ret_count);
int db_mongo_total(struct db *db, unsigned coll, uint64_t *ret_count);
int db_mongo_words(struct db *db, unsigned coll, const char *prefix, unsigned limit, json_t *into);

/* --- db_mongo_check.c ------------------------------------------------------------------------- */

int db_mongo_check(struct db *db, struct err *err);
void db_mongo_index_name(char kind, const struct db_key_shape *key, char out[DB_MONGO_NAME_MAX]);

extern const struct db_backend_ops db_mongo_ops;
