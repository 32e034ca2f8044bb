/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "http/http_cache.h"
#include "http/http_cache_priv.h"

#define HTTP_KEY_SORT_MAX 256 /* a query of more parameters stays in its order */

static int http_key_hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static char http_key_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* RFC 3986 section 2.3. */
static bool http_key_unreserved(int c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

/* RFC 3986 section 6.2.2: "%7e" is "~", "%2f" is "%2F"; a "%" that codes nothing stays. */
static void http_key_percent(struct str s, struct buf *out)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.size; i++) {
        int high = s.data[i] == '%' && s.size - i > 2 ? http_key_hex(s.data[i + 1]) : -1;
        int low = high >= 0 ? http_key_hex(s.data[i + 2]) : -1;
        if (low < 0) {
            buf_putc(out, s.data[i]);
            continue;
        }
        int c = high * 16 + low;
        if (http_key_unreserved(c)) {
            buf_putc(out, (char)c);
        } else {
            buf_putc(out, '%');
            buf_putc(out, digits[high]);
            buf_putc(out, digits[low]);
        }
        i += 2;
    }
}

/* RFC 3986 section 5.2.4, in place from start on: what is there begins with "/". */
static void http_key_dots(struct buf *out, size_t start)
{
    size_t to = start;
    size_t from = start;
    while (from < out->size) {
        size_t end = from + 1;
        while (end < out->size && out->data[end] != '/')
            end++;
        struct str segment = {out->data + from + 1, end - from - 1};
        bool last = end == out->size;
        if (str_eq(segment, STR("..")) || str_eq(segment, STR("."))) {
            if (segment.size == 2)
                while (to > start && out->data[--to] != '/')
                    ;
            if (last)
                out->data[to++] = '/';
        } else {
            memmove(out->data + to, out->data + from, end - from);
            to += end - from;
        }
        from = end;
    }
    out->size = to;
    out->data[to] = '\0';
}

static void http_key_path(struct str path, struct buf *out)
{
    size_t start = out->size;
    if (path.size == 0 || path.data[0] != '/')
        buf_putc(out, '/');
    http_key_percent(path, out);
    if (buf_error(out) == 0)
        http_key_dots(out, start);
}

static void http_key_authority(struct str scheme, struct str authority, struct buf *out)
{
    /* The port is behind the last colon that is not within the brackets of an IPv6 address. */
    size_t host = authority.size;
    for (size_t i = authority.size; i > 0 && authority.data[i - 1] != ']'; i--) {
        if (authority.data[i - 1] == ':') {
            host = i - 1;
            break;
        }
    }
    for (size_t i = 0; i < host; i++)
        buf_putc(out, http_key_lower(authority.data[i]));
    struct str port = host < authority.size ? str_skip(authority, host + 1) : STR_NONE;
    bool is_default = port.size == 0 ||
                      (str_eq_nocase(scheme, STR("http")) && str_eq(port, STR("80"))) ||
                      (str_eq_nocase(scheme, STR("https")) && str_eq(port, STR("443")));
    if (!is_default) {
        buf_putc(out, ':');
        buf_put_str(out, port);
    }
}

/* --- the query -------------------------------------------------------------------------------- */

/* Whether the parameter, normalised as it is, is one of the names. */
static bool http_key_is_named(struct str parameter, const struct http_key_options *o)
{
    struct str rest;
    struct str name = str_cut(parameter, '=', &rest);
    for (unsigned i = 0; i < o->names_count; i++)
        if (str_eq(name, str_of(o->names[i])))
            return true;
    return false;
}

struct http_key_parameter {
    struct str text;
    unsigned at; /* so that those of one name keep their order */
};

static int http_key_order(const void *left, const void *right)
{
    const struct http_key_parameter *a = left;
    const struct http_key_parameter *b = right;
    struct str rest;
    struct str x = str_cut(a->text, '=', &rest);
    struct str y = str_cut(b->text, '=', &rest);
    int order = memcmp(x.data, y.data, MIN(x.size, y.size));
    if (order == 0)
        order = x.size < y.size ? -1 : x.size > y.size;
    return order != 0 ? order : (a->at < b->at ? -1 : 1);
}

/* The parameters of text that count, as list; false: there are too many to be sorted. */
static bool http_key_pick(struct str text, const struct http_key_options *o,
                          struct http_key_parameter *list, unsigned *ret_count)
{
    unsigned count = 0;
    while (text.size > 0) {
        struct str one = str_cut(text, '&', &text);
        if (one.size == 0 || http_key_is_named(one, o) != (o->query == HTTP_KEY_QUERY_SOME))
            continue;
        if (count == HTTP_KEY_SORT_MAX)
            return false;
        list[count] = (struct http_key_parameter){one, count};
        count++;
    }
    *ret_count = count;
    return true;
}

static void http_key_query(struct str query, const struct http_key_options *o, struct buf *out)
{
    CLEAN_BUF struct buf plain = BUF_EMPTY;
    struct http_key_parameter list[HTTP_KEY_SORT_MAX];
    unsigned count = 0;
    const char *separator = "?";
    http_key_percent(query, &plain);
    if (buf_error(&plain) < 0 && out->error == 0)
        out->error = buf_error(&plain);
    if (o->sorted && http_key_pick(buf_str(&plain), o, list, &count)) {
        qsort(list, count, sizeof list[0], http_key_order);
        for (unsigned i = 0; i < count; i++, separator = "&") {
            buf_puts(out, separator);
            buf_put_str(out, list[i].text);
        }
        return;
    }
    struct str rest = buf_str(&plain);
    while (rest.size > 0) {
        struct str one = str_cut(rest, '&', &rest);
        if (one.size == 0 || http_key_is_named(one, o) != (o->query == HTTP_KEY_QUERY_SOME))
            continue;
        buf_puts(out, separator);
        buf_put_str(out, one);
        separator = "&";
    }
}

void http_cache_key(struct str scheme, struct str authority, struct str path, struct str query,
                    const struct http_key_options *options, struct buf *out)
{
    for (size_t i = 0; i < scheme.size; i++)
        buf_putc(out, http_key_lower(scheme.data[i]));
    buf_puts(out, "://");
    http_key_authority(scheme, authority, out);
    http_key_path(path, out);
    if (options->query != HTTP_KEY_QUERY_NONE)
        http_key_query(query, options, out);
}
