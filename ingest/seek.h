/* SPDX-License-Identifier: Apache-2.0 */
/* seek: puts a demuxer in front of what is still needed, never behind it.
 *
 * Life:    one call, before the first packet is read.
 * Owner:   the caller.
 * Threads: the demuxer's.
 * Errors:  -EBADMSG with a sentence in err when the file cannot be read again.
 * Units:   microseconds on the film's own clock.
 *
 * Only containers with a whole index are searched; the others are read from their start. Where a
 * seek lands is looked at (the video with a key frame, each stream early enough) before it is
 * believed. */
#pragma once
#include "ingest/probe.h"

struct seek_need {
    int stream;
    int64_t from_us;
};

MUST_USE int seek_before(const struct probe *p, const struct seek_need *needs, unsigned count,
                         struct err *err);
