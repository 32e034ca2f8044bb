/* SPDX-License-Identifier: Apache-2.0 */
/* backoff: how long to wait before the next try of something that has failed.
 *
 * Life:    none.
 * Owner:   none.
 * Threads: any.
 * Errors:  none.
 * Units:   milliseconds. */
#pragma once
#include "base/base.h"

/* first_ms for the first failure, twice as much for each further one, max_ms at most; half of it by
 * chance, so that many who failed together do not come back together. failures: 0 is as 1. */
uint64_t backoff_ms(unsigned failures, uint64_t first_ms, uint64_t max_ms);
