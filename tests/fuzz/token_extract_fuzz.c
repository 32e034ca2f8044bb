/* SPDX-License-Identifier: Apache-2.0 */
#include "token/token.h"
#include <errno.h>
#include "fuzz.h"

/* Three lines: path, query, cookie. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest;
    struct str path = str_cut(fuzz_str(data, size), '\n', &rest);
    struct str cookie;
    struct str query = str_cut(rest, '\n', &cookie);
    struct str token = STR_NONE;
    CLEAN_BUF struct buf stripped = BUF_EMPTY;
    int r = token_extract(path, query, cookie, &token, &stripped);
    ASSERT(r == 0 || r == -ENOENT || r == -EBADMSG);
    if (r == -EBADMSG) {
        ASSERT(stripped.size == 0);
        ASSERT(token.data == NULL);
        return 0;
    }
    ASSERT(stripped.size <= path.size);
    if (r == -ENOENT)
        ASSERT(str_eq(buf_str(&stripped), path));
    else
        ASSERT(token.size > 0 && token.size <= TOKEN_SIZE_MAX);
    /* Nothing is left to find in the path. */
    CLEAN_BUF struct buf again = BUF_EMPTY;
    ASSERT(token_extract(buf_str(&stripped), STR_NONE, STR_NONE, &token, &again) == -ENOENT);
    return 0;
}
