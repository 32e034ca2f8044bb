/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/search.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/enc.h"
#include "control/catalog/member.h"

#define SEARCH_SUGGEST_PAGE 4 /* times as many videos as titles are read: some share theirs */

/* --- cursors ---------------------------------------------------------------------------------- */

/* A page is read by the very terms of the first one, though the words near to what was typed may
 * be others by now: so they are in the cursor. {"t": [[word, prefix, group], ...], "c": cursor} */
static int search_cursor_make(const struct search_terms *t, const char *inner, char **ret)
{
    json_t *terms = json_array();
    int r = terms == NULL ? -ENOMEM : 0;
    for (unsigned i = 0; r == 0 && i < t->count; i++)
        if (json_array_append_new(terms, json_pack("[s, b, i]", t->terms[i].word,
                                                   t->terms[i].prefix, (int)t->terms[i].group)) < 0)
            r = -ENOMEM;
    json_t *whole =
        r < 0 ? NULL : json_pack("{s:O, s:s, s:b}", "t", terms, "c", inner, "f", t->forgave);
    char *text = whole == NULL ? NULL : json_dumps(whole, JSON_COMPACT);
    CLEAN_BUF struct buf out = BUF_EMPTY;
    if (text != NULL)
        enc_base64url(text, strlen(text), &out);
    free(text);
    json_decref(terms);
    json_decref(whole);
    char *cursor = text == NULL ? NULL : buf_take(&out);
    if (cursor == NULL)
        return -ENOMEM;
    *ret = cursor;
    return 0;
}

/* What a client sent: checked as such. */
static int search_cursor_term(struct search_terms *t, const json_t *term)
{
    const json_t *word = json_array_get(term, 0);
    const json_t *prefix = json_array_get(term, 1);
    const json_t *group = json_array_get(term, 2);
    if (!json_is_string(word) || !json_is_boolean(prefix) || !json_is_integer(group) ||
        json_string_length(word) == 0 || json_integer_value(group) < 0 ||
        json_integer_value(group) >= SEARCH_WORDS_MAX || t->count == DB_TERMS_MAX)
        return -EINVAL;
    t->terms[t->count++] = (struct db_term){
        .word = json_string_value(word),
        .prefix = json_is_true(prefix),
        .group = (unsigned)json_integer_value(group),
    };
    return 0;
}

static int search_cursor_read(const char *cursor, struct search_terms *ret, char **ret_inner)
{
    CLEAN_BUF struct buf text = BUF_EMPTY;
    struct search_terms t = {.count = 0};
    size_t i;
    json_t *term;
    int r = enc_unbase64url(str_of(cursor), &text);
    if (r == 0)
        r = buf_error(&text);
    json_t *whole = r < 0 ? NULL : json_loadb(text.data, text.size, JSON_REJECT_DUPLICATES, NULL);
    const char *inner = member_text(whole, "c");
    const json_t *terms = json_object_get(whole, "t");
    if (r == 0 && (inner == NULL || json_array_size(terms) == 0))
        r = -EINVAL;
    json_array_foreach(terms, i, term)
    {
        if (r == 0)
            r = search_cursor_term(&t, term);
    }
    char *copy = r < 0 ? NULL : str_dup(str_of(inner));
    if (r == 0 && copy == NULL)
        r = -ENOMEM;
    if (r < 0) {
        json_decref(whole);
        return r;
    }
    t.forgave = json_is_true(json_object_get(whole, "f"));
    t.texts = whole; /* the terms' words are in it */
    *ret = t;
    *ret_inner = copy;
    return 0;
}

/* --- a page ----------------------------------------------------------------------------------- */

static int search_page(struct db *db, unsigned coll, const struct search_terms *t,
                       const struct search_ask *ask, const char *inner, json_t **ret,
                       char **ret_next)
{
    const struct db_search search = {
        .terms = t->terms,
        .terms_count = t->count,
        .where = ask->where,
        .limit = ask->limit,
        .cursor = inner,
    };
    return db_search(db, coll, &search, ret, ret_next);
}

