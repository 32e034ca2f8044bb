/* SPDX-License-Identifier: Apache-2.0 */
#include "base/events.h"
#include <errno.h>
#include "fuzz.h"

static int events_on_event(void *arg, const struct event *e)
{
    struct buf *out = arg;
    ASSERT(e->data.size <= EVENTS_SIZE_MAX);
    ASSERT(e->name.size <= EVENTS_SIZE_MAX && e->name.size > 0);
    buf_printf(out, "%zu:%zu:%zu ", e->name.size, e->id.size, e->data.size);
    buf_put_str(out, e->data);
    return 0;
}

static int events_in_steps(struct str bytes, size_t step, struct buf *out)
{
    struct events s;
    events_init(&s, events_on_event, out);
    int r = 0;
    while (bytes.size > 0 && r == 0) {
        size_t n = MIN(step, bytes.size);
        r = events_feed(&s, (struct str){bytes.data, n});
        bytes = str_skip(bytes, n);
    }
    ASSERT(r == 0 || r == -EMSGSIZE);
    events_clear(&s);
    return r;
}

/* However the bytes are cut, the same events come of them. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEAN_BUF struct buf whole = BUF_EMPTY;
    CLEAN_BUF struct buf pieces = BUF_EMPTY;
    int a = events_in_steps(fuzz_str(data, size), SIZE_MAX, &whole);
    int b = events_in_steps(fuzz_str(data, size), 3, &pieces);
    ASSERT(a == b);
    ASSERT(str_eq(buf_str(&whole), buf_str(&pieces)));
    return 0;
}
