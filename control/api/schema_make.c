/* SPDX-License-Identifier: Apache-2.0 */
/* Schemas of the document made into trees. Each node of the document is made once, and known before
 * what is in it is made, so that schemas may refer to themselves. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include "control/api/schema_priv.h"

struct schema_ref {
    const json_t *at;
    const struct schema *schema;
};

struct schema_set {
    uint32_t magic;
#define SCHEMA_SET_MAGIC UINT32_C(0x5c4e3a5e)
    const json_t *document;
    struct schema *all;
    struct schema_ref *refs; /* by the node referred to: each is made once */
    unsigned refs_count;
};

int schema_set_new(const json_t *document, struct schema_set **ret)
{
    struct schema_set *set = calloc(1, sizeof *set);
    if (set == NULL)
        return -ENOMEM;
    set->magic = SCHEMA_SET_MAGIC;
    set->document = document;
    *ret = set;
    return 0;
}

struct schema_set *schema_set_free(struct schema_set *set)
{
    if (set == NULL)
        return NULL;
    ASSERT(set->magic == SCHEMA_SET_MAGIC);
    while (set->all != NULL) {
        struct schema *next = set->all->next;
        schema_pattern_free((struct schema_pattern *)(uintptr_t)set->all->pattern);
        free(set->all->members);
        free(set->all->forms);
        free(set->all);
        set->all = next;
    }
    free(set->refs);
    MAGIC_CLEAR(set);
    free(set);
    return NULL;
}

const json_t *schema_deref(const json_t *document, const json_t *node)
{
    for (unsigned i = 0; i < SCHEMA_DEPTH_MAX; i++) {
        const char *ref = json_string_value(json_object_get(node, "$ref"));
        if (ref == NULL)
            return node;
        if (strncmp(ref, "#/", 2) != 0)
            return NULL;
        struct str rest = str_of(ref + 2);
        node = document;
        while (rest.data != NULL) { /* names of ours have neither '/' nor '~' */
            char name[128];
            struct str part = str_cut(rest, '/', &rest);
            node = str_copy(part, name, sizeof name) < 0 ? NULL : json_object_get(node, name);
        }
        if (node == NULL)
            return NULL;
    }
    return NULL;
}

/* --- keywords --------------------------------------------------------------------------------- */

struct schema_maker {
    struct schema_set *set;
    struct schema *s;
    struct err *err;
    unsigned depth;
};

static int schema_make(struct schema_set *set, const json_t *from, unsigned depth, struct err *err,
                       const struct schema **ret);

static int schema_bad(const struct schema_maker *m, const char *what)
{
    return err_set(m->err, -EINVAL, "a schema of the API: %s", what);
}

static unsigned schema_type_of(const char *name)
{
    static const struct {
        const char *name;
        unsigned bits;
    } types[] = {
        {"null", SCHEMA_NULL},       {"boolean", SCHEMA_BOOLEAN},
        {"integer", SCHEMA_INTEGER}, {"number", SCHEMA_INTEGER | SCHEMA_NUMBER},
        {"string", SCHEMA_STRING},   {"array", SCHEMA_ARRAY},
        {"object", SCHEMA_OBJECT},
    };
    for (unsigned i = 0; name != NULL && i < ARRAY_LEN(types); i++)
        if (strcmp(types[i].name, name) == 0)
            return types[i].bits;
    return 0;
}

static int schema_make_type(const struct schema_maker *m, const json_t *value)
{
    size_t i;
    json_t *each;
    m->s->types = schema_type_of(json_string_value(value));
    json_array_foreach(value, i, each)
    {
        unsigned bits = schema_type_of(json_string_value(each));
        if (bits == 0)
            return schema_bad(m, "a type is not known");
        m->s->types |= bits;
    }
    return m->s->types != 0 ? 0 : schema_bad(m, "\"type\" is not known");
}

static int schema_make_count(const struct schema_maker *m, const json_t *value, uint32_t *ret)
{
    json_int_t n = json_integer_value(value);
    if (!json_is_integer(value) || n < 0 || n > INT32_MAX)
        return schema_bad(m, "a length is no number from 0 to 2^31 - 1");
    *ret = (uint32_t)n;
    return 0;
}

static int schema_make_length_min(const struct schema_maker *m, const json_t *value)
{
    return schema_make_count(m, value, &m->s->length_min);
}

static int schema_make_length_max(const struct schema_maker *m, const json_t *value)
{
    return schema_make_count(m, value, &m->s->length_max);
}

static int schema_make_items_min(const struct schema_maker *m, const json_t *value)
{
    return schema_make_count(m, value, &m->s->items_min);
}

static int schema_make_items_max(const struct schema_maker *m, const json_t *value)
{
    return schema_make_count(m, value, &m->s->items_max);
}

static int schema_make_members_min(const struct schema_maker *m, const json_t *value)
{
    return schema_make_count(m, value, &m->s->members_min);
}

static int schema_make_members_max(const struct schema_maker *m, const json_t *value)
{
    return schema_make_count(m, value, &m->s->members_max);
}

