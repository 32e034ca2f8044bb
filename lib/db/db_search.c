/* SPDX-License-Identifier: Apache-2.0 */
/* Searches. A backend tells which documents have the words and in which member; which are the best
 * is decided here, so that every backend agrees. What a word weighs depends on how many have it,
 * which changes all the time, so the first page's weights go on in the cursor: a document's place
 * does not move between pages. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "db/db_backend.h"
#include "db/db_cursor.h"
#include "db/db_doc.h"
#include "db/db_memory.h"
#include "db/db_text.h"

#define DB_RARITY_MAX  16
#define DB_EXACT       3 /* an exact word against one that only begins so */
#define DB_PREFIX      2
#define DB_SCORE_MAX   (INT64_C(1) << 40)
#define DB_CURSOR_NAME "words"

_Static_assert(DB_TEXT_MAX <= 8, "a member's weight is a bit");

struct db_hit {
    int64_t score;
    char *id;
};

/* A heap with the worst on top: of all that is found the best `room` stay. */
struct db_best {
    struct db_hits hits;
    const struct db_search *search;
    int64_t weights[DB_TERMS_MAX];
    const struct db_hit *after; /* what the page before ended with, or NULL */
    struct db_hit *heap;
    unsigned count;
    unsigned room;
};

static bool db_hit_better(const struct db_hit *a, const struct db_hit *b)
{
    return a->score != b->score ? a->score > b->score : strcmp(a->id, b->id) < 0;
}

static void db_best_up(struct db_best *best, unsigned at)
{
    while (at > 0 && db_hit_better(&best->heap[(at - 1) / 2], &best->heap[at])) {
        struct db_hit swap = best->heap[at];
        best->heap[at] = best->heap[(at - 1) / 2];
        best->heap[(at - 1) / 2] = swap;
        at = (at - 1) / 2;
    }
}

static void db_best_down(struct db_best *best)
{
    unsigned at = 0;
    for (;;) {
        unsigned worst = at;
        for (unsigned child = 2 * at + 1; child <= 2 * at + 2 && child < best->count; child++)
            if (db_hit_better(&best->heap[worst], &best->heap[child]))
                worst = child;
        if (worst == at)
            return;
        struct db_hit swap = best->heap[at];
        best->heap[at] = best->heap[worst];
        best->heap[worst] = swap;
        at = worst;
    }
}

static int64_t db_best_score(const struct db_best *best, const uint8_t at[DB_TERMS_MAX])
{
    const struct db_search *s = best->search;
    int64_t score = 0;
    for (unsigned i = 0; i < s->terms_count; i++) {
        int64_t top = 0;
        bool first = true;
        for (unsigned k = 0; k < i; k++)
            first = first && s->terms[k].group != s->terms[i].group;
        if (!first) /* the group has been counted */
            continue;
        for (unsigned k = i; k < s->terms_count; k++)
            if (s->terms[k].group == s->terms[i].group && at[k] < DB_TEXT_MAX)
                top = MAX(top, best->weights[k] << (DB_TEXT_MAX - at[k]));
        score += top;
    }
    return score;
}

static bool db_best_takes(const struct db_best *best, const struct db_hit *hit)
{
    if (best->after != NULL && !db_hit_better(best->after, hit))
        return false;
    return best->count < best->room || db_hit_better(hit, &best->heap[0]);
}

static bool db_best_wanted(struct db_hits *hits, const char *id, const uint8_t at[DB_TERMS_MAX])
{
    const struct db_best *best = CONTAINER_OF(hits, struct db_best, hits);
    const struct db_hit hit = {.score = db_best_score(best, at), .id = (char *)(uintptr_t)id};
    return db_best_takes(best, &hit);
}

static int db_best_found(struct db_hits *hits, const char *id, const uint8_t at[DB_TERMS_MAX])
{
    struct db_best *best = CONTAINER_OF(hits, struct db_best, hits);
    struct db_hit hit = {.score = db_best_score(best, at), .id = (char *)(uintptr_t)id};
    if (!db_best_takes(best, &hit))
        return 0;
    hit.id = str_dup(str_of(id));
    if (hit.id == NULL)
        return -ENOMEM;
    if (best->count < best->room) {
        best->heap[best->count++] = hit;
        db_best_up(best, best->count - 1);
    } else {
        free(best->heap[0].id);
        best->heap[0] = hit;
        db_best_down(best);
    }
    return 0;
}

static int64_t db_rarity(uint64_t total, uint64_t count)
{
    int64_t rarity = 1;
    for (uint64_t ratio = (total + 1) / (count + 1); ratio > 1; ratio /= 2)
        rarity++;
    return MIN(rarity, DB_RARITY_MAX);
}

static int db_best_weigh(struct db *db, unsigned coll, struct db_best *best)
{
    uint64_t total = 0;
    int r = db_ask_total(db, coll, &total);
    for (unsigned i = 0; r == 0 && i < best->search->terms_count; i++) {
        const struct db_term *term = &best->search->terms[i];
        uint64_t count = 0;
        r = db_ask_rarity(db, coll, term, &count);
        best->weights[i] = db_rarity(total, count) * (term->prefix ? DB_PREFIX : DB_EXACT);
    }
    return r;
}

