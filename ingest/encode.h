/* SPDX-License-Identifier: Apache-2.0 */
/* encode: a film through a ladder into the work folder: every rendition, every audio track, poster
 * and thumbnails. One thread demuxes and decodes; each rung and each audio track has its own.
 *
 * Life:    encode_film: returns when all is done, failed or stopped.
 * Owner:   the caller's run, run_init done, with probe, ladder, work, cores, stop and progress set.
 * Threads: makes its own, joins them all.
 * Errors:  0; -ECANCELED when *stop was set (what is finished stays in the work); else -errno with
 *          a sentence in err that names the file.
 * Units:   -
 *
 * What the work already holds is not made again: the film is read from the key frame in front of
 * the first segment that some track lacks. */
#pragma once
#include "ingest/run.h"

MUST_USE int encode_film(struct run *run, struct err *err);
