/* SPDX-License-Identifier: Apache-2.0 */
/* store_synth: a store that has an index and no blobs, to see what an index of many costs.
 *
 * Life:    one call.
 * Owner:   -
 * Threads: any.
 * Errors:  0 or -errno; a sentence on stderr.
 * Units:   bytes.
 *
 * The volumes are files with a header and holes behind it; the rows are those of `count` puts of
 * `size` bytes each. Digests rise, so that making the index takes seconds. */
#pragma once
#include "base/digest.h"

MUST_USE int synth_store(const char *folder, uint64_t count, uint32_t size, uint64_t volume_size);
struct digest synth_digest(uint64_t i, uint64_t count);
