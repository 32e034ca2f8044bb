/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http_sf.h"

/* Every reader below takes its thing off the front of *s, or says false. */

static bool http_sf_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool http_sf_is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool http_sf_is_alpha(char c)
{
    return http_sf_is_lower(c) || (c >= 'A' && c <= 'Z');
}

static struct str http_sf_front(struct str *s, size_t n)
{
    struct str front = {s->data, n};
    *s = str_skip(*s, n);
    return front;
}

static char http_sf_peek(struct str s)
{
    return s.size > 0 ? s.data[0] : '\0';
}

static void http_sf_spaces(struct str *s, bool tabs)
{
    while (s->size > 0 && (s->data[0] == ' ' || (tabs && s->data[0] == '\t')))
        *s = str_skip(*s, 1);
}

static bool http_sf_key(struct str *s, struct str *ret)
{
    size_t n = 0;
    if (!http_sf_is_lower(http_sf_peek(*s)) && http_sf_peek(*s) != '*')
        return false;
    while (n < s->size) {
        char c = s->data[n];
        if (!http_sf_is_lower(c) && !http_sf_is_digit(c) && c != '_' && c != '-' && c != '.' &&
            c != '*')
            break;
        n++;
    }
    *ret = http_sf_front(s, n);
    return true;
}

/* Section 4.2.4: 15 digits, or 12 before the point and 3 behind it. */
static bool http_sf_number(struct str *s, struct http_sf_member *m)
{
    size_t n = http_sf_peek(*s) == '-' ? 1 : 0;
    size_t first = n;
    while (n < s->size && http_sf_is_digit(s->data[n]))
        n++;
    size_t digits = n - first;
    if (digits == 0 || digits > 15)
        return false;
    m->type = HTTP_SF_INTEGER;
    if (n < s->size && s->data[n] == '.') {
        size_t point = n++;
        while (n < s->size && http_sf_is_digit(s->data[n]))
            n++;
        if (digits > 12 || n == point + 1 || n > point + 4)
            return false;
        m->type = HTTP_SF_DECIMAL;
    }
    m->text = http_sf_front(s, n);
    return true;
}

static bool http_sf_string(struct str *s, struct http_sf_member *m)
{
    for (size_t i = 1; i < s->size; i++) {
        unsigned char c = (unsigned char)s->data[i];
        if (c < 0x20 || c >= 0x7f)
            return false;
        if (c == '"') {
            m->type = HTTP_SF_STRING;
            m->text = (struct str){s->data + 1, i - 1};
            *s = str_skip(*s, i + 1);
            return true;
        }
        if (c == '\\' && (++i >= s->size || (s->data[i] != '"' && s->data[i] != '\\')))
            return false;
    }
    return false;
}

static bool http_sf_bytes(struct str *s, struct http_sf_member *m)
{
    size_t n = 1;
    while (n < s->size && s->data[n] != ':') {
        char c = s->data[n++];
        if (!http_sf_is_alpha(c) && !http_sf_is_digit(c) && c != '+' && c != '/' && c != '=')
            return false;
    }
    if (n >= s->size)
        return false;
    m->type = HTTP_SF_BYTES;
    m->text = (struct str){s->data + 1, n - 1};
    *s = str_skip(*s, n + 1);
    return true;
}

static bool http_sf_token(struct str *s, struct http_sf_member *m)
{
    static const char others[] = "!#$%&'*+-.^_`|~:/";
    size_t n = 1;
    while (n < s->size && (http_sf_is_alpha(s->data[n]) || http_sf_is_digit(s->data[n]) ||
                           (s->data[n] != '\0' && strchr(others, s->data[n]) != NULL)))
        n++;
    m->type = HTTP_SF_TOKEN;
    m->text = http_sf_front(s, n);
    return true;
}

static bool http_sf_boolean(struct str *s, struct http_sf_member *m)
{
    if (s->size < 2 || (s->data[1] != '0' && s->data[1] != '1'))
        return false;
    m->type = s->data[1] == '1' ? HTTP_SF_TRUE : HTTP_SF_FALSE;
    m->text = http_sf_front(s, 2);
    return true;
}