static int schema_make_min(const struct schema_maker *m, const json_t *value)
{
    m->s->min = json_number_value(value);
    return json_is_number(value) ? 0 : schema_bad(m, "\"minimum\" is no number");
}

static int schema_make_max(const struct schema_maker *m, const json_t *value)
{
    m->s->max = json_number_value(value);
    return json_is_number(value) ? 0 : schema_bad(m, "\"maximum\" is no number");
}

static int schema_make_const(const struct schema_maker *m, const json_t *value)
{
    m->s->one_value = value;
    return 0;
}

static int schema_make_enum(const struct schema_maker *m, const json_t *value)
{
    m->s->values = value;
    return json_is_array(value) ? 0 : schema_bad(m, "\"enum\" is no list");
}

static int schema_make_format(const struct schema_maker *m, const json_t *value)
{
    const char *name = json_string_value(value);
    m->s->format = name == NULL ? NULL : schema_format_find(name);
    if (m->s->format == NULL)
        return err_set(m->err, -EINVAL, "a schema of the API: there is no format \"%s\"",
                       name == NULL ? "" : name);
    return 0;
}

static int schema_make_pattern(const struct schema_maker *m, const json_t *value)
{
    struct schema_pattern *p = NULL;
    if (!json_is_string(value))
        return schema_bad(m, "\"pattern\" is no text");
    int r = schema_pattern_new(json_string_value(value), m->err, &p);
    m->s->pattern = p;
    return r;
}

static int schema_make_items(const struct schema_maker *m, const json_t *value)
{
    return schema_make(m->set, value, m->depth, m->err, &m->s->items);
}

static int schema_make_unique(const struct schema_maker *m, const json_t *value)
{
    m->s->items_differ = json_is_true(value);
    return json_is_boolean(value) ? 0 : schema_bad(m, "\"uniqueItems\" is no boolean");
}

static int schema_make_others(const struct schema_maker *m, const json_t *value)
{
    return schema_make(m->set, value, m->depth, m->err, &m->s->others);
}

static int schema_make_names(const struct schema_maker *m, const json_t *value)
{
    return schema_make(m->set, value, m->depth, m->err, &m->s->names);
}

static int schema_compare(const void *a, const void *b)
{
    return strcmp(((const struct schema_member *)a)->name, ((const struct schema_member *)b)->name);
}

static int schema_make_properties(const struct schema_maker *m, const json_t *value)
{
    struct schema *s = m->s;
    const char *name;
    json_t *each;
    if (!json_is_object(value))
        return schema_bad(m, "\"properties\" is no object");
    s->members = calloc(json_object_size(value) + 1, sizeof *s->members);
    if (s->members == NULL)
        return -ENOMEM;
    json_object_foreach((json_t *)(uintptr_t)value, name, each)
    {
        struct schema_member *member = &s->members[s->members_count];
        int r = schema_make(m->set, each, m->depth, m->err, &member->schema);
        if (r < 0)
            return r;
        member->name = name;
        s->members_count++;
    }
    qsort(s->members, s->members_count, sizeof *s->members, schema_compare);
    return 0;
}

/* After "properties": see the table's order. */
static int schema_make_required(const struct schema_maker *m, const json_t *value)
{
    size_t i;
    json_t *each;
    json_array_foreach(value, i, each)
    {
        const struct schema_member key = {.name = json_string_value(each)};
        struct schema_member *member =
            key.name == NULL || m->s->members_count == 0
                ? NULL
                : bsearch(&key, m->s->members, m->s->members_count, sizeof key, schema_compare);
        if (member == NULL)
            return schema_bad(m, "\"required\" names what is no property");
        member->required = true;
    }
    return json_is_array(value) ? 0 : schema_bad(m, "\"required\" is no list");
}

static int schema_make_forms(const struct schema_maker *m, const json_t *value)
{
    struct schema *s = m->s;
    if (s->forms != NULL || json_array_size(value) == 0)
        return schema_bad(m, "one of \"oneOf\" and \"anyOf\", and not empty");
    s->forms = calloc(json_array_size(value), sizeof(struct schema *));
    if (s->forms == NULL)
        return -ENOMEM;
    for (; s->forms_count < json_array_size(value); s->forms_count++) {
        const json_t *each = json_array_get(value, s->forms_count);
        int r = schema_make(m->set, each, m->depth, m->err, &s->forms[s->forms_count]);
        if (r < 0)
            return r;
    }
    return 0;
}

static int schema_make_one_of(const struct schema_maker *m, const json_t *value)
{
    m->s->forms_exactly_one = true;
    return schema_make_forms(m, value);
}

static int schema_make_code(const struct schema_maker *m, const json_t *value)
{
    m->s->code = json_string_value(value);
    if (json_is_object(value)) {
        m->s->code = json_string_value(json_object_get(value, "else"));
        m->s->code_short = json_string_value(json_object_get(value, "minLength"));
        m->s->code_long = json_string_value(json_object_get(value, "maxLength"));
    }
    bool any = m->s->code != NULL || m->s->code_short != NULL || m->s->code_long != NULL;
    return any ? 0 : schema_bad(m, "\"x-weir-code\" is no text");
}

