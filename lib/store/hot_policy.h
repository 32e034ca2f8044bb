/* SPDX-License-Identifier: Apache-2.0 */
/* hot_policy: which blobs a shard of the RAM tier holds; no lock and no buffers, so that
 * bench/evict replays traces against the very code that ships.
 *
 * Life:    hot_policy_new -> hot_policy_get, _insert, _remove -> hot_policy_free.
 * Owner:   the caller; values are the caller's and are never looked into.
 * Threads: one at a time.
 * Errors:  0 or -errno; after an error the value is not held.
 * Units:   bytes. Besides what it holds it keeps notes of 64 bytes on blobs that it gave up: as
 *          many as it holds blobs, or 0.2 % of size_max if that is more. */
#pragma once
#include "base/digest.h"

struct hot_policy;

/* Called with each value that is given up; it may not call back. */
typedef void hot_policy_out_cb(void *arg, void *value);

MUST_USE int hot_policy_new(uint64_t size_max, struct hot_policy **ret);
struct hot_policy *hot_policy_free(struct hot_policy *p, hot_policy_out_cb *out, void *arg);

void *hot_policy_get(struct hot_policy *p, const struct digest *d); /* a request; NULL: not held */
void *hot_policy_look(const struct hot_policy *p, const struct digest *d); /* not a request */

/* value != NULL, cost > 0. -EEXIST: one by this name is held; -E2BIG: it can never fit; -ENOSPC:
 * what would have to go is worth more; -ENOMEM. */
MUST_USE int hot_policy_insert(struct hot_policy *p, const struct digest *d, uint32_t cost,
                               void *value, hot_policy_out_cb *out, void *arg);
/* The same of what is nowhere else: it comes in whatever it is worth and stays among the young, the
 * newest such in a quarter of size_max; then it is one of the others. One that is larger than all
 * the young may be is never young. */
MUST_USE int hot_policy_insert_only(struct hot_policy *p, const struct digest *d, uint32_t cost,
                                    void *value, hot_policy_out_cb *out, void *arg);
void *hot_policy_remove(struct hot_policy *p, const struct digest *d); /* its value, or NULL */
uint64_t hot_policy_bytes(const struct hot_policy *p);                 /* at most size_max */
