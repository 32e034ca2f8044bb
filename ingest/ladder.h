/* SPDX-License-Identifier: Apache-2.0 */
/* ladder: which renditions a film gets: the built-in ladder, `copy`, or a YAML file.
 *
 * Life:    ladder_load -> ladder_fit per source; plain values, nothing to free.
 * Owner:   the caller.
 * Threads: any.
 * Errors:  -errno of the file, -EINVAL with one sentence that names file and key.
 * Units:   bits a second, milliseconds, lines (of the short side of the picture). */
#pragma once
#include "base/buf.h"
#include "base/err.h"

#define LADDER_RUNGS_MAX      16
#define LADDER_PRESET_MAX     16
#define LADDER_SEGMENT_MS_MIN 1000
#define LADDER_SEGMENT_MS_MAX 30000

struct rung {
    uint32_t height; /* of the short side */
    uint64_t bitrate, maxrate, bufsize;
    double crf; /* < 0: the bit rate counts; else quality, capped by maxrate */
    char preset[LADDER_PRESET_MAX];
};

struct ladder {
    bool is_copy; /* no re-encoding; rungs is empty */
    uint32_t segment_ms;
    uint32_t audio_bitrate;
    struct rung rungs[LADDER_RUNGS_MAX]; /* rising in height */
    unsigned rungs_count;
};

/* spec: "auto", "copy" or the path of a YAML file. segment_ms: what counts unless the file says. */
MUST_USE int ladder_load(const char *spec, uint32_t segment_ms, struct ladder *ret,
                         struct err *err);

/* One line that is equal exactly for equal ladders: goes into a job's id. */
void ladder_write(const struct ladder *l, struct buf *out);

/* A rung as it is for one source. */
struct ladder_size {
    const struct rung *rung; /* of the ladder */
    uint32_t height;         /* of the short side: names the track */
    uint32_t width_px, height_px;
};

/* The rungs that a source of this size (square pixels, upright) gets, largest first; never larger
 * than the source; a source below the lowest rung gets one of its own size. ret takes
 * LADDER_RUNGS_MAX. Returns how many, at least 1. Width and height are even. */
unsigned ladder_fit(const struct ladder *l, uint32_t width, uint32_t height,
                    struct ladder_size *ret);

/* "800k", "2.5M", "128000": units of 1000. */
MUST_USE int ladder_bitrate(const char *text, uint64_t *ret); /* -EINVAL */
