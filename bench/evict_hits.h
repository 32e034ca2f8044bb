/* SPDX-License-Identifier: Apache-2.0 */
/* evict_hits: what a hit in the RAM tier costs, locks and references and all.
 *
 * Life:    one call.
 * Owner:   none.
 * Threads: makes its own.
 * Errors:  -ENOMEM, -EAGAIN.
 * Units:   nanoseconds of CPU time a hit. */
#pragma once
#include "base/base.h"

MUST_USE int evict_hits(unsigned threads, double *ret_ns);
