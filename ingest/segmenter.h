/* SPDX-License-Identifier: Apache-2.0 */
/* segmenter: samples of one track into segments in the work folder.
 *
 * Life:    segmenter_new -> segmenter_add*, segmenter_cut -> segmenter_free.
 * Owner:   one thread of an encode.
 * Threads: one.
 * Errors:  as cmaf_writer and work_put_segment, with a sentence in err.
 * Units:   ticks of the track's timescale. */
#pragma once
#include "ingest/work.h"
#include "media/cmaf.h"

struct segmenter;

MUST_USE int segmenter_new(struct work_track *track, uint32_t timescale, bool is_video,
                           struct segmenter **ret);
struct segmenter *segmenter_free(struct segmenter *s);
MUST_USE int segmenter_add(struct segmenter *s, const struct cmaf_sample *sample, struct err *err);

/* Ends the segment at hand, if any; end_pts as cmaf_writer_end. */
MUST_USE int segmenter_cut(struct segmenter *s, int64_t end_pts, struct err *err);
/* For tracks that are cheap to make again from their start: segments that the work holds already
 * are compared, not written. -ESTALE from segmenter_cut: they are not the same. */
void segmenter_replay(struct segmenter *s);
bool segmenter_is_empty(const struct segmenter *s); /* no sample since the last cut */