/* What is typed as it is; where nothing is so, what is near to it. */
static int search_first(struct db *db, unsigned coll, const struct words_list *words,
                        const struct search_ask *ask, struct search_terms *ret_terms, json_t **ret,
                        char **ret_next)
{
    struct search_query q;
    int r = search_parse(ask->text, &q);
    if (r < 0)
        return r;
    if (q.count == 0)
        r = -EINVAL;
    for (int all = 0; r == 0 && all < 2; all++) {
        struct search_terms t = {.count = 0};
        r = search_terms_make(&q, words, all == 1, &t);
        if (r == 0)
            r = search_page(db, coll, &t, ask, NULL, ret, ret_next);
        if (r == 0 && (all == 1 || json_array_size(*ret) > 0)) {
            *ret_terms = t;
            break;
        }
        search_terms_clear(&t);
        if (r == 0) {
            json_decref(*ret);
            *ret = NULL;
        }
    }
    search_query_clear(&q);
    return r;
}

static int search_count(struct db *db, unsigned coll, const struct search_terms *t,
                        const struct search_ask *ask, json_t **ret)
{
    const struct db_search search = {
        .terms = t->terms,
        .terms_count = t->count,
        .where = ask->where,
        .limit = 1,
    };
    return db_search_facets(db, coll, &search, ask->facets, ask->facets_count, ret);
}

/* The words that stand for others: all of a group behind its first. */
static json_t *search_corrected(const struct search_terms *t)
{
    json_t *list = json_array();
    for (unsigned i = 1; i < t->count; i++)
        if (t->terms[i].group == t->terms[i - 1].group)
            (void)json_array_append_new(list, json_string(t->terms[i].word));
    return list;
}

int search_run(struct db *db, unsigned coll, const struct words_list *words,
               const struct search_ask *ask, struct search_found *ret)
{
    struct search_terms t = {.count = 0};
    struct search_found f = {NULL, NULL, NULL, NULL};
    char *inner = NULL;
    char *next = NULL;
    int r;
    if (ask->cursor == NULL) {
        r = search_first(db, coll, words, ask, &t, &f.videos, &next);
    } else {
        r = search_cursor_read(ask->cursor, &t, &inner);
        if (r == 0)
            r = search_page(db, coll, &t, ask, inner, &f.videos, &next);
    }
    if (r == 0 && ask->cursor == NULL && ask->facets_count > 0)
        r = search_count(db, coll, &t, ask, &f.facets);
    if (r == 0 && next != NULL)
        r = search_cursor_make(&t, next, &f.next);
    if (r == 0 && t.forgave) {
        f.corrected = search_corrected(&t);
        r = f.corrected == NULL ? -ENOMEM : 0;
    }
    free(inner);
    free(next);
    search_terms_clear(&t);
    if (r < 0)
        search_found_clear(&f);
    else
        *ret = f;
    return r;
}

void search_found_clear(struct search_found *f)
{
    json_decref(f->videos);
    json_decref(f->facets);
    json_decref(f->corrected);
    free(f->next);
    *f = (struct search_found){NULL, NULL, NULL, NULL};
}

/* --- suggestions ------------------------------------------------------------------------------ */

int search_suggest(struct db *db, unsigned coll, const struct words_list *words, struct str text,
                   const json_t *where, unsigned limit, json_t **ret)
{
    const struct search_ask ask = {
        .text = text,
        .where = where,
        .limit = MIN(limit * SEARCH_SUGGEST_PAGE, (unsigned)DB_LIST_MAX),
    };
    struct search_found found = {NULL, NULL, NULL, NULL};
    size_t i;
    json_t *video;
    int r = search_run(db, coll, words, &ask, &found);
    json_t *titles = json_array();
    json_t *seen = json_object();
    if (r == -EINVAL)
        r = 0; /* no word yet: nothing to suggest */
    json_array_foreach(found.videos, i, video)
    {
        const char *title = member_text(video, "title");
        if (r < 0 || title == NULL || json_array_size(titles) == limit ||
            json_object_get(seen, title) != NULL)
            continue;
        if (json_object_set_new(seen, title, json_true()) < 0 ||
            json_array_append(titles, json_object_get(video, "title")) < 0)
            r = -ENOMEM;
    }
    search_found_clear(&found);
    json_decref(seen);
    if (r < 0)
        json_decref(titles);
    else
        *ret = titles;
    return r;
}
