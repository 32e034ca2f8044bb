/* SPDX-License-Identifier: Apache-2.0 */
/* A count-min sketch of four rows. Its counters hold logarithms: level c stands for
 * 2^((c - HEAT_ONE - phase) / 8) reads, where phase counts the eighths of a half-life since the
 * present epoch began. So time alone makes all counters worth less and nothing has to be swept;
 * a later read simply comes in at a higher level. After an epoch of 64 eighths all levels go down
 * by 64, word by word, when a word is next written: each carries the number of the epoch that its
 * levels belong to, and changes by compare-and-swap as a whole.
 *
 * Levels are rounded up or down by chance so that the mean is right. One draw serves all four rows,
 * and ageing keeps the order of levels, so the least counter of a blob stays its best one. */
#include "store/heat.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define HEAT_ROWS        4u
#define HEAT_WORD_CELLS  6u /* of 8 bits; the upper 16 bits of a word are its epoch */
#define HEAT_EPOCH_SHIFT 48u
#define HEAT_OCTAVE      8u  /* levels that double */
#define HEAT_EPOCH_STEPS 64u /* a whole number of octaves */
#define HEAT_ONE         32u /* the level of one read when an epoch begins */
#define HEAT_LEVEL_MAX   255u
#define HEAT_VALUES      (HEAT_LEVEL_MAX + HEAT_EPOCH_STEPS)
#define HEAT_RATIO       1.0905077326652577 /* 2^(1/8) */

struct heat {
    uint32_t magic;
#define HEAT_MAGIC UINT32_C(0x4ea70d1e)
    uint64_t step_ms;
    uint64_t row_cells;
    uint64_t row_words;
    _Atomic uint64_t latest;    /* step: time never goes back */
    double values[HEAT_VALUES]; /* reads of level c in phase p at [c + HEAT_EPOCH_STEPS - 1 - p] */
    _Atomic uint64_t words[];
};

struct heat_time {
    uint16_t epoch;
    unsigned phase;
};

/* A blob's counter in one row. */
struct heat_cell {
    uint64_t word;
    unsigned shift;
};

static uint64_t heat_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

int heat_new(uint64_t counters, uint64_t half_life_ms, struct heat **ret)
{
    ASSERT(ret != NULL);
    if (counters == 0)
        counters = HEAT_COUNTERS;
    if (half_life_ms == 0)
        half_life_ms = HEAT_HALF_LIFE_MS;
    if (counters < HEAT_COUNTERS_MIN || counters > HEAT_COUNTERS_MAX)
        return -EINVAL;
    if (half_life_ms < HEAT_HALF_LIFE_MIN_MS)
        return -EINVAL;
    uint64_t per_word = (uint64_t)HEAT_ROWS * HEAT_WORD_CELLS;
    uint64_t row_words = (counters + per_word - 1) / per_word;
    struct heat *h = calloc(1, sizeof *h + HEAT_ROWS * row_words * sizeof h->words[0]);
    if (h == NULL)
        return -ENOMEM;
    h->magic = HEAT_MAGIC;
    h->step_ms = half_life_ms / HEAT_OCTAVE;
    h->row_words = row_words;
    h->row_cells = row_words * HEAT_WORD_CELLS;
    unsigned one = HEAT_ONE + HEAT_EPOCH_STEPS - 1;
    h->values[one] = 1;
    for (unsigned i = one + 1; i < HEAT_VALUES; i++)
        h->values[i] = h->values[i - 1] * HEAT_RATIO;
    for (unsigned i = one; i > 0; i--)
        h->values[i - 1] = h->values[i] / HEAT_RATIO;
    *ret = h;
    return 0;
}

struct heat *heat_free(struct heat *h)
{
    if (h == NULL)
        return NULL;
    ASSERT(h->magic == HEAT_MAGIC);
    MAGIC_CLEAR(h);
    free(h);
    return NULL;
}

uint64_t heat_bytes(const struct heat *h)
{
    ASSERT(h->magic == HEAT_MAGIC);
    return sizeof *h + HEAT_ROWS * h->row_words * sizeof h->words[0];
}

static struct heat_time heat_time_of(uint64_t step)
{
    return (struct heat_time){.epoch = (uint16_t)(step / HEAT_EPOCH_STEPS),
                              .phase = (unsigned)(step % HEAT_EPOCH_STEPS)};
}

static double heat_value(const struct heat *h, unsigned level, unsigned phase)
{
    ASSERT(level <= HEAT_LEVEL_MAX);
    return level == 0 ? 0 : h->values[level + HEAT_EPOCH_STEPS - 1 - phase];
}

static void heat_cells(const struct heat *h, const struct digest *d,
                       struct heat_cell cells[HEAT_ROWS])
{
    uint64_t parts[2];
    memcpy(parts, d->bytes, sizeof parts);
    uint64_t at = heat_mix(parts[0]);
    uint64_t step = heat_mix(parts[1] + at);
    for (unsigned row = 0; row < HEAT_ROWS; row++) {
        uint64_t hash = heat_mix(at + row * step);
        uint64_t cell = (uint64_t)(((unsigned __int128)hash * h->row_cells) >> 64);
        cells[row].word = row * h->row_words + cell / HEAT_WORD_CELLS;
        cells[row].shift = (unsigned)(cell % HEAT_WORD_CELLS) * 8;
    }
}

