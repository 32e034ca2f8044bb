/* SPDX-License-Identifier: Apache-2.0 */
/* hot_learn: when blobs are asked for again, learnt from the requests, by class and age.
 *
 * Life:    hot_learn_init -> hot_learn_lived, hot_learn_used for what is seen; hot_learn_rank from
 *          time to time, which makes the values of one class after the other.
 * Owner:   hot_policy embeds it: a plain struct of 97 KiB.
 * Threads: one at a time.
 * Errors:  none.
 * Units:   ages in requests, numbered in quarters of an octave; a value is hits a request of
 *          waiting, at best.
 * Source:  Gittins, "Bandit processes and dynamic allocation indices", J. R. Stat. Soc. B, 1979. */
#pragma once
#include "base/base.h"

#define HOT_AGES    88u
#define HOT_CLASSES 92u

struct hot_learn_cell {
    float lived; /* passed this age and were not asked for */
    float used;  /* were asked for at this age */
};

struct hot_learn {
    struct hot_learn_cell cells[HOT_CLASSES][HOT_AGES];
    float values[HOT_CLASSES][HOT_AGES];
    struct hot_learn_cell sums[HOT_AGES]; /* of the classes that had their turn in this round */
    float chances[HOT_AGES];              /* of all classes, as of the round before */
    unsigned turn;
};

void hot_learn_init(struct hot_learn *l);
void hot_learn_rank(struct hot_learn *l);   /* the next class */
unsigned hot_learn_age(uint32_t requests);  /* its number, < HOT_AGES */
uint32_t hot_learn_age_first(unsigned age); /* the first that has this number */
float hot_learn_value(const struct hot_learn *l, unsigned class, uint32_t requests);

/* A blob of this class has passed the ages from..to - 1; each is reported once. */
static inline void hot_learn_lived(struct hot_learn *l, unsigned class, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++)
        l->cells[class][i].lived += 1;
}

static inline void hot_learn_used(struct hot_learn *l, unsigned class, unsigned from, unsigned age)
{
    hot_learn_lived(l, class, from, age);
    l->cells[class][age].used += 1;
}
