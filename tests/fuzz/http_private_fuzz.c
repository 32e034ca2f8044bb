/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http_private.h"
#include "fuzz.h"

/* What is left is left for good: nothing of it is taken away the second time. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEAN_BUF struct buf once = BUF_EMPTY;
    CLEAN_BUF struct buf twice = BUF_EMPTY;
    http_private_rest(fuzz_str(data, size), &once);
    http_private_rest(buf_str(&once), &twice);
    ASSERT(once.size <= 2 * size);
    ASSERT(str_eq(buf_str(&once), buf_str(&twice)));
    return 0;
}
