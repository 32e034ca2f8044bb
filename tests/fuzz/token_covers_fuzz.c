/* SPDX-License-Identifier: Apache-2.0 */
#include "token/token.h"
#include <errno.h>
#include "fuzz.h"

/* The asset container, matched by hand, must say what its regular expression says. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEAN_BUF struct buf made = BUF_EMPTY;
    CLEAN_BUF struct buf wrapped = BUF_EMPTY;
    token_asset_container(STR("a.b"), &made);
    buf_printf(&wrapped, "regex:(%s)", made.data + 6);
    struct token_claims by_hand = {.container = made.data};
    struct token_claims by_expression = {.container = wrapped.data};
    struct str uri = fuzz_str(data, size);
    int r = token_covers(&by_hand, uri);
    ASSERT(r == 0 || r == -EACCES);
    ASSERT(token_covers(&by_expression, uri) == r);
    return 0;
}
