/* SPDX-License-Identifier: Apache-2.0 */
/* store_recount: counts anew what names each blob, from the refs alone.
 *
 * Life:    one call while the store opens, before its committer starts.
 * Owner:   -
 * Threads: the caller's.
 * Errors:  0 or -errno with a sentence in err: the index could not be read or written.
 *          *ret_complete false: a presentation in use cannot be read, so that nobody knows what it
 *          names; nothing may be reclaimed then.
 * Units:   - */
#pragma once
#include "store/store_priv.h"

MUST_USE int store_recount(struct store *s, uint32_t unreferenced_s, bool *ret_complete,
                           struct err *err);