static int schema_make_status(const struct schema_maker *m, const json_t *value)
{
    json_int_t status = json_integer_value(value);
    if (status < 400 || status > 499)
        return schema_bad(m, "\"x-weir-status\" is not from 400 to 499");
    m->s->status = (unsigned)status;
    return 0;
}

static int schema_make_nothing(const struct schema_maker *m, const json_t *value)
{
    (void)m, (void)value; /* for readers */
    return 0;
}

static const struct schema_keyword {
    const char *name;
    int (*make)(const struct schema_maker *m, const json_t *value);
} schema_keywords[] = {
    {"type", schema_make_type},
    {"enum", schema_make_enum},
    {"const", schema_make_const},
    {"format", schema_make_format},
    {"pattern", schema_make_pattern},
    {"minLength", schema_make_length_min},
    {"maxLength", schema_make_length_max},
    {"minimum", schema_make_min},
    {"maximum", schema_make_max},
    {"items", schema_make_items},
    {"minItems", schema_make_items_min},
    {"maxItems", schema_make_items_max},
    {"uniqueItems", schema_make_unique},
    {"properties", schema_make_properties},
    {"required", schema_make_required},
    {"additionalProperties", schema_make_others},
    {"propertyNames", schema_make_names},
    {"minProperties", schema_make_members_min},
    {"maxProperties", schema_make_members_max},
    {"oneOf", schema_make_one_of},
    {"anyOf", schema_make_forms},
    {"x-weir-code", schema_make_code},
    {"x-weir-status", schema_make_status},
    {"title", schema_make_nothing},
    {"description", schema_make_nothing},
    {"default", schema_make_nothing},
    {"examples", schema_make_nothing},
    {"deprecated", schema_make_nothing},
    {"readOnly", schema_make_nothing},
    {"writeOnly", schema_make_nothing},
};

static int schema_make_keywords(const struct schema_maker *m, const json_t *from)
{
    size_t known = 0;
    for (unsigned i = 0; i < ARRAY_LEN(schema_keywords); i++) {
        const json_t *value = json_object_get(from, schema_keywords[i].name);
        int r = value == NULL ? 0 : schema_keywords[i].make(m, value);
        if (r < 0)
            return r;
        known += value != NULL;
    }
    if (known == json_object_size(from))
        return 0;
    CLEAN(base_free) char *text = json_dumps(from, JSON_COMPACT);
    return err_set(m->err, -EINVAL, "a schema of the API has a keyword that is not understood: %s",
                   text == NULL ? "" : text);
}

/* --- nodes ------------------------------------------------------------------------------------ */

static struct schema *schema_node(struct schema_set *set)
{
    struct schema *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->types = SCHEMA_ALL;
    s->length_max = s->items_max = s->members_max = UINT32_MAX;
    s->min = -INFINITY;
    s->max = INFINITY;
    s->next = set->all;
    set->all = s;
    return s;
}

static const struct schema *schema_known(const struct schema_set *set, const json_t *at)
{
    for (unsigned i = 0; i < set->refs_count; i++)
        if (set->refs[i].at == at)
            return set->refs[i].schema;
    return NULL;
}

/* Before its members are made, so that they may refer to it. */
static int schema_remember(struct schema_set *set, const json_t *at, const struct schema *s)
{
    struct schema_ref *refs = realloc(set->refs, (set->refs_count + 1) * sizeof *refs);
    if (refs == NULL)
        return -ENOMEM;
    set->refs = refs;
    refs[set->refs_count++] = (struct schema_ref){at, s};
    return 0;
}

static int schema_make(struct schema_set *set, const json_t *from, unsigned depth, struct err *err,
                       const struct schema **ret)
{
    const json_t *at = schema_deref(set->document, from);
    if (at == NULL || (!json_is_object(at) && !json_is_boolean(at)) || depth > SCHEMA_DEPTH_MAX)
        return err_set(err, -EINVAL, "a schema of the API: %s",
                       depth > SCHEMA_DEPTH_MAX ? "too deep"
                       : at != NULL             ? "it is no object"
                                                : json_string_value(json_object_get(from, "$ref")));
    *ret = schema_known(set, at);
    if (*ret != NULL && json_is_object(at))
        return 0;
    struct schema *s = schema_node(set);
    if (s == NULL || (json_is_object(at) && schema_remember(set, at, s) < 0))
        return err_set(err, -ENOMEM, "out of memory");
    *ret = s;
    if (json_is_boolean(at)) {
        s->types = json_is_true(at) ? SCHEMA_ALL : 0;
        return 0;
    }
    const struct schema_maker maker = {set, s, err, depth + 1};
    return schema_make_keywords(&maker, at);
}

int schema_compile(struct schema_set *set, const json_t *from, struct err *err,
                   const struct schema **ret)
{
    const struct schema *s = NULL;
    ASSERT(set != NULL && set->magic == SCHEMA_SET_MAGIC);
    int r = schema_make(set, from, 0, err, &s);
    if (r == 0)
        *ret = s;
    return r == -ENOMEM ? err_set(err, r, "out of memory") : r;
}
