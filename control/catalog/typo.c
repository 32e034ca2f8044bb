/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/typo.h"
#include <errno.h>

#define TYPO_LIMIT_MAX 2

/* One code point; strings come from jansson or the database, but a stored word is checked all the
 * same. */
static int typo_letter(struct str *rest, uint32_t *ret)
{
    const unsigned char *p = (const unsigned char *)rest->data;
    unsigned more = p[0] < 0x80 ? 0 : p[0] < 0xc0 ? 4 : p[0] < 0xe0 ? 1 : p[0] < 0xf0 ? 2 : 3;
    if (more == 4 || p[0] > 0xf4 || rest->size <= more)
        return -EINVAL;
    uint32_t letter = more == 0 ? p[0] : p[0] & (0x3fu >> more);
    for (unsigned i = 1; i <= more; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return -EINVAL;
        letter = letter << 6 | (p[i] & 0x3fu);
    }
    *rest = str_skip(*rest, more + 1);
    *ret = letter;
    return 0;
}

int typo_word_of(struct str text, struct typo_word *ret)
{
    struct typo_word word = {.count = 0};
    while (text.size > 0) {
        if (word.count == TYPO_LETTERS_MAX)
            return -ENAMETOOLONG;
        uint32_t *letter = &word.letters[word.count];
        int r = typo_letter(&text, letter);
        if (r < 0)
            return r;
        word.bag |= UINT64_C(1) << (*letter % 64);
        word.count++;
    }
    *ret = word;
    return 0;
}

unsigned typo_allowed(unsigned letters)
{
    return letters < 4 ? 0 : letters < 8 ? 1 : 2;
}

/* A mistake takes at most one letter out of the bag and brings one in. */
static bool typo_is_stranger(const struct typo_word *a, const struct typo_word *b, unsigned limit)
{
    unsigned lost = (unsigned)__builtin_popcountll(a->bag & ~b->bag);
    unsigned won = (unsigned)__builtin_popcountll(b->bag & ~a->bag);
    return lost > limit || won > limit;
}

/* Row by row; row[i % 3][j] is the distance of a's first i letters from b's first j. Returns the
 * smallest of the last row when any_end, else its last. */
static unsigned typo_align(const struct typo_word *a, const struct typo_word *b, unsigned limit,
                           bool any_end)
{
    unsigned row[3][TYPO_LETTERS_MAX + 1];
    for (unsigned j = 0; j <= b->count; j++)
        row[0][j] = j;
    for (unsigned i = 1; i <= a->count; i++) {
        unsigned *now = row[i % 3];
        const unsigned *last = row[(i + 2) % 3];
        const unsigned *before = row[(i + 1) % 3];
        unsigned least = now[0] = i;
        for (unsigned j = 1; j <= b->count; j++) {
            bool same = a->letters[i - 1] == b->letters[j - 1];
            unsigned d = MIN(MIN(last[j], now[j - 1]) + 1, last[j - 1] + (same ? 0 : 1));
            if (i > 1 && j > 1 && a->letters[i - 1] == b->letters[j - 2] &&
                a->letters[i - 2] == b->letters[j - 1])
                d = MIN(d, before[j - 2] + 1);
            now[j] = d;
            least = MIN(least, d);
        }
        if (least > limit)
            return limit + 1; /* a row's least never falls again */
    }
    const unsigned *end = row[a->count % 3];
    unsigned distance = end[b->count];
    for (unsigned j = 0; any_end && j < b->count; j++)
        distance = MIN(distance, end[j]);
    return MIN(distance, limit + 1);
}

unsigned typo_distance(const struct typo_word *a, const struct typo_word *b, unsigned limit)
{
    ASSERT(limit <= TYPO_LIMIT_MAX);
    unsigned longer = MAX(a->count, b->count);
    if (longer - MIN(a->count, b->count) > limit || typo_is_stranger(a, b, limit))
        return limit + 1;
    return typo_align(a, b, limit, false);
}

unsigned typo_distance_prefix(const struct typo_word *a, const struct typo_word *b, unsigned limit)
{
    ASSERT(limit <= TYPO_LIMIT_MAX);
    struct typo_word head = *b;
    head.count = MIN(b->count, a->count + limit); /* no longer beginning can be near */
    if (head.count + limit < a->count)
        return limit + 1;
    return typo_align(a, &head, limit, true);
}
