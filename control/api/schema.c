/* SPDX-License-Identifier: Apache-2.0 */
#include "control/api/schema.h"
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "control/api/schema_priv.h"
#include "control/valid.h"

#define SCHEMA_EXACT_MAX 9007199254740992.0 /* 2^53: integers up to here are exact as doubles */

/* Where in the value we are: "audio[2]". */
struct schema_walk {
    const char *code;
    struct fault *fault; /* NULL: only whether it fits */
    unsigned depth;
    size_t size;
    char path[FAULT_FIELD_SIZE];
};

static PRINTF_LIKE(4, 5) int schema_breach_as(const struct schema_walk *w, const struct schema *s,
                                              const char *code, const char *format, ...)
{
    char why[192];
    va_list list;
    if (w->fault == NULL)
        return -EPROTO;
    va_start(list, format);
    (void)vsnprintf(why, sizeof why, format, list); /* a longer text is cut */
    va_end(list);
    bool whole = w->size == 0;
    unsigned status = s->status != 0 ? s->status : 422;
    const char *own = code != NULL ? code : s->code;
    int r = fault_set(w->fault, status, own != NULL ? own : w->code, "%s%s%s %s", whole ? "" : "\"",
                      whole ? "the body" : w->path, whole ? "" : "\"", why);
    (void)snprintf(w->fault->field, sizeof w->fault->field, "%s", w->path);
    return r;
}

#define schema_breach(w, s, ...) schema_breach_as(w, s, NULL, __VA_ARGS__)

/* name NULL: the index-th item. A path that is too long is cut. */
static void schema_enter(struct schema_walk *w, const char *name, size_t index)
{
    char *end = w->path + w->size;
    size_t room = sizeof w->path - w->size;
    int n = name == NULL ? snprintf(end, room, "[%zu]", index)
                         : snprintf(end, room, "%s%s", w->size > 0 ? "." : "", name);
    if (n > 0)
        w->size = MIN(w->size + (size_t)n, sizeof w->path - 1);
    w->depth++;
}

static void schema_leave(struct schema_walk *w, size_t size)
{
    w->depth--;
    w->size = size;
    w->path[size] = '\0';
}

static int schema_walk(struct schema_walk *w, const struct schema *s, json_t *value);

/* --- each kind -------------------------------------------------------------------------------- */

static int schema_fit_characters(struct schema_walk *w, const struct schema *s, struct str text)
{
    if (s->length_min > 0 || s->length_max < UINT32_MAX) {
        size_t length = valid_length(text);
        if (length < s->length_min && s->length_min == 1)
            return schema_breach_as(w, s, s->code_short, "is empty");
        if (length < s->length_min)
            return schema_breach_as(w, s, s->code_short, "has fewer than %u characters",
                                    s->length_min);
        if (length > s->length_max)
            return schema_breach_as(w, s, s->code_long, "has more than %u characters",
                                    s->length_max);
    }
    if (s->format != NULL && s->format->fits != NULL && !s->format->fits(text))
        return schema_breach(w, s, "is not %s", s->format->what);
    if (s->pattern != NULL && !schema_pattern_fits(s->pattern, text))
        return schema_breach(w, s, "is not of the form that is asked for");
    return 0;
}

static int schema_fit_number(struct schema_walk *w, const struct schema *s, double n)
{
    if (n >= s->min && n <= s->max)
        return 0;
    if (isinf(s->max))
        return schema_breach(w, s, "is less than %.15g", s->min);
    if (isinf(s->min))
        return schema_breach(w, s, "is more than %.15g", s->max);
    return schema_breach(w, s, "is not from %.15g to %.15g", s->min, s->max);
}

/* JSON knows no integers: 1.0 is one. Handlers shall not have to know. */
static json_t *schema_as_integer(const struct schema *s, const json_t *value)
{
    double n = json_real_value(value);
    if (!json_is_real(value) || (s->types & (SCHEMA_INTEGER | SCHEMA_NUMBER)) != SCHEMA_INTEGER ||
        fabs(n) > SCHEMA_EXACT_MAX || n != floor(n))
        return NULL;
    return json_integer((json_int_t)n);
}

