/* SPDX-License-Identifier: Apache-2.0 */
/* db_backend: what a backend of lib/db implements. db.c and its siblings have checked all
 * arguments: ids and keys are of the promised form, keys are the collection's, texts and documents
 * are within their limits, where filters are of the form that db.h describes.
 *
 * Life:    a static table of functions per backend; its state begins with struct db: db_begin ->
 *          the operations -> db_end.
 * Owner:   the backend allocates and frees its struct db.
 * Threads: as db.h: any, at once.
 * Errors:  as db.h.
 * Units:   as db.h. */
#pragma once
#include "base/buf.h"
#include "db/db_shape.h"

/* Where a list goes on: the key's last value and the id of the last document shown. */
struct db_place {
    json_t *value; /* string or integer; NULL when ordered by id */
    const char *id;
};

enum db_write { DB_INSERT, DB_REPLACE, DB_PUT };

/* A document as it is to be stored; text is doc as JSON. */
struct db_draft {
    const char *id; /* doc's */
    const json_t *doc;
    char *text;
};

/* Makes the new document from the stored one, or says that it is to go (*ret_gone), or neither:
 * *ret_doc stays NULL: it stays as it is. *ret_doc is a new reference. May be called again with
 * what somebody else has made of the document in the meantime. */
typedef int db_change_fn(void *arg, const json_t *old, json_t **ret_doc, bool *ret_gone);

struct db_range {
    const struct db_key_shape *key; /* NULL: by id */
    const json_t *equal[DB_KEY_FIELDS_MAX];
    unsigned equal_count; /* key->fields_count or one less */
    const json_t *from;   /* as struct db_list */
    const json_t *below;
    const json_t *where;
    bool descending;
    unsigned limit;
    const struct db_place *after; /* NULL: from the start */
};

/* A document that a search found, told to the backend's caller one by one. at[i]: the most telling
 * text member that has term i, or DB_NOWHERE. -errno from it ends the search with that. */
#define DB_NOWHERE 255
struct db_hits {
    const struct db_term *terms;
    unsigned terms_count;
    const json_t *where;
    /* Whether `found` would make something of it: a backend for which `where` costs more than the
     * words may ask before it looks whether that holds. */
    bool (*wanted)(struct db_hits *hits, const char *id, const uint8_t at[DB_TERMS_MAX]);
    int (*found)(struct db_hits *hits, const char *id, const uint8_t at[DB_TERMS_MAX]);
};

/* One value of a facet's field: any JSON value or NULL where it is absent. */
struct db_facets {
    const struct db_term *terms;
    unsigned terms_count;
    const json_t *where;
    const char *const *fields;
    unsigned fields_count;
    int (*found)(struct db_facets *facets, const json_t *const values[DB_FACETS_MAX]);
};

typedef int db_scan_fn(void *arg, const json_t *doc);

struct db_backend_ops {
    int (*write)(struct db *db, unsigned coll, enum db_write how, const struct db_draft *draft);
    /* DB_PUT of each, which have been checked. */
    int (*put_many)(struct db *db, unsigned coll, const json_t *docs);
    /* -ENOENT, and what fn says. */
    int (*change)(struct db *db, unsigned coll, const char *id, db_change_fn *fn, void *arg);
    int (*get)(struct db *db, unsigned coll, const char *id, json_t **ret);
    /* The same, and never what was so only a moment ago. */
    int (*newest)(struct db *db, unsigned coll, const char *id, json_t **ret);
    /* Appends the documents, or null, to the array `into`. */
    int (*get_many)(struct db *db, unsigned coll, const char *const *ids, unsigned count,
                    json_t *into);
    int (*find)(struct db *db, unsigned coll, const struct db_key_shape *key, const json_t *value,
                json_t **ret);
    int (*remove)(struct db *db, unsigned coll, const char *id);
    int (*remove_below)(struct db *db, unsigned coll, const struct db_key_shape *key, int64_t limit,
                        uint64_t *ret_count);
    /* Appends at most range->limit documents to the array `into`. */
    int (*list)(struct db *db, unsigned coll, const struct db_range *range, json_t *into);
    int (*count)(struct db *db, unsigned coll, const struct db_range *range, uint64_t *ret);
    int (*search)(struct db *db, unsigned coll, struct db_hits *hits);
    int (*facets)(struct db *db, unsigned coll, struct db_facets *facets);
    /* About how many documents have the term, and how many there are. */
    int (*rarity)(struct db *db, unsigned coll, const struct db_term *term, uint64_t *ret_count);
    int (*total)(struct db *db, unsigned coll, uint64_t *ret_count);
    int (*words)(struct db *db, unsigned coll, const char *prefix, unsigned limit, json_t *into);
    /* Each document, in no order; what is written meanwhile may be among them or not. */
    int (*scan)(struct db *db, unsigned coll, db_scan_fn *fn, void *arg);
    /* NULL, or as db_others. */
    int (*others)(struct db *db, bool *ret);
    /* What only the backend can find out: -EBADMSG with a sentence. */
    int (*check)(struct db *db, struct err *err);
    void (*close)(struct db *db);
};

struct db {
    uint32_t magic;
#define DB_MAGIC UINT32_C(0xdb0c5e7a)
    const struct db_backend_ops *ops;
    const struct db_schema *schema;
    struct db_shape *shapes;  /* one for each collection */
    struct db_memory *memory; /* db_memory.h; NULL: the backend answers everything */
};

MUST_USE int db_begin(struct db *db, const struct db_backend_ops *ops,
                      const struct db_schema *schema);
void db_end(struct db *db);

/* Calls schema->migrate for each step from `stored`; for backends' open. */
MUST_USE int db_migrate(struct db *db, unsigned from, struct err *err);

/* One more of the value, or of each element of an array, in counts. */
MUST_USE int db_facet_count(json_t *counts, const json_t *value);

/* The document, checked against the collection, and its text (free); -EINVAL. */
MUST_USE int db_draft(const struct db_shape *shape, const json_t *doc, struct db_draft *ret);

MUST_USE int db_sqlite_open(const char *path, const struct db_schema *schema, struct err *err,
                            struct db **ret);
/* The text that db_stored_write left there: -ENOENT where there is none. */
MUST_USE int db_sqlite_stored(const char *path, struct err *err, struct buf *out);
MUST_USE int db_mongo_stored(const char *address, struct err *err, struct buf *out);
bool db_is_mongo(const char *address);
MUST_USE int db_mongo_open(const char *address, const struct db_schema *schema, struct err *err,
                           struct db **ret);
