/* SPDX-License-Identifier: Apache-2.0 */
/* Traces: the first byte chooses the format and the size of the pieces; whatever the bytes, the
 * reader ends with a trace that is whole or with a sentence, and the pieces make no difference. */
#include <errno.h>
#include "evict_read.h"
#include "fuzz.h"

static int evict_fuzz_read(const uint8_t *data, size_t size, enum evict_format format, size_t piece,
                           struct evict_trace *t)
{
    CLEAN(evict_read_free) struct evict_read *r = NULL;
    int res = evict_read_new(format, t, &r);
    for (size_t at = 0; res == 0 && at < size; at += piece)
        res = evict_read_feed(r, data + at, MIN(piece, size - at));
    if (res == 0)
        res = evict_read_end(r);
    ASSERT(res == 0 || res == -EBADMSG || res == -ENOMEM);
    ASSERT(res != -EBADMSG || evict_read_why(r)[0] != 0);
    return res;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    enum evict_format format = data[0] & 1 ? EVICT_ORACLE : EVICT_CSV;
    struct evict_trace t = {0}, whole = {0};
    int res = evict_fuzz_read(data + 1, size - 1, format, (size_t)(data[0] >> 1) + 1, &t);
    int at_once = evict_fuzz_read(data + 1, size - 1, format, SIZE_MAX / 2, &whole);
    ASSERT(t.requests_count == whole.requests_count || res != at_once);
    ASSERT(format == EVICT_CSV || res == at_once);
    if (res == 0) {
        ASSERT(t.requests_count > 0);
        ASSERT(evict_trace_finish(&t) == 0);
        for (uint32_t i = 0; i < t.requests_count; i++)
            ASSERT(t.requests[i] < t.objects_count && t.sizes[t.requests[i]] > 0);
    }
    evict_trace_free(&t);
    evict_trace_free(&whole);
    return 0;
}
