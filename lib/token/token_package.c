/* SPDX-License-Identifier: Apache-2.0 */
#include "token/token.h"
#include <errno.h>

#define TOKEN_PACKAGE "URISigningPackage="

/* Keeps the first package and counts all. */
static void token_found(struct str value, struct str *first, unsigned *count)
{
    if ((*count)++ == 0)
        *first = value;
}

/* One path segment without its package parameters: "v;x=1;URISigningPackage=T" -> "v;x=1". */
static void token_strip_segment(struct str segment, struct str *first, unsigned *count,
                                struct buf *out)
{
    struct str rest;
    buf_put_str(out, str_cut(segment, ';', &rest));
    while (rest.data != NULL) {
        struct str parameter = str_cut(rest, ';', &rest);
        if (str_starts(parameter, STR(TOKEN_PACKAGE))) {
            token_found(str_skip(parameter, sizeof TOKEN_PACKAGE - 1), first, count);
        } else {
            buf_putc(out, ';');
            buf_put_str(out, parameter);
        }
    }
}

static void token_strip_path(struct str path, struct str *first, unsigned *count, struct buf *out)
{
    bool is_first = true;
    bool has_slash = false; /* a slash stands before this segment in path */
    while (is_first || path.data != NULL) {
        size_t before = out->size;
        unsigned found = *count;
        struct str segment = str_cut(path, '/', &path);
        if (has_slash)
            buf_putc(out, '/');
        size_t begin = out->size;
        token_strip_segment(segment, first, count, out);
        /* Nothing but the package: the segment goes, and the slash before it. */
        if (*count > found && out->size == begin && buf_error(out) == 0) {
            out->size = before;
            if (out->data != NULL)
                out->data[before] = 0;
        }
        has_slash = true;
        is_first = false;
    }
}

static void token_find_query(struct str query, struct str *first, unsigned *count)
{
    while (query.data != NULL) {
        struct str parameter = str_cut(query, '&', &query);
        if (str_starts(parameter, STR(TOKEN_PACKAGE)))
            token_found(str_skip(parameter, sizeof TOKEN_PACKAGE - 1), first, count);
    }
}

int token_extract(struct str path, struct str query, struct str *ret_token, struct buf *ret_path)
{
    ASSERT(ret_token != NULL);
    ASSERT(ret_path != NULL);
    struct str token = STR_NONE;
    unsigned count = 0;
    CLEAN_BUF struct buf stripped = BUF_EMPTY;
    token_strip_path(path, &token, &count, &stripped);
    if (count > 0 && stripped.size == 0)
        buf_putc(&stripped, '/');
    if (count == 0)
        token_find_query(query, &token, &count);
    if (buf_error(&stripped) != 0)
        return buf_error(&stripped);
    if (count > 1 || (count == 1 && (token.size == 0 || token.size > TOKEN_SIZE_MAX)))
        return -EBADMSG;
    buf_put_str(ret_path, buf_str(&stripped));
    if (buf_error(ret_path) != 0)
        return buf_error(ret_path);
    if (count == 0)
        return -ENOENT;
    *ret_token = token;
    return 0;
}

bool token_next_cookie(struct str *cookie, struct str *ret_token)
{
    ASSERT(cookie != NULL);
    ASSERT(ret_token != NULL);
    while (cookie->data != NULL) {
        struct str pair = str_trim(str_cut(*cookie, ';', cookie));
        if (!str_starts(pair, STR(TOKEN_PACKAGE)))
            continue;
        struct str value = str_skip(pair, sizeof TOKEN_PACKAGE - 1);
        if (value.size >= 2 && value.data[0] == '"' && value.data[value.size - 1] == '"')
            value = (struct str){value.data + 1, value.size - 2}; /* RFC 6265 section 4.1.1 */
        if (value.size == 0 || value.size > TOKEN_SIZE_MAX)
            continue;
        *ret_token = value;
        return true;
    }
    return false;
}

/* ---- what an upstream sees ---- */

void token_strip_query(struct str query, struct buf *out)
{
    ASSERT(out != NULL);
    bool is_first = true;
    while (query.data != NULL) {
        struct str parameter = str_cut(query, '&', &query);
        if (str_starts(parameter, STR(TOKEN_PACKAGE)))
            continue;
        if (!is_first)
            buf_putc(out, '&');
        buf_put_str(out, parameter);
        is_first = false;
    }
}

void token_strip_cookie(struct str cookie, struct buf *out)
{
    ASSERT(out != NULL);
    bool is_first = true;
    while (cookie.data != NULL) {
        struct str pair = str_trim(str_cut(cookie, ';', &cookie));
        if (pair.size == 0 || str_starts(pair, STR(TOKEN_PACKAGE)))
            continue;
        if (!is_first)
            buf_puts(out, "; ");
        buf_put_str(out, pair);
        is_first = false;
    }
}

void token_cookie_path(struct str path, uint32_t depth, struct buf *out)
{
    ASSERT(out != NULL);
    size_t before = out->size;
    struct str rest = str_starts(path, STR("/")) ? str_skip(path, 1) : STR_NONE;
    for (uint32_t i = 0; i < depth && rest.size > 0; i++) {
        struct str segment = str_cut(rest, '/', &rest);
        bool is_plain = segment.size > 0;
        for (size_t at = 0; at < segment.size && is_plain; at++)
            is_plain = segment.data[at] > ' ' && segment.data[at] < 0x7f &&
                       segment.data[at] != ';' && segment.data[at] != ',';
        if (!is_plain)
            break;
        buf_putc(out, '/');
        buf_put_str(out, segment);
    }
    if (out->size == before)
        buf_putc(out, '/');
}
