/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http_text.h"
#include <errno.h>

static bool http_is_hex_lower(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static bool http_all_hex(struct str s)
{
    for (size_t i = 0; i < s.size; i++)
        if (!http_is_hex_lower(s.data[i]))
            return false;
    return true;
}

static bool http_all_zero(struct str s)
{
    for (size_t i = 0; i < s.size; i++)
        if (s.data[i] != '0')
            return false;
    return true;
}

int http_traceparent_parse(struct str value, char ret_id[ID_TEXT_SIZE])
{
    struct str rest;
    struct str version = str_cut(value, '-', &rest);
    struct str id = str_cut(rest, '-', &rest);
    struct str parent = str_cut(rest, '-', &rest);
    struct str flags = str_cut(rest, '-', &rest);
    if (version.size != 2 || !http_all_hex(version) || str_eq(version, STR("ff")))
        return -EINVAL;
    if (id.size != ID_TEXT_SIZE - 1 || !http_all_hex(id) || http_all_zero(id))
        return -EINVAL;
    if (parent.size != 16 || !http_all_hex(parent) || http_all_zero(parent))
        return -EINVAL;
    if (flags.size != 2 || !http_all_hex(flags))
        return -EINVAL;
    if (str_eq(version, STR("00")) && rest.data != NULL)
        return -EINVAL; /* version 0 has four fields; a later one may have more */
    return str_copy(id, ret_id, ID_TEXT_SIZE);
}

static int http_hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* One character of s at i, percent-decoded; *ret_used is how many bytes it took. A URL within a URL
 * is coded twice and more: "%253D" is "=" as well. */
static char http_char_at(struct str s, size_t i, size_t *ret_used)
{
    char c = s.data[i];
    size_t used = 1;
    while (c == '%' && s.size - i - used >= 2) {
        int high = http_hex_value(s.data[i + used]);
        int low = http_hex_value(s.data[i + used + 1]);
        if (high < 0 || low < 0)
            break;
        c = (char)(high * 16 + low);
        used += 2;
    }
    *ret_used = used;
    return c;
}

/* How many bytes of s at i are "URISigningPackage=" in any case and coding; 0: none. */
static size_t http_secret_name_at(struct str s, size_t i)
{
    static const char name[] = "urisigningpackage=";
    size_t at = i;
    for (size_t n = 0; n < sizeof name - 1; n++) {
        size_t used;
        if (at >= s.size)
            return 0;
        char c = http_char_at(s, at, &used);
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if (c != name[n])
            return 0;
        at += used;
    }
    return at - i;
}

static bool http_ends_value(char c)
{
    return c == '/' || c == ';' || c == '&' || c == '?' || c == '#';
}

void http_target_redact(struct str target, struct buf *out)
{
    size_t i = 0;
    size_t clean = 0; /* from here on nothing has been appended yet */
    while (i < target.size) {
        size_t name = http_secret_name_at(target, i);
        if (name == 0) {
            i++;
            continue;
        }
        i += name;
        buf_put(out, target.data + clean, i - clean);
        buf_puts(out, "redacted");
        while (i < target.size && !http_ends_value(target.data[i]))
            i++;
        clean = i;
    }
    buf_put(out, target.data + clean, target.size - clean);
}
