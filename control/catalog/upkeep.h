/* SPDX-License-Identifier: Apache-2.0 */
/* upkeep: what the catalogue does by itself, every UPKEEP_MS and first at the start: videos are
 * published and withdrawn, what a stop has left half done is mended (tally.h, gone.h, category.h),
 * history ages, the words for searches are read anew. Accounts that are gone are forgotten on every
 * control, and what they play is ended.
 *
 * Life:    upkeep_new -> upkeep_attach on a worker's loop -> upkeep_detach -> upkeep_free behind
 *          the end of the pools.
 * Owner:   the control.
 * Threads: attach and detach on that loop; a turn runs on a pool thread, one at a time.
 * Errors:  a turn that fails is logged, and comes again.
 * Units:   milliseconds. */
#pragma once
#include "control/catalog/words.h"
#include "control/control.h"

#define UPKEEP_MS         2000
#define UPKEEP_HISTORY_MS (60 * 1000)

struct upkeep;

/* folder: where old history goes; NULL: it stays in the database. Copied. */
MUST_USE int upkeep_new(struct control *c, const char *folder, struct upkeep **ret);
struct upkeep *upkeep_free(struct upkeep *u);
/* leases: of that loop, open until behind upkeep_detach. */
void upkeep_attach(struct upkeep *u, struct loop *loop, struct leases *leases);
void upkeep_detach(struct upkeep *u, struct loop *loop); /* nothing on another loop */

struct words *upkeep_words(struct upkeep *u);
const char *upkeep_folder(const struct upkeep *u); /* of old history; NULL: none */
