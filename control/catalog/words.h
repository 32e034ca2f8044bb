/* SPDX-License-Identifier: Apache-2.0 */
/* words: which words the videos have, kept in memory, so that a misspelt one can be told what it
 * may have meant without asking the database for each.
 *
 * Life:    words_new -> words_refresh now and then -> words_ref for a search -> words_unref ->
 *          words_free.
 * Owner:   who made it; a snapshot is everybody's who has a reference.
 * Threads: any. Only words_refresh blocks.
 * Errors:  0 or -errno.
 * Units:   milliseconds of the monotonic clock. */
#pragma once
#include <jansson.h>
#include "base/str.h"
#include "db/db.h"

#define WORDS_MAX        200000 /* the most frequent ones */
#define WORDS_REFRESH_MS (20 * 1000)
#define WORDS_NEAR_MAX   8

struct words;      /* the keeper */
struct words_list; /* a snapshot; never changes */

MUST_USE int words_new(struct words **ret);
struct words *words_free(struct words *w);

/* Reads them anew from the collection if what is here is older than WORDS_REFRESH_MS. */
MUST_USE int words_refresh(struct words *w, struct db *db, unsigned coll, uint64_t now_ms);
void words_forget(struct words *w); /* the next refresh reads in any case */

struct words_list *words_ref(struct words *w); /* an empty one before the first refresh */
struct words_list *words_unref(struct words_list *l);
DEFINE_CLEAN(struct words_list *, words_unref)

/* As db_words answers: [["word", n], ...]. */
MUST_USE int words_list_of(const json_t *list, struct words_list **ret);
size_t words_count(const struct words_list *l);

/* Whether there is such a word, or (prefix) one that begins so. */
bool words_has(const struct words_list *l, struct str word, bool prefix);

/* Those that are as near as typo_allowed lets them be, the nearest and most frequent first; the
 * word itself is not among them. prefix: to beginnings of words. Texts are the list's. Returns how
 * many. */
unsigned words_near(const struct words_list *l, struct str word, bool prefix,
                    const char *out[WORDS_NEAR_MAX], unsigned max);
