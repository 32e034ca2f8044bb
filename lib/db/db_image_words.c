/* SPDX-License-Identifier: Apache-2.0 */
/* Words in memory: which documents have each, and in which member. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "db/db_image.h"
#include "db/db_text.h"

#define DB_PLACE_BITS 3
#define DB_PLACE_MASK 7U

_Static_assert(DB_TEXT_MAX <= DB_PLACE_MASK + 1, "a place has three bits");

/* --- keeping ---------------------------------------------------------------------------------- */

static uint32_t db_vocabulary_place(const struct db_image *m, struct str word)
{
    uint32_t low = 0;
    uint32_t high = m->vocabulary.count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        const char *text = m->words_of[m->vocabulary.at[mid]].text;
        size_t size = strlen(text);
        int order = memcmp(text, word.data, MIN(size, word.size));
        if (order < 0 || (order == 0 && size < word.size))
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static int db_word_new(struct db_image *m, struct str word, uint32_t *ret)
{
    uint32_t at = m->words.count;
    if (at >= DB_IMAGE_SLOTS_MAX)
        return -ENOTSUP;
    if (at == m->words_room) {
        uint32_t room = at == 0 ? 64 : 2 * at;
        struct db_image_word *wider = realloc(m->words_of, (size_t)room * sizeof *wider);
        if (wider == NULL)
            return -ENOMEM;
        m->words_of = wider;
        m->words_room = room;
    }
    char *copy = str_dup(word);
    int r = copy == NULL ? -ENOMEM : db_map_put(&m->words, (struct str){copy, word.size}, at);
    if (r < 0) {
        free(copy);
        return r;
    }
    m->words_of[at] = (struct db_image_word){.text = copy};
    m->size += sizeof *m->words_of + word.size + 2 * sizeof(struct db_map_place);
    *ret = at;
    if (m->bulk)
        return db_numbers_add(&m->vocabulary, at);
    return db_numbers_insert(&m->vocabulary, db_vocabulary_place(m, word), at);
}

static int db_word_get(struct db_image *m, struct str word, uint32_t *ret)
{
    *ret = db_map_get(&m->words, word);
    return *ret != DB_MAP_NONE ? 0 : db_word_new(m, word, ret);
}

static int db_words_rise(const void *a, const void *b)
{
    const uint32_t *x = a;
    const uint32_t *y = b;
    return (*x > *y) - (*x < *y);
}

static int db_words_of_member(struct db_image *m, unsigned member, const json_t *doc,
                              struct db_numbers *into)
{
    CLEAN_BUF struct buf line = BUF_EMPTY;
    int r = db_text_of(m->shape, member, doc, &line);
    struct str rest = buf_str(&line);
    while (r == 0 && rest.size > 0) {
        uint32_t word = 0;
        struct str one = str_cut(rest, ' ', &rest);
        r = db_word_get(m, one, &word);
        if (r == 0)
            r = db_numbers_add(into, word << DB_PLACE_BITS | member);
    }
    return r;
}

/* Each word once, with the first member that has it. */
int db_image_words_of(struct db_image *m, const json_t *doc, uint32_t **ret, unsigned *ret_count)
{
    struct db_numbers all = {NULL, 0, 0};
    int r = 0;
    for (unsigned i = 0; r == 0 && i < m->shape->text_count; i++)
        r = db_words_of_member(m, i, doc, &all);
    if (r < 0) {
        free(all.at);
        return r;
    }
    unsigned count = 0;
    if (all.count > 1)
        qsort(all.at, all.count, sizeof *all.at, db_words_rise);
    for (uint32_t i = 0; i < all.count; i++)
        if (count == 0 || all.at[i] >> DB_PLACE_BITS != all.at[count - 1] >> DB_PLACE_BITS)
            all.at[count++] = all.at[i];
    *ret = all.at;
    *ret_count = count;
    return 0;
}

static int db_posting_add(struct db_image_word *w, uint32_t posting)
{
    if (w->count == w->room) {
        uint32_t room = w->room == 0 ? 2 : 2 * w->room;
        uint32_t *wider = realloc(w->at, (size_t)room * sizeof *wider);
        if (wider == NULL)
            return -ENOMEM;
        w->at = wider;
        w->room = room;
    }
    w->at[w->count++] = posting;
    return 0;
}

int db_image_words_add(struct db_image *m, uint32_t slot)
{
    const struct db_image_doc *doc = m->docs[slot];
    int r = 0;
    for (unsigned i = 0; r == 0 && i < doc->words_count; i++)
        r = db_posting_add(&m->words_of[doc->words[i] >> DB_PLACE_BITS],
                           slot << DB_PLACE_BITS | (doc->words[i] & DB_PLACE_MASK));
    return r;
}

void db_image_words_remove(struct db_image *m, uint32_t slot)
{
    const struct db_image_doc *doc = m->docs[slot];
    for (unsigned i = 0; i < doc->words_count; i++) {
        struct db_image_word *w = &m->words_of[doc->words[i] >> DB_PLACE_BITS];
        uint32_t at = 0;
        while (at < w->count && w->at[at] >> DB_PLACE_BITS != slot)
            at++;
        ASSERT(at < w->count);
        w->at[at] = w->at[--w->count];
    }
}

static int db_vocabulary_by(const void *a, const void *b, void *arg)
{
    const struct db_image *m = arg;
    const uint32_t *x = a;
    const uint32_t *y = b;
    return strcmp(m->words_of[*x].text, m->words_of[*y].text);
}

void db_image_words_sort(struct db_image *m)
{
    if (m->vocabulary.count > 1)
        qsort_r(m->vocabulary.at, m->vocabulary.count, sizeof *m->vocabulary.at, db_vocabulary_by,
                m);
}

/* --- words that begin so ---------------------------------------------------------------------- */

struct db_stretch {
    uint32_t low, high; /* of the vocabulary */
};

static struct db_stretch db_stretch_of(const struct db_image *m, const char *word, bool prefix)
{
    struct db_stretch s = {db_vocabulary_place(m, str_of(word)), 0};
    size_t size = strlen(word);
    s.high = s.low;
    if (prefix) {
        /* The first that does not begin so. */
        uint32_t high = m->vocabulary.count;
        while (s.high < high) {
            uint32_t mid = s.high + (high - s.high) / 2;
            if (strncmp(m->words_of[m->vocabulary.at[mid]].text, word, size) <= 0)
                s.high = mid + 1;
            else
                high = mid;
        }
    } else if (s.low < m->vocabulary.count &&
               strcmp(m->words_of[m->vocabulary.at[s.low]].text, word) == 0) {
        s.high = s.low + 1;
    }
    return s;
}

uint64_t db_image_rarity(const struct db_image *m, const struct db_term *term)
{
    struct db_stretch s = db_stretch_of(m, term->word, term->prefix);
    uint64_t count = 0;
    for (uint32_t i = s.low; i < s.high; i++)
        count += m->words_of[m->vocabulary.at[i]].count;
    return count;
}

static int db_words_frequent(const void *a, const void *b, void *arg)
{
    const struct db_image *m = arg;
    const struct db_image_word *x = &m->words_of[*(const uint32_t *)a];
    const struct db_image_word *y = &m->words_of[*(const uint32_t *)b];
    return x->count != y->count ? (x->count < y->count) - (x->count > y->count)
                                : strcmp(x->text, y->text);
}

int db_image_words(const struct db_image *m, const char *prefix, unsigned limit, json_t *into)
{
    struct db_stretch s = {0, m->vocabulary.count};
    struct db_numbers some = {NULL, 0, 0};
    int r = 0;
    if (prefix[0] != 0)
        s = db_stretch_of(m, prefix, true);
    for (uint32_t i = s.low; r == 0 && i < s.high; i++)
        if (m->words_of[m->vocabulary.at[i]].count > 0)
            r = db_numbers_add(&some, m->vocabulary.at[i]);
    if (some.count > 1)
        qsort_r(some.at, some.count, sizeof *some.at, db_words_frequent, (void *)(uintptr_t)m);
    for (uint32_t i = 0; r == 0 && i < MIN(some.count, limit); i++) {
        const struct db_image_word *w = &m->words_of[some.at[i]];
        if (json_array_append_new(into, json_pack("[s, I]", w->text, (json_int_t)w->count)) < 0)
            r = -ENOMEM;
    }
    free(some.at);
    return r;
}

/* --- searches --------------------------------------------------------------------------------- */

/* Which documents have each term, and where: a byte for each. Those of a group are alternatives,
 * and a document that is found has one of each group. */
struct db_found {
    const struct db_image *m;
    const struct db_term *terms;
    unsigned terms_count;
    uint8_t *at[DB_TERMS_MAX]; /* by slot */
    uint64_t *bits;            /* the documents that are found */
    uint64_t *group;
    size_t bits_count;
};

static void db_found_free(struct db_found *f)
{
    for (unsigned i = 0; i < f->terms_count; i++)
        free(f->at[i]);
    free(f->bits);
    free(f->group);
}

static int db_found_term(struct db_found *f, unsigned term)
{
    const struct db_image *m = f->m;
    struct db_stretch s = db_stretch_of(m, f->terms[term].word, f->terms[term].prefix);
    uint8_t *at = malloc(MAX(m->slots, 1U));
    f->at[term] = at;
    if (at == NULL)
        return -ENOMEM;
    memset(at, DB_NOWHERE, m->slots);
    for (uint32_t i = s.low; i < s.high; i++) {
        const struct db_image_word *w = &m->words_of[m->vocabulary.at[i]];
        for (uint32_t k = 0; k < w->count; k++) {
            uint32_t slot = w->at[k] >> DB_PLACE_BITS;
            uint8_t place = (uint8_t)(w->at[k] & DB_PLACE_MASK);
            at[slot] = MIN(at[slot], place);
            f->group[slot / 64] |= UINT64_C(1) << (slot % 64);
        }
    }
    return 0;
}

static int db_found_make(const struct db_image *m, const struct db_term *terms, unsigned count,
                         struct db_found *ret)
{
    struct db_found *f = ret;
    bool done[DB_TERMS_MAX] = {false};
    int r = 0;
    *f = (struct db_found){
        .m = m, .terms = terms, .terms_count = count, .bits_count = (size_t)m->slots / 64 + 1};
    f->bits = malloc(f->bits_count * sizeof *f->bits);
    f->group = malloc(f->bits_count * sizeof *f->group);
    if (f->bits == NULL || f->group == NULL)
        r = -ENOMEM;
    else
        memset(f->bits, 0xff, f->bits_count * sizeof *f->bits);
    for (unsigned i = 0; r == 0 && i < count; i++) {
        if (done[i])
            continue;
        memset(f->group, 0, f->bits_count * sizeof *f->group);
        for (unsigned k = i; r == 0 && k < count; k++) {
            if (terms[k].group != terms[i].group)
                continue;
            done[k] = true;
            r = db_found_term(f, k);
        }
        for (size_t k = 0; r == 0 && k < f->bits_count; k++)
            f->bits[k] &= f->group[k];
    }
    if (r < 0)
        db_found_free(f);
    return r;
}

/* The next one from *at on; false: there is none. */
static bool db_found_next(const struct db_found *f, uint32_t *at)
{
    size_t i = *at / 64;
    uint64_t left = i < f->bits_count ? f->bits[i] & UINT64_MAX << (*at % 64) : 0;
    while (left == 0 && ++i < f->bits_count)
        left = f->bits[i];
    if (left == 0)
        return false;
    *at = (uint32_t)(i * 64) + (uint32_t)__builtin_ctzll(left);
    return true;
}

int db_image_search(const struct db_image *m, struct db_hits *hits)
{
    struct db_found found;
    struct db_filter filter;
    uint8_t at[DB_TERMS_MAX];
    ASSERT(m->magic == DB_IMAGE_MAGIC && !m->bulk);
    int r = db_found_make(m, hits->terms, hits->terms_count, &found);
    if (r < 0)
        return r;
    r = db_filter_make(m, hits->where, &filter);
    for (uint32_t slot = 0; r == 0 && db_found_next(&found, &slot); slot++) {
        const struct db_image_doc *doc = m->docs[slot];
        for (unsigned i = 0; i < hits->terms_count; i++)
            at[i] = found.at[i][slot];
        if (hits->wanted(hits, doc->id, at) && db_filter_holds(&filter, doc))
            r = hits->found(hits, doc->id, at);
    }
    db_filter_free(&filter);
    db_found_free(&found);
    return r;
}

/* --- counts ----------------------------------------------------------------------------------- */

struct db_tally {
    int members[DB_FACETS_MAX];
    uint32_t *texts[DB_FACETS_MAX]; /* how often each text of the image is the field's */
    json_t *counts[DB_FACETS_MAX];
    uint64_t total;
};

static int db_tally_name(json_t *counts, const char *name, uint32_t by)
{
    json_t *count = json_object_get(counts, name);
    if (count != NULL)
        return json_integer_set(count, json_integer_value(count) + by);
    return json_object_set_new_nocheck(counts, name, json_integer(by)) < 0 ? -ENOMEM : 0;
}

static int db_tally_hard(json_t *counts, const struct db_image_doc *doc, const char *field)
{
    json_t *whole = json_loadb(doc->text, doc->size, JSON_ALLOW_NUL, NULL);
    int r = whole == NULL ? -ENOMEM : db_facet_count(counts, json_object_get(whole, field));
    json_decref(whole);
    return r;
}

static int db_tally_cell(struct db_tally *t, unsigned i, const struct db_image_doc *doc,
                         const char *field)
{
    char number[32];
    const struct db_cell *cell = t->members[i] < 0 ? NULL : &doc->cells[t->members[i]];
    switch (cell == NULL ? DB_CELL_HARD : (enum db_cell_kind)cell->kind) {
    case DB_CELL_TEXT:
        t->texts[i][cell->text]++;
        return 0;
    case DB_CELL_LIST:
        for (uint32_t k = 0; k < cell->count; k++)
            t->texts[i][cell->list[k]]++;
        return 0;
    case DB_CELL_INTEGER:
        (void)snprintf(number, sizeof number, "%lld", (long long)cell->integer);
        return db_tally_name(t->counts[i], number, 1);
    case DB_CELL_BOOLEAN:
        return db_tally_name(t->counts[i], cell->integer != 0 ? "true" : "false", 1);
    case DB_CELL_HARD:
        return db_tally_hard(t->counts[i], doc, field);
    case DB_CELL_NONE:
    case DB_CELL_REAL: /* nothing to choose by */
        break;
    }
    return 0;
}

static int db_tally_all(const struct db_image *m, const struct db_facets *facets,
                        struct db_tally *t)
{
    struct db_found found;
    struct db_filter filter;
    int r = db_found_make(m, facets->terms, facets->terms_count, &found);
    if (r < 0)
        return r;
    r = db_filter_make(m, facets->where, &filter);
    for (uint32_t slot = 0; r == 0 && db_found_next(&found, &slot); slot++) {
        if (!db_filter_holds(&filter, m->docs[slot]))
            continue;
        t->total++;
        for (unsigned i = 0; r == 0 && i < facets->fields_count; i++)
            r = db_tally_cell(t, i, m->docs[slot], facets->fields[i]);
    }
    db_filter_free(&filter);
    db_found_free(&found);
    for (unsigned i = 0; r == 0 && i < facets->fields_count; i++)
        for (uint32_t k = 0; r == 0 && k < m->texts.count; k++)
            if (t->texts[i][k] > 0)
                r = db_tally_name(t->counts[i], m->texts_of[k].data, t->texts[i][k]);
    return r;
}

int db_image_facets(const struct db_image *m, const struct db_facets *facets, json_t **ret)
{
    struct db_tally t = {.total = 0};
    int r = 0;
    ASSERT(m->magic == DB_IMAGE_MAGIC && !m->bulk);
    for (unsigned i = 0; r == 0 && i < facets->fields_count; i++) {
        t.members[i] = db_image_member(m->shape, facets->fields[i]);
        t.texts[i] = calloc(MAX(m->texts.count, 1U), sizeof *t.texts[i]);
        t.counts[i] = json_object();
        r = t.texts[i] == NULL || t.counts[i] == NULL ? -ENOMEM : 0;
    }
    if (r == 0)
        r = db_tally_all(m, facets, &t);
    json_t *all = r < 0 ? NULL : json_pack("{s:I}", "total", (json_int_t)t.total);
    for (unsigned i = 0; i < facets->fields_count; i++) {
        if (r == 0 && json_object_set(all, facets->fields[i], t.counts[i]) < 0)
            r = -ENOMEM;
        json_decref(t.counts[i]);
        free(t.texts[i]);
    }
    if (r < 0) {
        json_decref(all);
        return r;
    }
    *ret = all;
    return 0;
}
