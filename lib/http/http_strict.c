/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http_strict.h"
#include <errno.h>

/* The next line of the head, without its end; false at the empty line, or where the bytes end. */
static bool http_strict_line(struct str *rest, struct str *ret)
{
    if (rest->size == 0)
        return false;
    struct str line = str_cut(*rest, '\n', rest);
    if (line.size > 0 && line.data[line.size - 1] == '\r')
        line.size--;
    *ret = line;
    return line.size > 0;
}

struct str http_strict_find(struct str head, struct str name)
{
    struct str line;
    while (http_strict_line(&head, &line)) {
        struct str value;
        struct str key = str_cut(line, ':', &value);
        if (value.data != NULL && str_eq_nocase(key, name))
            return str_trim(value);
    }
    return STR_NONE;
}

static bool http_strict_is_number(struct str value)
{
    for (size_t i = 0; i < value.size; i++)
        if (value.data[i] < '0' || value.data[i] > '9')
            return false;
    return value.size > 0;
}

int http_strict_check(struct str head, const char **ret_why)
{
    unsigned hosts = 0, lengths = 0, codings = 0;
    const char *why = NULL;
    struct str line;
    if (!http_strict_line(&head, &line))
        why = "The request has no request line";
    while (why == NULL && http_strict_line(&head, &line)) {
        struct str value;
        struct str key = str_cut(line, ':', &value);
        if (line.data[0] == ' ' || line.data[0] == '\t')
            why = "A header line is folded";
        else if (str_eq_nocase(key, STR("host")))
            hosts++;
        else if (str_eq_nocase(key, STR("transfer-encoding")))
            codings += str_eq_nocase(str_trim(value), STR("chunked")) ? 1 : 2;
        else if (str_eq_nocase(key, STR("content-length")))
            lengths += http_strict_is_number(str_trim(value)) ? 1 : 2;
    }
    if (why == NULL && hosts > 1)
        why = "There is more than one Host header";
    if (why == NULL && lengths + codings > 1)
        why = "The length of the body is not told in one way";
    if (why == NULL)
        return 0;
    *ret_why = why;
    return -EBADMSG;
}
