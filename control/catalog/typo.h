/* SPDX-License-Identifier: Apache-2.0 */
/* typo: how far a word is from another: letters left out, put in, exchanged, or two neighbours
 * swapped, each once. Pure.
 *
 * Life:    calls.
 * Owner:   the caller's memory.
 * Threads: any.
 * Errors:  -EINVAL: not UTF-8; -ENAMETOOLONG: more than TYPO_LETTERS_MAX letters.
 * Units:   letters are Unicode code points.
 * Source:  the optimal string alignment distance (restricted Damerau-Levenshtein). */
#pragma once
#include "base/str.h"

#define TYPO_LETTERS_MAX 48 /* longer words are searched for as they are */

struct typo_word {
    uint32_t letters[TYPO_LETTERS_MAX];
    unsigned count;
    uint64_t bag; /* which letters it has, folded into 64 bits: tells most strangers apart */
};

MUST_USE int typo_word_of(struct str text, struct typo_word *ret);

/* How many mistakes are forgiven: 0 below 4 letters, 1 below 8, then 2. */
unsigned typo_allowed(unsigned letters);

/* The distance, or limit + 1 where it is more than limit (at most 2). */
unsigned typo_distance(const struct typo_word *a, const struct typo_word *b, unsigned limit);

/* The distance from a to the nearest beginning of b: of a word that is still being typed. */
unsigned typo_distance_prefix(const struct typo_word *a, const struct typo_word *b, unsigned limit);
