/* SPDX-License-Identifier: Apache-2.0 */
/* cmaf: media segments (styp, moof, mdat) from encoded samples, and a careful reader of boxes.
 *
 * Life:    cmaf_writer_new per track -> cmaf_writer_add per sample -> cmaf_writer_end per segment,
 *          over and over -> cmaf_writer_free.
 * Owner:   sample bytes are copied.
 * Threads: a writer by one thread.
 * Errors:  -EINVAL for samples out of order or at negative times, and for an empty segment, -EFBIG
 *          past 64 MiB, -ENOMEM;
 *          readers: -EBADMSG for boxes that do not fit.
 * Units:   ticks of the track's timescale; bytes.
 * Source:  ISO/IEC 14496-12 (moof, tfhd, tfdt, trun), ISO/IEC 23000-19 (CMAF).
 *
 * Decode times are made here: the i-th sample in decode order gets the i-th smallest presentation
 * time of its segment, and signed composition offsets (trun version 1) carry the rest. So a segment
 * starts at its first presentation time and its durations are display durations, however the
 * encoder counts, and a segment encoded after a restart is like one encoded without. */
#pragma once
#include "base/buf.h"
#include "media/presentation.h"

struct cmaf_writer;

struct cmaf_sample {
    const uint8_t *data;
    uint32_t size;
    int64_t pts;
    uint32_t duration; /* used for the last one of a segment; the others follow from the times */
    bool is_key;
};

MUST_USE int cmaf_writer_new(uint32_t timescale, bool is_video, struct cmaf_writer **ret);
struct cmaf_writer *cmaf_writer_free(struct cmaf_writer *w);
DEFINE_CLEAN(struct cmaf_writer *, cmaf_writer_free)

MUST_USE int cmaf_writer_add(struct cmaf_writer *w, const struct cmaf_sample *s);

/* Writes what was added as segment number `sequence` (from 1). end_pts: where the next segment
 * starts, or INT64_MIN when unknown (the last sample's own duration counts then).
 * ret: size, duration, key_size and digest of the bytes in out. ret_start: its first pts. */
MUST_USE int cmaf_writer_end(struct cmaf_writer *w, uint32_t sequence, int64_t end_pts,
                             struct buf *out, struct segment *ret, uint64_t *ret_start);

/* The first box of bytes: *ret_type is its four characters, *ret_body what is inside, *ret_rest
 * what follows it. -ENOENT at the end, -EBADMSG when it does not fit. */
MUST_USE int cmaf_box(struct str bytes, char ret_type[5], struct str *ret_body,
                      struct str *ret_rest);
