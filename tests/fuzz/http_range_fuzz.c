/* SPDX-License-Identifier: Apache-2.0 */
/* Range headers: what comes out lies inside, in bounds, and nowhere twice. */
#include "http/http_range.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t total;
    if (size < sizeof total)
        return 0;
    memcpy(&total, data, sizeof total);
    total >>= data[0] % 64; /* small ones as often as large ones */
    struct http_range r[HTTP_RANGES_MAX];
    unsigned count = 0;
    struct str value = {(const char *)data + sizeof total, size - sizeof total};
    if (http_range_parse(value, total, r, &count) != HTTP_RANGE_SOME)
        return 0;
    ASSERT(count >= 1);
    ASSERT(count <= HTTP_RANGES_MAX);
    for (unsigned i = 0; i < count; i++) {
        ASSERT(r[i].size >= 1);
        ASSERT(r[i].first < total);
        ASSERT(r[i].size <= total - r[i].first);
        for (unsigned n = 0; n < i; n++)
            ASSERT(r[i].first + r[i].size <= r[n].first || r[n].first + r[n].size <= r[i].first);
    }
    return 0;
}
