/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/fetch_circuit.h"
#include "base/clock.h"

bool fetch_circuit_admits(struct fetch_circuit *c, const void *who)
{
    ASSERT(who != NULL);
    if (!c->is_open)
        return true;
    if (c->probe != NULL || clock_mono_ms() < c->open_until_ms)
        return false;
    c->probe = who;
    return true;
}

void fetch_circuit_answers(struct fetch_circuit *c, const void *who)
{
    if (c->probe != who)
        return;
    c->probe = NULL;
    c->failures = 0;
    c->is_open = false;
}

void fetch_circuit_result(struct fetch_circuit *c, const void *who, bool answered)
{
    ASSERT(c->failures_max > 0);
    bool was_probe = c->probe == who;
    fetch_circuit_forget(c, who);
    if (answered) {
        c->failures = 0;
        c->is_open = false;
        return;
    }
    if (c->failures < UINT32_MAX)
        c->failures++;
    if (was_probe || (!c->is_open && c->failures >= c->failures_max)) {
        c->is_open = true;
        c->open_until_ms = clock_mono_ms() + c->open_ms;
    }
}

void fetch_circuit_forget(struct fetch_circuit *c, const void *who)
{
    if (c->probe == who)
        c->probe = NULL;
}
