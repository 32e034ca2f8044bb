/* SPDX-License-Identifier: Apache-2.0 */
/* probe: opens a film and says what is in it, or in one sentence why it cannot be taken.
 *
 * Life:    probe_open -> read its fields, demux from `format` -> probe_free.
 * Owner:   the caller.
 * Threads: one at a time.
 * Errors:  -ENOENT, -EACCES..., -EBADMSG (not media, no video, truncated); err: "FILE: is ...".
 * Units:   microseconds of the container's clock; ticks of the stream's time base where it says so.
 *
 * A film's own clock starts at start_us: every time we write has it subtracted. */
#pragma once
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include "base/err.h"
#include "base/str.h"
#include "ingest/language.h"

#define PROBE_AUDIOS_MAX 24
#define PROBE_TEXTS_MAX  32
#define PROBE_NAME_SIZE  128
#define PROBE_ID_SIZE    33 /* PRESENTATION_ID_MAX and a zero */

struct probe_video {
    int index;              /* of the stream */
    uint32_t width, height; /* as it is to be seen: upright, square pixels */
    int rotation;           /* clockwise degrees that make it upright: 0, 90, 180, 270 */
    bool is_interlaced;
    AVRational sar;
    AVRational frame_rate; /* 0/1: unknown */
    uint32_t timescale;    /* of our track: frames of frame_rate fall on whole ticks */
};

struct probe_audio {
    int index;
    char id[PROBE_ID_SIZE]; /* "a-en" */
    char language[LANGUAGE_SIZE];
    char name[PROBE_NAME_SIZE];
    bool is_default;
    uint32_t sample_rate; /* of our track */
};

struct probe_text {
    int index;
    char id[PROBE_ID_SIZE]; /* "t-en" */
    char language[LANGUAGE_SIZE];
    char name[PROBE_NAME_SIZE];
    bool is_default;
};

struct probe {
    uint32_t magic;
    char *path;
    AVFormatContext *format;
    int64_t start_us;
    int64_t duration_us; /* what the container says; 0: nothing */
    struct probe_video video;
    struct probe_audio audios[PROBE_AUDIOS_MAX];
    unsigned audios_count;
    struct probe_text texts[PROBE_TEXTS_MAX];
    unsigned texts_count;
    unsigned bitmaps_count; /* picture subtitles, which are left out */
    bool has_more;          /* MP4: another film stands behind the first, which nobody reads */
};

MUST_USE int probe_open(const char *path, struct probe **ret, struct err *err);
struct probe *probe_free(struct probe *p);
DEFINE_CLEAN(struct probe *, probe_free)

/* A second reader of the same file, with the same streams. */
MUST_USE int probe_reopen(const struct probe *p, AVFormatContext **ret, struct err *err);

/* err_set with an FFmpeg error's text behind "FILE: "; returns a -errno. */
int probe_error(struct err *err, const struct probe *p, int av_error, const char *what);

/* A stream's time as a tick of `timescale` on the film's own clock. */
int64_t probe_ticks(const struct probe *p, int64_t time, AVRational base, uint32_t timescale);
