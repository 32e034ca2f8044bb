/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http_cache.h"
#include "http/http_cache_priv.h"

#define HTTP_VARY_NAMES_MAX 32 /* a response that varies by more is like Vary: * */
#define HTTP_VARY_NAME_MAX  64

struct http_vary_name {
    char text[HTTP_VARY_NAME_MAX]; /* lower-case */
    size_t size;
};

struct http_vary_names {
    struct http_vary_name at[HTTP_VARY_NAMES_MAX];
    unsigned count;
};

static int http_vary_order(const struct http_vary_name *a, const struct http_vary_name *b)
{
    int order = memcmp(a->text, b->text, MIN(a->size, b->size));
    if (order != 0)
        return order;
    return a->size < b->size ? -1 : a->size > b->size;
}

static bool http_vary_name_of(struct str text, struct http_vary_name *ret)
{
    if (text.size > sizeof ret->text)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (!http__is_token(c) || c == '*')
            return false;
        ret->text[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    ret->size = text.size;
    return true;
}

/* Sorted and once each. False: there is "*", or what is no field name, or too many. */
static bool http_vary_names(struct str vary, struct http_vary_names *names)
{
    names->count = 0;
    while (vary.size > 0) {
        struct http_vary_name name;
        struct str one = str_trim(str_cut(vary, ',', &vary));
        if (one.size == 0)
            continue;
        if (!http_vary_name_of(one, &name))
            return false;
        unsigned at = 0;
        while (at < names->count && http_vary_order(&names->at[at], &name) < 0)
            at++;
        if (at < names->count && http_vary_order(&names->at[at], &name) == 0)
            continue;
        if (names->count == HTTP_VARY_NAMES_MAX)
            return false;
        memmove(&names->at[at + 1], &names->at[at],
                (size_t)(names->count - at) * sizeof names->at[0]);
        names->at[at] = name;
        names->count++;
    }
    return true;
}

bool http__vary_is_star(struct str line)
{
    struct http_vary_names names;
    return !http_vary_names(line, &names);
}

/* --- values ----------------------------------------------------------------------------------- */

/* Whether the weight of "gzip;q=0.000" is zero: RFC 9110 section 12.4.2. */
static bool http_vary_is_refused(struct str parameters)
{
    while (parameters.size > 0) {
        struct str value;
        struct str one = str_trim(str_cut(parameters, ';', &parameters));
        if (!str_eq_nocase(str_trim(str_cut(one, '=', &value)), STR("q")))
            continue;
        value = str_trim(value);
        for (size_t i = 0; i < value.size; i++)
            if (value.data[i] != '0' && value.data[i] != '.')
                return false;
        return value.size > 0;
    }
    return false;
}

/* RFC 9110 section 12.5.3: "*" stands for all that are not named. identity is acceptable unless
 * refused, by its name or by "*". */
static void http_vary_codings(struct str value, struct buf *out)
{
    enum { NOT_NAMED, TAKEN, REFUSED };
    static const struct {
        const char *name, *old;
    } codings[] = {{"br", "br"}, {"gzip", "x-gzip"}, {"zstd", "zstd"}, {"identity", "identity"}};
    int said[ARRAY_LEN(codings)] = {NOT_NAMED};
    int others = NOT_NAMED;
    while (value.size > 0) {
        struct str parameters;
        struct str one = str_cut(value, ',', &value);
        struct str name = str_trim(str_cut(one, ';', &parameters));
        int is = http_vary_is_refused(parameters) ? REFUSED : TAKEN;
        for (size_t i = 0; i < ARRAY_LEN(codings); i++)
            if (str_eq_nocase(name, str_of(codings[i].name)) ||
                str_eq_nocase(name, str_of(codings[i].old)))
                said[i] = is;
        if (str_eq(name, STR("*")))
            others = is;
    }
    const char *separator = "";
    for (size_t i = 0; i < ARRAY_LEN(codings); i++) {
        int is = said[i] == NOT_NAMED ? others : said[i];
        bool is_identity = i == ARRAY_LEN(codings) - 1;
        if (is_identity ? is != REFUSED : is != TAKEN)
            continue;
        buf_printf(out, "%s%s%s", separator, codings[i].name, is_identity ? ";q=0" : "");
        separator = ",";
    }
}

/* What RFC 9111 section 4.1 allows for every field: white space around the commas of a list goes,
 * and so do its empty members. Within quotes nothing changes. */
static void http_vary_list(struct str value, bool *any, struct buf *out)
{
    size_t i = 0;
    while (i < value.size) {
        size_t start = i;
        bool quoted = false;
        for (; i < value.size && (quoted || value.data[i] != ','); i++) {
            if (quoted && value.data[i] == '\\' && i + 1 < value.size)
                i++;
            else if (value.data[i] == '"')
                quoted = !quoted;
        }
        struct str one = str_trim((struct str){value.data + start, i - start});
        i++;
        if (one.size == 0)
            continue;
        if (*any)
            buf_putc(out, ',');
        *any = true;
        for (size_t n = 0; n < one.size; n++) /* a line feed would end the entry */
            buf_putc(out, one.data[n] == '\n' ? ' ' : one.data[n]);
    }
}

static void http_vary_entry(struct str name, const struct fields *request, struct buf *out)
{
    bool any = false;
    buf_put_str(out, name);
    if (fields_get(request, name).data == NULL) {
        buf_putc(out, '\n'); /* absent is not the same as empty */
        return;
    }
    buf_putc(out, ':');
    if (str_eq(name, STR("accept-encoding"))) {
        CLEAN_BUF struct buf all = BUF_EMPTY;
        fields_join(request, name, &all);
        http_vary_codings(buf_str(&all), out);
        if (buf_error(&all) < 0 && out->error == 0)
            out->error = buf_error(&all);
    } else {
        for (unsigned i = 0; i < request->count; i++)
            if (str_eq(request->at[i].name, name))
                http_vary_list(request->at[i].value, &any, out);
    }
    buf_putc(out, '\n');
}

bool http_cache_vary(struct str vary, const struct fields *request, struct buf *out)
{
    struct http_vary_names names;
    if (!http_vary_names(vary, &names))
        return false;
    for (unsigned i = 0; i < names.count; i++)
        http_vary_entry((struct str){names.at[i].text, names.at[i].size}, request, out);
    return true;
}