static int schema_fit_items(struct schema_walk *w, const struct schema *s, json_t *list)
{
    size_t count = json_array_size(list);
    size_t here = w->size;
    if (count < s->items_min)
        return schema_breach(w, s, "has fewer than %u items", s->items_min);
    if (count > s->items_max)
        return schema_breach(w, s, "has more than %u items", s->items_max);
    for (size_t i = 0; s->items != NULL && i < count; i++) {
        json_t *whole = schema_as_integer(s->items, json_array_get(list, i));
        if (whole != NULL && json_array_set_new(list, i, whole) < 0)
            return -ENOMEM;
        schema_enter(w, NULL, i);
        int r = schema_walk(w, s->items, json_array_get(list, i));
        if (r < 0)
            return r;
        schema_leave(w, here);
    }
    for (size_t i = 0; s->items_differ && i < count; i++) /* lists that differ are short */
        for (size_t k = 0; k < i; k++)
            if (json_equal(json_array_get(list, i), json_array_get(list, k)))
                return schema_breach(w, s, "has an item twice");
    return 0;
}

static const struct schema_member *schema_member_find(const struct schema *s, const char *name)
{
    uint32_t low = 0, high = s->members_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int order = strcmp(name, s->members[middle].name);
        if (order == 0)
            return &s->members[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const struct schema *schema_member(const struct schema *s, const char *name)
{
    const struct schema_member *member = schema_member_find(s, name);
    return member == NULL ? NULL : member->schema;
}

static int schema_fit_member(struct schema_walk *w, const struct schema *s, json_t *object,
                             const char *name, json_t *value)
{
    const struct schema_member *member = schema_member_find(s, name);
    const struct schema *of = member != NULL ? member->schema : s->others;
    if (member == NULL && of != NULL && of->types == 0)
        return schema_breach(w, s, "has no member \"%.64s\"", name);
    int r = s->names == NULL ? 0 : schema_fit_characters(w, s->names, str_of(name));
    if (r < 0 || of == NULL)
        return r;
    json_t *whole = schema_as_integer(of, value);
    if (whole != NULL) {
        if (json_object_set_new(object, name, whole) < 0)
            return -ENOMEM;
        value = whole;
    }
    size_t here = w->size;
    schema_enter(w, name, 0);
    r = schema_walk(w, of, value);
    if (r == 0)
        schema_leave(w, here);
    return r;
}

static int schema_fit_members(struct schema_walk *w, const struct schema *s, json_t *object)
{
    const char *name;
    json_t *value;
    size_t count = json_object_size(object);
    json_object_foreach(object, name, value)
    {
        int r = schema_fit_member(w, s, object, name, value);
        if (r < 0)
            return r;
    }
    for (uint32_t i = 0; i < s->members_count; i++)
        if (s->members[i].required && json_object_get(object, s->members[i].name) == NULL)
            return schema_breach(w, s, "lacks the member \"%s\"", s->members[i].name);
    if (count < s->members_min)
        return schema_breach(w, s, "has fewer than %u members", s->members_min);
    if (count > s->members_max)
        return schema_breach(w, s, "has more than %u members", s->members_max);
    return 0;
}

static int schema_fit_forms(const struct schema_walk *w, const struct schema *s, json_t *value)
{
    unsigned good = 0;
    for (uint32_t i = 0; i < s->forms_count; i++) {
        struct schema_walk quiet = {.depth = w->depth};
        int r = schema_walk(&quiet, s->forms[i], value);
        if (r == -ENOMEM)
            return r;
        good += r == 0;
    }
    if (good == 1 || (good > 0 && !s->forms_exactly_one))
        return 0;
    return schema_breach(w, s,
                         good == 0 ? "has none of the forms that it may have"
                                   : "has several of the forms that it may have");
}

/* --- all of it -------------------------------------------------------------------------------- */

static unsigned schema_bits(json_type type)
{
    switch (type) {
    case JSON_OBJECT:
        return SCHEMA_OBJECT;
    case JSON_ARRAY:
        return SCHEMA_ARRAY;
    case JSON_STRING:
        return SCHEMA_STRING;
    case JSON_INTEGER:
        return SCHEMA_INTEGER;
    case JSON_REAL:
        return SCHEMA_NUMBER;
    case JSON_TRUE:
    case JSON_FALSE:
        return SCHEMA_BOOLEAN;
    case JSON_NULL:
    default:
        return SCHEMA_NULL;
    }
}

static int schema_wrong_type(const struct schema_walk *w, const struct schema *s)
{
    static const char *const names[] = {"null",     "a boolean", "an integer", "a number",
                                        "a string", "a list",    "an object"};
    const char *name = NULL;
    unsigned types = s->types;
    if (types & SCHEMA_NUMBER)
        types &= ~(unsigned)SCHEMA_INTEGER;
    if (types != SCHEMA_NULL)
        types &= ~(unsigned)SCHEMA_NULL;
    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        if (types == 1U << i)
            name = names[i];
    if (name == NULL)
        return schema_breach(w, s, "is of the wrong type");
    return schema_breach(w, s, "is not %s", name);
}

static int schema_fit_value(const struct schema_walk *w, const struct schema *s, json_t *value)
{
    if (s->one_value != NULL && !json_equal(value, s->one_value))
        return schema_breach(w, s, "is not the value that it must have");
    if (s->values == NULL)
        return 0;
    for (size_t i = 0; i < json_array_size(s->values); i++)
        if (json_equal(value, json_array_get(s->values, i)))
            return 0;
    char list[128];
    int used = 0;
    for (size_t i = 0; i < json_array_size(s->values) && used < (int)sizeof list; i++) {
        const char *text = json_string_value(json_array_get(s->values, i));
        if (text != NULL)
            used += snprintf(list + used, sizeof list - (size_t)used, "%s%s", used > 0 ? ", " : "",
                             text);
    }
    return schema_breach(w, s, "is none of %s", used > 0 ? list : "the values that it may have");
}

static int schema_walk(struct schema_walk *w, const struct schema *s, json_t *value)
{
    int r = 0;
    if (w->depth > SCHEMA_DEPTH_MAX)
        return schema_breach(w, s, "is nested too deep");
    if ((s->types & schema_bits(json_typeof(value))) == 0)
        return schema_wrong_type(w, s);
    if (json_is_string(value))
        r = schema_fit_characters(
            w, s, (struct str){json_string_value(value), json_string_length(value)});
    else if (json_is_number(value))
        r = schema_fit_number(w, s, json_number_value(value));
    else if (json_is_object(value))
        r = schema_fit_members(w, s, value);
    else if (json_is_array(value))
        r = schema_fit_items(w, s, value);
    if (r == 0 && (s->one_value != NULL || s->values != NULL))
        r = schema_fit_value(w, s, value);
    if (r == 0 && s->forms_count > 0)
        r = schema_fit_forms(w, s, value);
    return r;
}

static void schema_begin(struct schema_walk *w, const char *name, const char *code,
                         struct fault *fault)
{
    w->code = code;
    w->fault = fault;
    w->depth = 0;
    w->size = strlen(name);
    ASSERT(w->size < sizeof w->path);
    memcpy(w->path, name, w->size + 1);
}

int schema_fit(const struct schema *s, json_t *value, const char *name, const char *code,
               struct fault *fault)
{
    struct schema_walk w;
    schema_begin(&w, name, code, fault);
    return schema_walk(&w, s, value);
}

int schema_fit_string(const struct schema *s, struct str text, const char *name, const char *code,
                      struct fault *fault)
{
    struct schema_walk w;
    schema_begin(&w, name, code, fault);
    ASSERT(s->values == NULL && s->one_value == NULL && s->forms_count == 0);
    return schema_fit_characters(&w, s, text);
}

bool schema_takes(const struct schema *s, json_type type)
{
    return (s->types & schema_bits(type)) != 0;
}

const struct schema *schema_items(const struct schema *s)
{
    return s->items;
}

/* --- texts as values -------------------------------------------------------------------------- */

/* As JSON writes numbers, but for exponents; NULL: it is none. */
static json_t *schema_number_of(struct str text)
{
    int64_t n = 0;
    char copy[32];
    if (str_to_i64(text, &n) == 0)
        return json_integer(n);
    if (text.size == 0 || str_copy(text, copy, sizeof copy) < 0 ||
        strspn(copy, "-.0123456789") < text.size)
        return NULL;
    char *end = NULL;
    double real = strtod(copy, &end);
    return *end == '\0' ? json_real(real) : NULL;
}

static json_t *schema_value_of(const struct schema *s, struct str text)
{
    json_t *value = NULL;
    if (schema_takes(s, JSON_TRUE) && str_eq(text, STR("true")))
        return json_true();
    if (schema_takes(s, JSON_TRUE) && str_eq(text, STR("false")))
        return json_false();
    if (schema_takes(s, JSON_INTEGER))
        value = schema_number_of(text);
    return value != NULL ? value : json_stringn(text.data != NULL ? text.data : "", text.size);
}

int schema_fit_text(const struct schema *s, struct str text, const char *name, const char *code,
                    struct fault *fault, json_t **ret)
{
    struct schema_walk w;
    schema_begin(&w, name, code, fault);
    json_t *value = schema_value_of(s, text);
    if (value == NULL)
        return schema_breach(&w, s, "is not UTF-8");
    json_t *whole = schema_as_integer(s, value);
    if (whole != NULL) {
        json_decref(value);
        value = whole;
    }
    int r = schema_walk(&w, s, value);
    if (r < 0) {
        json_decref(value);
        return r;
    }
    *ret = value;
    return 0;
}
