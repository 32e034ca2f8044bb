/* SPDX-License-Identifier: Apache-2.0 */
/* hot_learn: when blobs are asked for again, learnt from the requests, by class and age.
 *
 * Life:    hot_learn_init -> hot_learn_lived, hot_learn_used for what is seen; when enough of it
 *          is new they make the values of a class anew, which hot_learn_value reads.
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

#define HOT_LEARN_ALL_EVERY 4u /* reports: a sample is enough for all classes together */

struct hot_learn_cell {
    float lived; /* more than of the age before: passed it and were not asked for */
    float used;  /* were asked for at this age */
};

struct hot_learn_table {
    uint32_t news, due; /* reports since it was ranked; how many make that worth while */
    float reports;      /* all that count */
    struct hot_learn_cell cells[HOT_AGES];
};

struct hot_learn {
    uint32_t reports;
    struct hot_learn_table all, classes[HOT_CLASSES];
    float chances[HOT_AGES]; /* of being asked for at this age, all classes together */
    float values[HOT_CLASSES][HOT_AGES];
};

void hot_learn_init(struct hot_learn *l);
void hot_learn_rank(struct hot_learn *l, unsigned class); /* called by the reports when it is due */
void hot_learn_rank_all(struct hot_learn *l);
uint32_t hot_learn_age_first(unsigned age); /* the first that has this number */
float hot_learn_value(const struct hot_learn *l, unsigned class, uint32_t requests);

/* The number of an age, < HOT_AGES. */
static inline unsigned hot_learn_age(uint32_t requests)
{
    if (requests < 4)
        return requests;
    unsigned octave = 31u - (unsigned)__builtin_clz(requests);
    unsigned age = 4 * (octave - 1) + (requests >> (octave - 2) & 3);
    return MIN(age, HOT_AGES - 1);
}

static inline void hot_learn_add(struct hot_learn_table *t, unsigned from, unsigned to, float used)
{
    t->cells[from].lived += 1;
    t->cells[to].lived -= 1;
    t->cells[to].used += used;
    t->news++;
}

static inline void hot_learn_report(struct hot_learn *l, unsigned class, unsigned from, unsigned to,
                                    float used)
{
    if (++l->reports % HOT_LEARN_ALL_EVERY == 0) {
        hot_learn_add(&l->all, from, to, used);
        if (l->all.news >= l->all.due)
            hot_learn_rank_all(l);
    }
    hot_learn_add(&l->classes[class], from, to, used);
    if (__builtin_expect(l->classes[class].news >= l->classes[class].due, 0))
        hot_learn_rank(l, class);
}

/* A blob of this class has passed the ages from..to - 1; each is reported once. from <= to. */
static inline void hot_learn_lived(struct hot_learn *l, unsigned class, unsigned from, unsigned to)
{
    hot_learn_report(l, class, from, to, 0);
}

/* The same, and was asked for at age `to`. */
static inline void hot_learn_used(struct hot_learn *l, unsigned class, unsigned from, unsigned to)
{
    hot_learn_report(l, class, from, to, 1);
}