/* ["words", [weight, ...], score, "id"] */
static int db_best_cursor(const struct db_best *best, const struct db_hit *last, char **ret)
{
    json_t *weights = json_array();
    for (unsigned i = 0; i < best->search->terms_count; i++)
        if (json_array_append_new(weights, json_integer(best->weights[i])) < 0) {
            json_decref(weights);
            return -ENOMEM;
        }
    return db_cursor_pack(
        json_pack("[s, o, I, s]", DB_CURSOR_NAME, weights, (json_int_t)last->score, last->id), ret);
}

static bool db_cursor_weights(const json_t *weights, struct db_best *best)
{
    if (json_array_size(weights) != best->search->terms_count)
        return false;
    for (unsigned i = 0; i < best->search->terms_count; i++) {
        const json_t *weight = json_array_get(weights, i);
        best->weights[i] = json_integer_value(weight);
        if (!json_is_integer(weight) || best->weights[i] < 1 ||
            best->weights[i] > DB_RARITY_MAX * DB_EXACT)
            return false;
    }
    return true;
}

/* *ret_json holds what *ret borrows from. */
static int db_best_place(struct db_best *best, json_t **ret_json, struct db_hit *ret)
{
    json_t *cursor = NULL;
    int r = db_cursor_unpack(best->search->cursor, &cursor);
    if (r < 0)
        return r;
    const char *name = json_string_value(json_array_get(cursor, 0));
    const json_t *score = json_array_get(cursor, 2);
    const char *id = json_string_value(json_array_get(cursor, 3));
    if (json_array_size(cursor) != 4 || name == NULL || strcmp(name, DB_CURSOR_NAME) != 0 ||
        !json_is_integer(score) || json_integer_value(score) < 0 ||
        json_integer_value(score) > DB_SCORE_MAX || !db_id_ok(id) ||
        !db_cursor_weights(json_array_get(cursor, 1), best)) {
        json_decref(cursor);
        return -EINVAL;
    }
    *ret = (struct db_hit){.score = json_integer_value(score), .id = (char *)(uintptr_t)id};
    *ret_json = cursor;
    return 0;
}

static int db_hit_order(const void *a, const void *b)
{
    return db_hit_better(a, b) ? -1 : db_hit_better(b, a) ? 1 : 0;
}

/* The documents of the page; those that have gone in the meantime are left out. */
static int db_best_documents(struct db *db, unsigned coll, const struct db_best *best, json_t **ret)
{
    const char *ids[DB_LIST_MAX] = {NULL}; /* gcc -O3 does not see that all are set */
    unsigned count = MIN(best->count, best->search->limit);
    for (unsigned i = 0; i < count; i++)
        ids[i] = best->heap[i].id;
    int r = db_get_many(db, coll, ids, count, ret);
    for (size_t i = count; r == 0 && i > 0; i--)
        if (json_is_null(json_array_get(*ret, i - 1)))
            (void)json_array_remove(*ret, i - 1); /* in range */
    return r;
}

/* Words may be a stranger's; that there are some is the program's business. */
static int db_search_check(const struct db *db, unsigned coll, const struct db_search *search)
{
    ASSERT(db != NULL && db->magic == DB_MAGIC);
    ASSERT(coll < db->schema->collections_count);
    ASSERT(db->shapes[coll].text_count > 0);
    ASSERT(search->terms_count > 0 && search->terms_count <= DB_TERMS_MAX);
    for (unsigned i = 0; i < search->terms_count; i++)
        if (!db_word_ok(search->terms[i].word))
            return -EINVAL;
    return db_where_check(&db->shapes[coll], search->where);
}

static int db_search_page(struct db *db, unsigned coll, struct db_best *best, json_t **ret,
                          char **ret_cursor)
{
    json_t *docs = NULL;
    char *next = NULL;
    int r = db_ask_search(db, coll, &best->hits);
    if (r < 0)
        return r;
    qsort(best->heap, best->count, sizeof *best->heap, db_hit_order);
    r = db_best_documents(db, coll, best, &docs);
    if (r == 0 && best->count > best->search->limit)
        r = db_best_cursor(best, &best->heap[best->search->limit - 1], &next);
    if (r < 0) {
        json_decref(docs);
        return r;
    }
    *ret = docs;
    *ret_cursor = next;
    return 0;
}

int db_search(struct db *db, unsigned coll, const struct db_search *search, json_t **ret,
              char **ret_cursor)
{
    struct db_hit after;
    json_t *cursor = NULL;
    ASSERT(ret != NULL && ret_cursor != NULL);
    ASSERT(search->limit > 0 && search->limit <= DB_LIST_MAX);
    struct db_best best = {.hits = {.terms = search->terms,
                                    .terms_count = search->terms_count,
                                    .where = search->where,
                                    .wanted = db_best_wanted,
                                    .found = db_best_found},
                           .search = search,
                           .room = search->limit + 1};
    int r = db_search_check(db, coll, search);
    if (r == 0 && search->cursor != NULL)
        r = db_best_place(&best, &cursor, &after);
    else if (r == 0)
        r = db_best_weigh(db, coll, &best);
    if (r < 0)
        return r;
    best.after = cursor != NULL ? &after : NULL;
    best.heap = malloc(best.room * sizeof *best.heap);
    r = best.heap == NULL ? -ENOMEM : db_search_page(db, coll, &best, ret, ret_cursor);
    for (unsigned i = 0; i < best.count; i++)
        free(best.heap[i].id);
    free(best.heap);
    json_decref(cursor);
    return r;
}
