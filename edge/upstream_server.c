/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/upstream_server.h"
#include "base/clock.h"
#include "base/log.h"

bool upstream_server_is_up(const struct upstream_server *s, uint64_t now_ms)
{
    return atomic_load_explicit(&s->down_until_ms, memory_order_relaxed) <= now_ms;
}

static void upstream_server_up(struct upstream_server *s)
{
    if (atomic_exchange(&s->down_until_ms, 0) == 0)
        return;
    metric_set(s->healthy, 1);
    log_info("upstream %s: %s is back", s->upstream->config->name, s->url);
}

void upstream_server_answered(struct upstream_server *s)
{
    /* Read before it is written: most of the time all is well and the line stays shared. */
    if (atomic_load_explicit(&s->failures, memory_order_relaxed) != 0)
        atomic_store(&s->failures, 0);
    if (!s->is_checked && atomic_load_explicit(&s->down_until_ms, memory_order_relaxed) != 0)
        upstream_server_up(s);
}

void upstream_server_failed(struct upstream_server *s, const char *why)
{
    atomic_store(&s->successes, 0);
    unsigned failures = atomic_fetch_add(&s->failures, 1) + 1;
    if (failures < s->failures_max)
        return;
    uint64_t until_ms = s->is_checked ? UINT64_MAX : clock_mono_ms() + UPSTREAM_DOWN_MS;
    if (atomic_exchange(&s->down_until_ms, until_ms) != 0)
        return;
    metric_set(s->healthy, 0);
    log_warn("upstream %s: %s is taken out after %u failures, the last: %s",
             s->upstream->config->name, s->url, failures, why);
}

void upstream_server_checked(struct upstream_server *s, bool ok, const char *why)
{
    if (!ok) {
        upstream_server_failed(s, why);
        return;
    }
    if (atomic_load(&s->down_until_ms) == 0) {
        atomic_store(&s->failures, 0);
        return;
    }
    if (atomic_fetch_add(&s->successes, 1) + 1 < s->successes_min)
        return;
    atomic_store(&s->successes, 0);
    atomic_store(&s->failures, 0);
    upstream_server_up(s);
}
