/* SPDX-License-Identifier: Apache-2.0 */
/* A client's HTTP/2 stream behind its preface: frames end where the next begins, what they name
 * lies inside of them, and fields are counted alike in whatever pieces they come. */
#include <errno.h>
#include "http/http_flood.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_fields(const uint8_t *data, size_t size)
{
    struct http_fields whole = {0}, bytes = {0};
    bool good = http_fields_walk(&whole, data, size);
    bool same = true;
    for (size_t i = 0; same && i < size; i++)
        same = http_fields_walk(&bytes, data + i, 1);
    ASSERT(good == same);
    ASSERT(!good || (whole.count == bytes.count && whole.count <= HTTP_FIELDS_MAX));
    ASSERT(!good || whole.count <= size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_flood f = {.header_size_max = 4096};
    struct http_frame frame;
    uint64_t now_ms = 1;
    fuzz_fields(data, size);
    for (size_t at = 0; http_frame_read(data + at, size - at, &frame) == 0;) {
        ASSERT(frame.length <= size - at - HTTP_FRAME_HEAD);
        ASSERT(frame.stream <= INT32_MAX);
        const uint8_t *payload = data + at + HTTP_FRAME_HEAD;
        if (frame.fields_size > 0) {
            ASSERT(frame.fields >= payload);
            ASSERT(frame.fields + frame.fields_size <= payload + frame.length);
        }
        enum http_flood_kind kind = http_flood_frame(&f, &frame, now_ms, at);
        ASSERT(kind < HTTP_FLOOD_KINDS);
        ASSERT(kind != HTTP_FLOOD_NONE || f.block_frames <= HTTP_CONTINUES_MAX);
        ASSERT(kind != HTTP_FLOOD_NONE || f.block_size <= f.header_size_max);
        at += HTTP_FRAME_HEAD + frame.length;
        now_ms += frame.flags;
    }
    return 0;
}
