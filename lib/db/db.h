/* SPDX-License-Identifier: Apache-2.0 */
/* db: documents: JSON objects in collections, found by id, by a declared key or by the words in
 * them. One interface over every backend, so it promises only what each of them can keep: an
 * operation on a single document is atomic and durable; nothing spans two documents.
 *
 * Life:    db_open (makes or migrates) -> db_* -> db_close.
 * Owner:   documents given are only read; documents answered belong to the caller (json_decref).
 *          The schema must outlive the database (static data).
 * Threads: any, at once; every call blocks on a disk or a network: never call on a loop.
 * Errors:  0 or -errno. -EINVAL a document or value that the schema forbids; -EEXIST a unique key
 *          that is taken; -ENOENT no such document; -ESTALE it is not as expected any more;
 *          -EBADMSG what is stored is not a document; -EBUSY the backend is overloaded, try later;
 *          -EHOSTDOWN no server of it can be reached; -EIO and others the backend failed. Of
 *          db_open also: -EPROTO the database was made by a newer version, -EPROTONOSUPPORT no
 *          backend for such an address.
 * Units:   documents as jansson objects, at most DB_DOCUMENT_SIZE_MAX bytes of text.
 *
 * A document is an object with a member "id": a string of 1 to DB_ID_SIZE_MAX bytes, unique in its
 * collection. A keyed field holds a string of at most DB_KEY_SIZE_MAX bytes or an integer; where a
 * document lacks one of a key's fields, or it is null, the document is not found by that key and
 * collides with none. Ids and keys contain no U+0000. Strings are ordered by their bytes, integers
 * come before them. */
#pragma once
#include <jansson.h>
#include "base/err.h"
#include "base/str.h"

#define DB_ID_SIZE_MAX       128
#define DB_KEY_SIZE_MAX      1024
#define DB_DOCUMENT_SIZE_MAX ((size_t)1 << 20)
#define DB_DEPTH_MAX         32 /* of objects and arrays in a document */
#define DB_COLLECTIONS_MAX   64
#define DB_MEMBERS_MAX       64 /* of one collection's documents */
#define DB_KEYS_MAX          8  /* of one collection */
#define DB_KEY_FIELDS_MAX    3  /* of one key */
#define DB_LIST_MAX          1000
#define DB_CURSOR_SIZE_MAX   4096
#define DB_TERMS_MAX         32 /* of one search, alternatives included */

struct db;

/* fields: top-level members, parted by one blank: "email", "channel created_ms". Never "id": by it
 * all is ordered that a key leaves equal. */
struct db_key {
    const char *fields;
    bool unique;
};

/* members: all that a document may have, parted by blanks, "id" left out: NAME:T, with '?' behind
 * it where it may be absent or null. NAME: [a-z][a-z0-9_]*, at most 32 characters. T: s string,
 * i integer, n number, b boolean, o object, a array. NULL: whatever it has is taken. */
