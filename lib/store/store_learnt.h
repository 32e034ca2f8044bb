/* SPDX-License-Identifier: Apache-2.0 */
/* store_learnt: what a cache learnt of what is asked for, kept over a restart: which blobs were
 * read since they were written, and which names were asked for lately.
 *
 * Life:    store_learnt_load once while the store opens, store_learnt_save once while it closes.
 * Owner:   -
 * Threads: the caller's, while nobody else uses the store.
 * Errors:  none: without it a cache begins to learn anew. What goes wrong is logged.
 * Units:   -
 * Source:  docs/format.md. */
#pragma once
#include "store/store_priv.h"

/* path: of the file; size_max: what the cache may grow to. */
void store_learnt_load(struct store *s, const char *path, uint64_t size_max);
void store_learnt_save(const struct store *s, const char *path);
