/* SPDX-License-Identifier: Apache-2.0 */
#include "db/db_text.h"
#include <errno.h>
#include <stdlib.h>
#include <utf8proc.h>

/* Compatibility decomposition, marks off, case folded: one spelling for what people type in many
 * ways. Folding goes beyond lower case: a sharp s is ss. */
#define DB_TEXT_FORM                                                                               \
    (UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD |                  \
     UTF8PROC_STRIPMARK | UTF8PROC_IGNORE)

/* 0 ends the words early; 1: go on; or -errno. */
typedef int db_text_fn(void *arg, struct str word);

static bool db_text_is_letter(int32_t c)
{
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return true;
    default:
        return false;
    }
}

static int db_text_walk(const int32_t *points, size_t count, db_text_fn *fn, void *arg)
{
    char word[DB_WORD_SIZE + 4];
    size_t size = 0;
    bool full = false;
    int r = 1;
    for (size_t i = 0; r > 0 && i <= count; i++) {
        if (i < count && db_text_is_letter(points[i])) {
            utf8proc_uint8_t bytes[4];
            size_t more = (size_t)utf8proc_encode_char(points[i], bytes);
            full = full || size + more >= DB_WORD_SIZE;
            if (!full) {
                memcpy(word + size, bytes, more);
                size += more;
            }
        } else if (size > 0) {
            r = fn(arg, (struct str){word, size});
            size = 0;
            full = false;
        }
    }
    return r;
}

static int db_text_each(struct str text, db_text_fn *fn, void *arg)
{
    if (text.size == 0)
        return 1;
    /* One code point may become 18; asked first, so that the usual text takes little. */
    const utf8proc_uint8_t *bytes = (const utf8proc_uint8_t *)text.data;
    utf8proc_ssize_t size = (utf8proc_ssize_t)text.size;
    utf8proc_ssize_t count = utf8proc_decompose(bytes, size, NULL, 0, DB_TEXT_FORM);
    if (count < 0)
        return count == UTF8PROC_ERROR_NOMEM ? -ENOMEM : -EINVAL;
    int32_t *points = malloc(((size_t)count + 1) * sizeof *points);
    if (points == NULL)
        return -ENOMEM;
    count = utf8proc_decompose(bytes, size, points, count, DB_TEXT_FORM);
    int r = count < 0 ? -EINVAL : db_text_walk(points, (size_t)count, fn, arg);
    free(points);
    return r;
}

static int db_words_append(void *arg, struct str word)
{
    return json_array_append_new(arg, json_stringn(word.data, word.size)) < 0 ? -ENOMEM : 1;
}

int db_words_of(struct str text, json_t **ret)
{
    json_t *words = json_array();
    int r = words == NULL ? -ENOMEM : db_text_each(text, db_words_append, words);
    if (r < 0) {
        json_decref(words);
        return r;
    }
    *ret = words;
    return 0;
}

bool db_word_ok(const char *word)
{
    struct str text = str_of(word);
    if (text.size == 0 || text.size >= DB_WORD_SIZE)
        return false;
    for (size_t at = 0; at < text.size;) {
        int32_t c = -1;
        utf8proc_ssize_t size = utf8proc_iterate((const utf8proc_uint8_t *)text.data + at,
                                                 (utf8proc_ssize_t)(text.size - at), &c);
        if (size <= 0 || !db_text_is_letter(c) || (c >= 'A' && c <= 'Z'))
            return false;
        at += (size_t)size;
    }
    return true;
}

struct db_text_line {
    struct buf *out;
    unsigned count;
};

static int db_text_append(void *arg, struct str word)
{
    struct db_text_line *line = arg;
    if (line->count == DB_WORDS_MAX)
        return 0;
    if (line->count++ > 0)
        buf_putc(line->out, ' ');
    buf_put_str(line->out, word);
    return 1;
}

static int db_text_append_all(struct db_text_line *line, const json_t *value)
{
    if (!json_is_string(value))
        return 0;
    int r = db_text_each((struct str){json_string_value(value), json_string_length(value)},
                         db_text_append, line);
    return r == -ENOMEM ? r : 0; /* jansson's strings are UTF-8 unless somebody went round it */
}

int db_text_of(const struct db_shape *shape, unsigned i, const json_t *doc, struct buf *out)
{
    ASSERT(i < shape->text_count);
    const json_t *value = json_object_get(doc, shape->text[i]);
    struct db_text_line line = {.out = out};
    size_t at;
    const json_t *one;
    int r = db_text_append_all(&line, value);
    json_array_foreach(value, at, one)
    {
        if (r == 0)
            r = db_text_append_all(&line, one);
    }
    return r < 0 ? r : buf_error(out);
}
