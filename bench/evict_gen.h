/* SPDX-License-Identifier: Apache-2.0 */
/* evict_gen: traces as a video cache sees them, made from a seed.
 *
 * Life:    evict_gen fills a trace; the caller finishes and frees it.
 * Owner:   the caller.
 * Threads: any, one a trace.
 * Errors:  -EINVAL: no such family; -ENOMEM.
 * Units:   requests; sizes in bytes: segments 60 KiB to 4 MiB, playlists 1 to 8 KiB. */
#pragma once
#include "evict_trace.h"

MUST_USE int evict_gen(const char *family, uint64_t seed, uint32_t requests, struct evict_trace *t);

/* NULL behind the last. */
const char *evict_gen_family(unsigned i);
