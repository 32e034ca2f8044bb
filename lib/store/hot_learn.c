/* SPDX-License-Identifier: Apache-2.0 */
/* For each class a life table: of those that reached an age, how many were asked for within it.
 * What still waits counts in the ages that it has passed, so nothing is learnt late.
 *
 * The value of a blob is the best over all times that one may wait for it: the chance that it is
 * asked for by then, over the time that it takes up room until then. It may rise with age: a
 * segment that the next viewer is about to reach is worth more than one he has just passed.
 *
 * Few observations say little, so a class counts as HOT_LEARN_PRIOR blobs that behaved as those of
 * all classes at this age, and these begin as HOT_LEARN_ALL_PRIOR with a chance of HOT_LEARN_GUESS
 * for each doubling of the age, about: the value then falls as 1 / age, which is LRU. */
#include "store/hot_learn.h"

#define HOT_LEARN_PRIOR     4.0f
#define HOT_LEARN_ALL_PRIOR 16.0f
#define HOT_LEARN_GUESS     0.2f
#define HOT_LEARN_FADE      0.9f /* what a round leaves of what was seen before */

unsigned hot_learn_age(uint32_t requests)
{
    if (requests < 4)
        return requests;
    unsigned octave = 31u - (unsigned)__builtin_clz(requests);
    unsigned age = 4 * (octave - 1) + (requests >> (octave - 2) & 3);
    return MIN(age, HOT_AGES - 1);
}

uint32_t hot_learn_age_first(unsigned age)
{
    ASSERT(age <= HOT_AGES);
    return age < 4 ? age : (4u + age % 4) << (age / 4 - 1);
}

static float hot_learn_length(unsigned age)
{
    return (float)(hot_learn_age_first(age + 1) - hot_learn_age_first(age));
}

/* From the oldest age down, as stretches of ages: it pays to wait through the next stretch when
 * that is better than this one; the two are then one. */
static void hot_learn_rank_class(float *values, const float *chances)
{
    struct {
        float hits, waiting; /* expected, of a blob at its begin */
        float left;          /* the chance to get to its end */
    } stretches[HOT_AGES], now;
    unsigned count = 0;
    for (unsigned age = HOT_AGES; age-- > 0;) {
        now.hits = chances[age];
        now.waiting =
            hot_learn_length(age) * (1 - chances[age] / 2); /* a hit comes halfway through */
        now.left = 1 - chances[age];
        while (count > 0 &&
               stretches[count - 1].hits * now.waiting > now.hits * stretches[count - 1].waiting) {
            count--;
            now.hits += now.left * stretches[count].hits;
            now.waiting += now.left * stretches[count].waiting;
            now.left *= stretches[count].left;
        }
        stretches[count++] = now;
        values[age] = now.hits / now.waiting;
    }
}

static void hot_learn_round(struct hot_learn *l)
{
    for (unsigned age = 0; age < HOT_AGES; age++) {
        struct hot_learn_cell *sum = &l->sums[age];
        float guess = HOT_LEARN_GUESS * hot_learn_length(age) / (float)hot_learn_age_first(age + 1);
        l->chances[age] = (sum->used + guess * HOT_LEARN_ALL_PRIOR) /
                          (sum->used + sum->lived + HOT_LEARN_ALL_PRIOR);
        *sum = (struct hot_learn_cell){0, 0};
    }
}

void hot_learn_rank(struct hot_learn *l)
{
    float chances[HOT_AGES];
    ASSERT(l->turn < HOT_CLASSES);
    for (unsigned age = 0; age < HOT_AGES; age++) {
        struct hot_learn_cell *cell = &l->cells[l->turn][age];
        chances[age] = (cell->used + HOT_LEARN_PRIOR * l->chances[age]) /
                       (cell->used + cell->lived + HOT_LEARN_PRIOR);
        l->sums[age].used += cell->used;
        l->sums[age].lived += cell->lived;
        cell->used *= HOT_LEARN_FADE;
        cell->lived *= HOT_LEARN_FADE;
    }
    hot_learn_rank_class(l->values[l->turn], chances);
    if (++l->turn == HOT_CLASSES) {
        l->turn = 0;
        hot_learn_round(l);
    }
}

void hot_learn_init(struct hot_learn *l)
{
    *l = (struct hot_learn){.turn = 0};
    hot_learn_round(l);
    for (unsigned i = 0; i < HOT_CLASSES; i++)
        hot_learn_rank(l);
}

/* Between the begins of two ages in proportion. */
float hot_learn_value(const struct hot_learn *l, unsigned class, uint32_t requests)
{
    unsigned age = hot_learn_age(requests);
    const float *values = l->values[class];
    if (age + 1 >= HOT_AGES)
        return values[HOT_AGES - 1];
    float part = (float)(requests - hot_learn_age_first(age)) / hot_learn_length(age);
    return values[age] + part * (values[age + 1] - values[age]);
}
