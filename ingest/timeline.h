/* SPDX-License-Identifier: Apache-2.0 */
/* timeline: one clock for a film whose packets' times jump: recordings whose clock was reset, files
 * put one behind the other, single bad times.
 *
 * Life:    timeline_new -> timeline_take of every packet in the order of the file -> timeline_free.
 * Owner:   the caller.
 * Threads: one.
 * Errors:  -ENOMEM.
 * Units:   microseconds on the container's clock; packets keep their stream's time base.
 *
 * A time is a jump when it is more than TIMELINE_BACK_US behind the packet in front of it in its
 * stream, or more than TIMELINE_AHEAD_US (in containers whose clock is known to jump) or
 * TIMELINE_STILL_US (in the others, where a picture may stand for long) ahead of everything read so
 * far. What follows a jump continues where the film was, all streams by the same amount, so that
 * sound and picture stay together. Shorter gaps stay as they are. */
#pragma once
#include "ingest/probe.h"

#define TIMELINE_BACK_US  INT64_C(250000)
#define TIMELINE_AHEAD_US INT64_C(10000000)
#define TIMELINE_STILL_US INT64_C(60000000)

struct timeline;

MUST_USE int timeline_new(const struct probe *p, struct timeline **ret);
struct timeline *timeline_free(struct timeline *t);
DEFINE_CLEAN(struct timeline *, timeline_free)

/* Puts the packet's times onto the film's clock. True: it is its stream's first behind a jump. */
bool timeline_take(struct timeline *t, AVPacket *p);
unsigned timeline_jumps(const struct timeline *t);
int64_t timeline_skipped_us(const struct timeline *t); /* by all jumps ahead together */
