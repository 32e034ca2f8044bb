/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens are counted in bytes times microseconds per second, so that no fraction is lost however
 * often it is asked: rate * elapsed microseconds is just what comes in. THROTTLE_RATE_MAX keeps
 * the largest balance, 2^40 * 10^6, well inside 63 bits. */
#include "store/throttle.h"
#include <assert.h>

#define THROTTLE_SECOND_US UINT64_C(1000000)

static_assert(THROTTLE_RATE_MAX <= INT64_MAX / 4 / 1000000, "balance and debt fit int64_t");

static uint64_t throttle_muldiv(uint64_t a, uint64_t b, uint64_t divisor)
{
    unsigned __int128 r = (unsigned __int128)a * b / divisor;
    return r > UINT64_MAX ? UINT64_MAX : (uint64_t)r;
}

void throttle_init(struct throttle *t, const struct throttle_options *o, uint64_t now_us)
{
    uint64_t rate = MIN(o->rate, THROTTLE_RATE_MAX);
    uint64_t floor = o->floor != 0 ? o->floor : rate / 16;
    uint64_t burst = o->burst != 0 ? o->burst : rate / 8;
    *t = (struct throttle){
        .rate = rate,
        .floor = rate == 0 ? 0 : MIN(MAX(floor, 1), rate),
        .burst = MIN(MAX(burst, 1), THROTTLE_RATE_MAX),
        .recover_us = o->recover_us != 0 ? o->recover_us : THROTTLE_RECOVER_US,
        .target = rate,
        .allowed = rate,
        .last_us = now_us,
    };
    t->tokens = (int64_t)(t->burst * THROTTLE_SECOND_US);
}

static void throttle_refill(struct throttle *t, uint64_t rate, uint64_t elapsed_us)
{
    int64_t full = (int64_t)(t->burst * THROTTLE_SECOND_US);
    ASSERT(t->tokens <= full);
    uint64_t missing = (uint64_t)(full - t->tokens);
    if (rate > 0 && elapsed_us > missing / rate)
        t->tokens = full;
    else
        t->tokens += (int64_t)(rate * elapsed_us);
}

/* Brings balance and allowed rate to now. While the rate rises, time counts at the rate that it
 * began with: a little less than is due, never more. */
static void throttle_advance(struct throttle *t, uint64_t now_us)
{
    /* A clock that was set back: no time went by, and it goes on from there. */
    uint64_t elapsed_us = now_us > t->last_us ? now_us - t->last_us : 0;
    t->last_us = now_us;
    throttle_refill(t, t->allowed, elapsed_us);
    if (t->allowed < t->target) {
        /* Microseconds too few to raise it by a byte per second are kept. */
        t->rising_us = MIN(elapsed_us, UINT64_MAX - t->rising_us) + t->rising_us;
        uint64_t rise = throttle_muldiv(t->rate, t->rising_us, t->recover_us);
        t->allowed = rise >= t->target - t->allowed ? t->target : t->allowed + rise;
        t->rising_us = rise > 0 ? 0 : t->rising_us;
    }
}

void throttle_foreground(struct throttle *t, uint64_t reads, uint64_t bytes_per_s, uint64_t now_us)
{
    if (t->rate == 0)
        return;
    throttle_advance(t, now_us);
    uint64_t left = bytes_per_s < t->rate ? t->rate - bytes_per_s : 0;
    uint64_t share = reads < UINT64_MAX ? left / (1 + reads) : 0;
    t->target = MAX(share, t->floor);
    t->allowed = MIN(t->allowed, t->target);
    ASSERT(t->allowed >= t->floor);
}

uint64_t throttle_take(struct throttle *t, uint64_t bytes, uint64_t now_us)
{
    if (t->rate == 0 || bytes == 0)
        return 0;
    throttle_advance(t, now_us);
    bytes = MIN(bytes, THROTTLE_RATE_MAX);
    /* What is larger than the bucket goes when that is full, and is paid off afterwards. */
    int64_t need = (int64_t)(MIN(bytes, t->burst) * THROTTLE_SECOND_US);
    if (t->tokens >= need) {
        t->tokens -= (int64_t)(bytes * THROTTLE_SECOND_US);
        return 0;
    }
    uint64_t missing = (uint64_t)(need - t->tokens);
    uint64_t wait_us = missing / t->allowed + (missing % t->allowed != 0);
    return MIN(wait_us, THROTTLE_WAIT_MAX_US);
}

uint64_t throttle_allowed(const struct throttle *t)
{
    return t->allowed;
}
