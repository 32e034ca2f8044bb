/* SPDX-License-Identifier: Apache-2.0 */
/* db_memory: db_mirror.h as db.c and its siblings see it: each question goes to memory where that
 * counts, and to the backend where not.
 *
 * Life:    made by the first db_mirror or db_remember; freed by db_end.
 * Owner:   the database.
 * Threads: any.
 * Errors:  as db.h.
 * Units:   - */
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include "db/db_backend.h"
#include "db/db_image.h"
#include "db/db_mirror.h"

#define DB_MEMORY_STRIPES 64

struct db_mirror_state {
    unsigned coll;
    size_t size_max;
    atomic_bool whole;
    pthread_rwlock_t lock;  /* guards what follows */
    struct db_image *image; /* what is answered from while it is whole */
    bool filling;
    bool lost;       /* while it was being filled */
    json_t *changed; /* their ids: an object */
};

struct db_memo;

struct db_memory {
    _Atomic uint64_t fresh_ms;
    struct db_mirror_state *mirrors[DB_COLLECTIONS_MAX];
    struct db_memo *memos[DB_COLLECTIONS_MAX];
    /* What is read again is put in the order in which it was read. */
    pthread_mutex_t stripes[DB_MEMORY_STRIPES];
    pthread_mutex_t lock; /* guards what follows */
    db_told_fn *told;
    void *told_arg;
};

struct db_memory *db_memory_free(struct db_memory *m);

MUST_USE int db_ask_get(struct db *db, unsigned coll, const char *id, json_t **ret);
MUST_USE int db_ask_get_many(struct db *db, unsigned coll, const char *const *ids, unsigned count,
                             json_t *into);
MUST_USE int db_ask_list(struct db *db, unsigned coll, const struct db_range *range, json_t *into);
MUST_USE int db_ask_count(struct db *db, unsigned coll, const struct db_range *range,
                          uint64_t *ret);
MUST_USE int db_ask_search(struct db *db, unsigned coll, struct db_hits *hits);
/* Whether memory answers: then *ret is db_search_facets's. */
MUST_USE int db_ask_facets(struct db *db, unsigned coll, const struct db_facets *facets,
                           bool *ret_done, json_t **ret);
MUST_USE int db_ask_rarity(struct db *db, unsigned coll, const struct db_term *term, uint64_t *ret);
MUST_USE int db_ask_total(struct db *db, unsigned coll, uint64_t *ret);
MUST_USE int db_ask_words(struct db *db, unsigned coll, const char *prefix, unsigned limit,
                          json_t *into);

/* Around each change of a document; id NULL: of many. */
void db_changing(struct db *db, unsigned coll, const char *id);
void db_changed(struct db *db, unsigned coll, const char *id);

/* --- db_memo.c -------------------------------------------------------------------------------- */

MUST_USE int db_memo_new(struct db_memo **ret);
struct db_memo *db_memo_free(struct db_memo *m);
/* -EAGAIN: not known; *ret_turn is for db_memo_put. -ENOENT: known not to be there. */
MUST_USE int db_memo_get(struct db_memo *m, const char *id, json_t **ret, uint64_t *ret_turn);
/* doc NULL: there is none. Nothing where it was forgotten since the turn. */
void db_memo_put(struct db_memo *m, const char *id, const json_t *doc, uint64_t turn);
void db_memo_forget(struct db_memo *m, const char *id); /* NULL: all */
