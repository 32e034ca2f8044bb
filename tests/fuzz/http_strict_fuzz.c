/* SPDX-License-Identifier: Apache-2.0 */
/* Heads of requests, and titles: a refusal has its sentence, a value that is found lies inside the
 * head, and an accepted title has a bounded size. */
#include "base/heading.h"
#include "http/http_strict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str s = {(const char *)data, size};
    struct err err = {0};
    const char *why = NULL;
    int r = http_strict_check(s, &why);
    ASSERT((r < 0) == (why != NULL));
    struct str value = http_strict_find(s, STR("host"));
    if (value.size > 0) {
        ASSERT(value.data >= s.data);
        ASSERT(value.data + value.size <= s.data + s.size);
    }
    r = heading_check(s, &err);
    ASSERT((r < 0) == (err.text[0] != 0));
    ASSERT(r < 0 || size <= HEADING_SIZE_MAX);
    return 0;
}
