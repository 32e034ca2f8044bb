/* SPDX-License-Identifier: Apache-2.0 */
/* clock: the two clocks. Monotonic for intervals, real for what people and tokens see.
 *
 * Life:    none.
 * Owner:   none.
 * Threads: any.
 * Errors:  none but clock_parse's.
 * Units:   milliseconds, microseconds or seconds, as the name says. Real time is since 1970 UTC. */
#pragma once
#include "base/str.h"

uint64_t clock_mono_ms(void);
uint64_t clock_mono_us(void);
int64_t clock_real_s(void);
int64_t clock_real_ms(void);

/* RFC 3339 in UTC, "2025-01-31T08:30:00.123Z"; out takes CLOCK_TEXT_SIZE bytes. */
#define CLOCK_TEXT_SIZE 32
void clock_format(int64_t real_ms, char *out);

/* Such a text, with any offset, with or without a fraction (of which milliseconds count). -EINVAL:
 * not one, or no such day. A leap second counts as the second behind it. */
MUST_USE int clock_parse(struct str text, int64_t *ret_ms);

/* RFC 9110 section 5.6.7 IMF-fixdate, "Fri, 31 Jan 2025 08:30:00 GMT". */
void clock_format_http(int64_t real_s, char *out);
