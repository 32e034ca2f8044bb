/* SPDX-License-Identifier: Apache-2.0 */
/* keeper: the store's thread for what is done in the background: reclaiming what nothing names,
 * giving holes back, compacting, errands at the remote tier, scrubbing, moving between tiers.
 *
 * Life:    keeper_start -> (works) -> keeper_finish -> the committer stops -> keeper_free.
 * Owner:   the store.
 * Threads: keeper_wake, keeper_settle, keeper_await_upload: any.
 * Errors:  0 or -errno. What fails in the background is tried again later and logged.
 * Units:   bytes. */
#pragma once
#include "store/index.h"

struct keeper;
struct store;
struct store_options;

MUST_USE int keeper_start(struct store *s, const struct store_options *o, struct keeper **ret);
void keeper_finish(struct keeper *k); /* nothing more is begun; waits for what is under way */
struct keeper *keeper_free(struct keeper *k); /* takes NULL, returns NULL */

void keeper_wake(struct keeper *k); /* there may be work; cheap */

/* Until a whole round found nothing to do. */
MUST_USE int keeper_settle(struct keeper *k);

/* Calls done, on any thread, once the remote tier has the blob, or could not take it (res; it goes
 * on trying). -ENOENT: the blob is gone. */
typedef void keeper_uploaded(void *arg, int res);
void keeper_await_upload(struct keeper *k, const struct digest *d, keeper_uploaded *done,
                         void *arg);

/* Whether a blob that was just read from the cold tier is to come to a warm device. */
bool keeper_should_promote(struct keeper *k, const struct digest *d, const struct index_entry *e);
