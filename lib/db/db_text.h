/* SPDX-License-Identifier: Apache-2.0 */
/* db_text: the words of texts and of documents.
 *
 * Life:    none.
 * Owner:   the caller's memory.
 * Threads: any.
 * Errors:  -EINVAL not UTF-8; -ENOMEM.
 * Units:   a word has at most DB_WORD_SIZE - 1 bytes; what is longer is cut. */
#pragma once
#include "base/buf.h"
#include "db/db_shape.h"

#define DB_WORD_SIZE 65
#define DB_WORDS_MAX 4096 /* of one member of one document; the rest is not found */

/* Raise it with every change of what a word is: backends then make their words anew. */
#define DB_TEXT_VERSION 1

/* Whether db_words_of could have given it. */
bool db_word_ok(const char *word);

/* Appends the words of the i-th text member, parted by blanks. Text that is not UTF-8 has none. */
MUST_USE int db_text_of(const struct db_shape *shape, unsigned i, const json_t *doc,
                        struct buf *out);
