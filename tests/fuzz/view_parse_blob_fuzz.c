/* SPDX-License-Identifier: Apache-2.0 */
#include "media/view.h"
#include <errno.h>
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct digest d;
    const char *type = NULL;
    int r = view_parse_blob(fuzz_str(data, size), &d, &type);
    ASSERT(r == 0 || r == -EINVAL);
    if (r < 0) {
        ASSERT(type == NULL);
        return 0;
    }
    char text[DIGEST_TEXT_SIZE]; /* a blob has one name */
    digest_format(&d, text);
    ASSERT(size > 33);
    ASSERT(memcmp(text, data, 32) == 0);
    ASSERT(type != NULL);
    return 0;
}
