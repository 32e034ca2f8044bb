/* SPDX-License-Identifier: Apache-2.0 */
/* A chunked body: the same bytes and the same verdict come out however it is cut on its way. */
#include "http/http_chunk.h"
#include <errno.h>
#include "base/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is there of the body. *ret_rest: the bytes behind its end, if it came to one. */
static int decode(const uint8_t *data, size_t size, size_t step, struct buf *body, size_t *ret_rest)
{
    struct http_chunk c = {0};
    size_t at = 0;
    size_t have = 0;
    while (!c.is_end) {
        size_t used = 0;
        size_t some = 0;
        int r = http_chunk_next(&c, data + at, have - at, &used, &some);
        ASSERT(used <= have - at);
        at += used;
        if (r == -EAGAIN) {
            ASSERT(some == 0);
            if (have == size)
                return -EAGAIN;
            have = MIN(size, have + step);
            continue;
        }
        if (r < 0)
            return r;
        ASSERT(c.is_end || (some > 0 && some <= have - at));
        buf_put(body, data + at, some);
        at += some;
        http_chunk_taken(&c, some);
    }
    *ret_rest = size - at;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEAN_BUF struct buf whole = BUF_EMPTY;
    CLEAN_BUF struct buf cut = BUF_EMPTY;
    size_t rest = 0;
    size_t cut_rest = 0;
    int r = decode(data, size, MAX(size, (size_t)1), &whole, &rest);
    size_t step = size > 0 && data[0] % 3 == 0 ? 7 : 1;
    int cut_r = decode(data, size, step, &cut, &cut_rest);
    ASSERT(r == cut_r);
    ASSERT(rest == cut_rest);
    ASSERT(str_eq(buf_str(&whole), buf_str(&cut)));
    return 0;
}
