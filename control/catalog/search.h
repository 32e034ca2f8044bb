/* SPDX-License-Identifier: Apache-2.0 */
/* search: videos by words: what is typed becomes terms that the database can look for. The last
 * word counts as a beginning unless a blank stands behind it; "words in quotes" are meant as they
 * are; a word that no video has stands for those that are near to it (typo.h).
 *
 * Life:    search_parse -> search_terms_make -> search_run.
 * Owner:   the caller clears queries and terms; answers are the caller's.
 * Threads: any; search_run and search_suggest block on the database.
 * Errors:  -EINVAL: the cursor is none of a search; else as db.h.
 * Units:   words as db_words_of makes them. */
#pragma once
#include "base/str.h"
#include "control/catalog/words.h"
#include "db/db.h"

#define SEARCH_WORDS_MAX 8 /* further ones are not looked for */

struct search_word {
    const char *text; /* the query's */
    bool literal;     /* in quotes */
    bool prefix;      /* still being typed */
};

struct search_query {
    struct search_word words[SEARCH_WORDS_MAX];
    unsigned count; /* 0: nothing to look for */
    json_t *texts;
};

MUST_USE int search_parse(struct str text, struct search_query *ret);
void search_query_clear(struct search_query *q);

struct search_terms {
    struct db_term terms[DB_TERMS_MAX];
    unsigned count;
    bool forgave; /* there are words among them that were not typed */
    json_t *texts;
};

/* all: also words that videos have stand for what is near to them. */
MUST_USE int search_terms_make(const struct search_query *q, const struct words_list *words,
                               bool all, struct search_terms *ret);
void search_terms_clear(struct search_terms *t);

struct search_ask {
    struct str text;
    const json_t *where;
    unsigned limit;
    const char *cursor;
    const char *const *facets; /* members of videos; counted on the first page only */
    unsigned facets_count;
};

struct search_found {
    json_t *videos;
    json_t *facets;    /* as db_search_facets; NULL: not counted */
    json_t *corrected; /* words that were looked for but not typed; NULL: none */
    char *next;
};

/* The text has a word at least: -EINVAL without one, as with a bad cursor. */
MUST_USE int search_run(struct db *db, unsigned coll, const struct words_list *words,
                        const struct search_ask *ask, struct search_found *ret);
void search_found_clear(struct search_found *f);

/* Titles that go on as the text does; at most limit, each once. An array of texts. */
MUST_USE int search_suggest(struct db *db, unsigned coll, const struct words_list *words,
                            struct str text, const json_t *where, unsigned limit, json_t **ret);
