/* SPDX-License-Identifier: Apache-2.0 */
/* Weir's own: no second writing of it, but the policy of lib/store itself, cut into shards as the
 * tier is. */
#include <errno.h>
#include <stdlib.h>
#include "evict_sim.h"
#include "store/hot.h"
#include "store/hot_policy.h"

#define EVICT_SHARDS_MAX 8u

struct evict_tier {
    const struct evict_trace *trace;
    uint32_t shards_count;
    struct hot_policy *shards[EVICT_SHARDS_MAX];
};

static void evict_tier_out(void *arg, void *value)
{
    (void)arg;
    (void)value;
}

static void evict_tier_free(void *sim)
{
    struct evict_tier *s = sim;
    for (uint32_t i = 0; i < s->shards_count; i++)
        hot_policy_free(s->shards[i], evict_tier_out, NULL);
    free(s);
}

static int evict_tier_make(const struct evict_trace *t, uint64_t size_max, uint32_t shards,
                           void **ret)
{
    struct evict_tier *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    s->trace = t;
    ASSERT(shards <= EVICT_SHARDS_MAX);
    for (; s->shards_count < shards; s->shards_count++) {
        int r = hot_policy_new(size_max / shards, &s->shards[s->shards_count]);
        if (r < 0) {
            evict_tier_free(s);
            return r;
        }
    }
    *ret = s;
    return 0;
}

static int evict_weir_make(const struct evict_trace *t, uint64_t size_max, void **ret)
{
    return evict_tier_make(t, size_max, MAX(hot_shards_count(size_max), 1), ret);
}

static int evict_weir_1_make(const struct evict_trace *t, uint64_t size_max, void **ret)
{
    return evict_tier_make(t, size_max, 1, ret);
}

static int evict_weir_8_make(const struct evict_trace *t, uint64_t size_max, void **ret)
{
    return evict_tier_make(t, size_max, EVICT_SHARDS_MAX, ret);
}

static bool evict_tier_access(void *sim, uint32_t object, uint32_t at)
{
    struct evict_tier *s = sim;
    (void)at;
    const struct digest *d = &s->trace->digests[object];
    struct hot_policy *p = s->shards[hot_shard_number(d, s->shards_count)];
    if (hot_policy_get(p, d) != NULL)
        return true;
    /* Any address will do for a value. Not let in is as good as let in. */
    int r = hot_policy_insert(p, d, s->trace->sizes[object], s, evict_tier_out, NULL);
    ASSERT(r != -EEXIST && r != -ENOMEM);
    return false;
}

static uint64_t evict_tier_bytes(const void *sim)
{
    const struct evict_tier *s = sim;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < s->shards_count; i++)
        sum += hot_policy_bytes(s->shards[i]);
    return sum;
}

const struct evict_sim_ops evict_weir = {"Weir", evict_weir_make, evict_tier_access,
                                         evict_tier_bytes, evict_tier_free};
const struct evict_sim_ops evict_weir_1 = {"Weir/1", evict_weir_1_make, evict_tier_access,
                                           evict_tier_bytes, evict_tier_free};
const struct evict_sim_ops evict_weir_8 = {"Weir/8", evict_weir_8_make, evict_tier_access,
                                           evict_tier_bytes, evict_tier_free};
