/* SPDX-License-Identifier: Apache-2.0 */
/* From what is typed to what is looked for. */
#include <errno.h>
#include <string.h>
#include "control/catalog/search.h"

static void search_query_add(struct search_query *q, json_t *word, bool literal)
{
    const char *text = json_string_value(word);
    if (q->count == SEARCH_WORDS_MAX || text == NULL)
        return;
    for (unsigned i = 0; i < q->count; i++)
        if (strcmp(q->words[i].text, text) == 0)
            return; /* once is enough; twice would only use up terms */
    if (json_array_append(q->texts, word) == 0)
        q->words[q->count++] = (struct search_word){.text = text, .literal = literal};
}

static int search_parse_part(struct search_query *q, struct str text, bool literal)
{
    json_t *words = NULL;
    size_t i;
    json_t *word;
    int r = text.size == 0 ? 0 : db_words_of(text, &words);
    json_array_foreach(words, i, word)
    {
        search_query_add(q, word, literal);
    }
    json_decref(words);
    return r;
}

int search_parse(struct str text, struct search_query *ret)
{
    struct search_query q = {.texts = json_array()};
    bool quoted = false;
    int r = q.texts == NULL ? -ENOMEM : 0;
    struct str rest = text;
    struct str last = STR_NONE;
    while (r == 0 && rest.data != NULL) {
        last = str_cut(rest, '"', &rest);
        r = search_parse_part(&q, last, quoted && rest.data != NULL);
        if (rest.data != NULL)
            quoted = !quoted;
    }
    if (r < 0) {
        search_query_clear(&q);
        return r;
    }
    /* Words behind the last one that was looked at were left out: then nothing is being typed. */
    bool open = last.size > 0 && strchr(" \t\n,.;:!?", last.data[last.size - 1]) == NULL;
    if (open && q.count > 0 && q.count < SEARCH_WORDS_MAX && !q.words[q.count - 1].literal)
        q.words[q.count - 1].prefix = true;
    *ret = q;
    return 0;
}

void search_query_clear(struct search_query *q)
{
    json_decref(q->texts);
    *q = (struct search_query){.count = 0};
}

void search_terms_clear(struct search_terms *t)
{
    json_decref(t->texts);
    *t = (struct search_terms){.count = 0};
}

static int search_terms_add(struct search_terms *t, const char *text, bool prefix, unsigned group)
{
    if (t->count == DB_TERMS_MAX)
        return 0;
    json_t *copy = json_string(text);
    if (json_array_append_new(t->texts, copy) < 0)
        return -ENOMEM;
    t->terms[t->count++] = (struct db_term){
        .word = json_string_value(copy),
        .prefix = prefix,
        .group = group,
    };
    return 0;
}

static int search_terms_word(struct search_terms *t, const struct search_word *w, unsigned group,
                             const struct words_list *words, unsigned max)
{
    const char *near[WORDS_NEAR_MAX];
    int r = search_terms_add(t, w->text, w->prefix, group);
    unsigned count = words_near(words, str_of(w->text), w->prefix, near, max);
    for (unsigned i = 0; r == 0 && i < count; i++)
        r = search_terms_add(t, near[i], false, group);
    t->forgave = t->forgave || count > 0;
    return r;
}

int search_terms_make(const struct search_query *q, const struct words_list *words, bool all,
                      struct search_terms *ret)
{
    struct search_terms t = {.texts = json_array()};
    int r = t.texts == NULL ? -ENOMEM : 0;
    unsigned each = q->count == 0 ? 0 : DB_TERMS_MAX / q->count - 1;
    for (unsigned i = 0; r == 0 && i < q->count; i++) {
        const struct search_word *w = &q->words[i];
        bool forgive = !w->literal && (all || !words_has(words, str_of(w->text), w->prefix));
        r = search_terms_word(&t, w, i, words, forgive ? each : 0);
    }
    if (r < 0)
        search_terms_clear(&t);
    else
        *ret = t;
    return r;
}
