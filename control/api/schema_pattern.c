/* SPDX-License-Identifier: Apache-2.0 */
#include "control/api/schema_pattern.h"
#include <errno.h>
#include <stdlib.h>

#define SCHEMA_PATTERN_COUNT_MAX 65536

/* Bit 128 of a set stands for every character that is not ASCII. */
struct schema_pattern_item {
    uint64_t ascii[2];
    bool others;
    uint32_t min, max;
};

struct schema_pattern {
    uint32_t magic;
#define SCHEMA_PATTERN_MAGIC UINT32_C(0x9a77e401)
    unsigned count;
    struct schema_pattern_item items[SCHEMA_PATTERN_ITEMS_MAX];
};

static void schema_pattern_add(struct schema_pattern_item *i, unsigned char c)
{
    i->ascii[c >> 6] |= UINT64_C(1) << (c & 63);
}

static bool schema_pattern_has(const struct schema_pattern_item *i, unsigned char c)
{
    return c >= 128 ? i->others : (i->ascii[c >> 6] >> (c & 63) & 1) != 0;
}

static bool schema_pattern_meet(const struct schema_pattern_item *a,
                                const struct schema_pattern_item *b)
{
    return (a->ascii[0] & b->ascii[0]) != 0 || (a->ascii[1] & b->ascii[1]) != 0 ||
           (a->others && b->others);
}

/* One character of the expression, '\' in front of it or not; < 0: none that is allowed. */
static int schema_pattern_character(const char **at)
{
    const char *p = *at;
    bool escaped = *p == '\\';
    if (escaped)
        p++;
    unsigned char c = (unsigned char)*p;
    bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (c < 0x20 || c >= 0x7f || (escaped && alnum)) /* \d and the like are not understood */
        return -1;
    *at = p + 1;
    return c;
}

static int schema_pattern_class(const char **at, struct schema_pattern_item *item)
{
    const char *p = *at + 1;
    bool inverse = *p == '^';
    if (inverse)
        p++;
    if (*p == ']')
        return -EINVAL;
    while (*p != ']') {
        int first = schema_pattern_character(&p);
        int last = first;
        if (first >= 0 && p[0] == '-' && p[1] != ']') {
            p++;
            last = schema_pattern_character(&p);
        }
        if (first < 0 || last < first)
            return -EINVAL;
        for (int c = first; c <= last; c++)
            schema_pattern_add(item, (unsigned char)c);
    }
    if (inverse) {
        item->ascii[0] = ~item->ascii[0];
        item->ascii[1] = ~item->ascii[1];
        item->others = true;
    }
    *at = p + 1;
    return 0;
}

static int schema_pattern_number(const char **at, uint32_t *ret)
{
    struct str digits = {*at, strspn(*at, "0123456789")};
    uint64_t n = 0;
    if (str_to_u64(digits, &n) < 0 || n > SCHEMA_PATTERN_COUNT_MAX)
        return -EINVAL;
    *at += digits.size;
    *ret = (uint32_t)n;
    return 0;
}

static int schema_pattern_times(const char **at, struct schema_pattern_item *item)
{
    char c = **at;
    item->min = c == '?' || c == '*' ? 0 : 1;
    item->max = c == '*' || c == '+' ? UINT32_MAX : 1;
    if (c == '?' || c == '*' || c == '+')
        (*at)++;
    if (c != '{')
        return 0;
    (*at)++;
    int r = schema_pattern_number(at, &item->min);
    item->max = item->min;
    if (r == 0 && **at == ',') {
        (*at)++;
        item->max = UINT32_MAX;
        if (**at != '}')
            r = schema_pattern_number(at, &item->max);
    }
    if (r < 0 || **at != '}' || item->max < item->min)
        return -EINVAL;
    (*at)++;
    return 0;
}

static int schema_pattern_item(const char **at, struct schema_pattern_item *item)
{
    int r = 0;
    if (**at == '[') {
        r = schema_pattern_class(at, item);
    } else {
        int c = strchr("().|*+?{}^$]", **at) != NULL ? -1 : schema_pattern_character(at);
        if (c < 0)
            return -EINVAL;
        schema_pattern_add(item, (unsigned char)c);
    }
    return r == 0 ? schema_pattern_times(at, item) : r;
}

/* Taking as many as there are is right only if none of them could belong to what follows. */
static bool schema_pattern_is_plain(const struct schema_pattern *p)
{
    for (unsigned i = 0; i < p->count; i++) {
        const struct schema_pattern_item *item = &p->items[i];
        if (item->min == item->max)
            continue;
        for (unsigned k = i + 1; k < p->count; k++) {
            if (schema_pattern_meet(item, &p->items[k]))
                return false;
            if (p->items[k].min > 0)
                break;
        }
    }
    return true;
}

int schema_pattern_new(const char *text, struct err *err, struct schema_pattern **ret)
{
    const char *at = text[0] == '^' ? text + 1 : text;
    struct schema_pattern *p = calloc(1, sizeof *p);
    if (p == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    p->magic = SCHEMA_PATTERN_MAGIC;
    int r = text[0] == '^' ? 0 : -EINVAL;
    while (r == 0 && *at != '\0' && !(at[0] == '$' && at[1] == '\0'))
        r = p->count < SCHEMA_PATTERN_ITEMS_MAX ? schema_pattern_item(&at, &p->items[p->count++])
                                                : -EINVAL;
    if (r < 0 || *at != '$') {
        schema_pattern_free(p);
        return err_set(err, -EINVAL, "the pattern %s is beyond what is understood, near '%.16s'",
                       text, at);
    }
    if (!schema_pattern_is_plain(p)) {
        schema_pattern_free(p);
        return err_set(err, -EINVAL, "the pattern %s cannot be decided in one pass", text);
    }
    *ret = p;
    return 0;
}

struct schema_pattern *schema_pattern_free(struct schema_pattern *p)
{
    if (p == NULL)
        return NULL;
    ASSERT(p->magic == SCHEMA_PATTERN_MAGIC);
    MAGIC_CLEAR(p);
    free(p);
    return NULL;
}

bool schema_pattern_fits(const struct schema_pattern *p, struct str text)
{
    ASSERT(p->magic == SCHEMA_PATTERN_MAGIC);
    size_t at = 0;
    for (unsigned i = 0; i < p->count; i++) {
        const struct schema_pattern_item *item = &p->items[i];
        uint32_t n = 0;
        while (n < item->max && at < text.size &&
               schema_pattern_has(item, (unsigned char)text.data[at])) {
            at++;
            while (at < text.size && ((unsigned char)text.data[at] & 0xc0) == 0x80)
                at++; /* the rest of one character */
            n++;
        }
        if (n < item->min)
            return false;
    }
    return at == text.size;
}
