/* SPDX-License-Identifier: Apache-2.0 */
/* bus_outcome: what a call of the bus came to, and waiting for it. */
#pragma once
#include "base/clock.h"
#include "bus/bus.h"
#include "http/loop.h"

#define WAIT_MS 60000
#define TURN_MS 5

struct outcome {
    unsigned calls;
    int res;
    int64_t number;
    bool is_text;
    char text[256];
};

static inline void on_done(void *arg, int res, const struct bus_answer *answer)
{
    struct outcome *o = arg;
    o->calls++;
    o->res = res;
    o->number = answer->number;
    o->is_text = answer->kind == BUS_TEXT;
    o->text[0] = 0;
    if (o->is_text)
        assert_int_equal(str_copy(answer->text, o->text, sizeof o->text), 0);
}

static inline void run_until(struct loop *l, const unsigned *calls, unsigned count)
{
    uint64_t until = clock_mono_ms() + WAIT_MS;
    while (*calls < count) {
        if (clock_mono_ms() > until)
            fail_msg("nothing came");
        loop_run_once(l, TURN_MS);
    }
}
