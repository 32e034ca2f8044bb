/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/words.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "control/catalog/typo.h"

struct words_entry {
    const char *text;
    uint64_t bag; /* struct typo_word's */
    uint32_t count;
    uint16_t size;
    uint16_t letters;
};

struct words_list {
    uint32_t magic;
#define WORDS_LIST_MAGIC UINT32_C(0x30d51157)
    atomic_uint refs;
    struct words_entry *entries; /* by their bytes */
    size_t count;
    char *texts;
};

struct words {
    uint32_t magic;
#define WORDS_MAGIC UINT32_C(0x30d5c1e4)
    pthread_mutex_t lock;
    struct words_list *now;
    uint64_t read_ms; /* 0: never */
    bool reading;
};

/* --- a snapshot ------------------------------------------------------------------------------- */

struct words_list *words_unref(struct words_list *l)
{
    if (l == NULL)
        return NULL;
    ASSERT(l->magic == WORDS_LIST_MAGIC);
    if (atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) == 1) {
        MAGIC_CLEAR(l);
        free(l->entries);
        free(l->texts);
        free(l);
    }
    return NULL;
}

size_t words_count(const struct words_list *l)
{
    ASSERT(l->magic == WORDS_LIST_MAGIC);
    return l->count;
}

static int words_compare(const void *a, const void *b)
{
    const struct words_entry *x = a;
    const struct words_entry *y = b;
    return strcmp(x->text, y->text);
}

/* Words that nobody can be near to (too long, not UTF-8) are left out. */
static void words_add(struct words_list *l, const json_t *pair, size_t *used)
{
    const json_t *word = json_array_get(pair, 0);
    struct str text = {json_string_value(word), json_string_length(word)};
    struct typo_word letters;
    if (text.data == NULL || text.size == 0 || memchr(text.data, 0, text.size) != NULL ||
        typo_word_of(text, &letters) < 0)
        return;
    char *copy = l->texts + *used;
    memcpy(copy, text.data, text.size);
    copy[text.size] = 0;
    *used += text.size + 1;
    l->entries[l->count++] = (struct words_entry){
        .text = copy,
        .bag = letters.bag,
        .count = (uint32_t)MIN(json_integer_value(json_array_get(pair, 1)), (json_int_t)INT32_MAX),
        .size = (uint16_t)text.size,
        .letters = (uint16_t)letters.count,
    };
}

int words_list_of(const json_t *list, struct words_list **ret)
{
    size_t count = json_array_size(list);
    size_t size = 0;
    size_t i;
    json_t *pair;
    json_array_foreach(list, i, pair)
    {
        size += json_string_length(json_array_get(pair, 0)) + 1;
    }
    struct words_list *l = calloc(1, sizeof *l);
    if (l == NULL)
        return -ENOMEM;
    l->magic = WORDS_LIST_MAGIC;
    atomic_init(&l->refs, 1);
    l->entries = calloc(MAX(count, (size_t)1), sizeof *l->entries);
    l->texts = malloc(MAX(size, (size_t)1));
    if (l->entries == NULL || l->texts == NULL) {
        words_unref(l);
        return -ENOMEM;
    }
    size_t used = 0;
    json_array_foreach(list, i, pair)
    {
        words_add(l, pair, &used);
    }
    ASSERT(used <= size);
    qsort(l->entries, l->count, sizeof *l->entries, words_compare);
    *ret = l;
    return 0;
}

