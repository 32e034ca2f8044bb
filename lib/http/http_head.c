/* SPDX-License-Identifier: Apache-2.0 */
/* What holds for the head of every request, in whatever version it came. */
#include <errno.h>
#include "http/http_priv.h"
#include "http/http_strict.h"

#define HTTP_FIELD_EXTRA 32 /* RFC 9113 section 6.5.2: what a field counts beside its bytes */

static struct str http_head_str(h2o_iovec_t v)
{
    return (struct str){v.base, v.len};
}

size_t http__head_size(const h2o_req_t *h2o)
{
    size_t size = h2o->input.method.len + h2o->input.path.len + h2o->input.authority.len;
    for (size_t i = 0; i < h2o->headers.size; i++)
        size += h2o->headers.entries[i].name->len + h2o->headers.entries[i].value.len +
                HTTP_FIELD_EXTRA;
    return size;
}

/* RFC 9113 section 8.2.2: what belongs to a connection of HTTP/1 has no meaning in HTTP/2, and
 * would get one where a request is handed on. */
static bool http_head_is_of_connection(struct str name, struct str value)
{
    static const char *const names[] = {"connection", "keep-alive", "proxy-connection",
                                        "transfer-encoding", "upgrade"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(name, str_of(names[i])))
            return true;
    return str_eq(name, STR("te")) && !str_eq_nocase(value, STR("trailers"));
}

static const char *http_head_field(const h2o_req_t *h2o, struct str name, struct str value)
{
    if (h2o->version >= 0x200 && http_head_is_of_connection(name, value))
        return "A header belongs to a connection of HTTP/1";
    for (size_t i = 0; i < value.size; i++) {
        unsigned char c = (unsigned char)value.data[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return "A header has control characters";
    }
    return name.size == 0 || !http_strict_is_plain(name) ? "A header has no name" : NULL;
}

int http__head_check(h2o_req_t *h2o, const char **ret_why)
{
    const char *why = NULL;
    if (!http_strict_is_plain(http_head_str(h2o->input.path)) ||
        !http_strict_is_plain(http_head_str(h2o->input.authority)) ||
        !http_strict_is_plain(http_head_str(h2o->input.method)))
        why = "The request target has control characters";
    for (size_t i = 0; why == NULL && i < h2o->headers.size; i++) {
        const h2o_header_t *h = &h2o->headers.entries[i];
        why = http_head_field(h2o, http_head_str(*h->name), http_head_str(h->value));
    }
    if (why == NULL)
        return 0;
    *ret_why = why;
    return -EBADMSG;
}
