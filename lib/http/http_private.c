/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http_private.h"

/* Up to the next comma outside of quotes; rest is behind it, STR_NONE at the end. */
static struct str private_next(struct str *rest)
{
    bool quoted = false;
    for (size_t i = 0; i < rest->size; i++) {
        char c = rest->data[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (c == ',' && !quoted) {
            struct str one = {rest->data, i};
            *rest = str_skip(*rest, i + 1);
            return one;
        }
    }
    struct str last = *rest;
    *rest = STR_NONE;
    return last;
}

static bool private_is_shared(struct str directive)
{
    static const struct str names[] = {STR("public"), STR("private"), STR("s-maxage"),
                                       STR("proxy-revalidate")};
    struct str value;
    struct str name = str_trim(str_cut(directive, '=', &value));
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_eq_nocase(name, names[i]))
            return true;
    }
    return false;
}

void http_private_rest(struct str value, struct buf *out)
{
    ASSERT(out != NULL);
    bool is_first = true;
    while (value.data != NULL) {
        struct str one = str_trim(private_next(&value));
        if (one.size == 0 || private_is_shared(one))
            continue;
        if (!is_first)
            buf_puts(out, ", ");
        buf_put_str(out, one);
        is_first = false;
    }
}

bool http_private_hides(struct str name)
{
    return str_eq(name, STR("cdn-cache-control")) || str_eq(name, STR("surrogate-control"));
}
