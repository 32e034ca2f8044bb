/* SPDX-License-Identifier: Apache-2.0 */
/* store_rebuild: a new index for a store, made from its volumes alone.
 *
 * Life:    one call, while no daemon has the store open.
 * Owner:   -
 * Threads: any; each is called on the caller's.
 * Errors:  0 or -errno with a sentence in err, and the old index stands. -EBUSY: the store is open.
 *          Damaged records are left out and counted; they are no error.
 * Units:   bytes.
 *
 * Every byte of every volume is read and checked. The old index is kept as index.old. Refs come
 * back from the records of their moves; a cache (store_options.size_max) has none of those. What
 * the remote tier has is asked of it. What names each blob is counted anew when the store opens
 * next. */
#pragma once
#include "store/store.h"

struct store_rebuild {
    uint64_t volumes, volumes_done;
    uint64_t bytes, bytes_done; /* of the volumes; for a progress bar */
    uint64_t blobs, blob_bytes, refs;
    uint64_t remote;  /* blobs that the remote tier has */
    uint64_t damaged; /* records whose bytes are not what they should be */
};

typedef void store_rebuild_each(void *arg, const struct store_rebuild *so_far);

/* each may be NULL. Of the options path, devices, io, index_size and remote count. ret: filled as
 * far as it got, in every case. */
MUST_USE int store_rebuild(const struct store_options *o, store_rebuild_each *each, void *arg,
                           struct store_rebuild *ret, struct err *err);
