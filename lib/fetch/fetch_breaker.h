/* SPDX-License-Identifier: Apache-2.0 */
/* fetch_breaker: which hosts are not worth asking just now.
 *
 * Life:    fetch_breaker_new -> allow, then succeeded or failed, per try -> fetch_breaker_free.
 * Owner:   its fetch.
 * Threads: the loop's.
 * Errors:  none: a full table forgets the host that was used longest ago.
 * Units:   milliseconds of the monotonic clock.
 *
 * closed -(failures_max in a row)-> open -(open_ms later, one try)-> closed or open again. */
#pragma once
#include "base/str.h"

struct fetch_breaker;

MUST_USE int fetch_breaker_new(unsigned failures_max, uint32_t open_ms, struct fetch_breaker **ret);
struct fetch_breaker *fetch_breaker_free(struct fetch_breaker *b);

bool fetch_breaker_allow(struct fetch_breaker *b, struct str host, uint64_t now_ms);
void fetch_breaker_succeeded(struct fetch_breaker *b, struct str host, uint64_t now_ms);
void fetch_breaker_failed(struct fetch_breaker *b, struct str host, uint64_t now_ms);
