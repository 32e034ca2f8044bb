/* SPDX-License-Identifier: Apache-2.0 */
/* memory: what control keeps of its database in memory (db_mirror.h), and how it knows that this is
 * still so: all videos, and with MongoDB the accounts, log-ins and rights that were asked for.
 *
 * One SQLite file is one control's: each MEMORY_BEAT_MS it is asked whether another process has
 * written (one that is being taken over from). Controls that share a MongoDB tell each other what
 * they change through Redis. A beat goes the same way and comes back behind whatever the others
 * said before it, so memory counts for MEMORY_FRESH_MS from the beat's start; without Redis it
 * never counts. A control that is cut off from Redis, and not from the database, tells the others
 * when it is back that all may be wrong; one that dies between a change and the word of it leaves
 * them behind until all is read again, each MEMORY_AGAIN_MS.
 *
 * Life:    memory_new -> memory_attach on a worker's loop -> memory_detach -> memory_free behind
 *          the end of the pools.
 * Owner:   the control.
 * Threads: attach and detach on that loop; the database's word of a change on any.
 * Errors:  what fails is logged, and tried again; the database answers meanwhile.
 * Units:   milliseconds; bytes. */
#pragma once
#include "bus/bus.h"
#include "control/control.h"

#define MEMORY_BEAT_MS    500
#define MEMORY_FRESH_MS   3000
#define MEMORY_AGAIN_MS   (10 * 60 * 1000)
#define MEMORY_VIDEOS_MAX ((size_t)1 << 30)

struct memory;

MUST_USE int memory_new(struct control *c, struct memory **ret);
struct memory *memory_free(struct memory *m);
MUST_USE int memory_attach(struct memory *m, struct loop *loop, struct bus *bus);
/* It is about to have all videos, for the first time: what reads many of them had better wait. */
bool memory_is_coming(const struct memory *m);
void memory_detach(struct memory *m, const struct loop *loop); /* nothing on another loop */
