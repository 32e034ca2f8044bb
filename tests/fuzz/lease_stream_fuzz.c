/* SPDX-License-Identifier: Apache-2.0 */
/* Control's stream of ended sessions: however it is cut into pieces, the same events come of it,
 * and a session is never empty, too long, or has control characters. */
#include "edge/lease_stream.h"
#include "fuzz.h"

struct seen {
    unsigned events;
    uint64_t sum;
};

static void on_event(void *arg, struct str session)
{
    struct seen *s = arg;
    s->events++;
    s->sum = s->sum * 31 + session.size + 1;
    if (session.data == NULL)
        return; /* a gap */
    ASSERT(session.size > 0);
    ASSERT(session.size <= LEASE_TEXT_MAX);
    for (size_t i = 0; i < session.size; i++) {
        ASSERT((unsigned char)session.data[i] >= 0x20);
        s->sum = s->sum * 31 + (unsigned char)session.data[i];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct seen whole = {0};
    struct seen pieces = {0};
    struct lease_stream a = {.size = 0};
    struct lease_stream b = {.size = 0};
    size_t step = 1 + data[0] % 16u;
    int r = lease_stream_feed(&a, data + 1, size - 1, on_event, &whole);
    int q = 0;
    for (size_t at = 1; q == 0 && at < size; at += step)
        q = lease_stream_feed(&b, data + at, MIN(step, size - at), on_event, &pieces);
    ASSERT(r == q);
    ASSERT(whole.events == pieces.events && whole.sum == pieces.sum);
    return 0;
}