static bool http_sf_bare(struct str *s, struct http_sf_member *m)
{
    char c = http_sf_peek(*s);
    if (c == '-' || http_sf_is_digit(c))
        return http_sf_number(s, m);
    if (c == '"')
        return http_sf_string(s, m);
    if (c == ':')
        return http_sf_bytes(s, m);
    if (c == '?')
        return http_sf_boolean(s, m);
    return (c == '*' || http_sf_is_alpha(c)) && http_sf_token(s, m);
}

static bool http_sf_parameters(struct str *s)
{
    while (http_sf_peek(*s) == ';') {
        struct http_sf_member skipped;
        *s = str_skip(*s, 1);
        http_sf_spaces(s, false);
        if (!http_sf_key(s, &skipped.key))
            return false;
        if (http_sf_peek(*s) != '=')
            continue;
        *s = str_skip(*s, 1);
        if (!http_sf_bare(s, &skipped))
            return false;
    }
    return true;
}

static bool http_sf_inner_list(struct str *s, struct http_sf_member *m)
{
    const char *start = s->data;
    *s = str_skip(*s, 1);
    for (;;) {
        struct http_sf_member skipped;
        http_sf_spaces(s, false);
        if (http_sf_peek(*s) == ')')
            break;
        if (!http_sf_bare(s, &skipped) || !http_sf_parameters(s))
            return false;
        if (http_sf_peek(*s) != ' ' && http_sf_peek(*s) != ')')
            return false;
    }
    *s = str_skip(*s, 1);
    m->type = HTTP_SF_LIST;
    m->text = (struct str){start, (size_t)(s->data - start)};
    return true;
}

static bool http_sf_member(struct str *s, struct http_sf_member *m)
{
    if (!http_sf_key(s, &m->key))
        return false;
    m->type = HTTP_SF_TRUE;
    m->text = STR_NONE;
    if (http_sf_peek(*s) == '=') {
        *s = str_skip(*s, 1);
        if (!(http_sf_peek(*s) == '(' ? http_sf_inner_list(s, m) : http_sf_bare(s, m)))
            return false;
    }
    return http_sf_parameters(s);
}

struct http_sf_members {
    struct http_sf_member at[HTTP_SF_MEMBERS_MAX];
    unsigned count;
};

static bool http_sf_keep(struct http_sf_members *members, const struct http_sf_member *m)
{
    for (unsigned i = 0; i < members->count; i++) {
        if (str_eq(members->at[i].key, m->key)) {
            members->at[i] = *m;
            return true;
        }
    }
    if (members->count == HTTP_SF_MEMBERS_MAX)
        return false;
    members->at[members->count++] = *m;
    return true;
}

/* Section 4.2.2. A member cannot go over the end of its line: lines are joined by a comma, which no
 * item but a string holds, and a string that is cut in two is not to be had from the parts. */
static bool http_sf_line(struct str s, struct http_sf_members *members)
{
    http_sf_spaces(&s, true);
    while (s.size > 0) {
        struct http_sf_member m;
        if (!http_sf_member(&s, &m) || !http_sf_keep(members, &m))
            return false;
        http_sf_spaces(&s, true);
        if (s.size == 0)
            return true;
        if (s.data[0] != ',')
            return false;
        s = str_skip(s, 1);
        http_sf_spaces(&s, true);
        if (s.size == 0)
            return false; /* a trailing comma */
    }
    return true;
}

bool http_sf_dictionary(const struct fields *f, struct str name,
                        void (*member)(void *arg, const struct http_sf_member *m), void *arg)
{
    struct http_sf_members members;
    members.count = 0;
    for (unsigned i = 0; i < f->count; i++)
        if (str_eq(f->at[i].name, name) && !http_sf_line(f->at[i].value, &members))
            return false;
    for (unsigned i = 0; i < members.count; i++)
        member(arg, &members.at[i]);
    return true;
}