struct db_collection {
    const char *name; /* as a member's, but not weir_... */
    const char *members;
    struct db_key keys[DB_KEYS_MAX];
    unsigned keys_count;
    const char *text; /* members whose words db_search finds (strings, or arrays of strings), the
                       * most telling first, parted by blanks; NULL: none */
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

/* address: the path of a file (SQLite), or mongodb://... or mongodb+srv://... (MongoDB; replica
 * set, read preference, write concern and TLS as its URI says). */
MUST_USE int db_open(const char *address, const struct db_schema *schema, struct err *err,
                     struct db **ret);
struct db *db_close(struct db *db); /* takes NULL, returns NULL; no call may be under way */
DEFINE_CLEAN(struct db *, db_close)
const struct db_schema *db_schema(const struct db *db);

/* Everywhere below, coll is the index of the collection in the schema. */

/* --- one document ----------------------------------------------------------------------------- */

MUST_USE int db_insert(struct db *db, unsigned coll, const json_t *doc);  /* -EEXIST */
MUST_USE int db_replace(struct db *db, unsigned coll, const json_t *doc); /* -ENOENT, -EEXIST */
MUST_USE int db_put(struct db *db, unsigned coll, const json_t *doc);     /* made or replaced */

/* All of an array, in no order, faster than one by one: what is there is replaced. -errno: some of
 * them may have been put. */
MUST_USE int db_put_many(struct db *db, unsigned coll, const json_t *docs);

/* Replaces only if the stored document's member `field` (any, keyed or not) equals `expected`, a
 * string or an integer: -ESTALE if not. So read, change, write back is safe against others. */
MUST_USE int db_replace_if(struct db *db, unsigned coll, const json_t *doc, const char *field,
                           const json_t *expected);

/* A change of one document in one step. All members are top-level ones; NULL parts do nothing. */
struct db_update {
    const json_t *where; /* object: as db_list.where; -ESTALE where the document is not so */
    const json_t *set;   /* object: members and their new values; null takes the member away */
    const json_t *add;   /* object of integers: added; an absent member counts as 0 */
    const json_t *push;  /* object: the value goes to the end of the array (made if absent) */
    unsigned push_keep;  /* of a pushed array only the last so many stay; 0: all */
    const json_t *pull;  /* object: elements of the array that equal the value are taken out */
};
/* -ENOENT, -ESTALE, -EEXIST. ret (may be NULL): the document as it is now. */
MUST_USE int db_update(struct db *db, unsigned coll, const char *id, const struct db_update *update,
                       json_t **ret);

MUST_USE int db_get(struct db *db, unsigned coll, const char *id, json_t **ret);
/* By a unique key of one field. */
MUST_USE int db_find(struct db *db, unsigned coll, const char *field, const json_t *value,
                     json_t **ret);
MUST_USE int db_delete(struct db *db, unsigned coll, const char *id); /* -ENOENT */
MUST_USE int db_delete_if(struct db *db, unsigned coll, const char *id, const json_t *where);

/* Many by their ids, in one go where the backend can: *ret is an array as long as ids, null where
 * there is no such document. At most DB_LIST_MAX. */
MUST_USE int db_get_many(struct db *db, unsigned coll, const char *const *ids, unsigned count,
                         json_t **ret);

/* --- many ------------------------------------------------------------------------------------- */

/* Deletes every document whose integer at the key `field` is below the limit; one by one as far as
 * other callers see. ret_count may be NULL. */
MUST_USE int db_delete_below(struct db *db, unsigned coll, const char *field, int64_t limit,
                             uint64_t *ret_count);

struct db_list {
    const char *key;     /* a declared key, as declared; NULL: by id. Documents without it are
                          * left out. They are ordered by the key's last field, then by id */
    bool descending;     /* both */
    unsigned limit;      /* 1 .. DB_LIST_MAX */
    const char *cursor;  /* what the page before answered; NULL: from the start */
    const json_t *equal; /* the key's first fields equal these: an array of strings and integers,
                          * or one of them alone. A key of n fields needs n - 1 or n; a key of one
                          * field none or one; or NULL */
    const json_t *from;  /* the last field is at least this; or NULL */
    const json_t *below; /* the last field is less than this; or NULL */
    /* An object: further members that must be so. A scalar: the member equals it, or is an array
     * that has it; an array of scalars: one of them holds; null: the member is absent or null;
     * {"min": n, "max": n} (either may be left out): an integer or number from min to max. */
    const json_t *where;
};

/* *ret is an array; *ret_cursor the text that continues behind its last, or NULL at the end (free).
 * A cursor stays good while documents come and go. -EINVAL: not a cursor of such a list. */
MUST_USE int db_list(struct db *db, unsigned coll, const struct db_list *list, json_t **ret,
                     char **ret_cursor);

/* How many documents db_list would give on all its pages (limit and cursor do not count). */
MUST_USE int db_count(struct db *db, unsigned coll, const struct db_list *list, uint64_t *ret);

/* --- words ------------------------------------------------------------------------------------ */

/* The words of a text as they are searched for: letters and digits, in lower case, without marks
 * on them (Unicode's compatibility decomposition); *ret is an array of strings. */
MUST_USE int db_words_of(struct str text, json_t **ret);

struct db_term {
    const char *word; /* as db_words_of gives it */
    bool prefix;      /* and all words that begin so */
    unsigned group;   /* terms of the same group are alternatives; each group must be found */
};

struct db_search {
    const struct db_term *terms;
    unsigned terms_count;
    const json_t *where; /* as db_list's; NULL: all */
    unsigned limit;      /* 1 .. DB_LIST_MAX */
    const char *cursor;
};

/* The best first: more telling members, rarer words, exact before prefix; ties by id. */
MUST_USE int db_search(struct db *db, unsigned coll, const struct db_search *search, json_t **ret,
                       char **ret_cursor);

/* How many documents the search finds in all, by the values of each member of `fields` (strings;
 * arrays count for each element): {"total": n, "FIELD": {"VALUE": n, ...}, ...}. */
MUST_USE int db_search_facets(struct db *db, unsigned coll, const struct db_search *search,
                              const char *const *fields, unsigned fields_count, json_t **ret);

/* Words of the collection that begin with prefix, the most frequent first: [["word", n], ...]: for
 * suggestions, and with an empty prefix for telling what a misspelt word may have meant. */
MUST_USE int db_words(struct db *db, unsigned coll, const char *prefix, unsigned limit,
                      json_t **ret);
