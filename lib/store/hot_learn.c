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
#include <string.h>

#define HOT_LEARN_PRIOR     4.0f
#define HOT_LEARN_ALL_PRIOR 16.0f
#define HOT_LEARN_GUESS     0.2f
#define HOT_LEARN_MEMORY    16384.0f /* reports; older ones fade */
#define HOT_LEARN_DUE       0.125f   /* ranked when so much of what it is based on is new */
#define HOT_LEARN_DUE_MIN   64.0f

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

/* The chances at each age, where `before` counts as much as `prior` blobs; then the past fades. */
static void hot_learn_table_rank(struct hot_learn_table *t, const float *before, float prior,
                                 float *chances)
{
    t->reports += (float)t->news;
    float fade = MIN(HOT_LEARN_MEMORY / MAX(t->reports, 1), 1);
    float lived = 0;
    for (unsigned age = 0; age < HOT_AGES; age++) {
        struct hot_learn_cell *cell = &t->cells[age];
        lived = MAX(lived + cell->lived, 0); /* below only by what rounding leaves */
        chances[age] = (cell->used + prior * before[age]) / (cell->used + lived + prior);
        cell->used *= fade;
        cell->lived *= fade;
    }
    t->reports *= fade;
    t->news = 0;
    t->due = (uint32_t)MAX(t->reports * HOT_LEARN_DUE, HOT_LEARN_DUE_MIN);
}

void hot_learn_rank(struct hot_learn *l, unsigned class)
{
    float chances[HOT_AGES];
    ASSERT(class < HOT_CLASSES);
    hot_learn_table_rank(&l->classes[class], l->chances, HOT_LEARN_PRIOR, chances);
    hot_learn_rank_class(l->values[class], chances);
}

void hot_learn_rank_all(struct hot_learn *l)
{
    float guess[HOT_AGES];
    for (unsigned age = 0; age < HOT_AGES; age++)
        guess[age] = HOT_LEARN_GUESS * hot_learn_length(age) / (float)hot_learn_age_first(age + 1);
    hot_learn_table_rank(&l->all, guess, HOT_LEARN_ALL_PRIOR, l->chances);
}

void hot_learn_init(struct hot_learn *l)
{
    memset(l, 0, sizeof *l);
    hot_learn_rank_all(l);
    for (unsigned i = 0; i < HOT_CLASSES; i++)
        hot_learn_rank(l, i);
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
