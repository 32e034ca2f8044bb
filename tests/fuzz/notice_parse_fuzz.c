/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/notice.h"
#include <errno.h>
#include "fuzz.h"

/* What an origin says of a ref: a name that a store takes, and what it shows. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct notice n = {.upstream = 7};
    int r = notice_parse(fuzz_str(data, size), &n);
    if (r == 0) {
        ASSERT(n.kind == NOTICE_MOVED || n.kind == NOTICE_GONE);
        ASSERT(store_name_ok(str_of(n.asset)));
    } else {
        ASSERT(r == -EBADMSG);
        ASSERT(n.upstream == 7 && n.asset[0] == 0);
    }
    return 0;
}
