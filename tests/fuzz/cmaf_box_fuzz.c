/* SPDX-License-Identifier: Apache-2.0 */
#include "media/cmaf.h"
#include <errno.h>
#include "fuzz.h"

/* Every box as if it held boxes, as a reader of nested ones would go. */
static void cmaf_box_walk(struct str bytes, unsigned depth)
{
    char type[5];
    struct str body;
    struct str rest;
    int r;
    while ((r = cmaf_box(bytes, type, &body, &rest)) == 0) {
        ASSERT(type[4] == 0);
        ASSERT(body.size <= bytes.size - 8);
        ASSERT(rest.size + body.size + 8 <= bytes.size);
        ASSERT(rest.size == 0 || rest.data == body.data + body.size);
        if (body.size > 0)
            ASSERT(body.data >= bytes.data + 8 && body.data + body.size <= bytes.data + bytes.size);
        if (depth < 16)
            cmaf_box_walk(body, depth + 1);
        bytes = rest;
    }
    ASSERT(r == -ENOENT || r == -EBADMSG);
    ASSERT((r == -ENOENT) == (bytes.size == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cmaf_box_walk(fuzz_str(data, size), 0);
    return 0;
}