/* How many epochs lie between; -1: the word was written in the next one, by a thread that read the
 * clock after us. */
static int heat_word_age(uint64_t word, uint16_t epoch)
{
    uint16_t age = (uint16_t)(epoch - (uint16_t)(word >> HEAT_EPOCH_SHIFT));
    return age == UINT16_MAX ? -1 : age;
}

static unsigned heat_level_aged(unsigned level, int age)
{
    int64_t aged = (int64_t)level - (int64_t)age * (int64_t)HEAT_EPOCH_STEPS;
    if (level == 0 || aged <= 0)
        return 0;
    return (unsigned)MIN(aged, (int64_t)HEAT_LEVEL_MAX);
}

static unsigned heat_cell_level(uint64_t word, unsigned shift, uint16_t epoch)
{
    return heat_level_aged((unsigned)(word >> shift) & 0xffu, heat_word_age(word, epoch));
}

/* The word with all its levels as of epoch. */
static uint64_t heat_word_aged(uint64_t word, uint16_t epoch)
{
    int age = heat_word_age(word, epoch);
    if (age == 0)
        return word;
    uint64_t aged = (uint64_t)epoch << HEAT_EPOCH_SHIFT;
    for (unsigned shift = 0; shift < HEAT_EPOCH_SHIFT; shift += 8)
        aged |= (uint64_t)heat_level_aged((unsigned)(word >> shift) & 0xffu, age) << shift;
    return aged;
}

static unsigned heat_least(const struct heat *h, const struct heat_cell cells[HEAT_ROWS],
                           uint16_t epoch)
{
    unsigned least = HEAT_LEVEL_MAX;
    for (unsigned row = 0; row < HEAT_ROWS; row++) {
        uint64_t word = atomic_load_explicit(&h->words[cells[row].word], memory_order_relaxed);
        least = MIN(least, heat_cell_level(word, cells[row].shift, epoch));
    }
    return least;
}

static void heat_raise(struct heat *h, const struct heat_cell *cell, uint16_t epoch, unsigned level)
{
    _Atomic uint64_t *at = &h->words[cell->word];
    uint64_t word = atomic_load_explicit(at, memory_order_relaxed);
    for (;;) {
        /* Another thread is in the next epoch already: one read is lost. */
        if (heat_word_age(word, epoch) < 0)
            return;
        uint64_t aged = heat_word_aged(word, epoch);
        if (((unsigned)(aged >> cell->shift) & 0xffu) >= level)
            return;
        aged &= ~(UINT64_C(0xff) << cell->shift);
        aged |= (uint64_t)level << cell->shift;
        if (atomic_compare_exchange_weak_explicit(at, &word, aged, memory_order_relaxed,
                                                  memory_order_relaxed))
            return;
    }
}

/* In [0, 1). */
static double heat_draw(uint64_t salt)
{
    static _Thread_local uint64_t state;
    state += UINT64_C(0x9e3779b97f4a7c15);
    return (double)(heat_mix(state ^ salt) >> 11) * 0x1p-53;
}

void heat_touch(struct heat *h, const struct digest *d, uint64_t now_ms)
{
    ASSERT(h->magic == HEAT_MAGIC);
    struct heat_cell cells[HEAT_ROWS];
    uint64_t step = now_ms / h->step_ms;
    uint64_t latest = atomic_load_explicit(&h->latest, memory_order_relaxed);
    while (latest < step &&
           !atomic_compare_exchange_weak_explicit(&h->latest, &latest, step, memory_order_relaxed,
                                                  memory_order_relaxed))
        ;
    struct heat_time t = heat_time_of(MAX(step, latest));
    heat_cells(h, d, cells);
    unsigned least = heat_least(h, cells, t.epoch);
    double target = heat_value(h, least, t.phase) + 1;
    unsigned level = MAX(least, HEAT_ONE + t.phase);
    while (level < HEAT_LEVEL_MAX && heat_value(h, level + 1, t.phase) <= target)
        level++;
    if (level < HEAT_LEVEL_MAX) {
        double below = heat_value(h, level, t.phase);
        double above = heat_value(h, level + 1, t.phase);
        if (heat_draw(cells[0].word) * (above - below) < target - below)
            level++;
    }
    for (unsigned row = 0; row < HEAT_ROWS; row++)
        heat_raise(h, &cells[row], t.epoch, level);
}

double heat_of(const struct heat *h, const struct digest *d, uint64_t now_ms)
{
    ASSERT(h->magic == HEAT_MAGIC);
    struct heat_cell cells[HEAT_ROWS];
    uint64_t latest = atomic_load_explicit(&h->latest, memory_order_relaxed);
    struct heat_time t = heat_time_of(MAX(now_ms / h->step_ms, latest));
    heat_cells(h, d, cells);
    return heat_value(h, heat_least(h, cells, t.epoch), t.phase);
}
