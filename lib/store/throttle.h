/* SPDX-License-Identifier: Apache-2.0 */
/* throttle: how fast background work may go: a token bucket that gives way to foreground reads.
 *
 * Life:    throttle_init -> throttle_foreground when there is news, throttle_take before each piece
 *          of work. Nothing to free.
 * Owner:   the background thread.
 * Threads: one at a time; it never sleeps itself.
 * Errors:  none: values out of range are brought into it.
 * Units:   bytes, bytes per second; microseconds of a clock that does not jump (clock_mono_us).
 *
 * The rule. With n foreground reads under way and f bytes per second of them of late, the work may
 * go at (rate - f) / (1 + n), at least at the floor. That holds at once when it is less than
 * before; when it is more the allowed rate rises evenly, from nothing to the full rate within
 * recover_us, so that a gap between two reads is no reason to rush. Over any time t no more than
 * burst + rate * t is let go, and what one take asks for beyond the burst. */
#pragma once
#include "base/base.h"

#define THROTTLE_RATE_MAX    (UINT64_C(1) << 40) /* 1 TiB/s; also of one take and of the burst */
#define THROTTLE_RECOVER_US  UINT64_C(2000000)
#define THROTTLE_WAIT_MAX_US UINT64_C(1000000)

struct throttle_options {
    uint64_t rate;       /* 0: unlimited, whatever the foreground does */
    uint64_t floor;      /* 0: a sixteenth of the rate */
    uint64_t burst;      /* bytes; 0: an eighth of a second at the full rate */
    uint64_t recover_us; /* 0: THROTTLE_RECOVER_US */
};

/* The fields are throttle.c's own. */
struct throttle {
    uint64_t rate, floor, burst, recover_us;
    uint64_t target;  /* rate by the rule */
    uint64_t allowed; /* rate at last_us: on its way to target */
    int64_t tokens;   /* bytes times 1,000,000; below 0 after a take larger than the burst */
    uint64_t last_us;
    uint64_t rising_us; /* of which allowed has not risen yet */
};

void throttle_init(struct throttle *t, const struct throttle_options *o, uint64_t now_us);

/* reads: under way now; bytes_per_s: of them, of late. Holds until the next call. */
void throttle_foreground(struct throttle *t, uint64_t reads, uint64_t bytes_per_s, uint64_t now_us);

/* 0: go, the bytes are taken. Else nothing was taken: ask again in so many microseconds, at most
 * THROTTLE_WAIT_MAX_US, for by then the rate may be another. */
MUST_USE uint64_t throttle_take(struct throttle *t, uint64_t bytes, uint64_t now_us);

uint64_t throttle_allowed(const struct throttle *t); /* bytes per second at the last call */
