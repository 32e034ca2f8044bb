/* SPDX-License-Identifier: Apache-2.0 */
/* Forms: taken whole or byte by byte, the same comes out; and never more than went in. The first
 * byte says how the rest is cut. */
#include "base/buf.h"
#include "control/upload/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What happened, as text; the result of the last step. */
static int parse(const uint8_t *data, size_t size, size_t step, struct buf *out)
{
    struct multipart m;
    size_t at = 0;
    int r = multipart_init(&m, STR("multipart/form-data; boundary=b"));
    ASSERT(r == 0);
    while (at < size) {
        size_t used = 0;
        size_t now = MIN(step, size - at);
        r = multipart_next(&m, data + at, now, &used);
        ASSERT(used <= now);
        at += used;
        if (r < 0)
            return r;
        ASSERT(r != MULTIPART_MORE || used == now);
        if (r == MULTIPART_PART)
            buf_printf(out, "\1%s\1%s\1%d\1", m.name, m.filename, m.is_file);
        else if (r == MULTIPART_DATA)
            buf_put_str(out, m.data);
        else if (r == MULTIPART_PART_END)
            buf_puts(out, "\2");
    }
    ASSERT(out->size <= 2 * size + 16);
    return multipart_is_end(&m) ? 1 : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    CLEAN_BUF struct buf whole = BUF_EMPTY;
    CLEAN_BUF struct buf cut = BUF_EMPTY;
    int r = parse(data + 1, size - 1, SIZE_MAX, &whole);
    int s = parse(data + 1, size - 1, 1 + data[0] % 16, &cut);
    ASSERT(r == s);
    if (r >= 0) {
        ASSERT(whole.size == cut.size);
        ASSERT(whole.size == 0 || memcmp(whole.data, cut.data, whole.size) == 0);
    }
    return 0;
}
