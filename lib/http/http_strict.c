/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http_strict.h"
#include <errno.h>

/* The next line of the head, without its end; false at the empty line, or where the bytes end. A
 * line feed alone ends a line as well here, so that what is behind it is seen: it is refused then.
 */
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

bool http_strict_has_end(struct str bytes)
{
    return bytes.size >= 4 && memmem(bytes.data, bytes.size, "\r\n\r\n", 4) != NULL;
}

bool http_strict_is_plain(struct str s)
{
    for (size_t i = 0; i < s.size; i++)
        if ((unsigned char)s.data[i] <= ' ' || s.data[i] == 0x7f)
            return false;
    return true;
}

struct str http_strict_absolute(struct str target)
{
    struct str rest = STR_NONE;
    if (str_eq_nocase((struct str){target.data, MIN(target.size, (size_t)7)}, STR("http://")))
        rest = str_skip(target, 7);
    else if (str_eq_nocase((struct str){target.data, MIN(target.size, (size_t)8)}, STR("https://")))
        rest = str_skip(target, 8);
    size_t n = 0;
    while (n < rest.size && rest.data[n] != '/' && rest.data[n] != '?')
        n++;
    return (struct str){rest.data, n};
}

/* Control characters, and with them carriage returns that end nothing. */
static bool http_strict_is_text(struct str line)
{
    for (size_t i = 0; i < line.size; i++) {
        unsigned char c = (unsigned char)line.data[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

struct http_strict {
    unsigned hosts, lengths, codings;
    struct str host;
};

static const char *http_strict_field(struct http_strict *h, struct str line)
{
    struct str value;
    struct str key = str_cut(line, ':', &value);
    if (line.data[0] == ' ' || line.data[0] == '\t')
        return "A header line is folded";
    if (value.data == NULL || key.size == 0)
        return "A header line has no name";
    if (key.data[key.size - 1] == ' ' || key.data[key.size - 1] == '\t')
        return "A header's name ends with a space";
    if (str_eq_nocase(key, STR("host"))) {
        h->hosts++;
        h->host = str_trim(value);
    } else if (str_eq_nocase(key, STR("transfer-encoding"))) {
        h->codings += str_eq_nocase(str_trim(value), STR("chunked")) ? 1 : 2;
    } else if (str_eq_nocase(key, STR("content-length"))) {
        h->lengths += http_strict_is_number(str_trim(value)) ? 1 : 2;
    }
    return NULL;
}

static const char *http_strict_whole(const struct http_strict *h, struct str request_line)
{
    struct str target;
    (void)str_cut(request_line, ' ', &target);
    struct str version;
    target = str_cut(target, ' ', &version);
    struct str absolute = http_strict_absolute(target);
    if (h->hosts > 1)
        return "There is more than one Host header";
    if (h->lengths + h->codings > 1)
        return "The length of the body is not told in one way";
    if (h->codings > 0 && str_eq(version, STR("HTTP/1.0")))
        return "HTTP/1.0 has no transfer codings";
    if (absolute.data != NULL && h->hosts > 0 && !str_eq_nocase(absolute, h->host))
        return "The target names one host, the Host header another";
    return NULL;
}

/* Every line feed of the head has its carriage return. */
static bool http_strict_has_line_ends(struct str head, struct str rest)
{
    size_t size = head.size - rest.size;
    for (size_t i = 0; i < size; i++)
        if (head.data[i] == '\n' && (i == 0 || head.data[i - 1] != '\r'))
            return false;
    return true;
}

int http_strict_check(struct str head, const char **ret_why)
{
    struct http_strict h = {0};
    const char *why = NULL;
    struct str rest = head;
    struct str line;
    struct str request_line = STR_NONE;
    if (!http_strict_line(&rest, &request_line))
        why = "The request has no request line";
    else if (!http_strict_is_text(request_line))
        why = "The request line has control characters";
    while (why == NULL && http_strict_line(&rest, &line))
        why = http_strict_is_text(line) ? http_strict_field(&h, line)
                                        : "A header line has control characters";
    if (why == NULL && !http_strict_has_line_ends(head, rest))
        why = "A line does not end with CR LF";
    if (why == NULL)
        why = http_strict_whole(&h, request_line);
    if (why == NULL)
        return 0;
    *ret_why = why;
    return -EBADMSG;
}
