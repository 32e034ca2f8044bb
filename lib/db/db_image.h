/* SPDX-License-Identifier: Apache-2.0 */
/* db_image: all documents of a collection in memory, with what lists, filters and searches need:
 * the order of each key, the values of members, the words. What it answers is what the backends
 * answer (the contract's suites run on it too).
 *
 * Life:    db_image_new -> db_image_put while it is `bulk` -> db_image_ready -> put, remove, and
 *          the questions -> db_image_free.
 * Owner:   db_mirror.
 * Threads: one changes it, or any ask.
 * Errors:  -ENOMEM (a put that fails leaves the image unfit: free it), -ENOTSUP more than it can
 *          number, -EBADMSG.
 * Units:   bytes.
 *
 * A document is kept as its JSON text, and as a cell for each declared member: numbers as they are,
 * short texts as numbers of a table, so that filters compare numbers. What is none of these is
 * `hard`: for it the text is read. */
#pragma once
#include "db/db_backend.h"
#include "db/db_map.h"

#define DB_IMAGE_TEXT_MAX  64         /* longer texts are hard, unless a key needs them */
#define DB_IMAGE_LIST_MAX  256        /* elements of an array */
#define DB_IMAGE_SLOTS_MAX (1U << 29) /* slot and place share 32 bits */

enum db_cell_kind {
    DB_CELL_NONE, /* absent, or null */
    DB_CELL_INTEGER,
    DB_CELL_REAL,
    DB_CELL_BOOLEAN,
    DB_CELL_TEXT,
    DB_CELL_LIST,
    DB_CELL_HARD,
};

struct db_cell {
    uint8_t kind;
    uint32_t count; /* of a list */
    union {
        int64_t integer; /* or boolean */
        double real;
        uint32_t text; /* of the image's */
        uint32_t *list;
    };
};

struct db_image_doc {
    char *text; /* JSON */
    uint32_t size;
    char id[DB_ID_SIZE_MAX + 1];
    uint32_t *words; /* word << 3 | the most telling member that has it, rising */
    unsigned words_count;
    struct db_cell cells[]; /* as the shape's members */
};

struct db_image_word {
    char *text;
    uint32_t *at; /* slot << 3 | member, in no order */
    uint32_t count, room;
};

struct db_numbers { /* slots, or words, in some order */
    uint32_t *at;
    uint32_t count, room;
};

struct db_image {
    uint32_t magic;
#define DB_IMAGE_MAGIC UINT32_C(0xdb17a6e5)
    const struct db_shape *shape;
    size_t size; /* about what all of it takes */
    bool bulk;   /* orders are made at the end */
    struct db_image_doc **docs;
    uint32_t slots, room, count;
    struct db_numbers spare; /* slots that are free */
    struct db_map ids;
    struct db_map texts;
    struct str *texts_of;
    uint32_t texts_room;
    struct db_map words;
    struct db_image_word *words_of;
    uint32_t words_room;
    struct db_numbers vocabulary;              /* words by their bytes */
    struct db_numbers orders[DB_KEYS_MAX + 1]; /* of each key; the last: by id */
};

MUST_USE int db_image_new(const struct db_shape *shape, struct db_image **ret);
struct db_image *db_image_free(struct db_image *m);
MUST_USE int db_image_put(struct db_image *m, const json_t *doc);
MUST_USE int db_image_remove(struct db_image *m, const char *id); /* 0 also where it is not there */
MUST_USE int db_image_ready(struct db_image *m);

/* Questions: as the operations of db_backend.h. */
MUST_USE int db_image_get(const struct db_image *m, const char *id, json_t **ret);
MUST_USE int db_image_list(const struct db_image *m, const struct db_range *range, json_t *into);
MUST_USE int db_image_count(const struct db_image *m, const struct db_range *range, uint64_t *ret);
MUST_USE int db_image_search(const struct db_image *m, struct db_hits *hits);
uint64_t db_image_rarity(const struct db_image *m, const struct db_term *term);
MUST_USE int db_image_words(const struct db_image *m, const char *prefix, unsigned limit,
                            json_t *into);
/* All at once: {"total": n, "FIELD": {"VALUE": n}}. */
MUST_USE int db_image_facets(const struct db_image *m, const struct db_facets *facets,
                             json_t **ret);

/* --- among the db_image*.c files -------------------------------------------------------------- */

MUST_USE int db_numbers_add(struct db_numbers *n, uint32_t number);
MUST_USE int db_numbers_insert(struct db_numbers *n, uint32_t at, uint32_t number);
void db_numbers_cut(struct db_numbers *n, uint32_t at);

/* The member's number in the shape, or -1. */
int db_image_member(const struct db_shape *shape, const char *name);
MUST_USE int db_image_intern(struct db_image *m, struct str text, uint32_t *ret);

/* db_image_order.c */
MUST_USE int db_order_add(struct db_image *m, uint32_t slot);
void db_order_remove(struct db_image *m, uint32_t slot);
MUST_USE int db_order_sort(struct db_image *m);

/* db_image_words.c */
MUST_USE int db_image_words_of(struct db_image *m, const json_t *doc, uint32_t **ret,
                               unsigned *ret_count);
MUST_USE int db_image_words_add(struct db_image *m, uint32_t slot);
void db_image_words_remove(struct db_image *m, uint32_t slot);
void db_image_words_sort(struct db_image *m);

/* db_image_filter.c: a `where`, made ready for many documents. */
struct db_filter_test {
    int member; /* < 0: the text is read */
    const json_t *wanted;
    uint32_t *texts; /* of the wanted texts those that some document has */
    unsigned texts_count;
};
struct db_filter {
    const json_t *where;
    struct db_filter_test tests[DB_MEMBERS_MAX];
    unsigned count;
};
MUST_USE int db_filter_make(const struct db_image *m, const json_t *where, struct db_filter *ret);
bool db_filter_holds(const struct db_filter *f, const struct db_image_doc *doc);
void db_filter_free(struct db_filter *f);