/* The first word that is not below. */
static size_t words_floor(const struct words_list *l, struct str word)
{
    size_t low = 0;
    size_t high = l->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct words_entry *e = &l->entries[mid];
        int order = memcmp(e->text, word.data, MIN((size_t)e->size, word.size));
        if (order < 0 || (order == 0 && e->size < word.size))
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

bool words_has(const struct words_list *l, struct str word, bool prefix)
{
    ASSERT(l->magic == WORDS_LIST_MAGIC);
    size_t at = words_floor(l, word);
    if (word.size == 0 || at == l->count)
        return false;
    struct str found = {l->entries[at].text, l->entries[at].size};
    return prefix ? str_starts(found, word) : str_eq(found, word);
}

/* --- what is near ----------------------------------------------------------------------------- */

struct words_best {
    const struct words_entry *at[WORDS_NEAR_MAX];
    unsigned distance[WORDS_NEAR_MAX];
    unsigned count, max;
};

static void words_keep(struct words_best *best, const struct words_entry *e, unsigned distance)
{
    unsigned at = best->count;
    while (at > 0 && (best->distance[at - 1] > distance ||
                      (best->distance[at - 1] == distance && best->at[at - 1]->count < e->count)))
        at--;
    if (at == best->max)
        return;
    unsigned last = MIN(best->count, best->max - 1);
    for (unsigned i = last; i > at; i--) {
        best->at[i] = best->at[i - 1];
        best->distance[i] = best->distance[i - 1];
    }
    best->at[at] = e;
    best->distance[at] = distance;
    best->count = last + 1;
}

/* Told without looking at the letters one by one: most words are. */
static bool words_is_far(const struct words_entry *e, const struct typo_word *of, unsigned limit,
                         bool prefix)
{
    unsigned lost = (unsigned)__builtin_popcountll(of->bag & ~e->bag);
    unsigned won = (unsigned)__builtin_popcountll(e->bag & ~of->bag);
    if (lost > limit || e->letters + limit < of->count)
        return true;
    return !prefix && (won > limit || e->letters > of->count + limit);
}

unsigned words_near(const struct words_list *l, struct str word, bool prefix,
                    const char *out[WORDS_NEAR_MAX], unsigned max)
{
    struct typo_word of;
    struct words_best best = {.count = 0, .max = MIN(max, (unsigned)WORDS_NEAR_MAX)};
    ASSERT(l->magic == WORDS_LIST_MAGIC);
    if (best.max == 0 || typo_word_of(word, &of) < 0 || typo_allowed(of.count) == 0)
        return 0;
    unsigned limit = typo_allowed(of.count);
    for (size_t i = 0; i < l->count; i++) {
        const struct words_entry *e = &l->entries[i];
        struct typo_word other;
        if (words_is_far(e, &of, limit, prefix) ||
            typo_word_of((struct str){e->text, e->size}, &other) < 0)
            continue;
        unsigned distance = typo_distance(&of, &other, limit);
        if (distance > limit && prefix)
            distance = typo_distance_prefix(&of, &other, limit);
        if (distance > 0 && distance <= limit)
            words_keep(&best, e, distance);
    }
    for (unsigned i = 0; i < best.count; i++)
        out[i] = best.at[i]->text;
    return best.count;
}

/* --- the keeper ------------------------------------------------------------------------------- */

int words_new(struct words **ret)
{
    struct words *w = calloc(1, sizeof *w);
    if (w == NULL)
        return -ENOMEM;
    w->magic = WORDS_MAGIC;
    int r = words_list_of(NULL, &w->now);
    if (r < 0) {
        free(w);
        return r;
    }
    (void)pthread_mutex_init(&w->lock, NULL); /* default attributes: cannot fail */
    *ret = w;
    return 0;
}

struct words *words_free(struct words *w)
{
    if (w == NULL)
        return NULL;
    ASSERT(w->magic == WORDS_MAGIC);
    words_unref(w->now);
    (void)pthread_mutex_destroy(&w->lock);
    MAGIC_CLEAR(w);
    free(w);
    return NULL;
}

struct words_list *words_ref(struct words *w)
{
    ASSERT(w->magic == WORDS_MAGIC);
    (void)pthread_mutex_lock(&w->lock);
    struct words_list *l = w->now;
    (void)atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
    (void)pthread_mutex_unlock(&w->lock);
    return l;
}

void words_forget(struct words *w)
{
    (void)pthread_mutex_lock(&w->lock);
    w->read_ms = 0;
    (void)pthread_mutex_unlock(&w->lock);
}

/* One at a time reads; the others go on with what there is. */
static bool words_take_turn(struct words *w, uint64_t now_ms)
{
    (void)pthread_mutex_lock(&w->lock);
    bool due = !w->reading && (w->read_ms == 0 || now_ms - w->read_ms >= WORDS_REFRESH_MS);
    if (due)
        w->reading = true;
    (void)pthread_mutex_unlock(&w->lock);
    return due;
}

int words_refresh(struct words *w, struct db *db, unsigned coll, uint64_t now_ms)
{
    json_t *list = NULL;
    struct words_list *fresh = NULL;
    ASSERT(w->magic == WORDS_MAGIC);
    if (!words_take_turn(w, now_ms))
        return 0;
    int r = db_words(db, coll, "", WORDS_MAX, &list);
    if (r == 0)
        r = words_list_of(list, &fresh);
    json_decref(list);
    (void)pthread_mutex_lock(&w->lock);
    struct words_list *old = fresh;
    if (r == 0) {
        old = w->now;
        w->now = fresh;
        w->read_ms = now_ms == 0 ? 1 : now_ms;
    }
    w->reading = false;
    (void)pthread_mutex_unlock(&w->lock);
    words_unref(old);
    return r;
}
