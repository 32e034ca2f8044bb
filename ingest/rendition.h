/* SPDX-License-Identifier: Apache-2.0 */
/* rendition: one rung at work: a thread that scales, hands the picture on to the next smaller one,
 * encodes H.264 and writes segments.
 *
 * Life:    rendition_new, largest first -> rendition_start -> rendition_push* to the largest,
 *          rendition_finish -> rendition_join -> rendition_free.
 * Owner:   encode_film. A pushed frame is the rendition's, also after a failure.
 * Threads: push and finish by one thread (the decoder, or the next larger one).
 * Errors:  run_fail; push: -ECANCELED once the run has failed.
 * Units:   ticks of the video timescale.
 *
 * frame->pts and pkt_duration are ticks, frame->opaque is rendition_mark(): the number of the
 * segment that it belongs to (0: of none that is wanted, for thumbnails only) and whether it starts
 * it. */
#pragma once
#include <libavutil/frame.h>
#include "ingest/pictures.h"
#include "ingest/run.h"

struct rendition;

static inline void *rendition_mark(uint32_t segment, bool is_start)
{
    return (void *)(((uintptr_t)segment << 1) | (is_start ? 1 : 0));
}

/* next: the smaller one, or NULL: then the thumbnails are offered what this one makes. */
MUST_USE int rendition_new(struct run *run, const struct ladder_size *size, unsigned threads,
                           unsigned index, struct err *err, struct rendition **ret);
void rendition_link(struct rendition *r, struct rendition *next, struct pictures *pictures);
MUST_USE int rendition_start(struct rendition *r);
MUST_USE int rendition_push(struct rendition *r, AVFrame *frame);
void rendition_finish(struct rendition *r);
void rendition_join(struct rendition *r);
struct rendition *rendition_free(struct rendition *r);

struct work_track *rendition_track(const struct rendition *r);
