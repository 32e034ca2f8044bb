/* SPDX-License-Identifier: Apache-2.0 */
/* text: text subtitles as WebVTT.
 *
 * Life:    text_extract once the film's length is known; or a struct text_cues by hand.
 * Owner:   the caller.
 * Threads: any; a struct text_cues by one.
 * Errors:  -errno, with a sentence in err.
 * Units:   milliseconds.
 * Source:  WebVTT (W3C), sections 4.1 and 4.2; the override tags of Advanced SubStation Alpha, into
 *          which libavcodec turns all text subtitles. */
#pragma once
#include "base/buf.h"
#include "ingest/run.h"

/* "{\i1}Tom & Jerry{\i0}\Nagain" -> "<i>Tom &amp; Jerry</i>\nagain": bold, italics and underline
 * are kept, all else of the mark-up goes. Appends nothing for text of nothing but mark-up. */
void text_markup(struct str ass, struct buf *out);

struct text_cue {
    int64_t start_ms, end_ms;
    uint32_t order; /* as they came */
    char *text;     /* ready for WebVTT */
};

struct text_cues {
    struct text_cue *cues;
    unsigned count, cap;
};

/* Takes a cue unless its text is empty. end_ms <= start_ms: it lasts until the next one, at most
 * 5 s. Times before the film's start are cut. */
MUST_USE int text_cues_add(struct text_cues *c, int64_t start_ms, int64_t end_ms, struct str ass);
void text_cues_write(struct text_cues *c, struct buf *out); /* sorts; the whole file */
void text_cues_clear(struct text_cues *c);

/* Reads every text track that the work lacks and puts it there, as one segment of duration_ms. A
 * track without a cue is left out. */
MUST_USE int text_extract(struct run *run, uint64_t duration_ms, struct err *err);
