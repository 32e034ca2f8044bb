/* SPDX-License-Identifier: Apache-2.0 */
#include "token/token.h"
#include <errno.h>
#include "fuzz.h"

static void token_extract_cookies(struct str cookie)
{
    CLEAN_BUF struct buf stripped = BUF_EMPTY;
    struct str rest = cookie;
    struct str token;
    while (token_next_cookie(&rest, &token)) {
        ASSERT(token.size > 0 && token.size <= TOKEN_SIZE_MAX);
        ASSERT(token.data > cookie.data && token.data + token.size <= cookie.data + cookie.size);
    }
    token_strip_cookie(cookie, &stripped);
    rest = buf_str(&stripped);
    ASSERT(!token_next_cookie(&rest, &token));
}

/* A path that a browser takes: from a slash on, without what ends an attribute. */
static void token_extract_cookie_path(struct str path)
{
    for (uint32_t depth = 0; depth < 4; depth++) {
        CLEAN_BUF struct buf out = BUF_EMPTY;
        token_cookie_path(path, depth, &out);
        ASSERT(out.size > 0 && out.data[0] == '/');
        ASSERT(out.size == 1 || str_starts(path, buf_str(&out)));
        for (size_t i = 0; i < out.size; i++)
            ASSERT(out.data[i] > ' ' && out.data[i] != ';');
    }
}

/* Three lines: path, query, cookie. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest;
    struct str path = str_cut(fuzz_str(data, size), '\n', &rest);
    struct str cookie;
    struct str query = str_cut(rest, '\n', &cookie);
    token_extract_cookies(cookie);
    token_extract_cookie_path(path);
    struct str token = STR_NONE;
    CLEAN_BUF struct buf stripped = BUF_EMPTY;
    int r = token_extract(path, query, &token, &stripped);
    ASSERT(r == 0 || r == -ENOENT || r == -EBADMSG);
    if (r == -EBADMSG) {
        ASSERT(stripped.size == 0);
        ASSERT(token.data == NULL);
        return 0;
    }
    ASSERT(stripped.size <= path.size);
    CLEAN_BUF struct buf bare = BUF_EMPTY;
    token_strip_query(query, &bare);
    struct str none = STR_NONE;
    CLEAN_BUF struct buf slash = BUF_EMPTY;
    ASSERT(token_extract(STR("/"), buf_str(&bare), &none, &slash) == -ENOENT);
    if (r == -ENOENT)
        ASSERT(str_eq(buf_str(&stripped), path));
    else
        ASSERT(token.size > 0 && token.size <= TOKEN_SIZE_MAX);
    /* Nothing is left to find in the path. */
    CLEAN_BUF struct buf again = BUF_EMPTY;
    ASSERT(token_extract(buf_str(&stripped), STR_NONE, &token, &again) == -ENOENT);
    return 0;
}
