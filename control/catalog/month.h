/* SPDX-License-Identifier: Apache-2.0 */
/* month: months in UTC, as "2026-11". Pure.
 *
 * Life:    calls.
 * Owner:   the caller's memory.
 * Threads: any.
 * Errors:  -EINVAL: not a month.
 * Units:   milliseconds since 1970. Years 1970 to 9999. */
#pragma once
#include "base/str.h"

#define MONTH_SIZE 8 /* with its zero */

void month_of(int64_t real_ms, char out[MONTH_SIZE]);
MUST_USE int month_end(struct str month, int64_t *ret_ms); /* the first moment behind it */
