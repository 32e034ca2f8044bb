/* SPDX-License-Identifier: Apache-2.0 */
/* media_ff_init: init segments (ftyp, moov) by libavformat's muxer.
 *
 * Life:    a call.
 * Owner:   the caller's buf.
 * Threads: any.
 * Errors:  -EINVAL for parameters that the muxer refuses, -EBADMSG, -ENOMEM.
 * Units:   ticks a second.
 * Source:  ISO/IEC 14496-12, ISO/IEC 23000-19 section 7.3. */
#pragma once
#include "base/buf.h"

struct AVCodecParameters;
struct AVPacket;

/* One track, id 1, no edit list, no samples. first: a packet of the track for those codecs that are
 * described by their data (AC-3, E-AC-3); else NULL. Appends to out. */
MUST_USE int media_ff_init(const struct AVCodecParameters *par, uint32_t timescale,
                           const struct AVPacket *first, struct buf *out);
