/* SPDX-License-Identifier: Apache-2.0 */
/* presentation: one title's tracks and the ordered blobs of each: the "tree" of Weir's model.
 *
 * Life:    presentation_new or presentation_parse -> read, or add while building ->
 *          presentation_free. Its bytes (presentation_write) are themselves a blob.
 * Owner:   a presentation owns its tracks, segments and texts.
 * Threads: building: one thread. Reading: any number once it no longer changes.
 * Errors:  parse: -EBADMSG with the reason in err; add: -ENOMEM, -EINVAL.
 * Units:   durations in the track's timescale (ticks a second); sizes in bytes; bit rates in bits
 *          a second.
 * Source:  docs/format.md, "Presentation"; the model is CMAF's (ISO/IEC 23000-19 section 6). */
#pragma once
#include "base/buf.h"
#include "base/digest.h"
#include "base/err.h"

#define PRESENTATION_TRACKS_MAX   64
#define PRESENTATION_SEGMENTS_MAX 100000 /* a track: 100 h of 4 s */
#define PRESENTATION_ID_MAX       32     /* a track id: [a-z0-9-] */

enum track_kind { TRACK_VIDEO, TRACK_AUDIO, TRACK_TEXT };

struct segment {
    struct digest digest;
    uint32_t size;
    uint32_t duration;
    uint32_t key_size; /* video: bytes from the start that hold the first key frame (moof, mdat
                          header, sample), for I-frame playlists; 0: does not start with one */
};

struct track {
    char *id; /* "v720", "a-en", "t-de" */
    enum track_kind kind;
    char *codec;    /* RFC 6381: "avc1.64001f", "mp4a.40.2", "wvtt" for text/vtt */
    char *language; /* BCP 47, "und" when unknown; video: NULL */
    char *name;     /* for people: "English", "Director's commentary" */
    bool is_default;
    uint32_t timescale;
    uint64_t start; /* presentation time of the first segment */
    uint32_t bandwidth_avg, bandwidth_max;
    uint32_t width, height, frame_rate_num, frame_rate_den; /* video */
    uint32_t channels, sample_rate;                         /* audio */
    struct digest init;                                     /* video, audio: init segment */
    uint32_t init_size; /* text: 0, and one segment that is the whole WebVTT file */
    struct segment *segments;
    uint32_t segments_count, segments_cap;
};

/* A picture file beside the tracks. */
struct picture {
    struct digest digest;
    uint32_t size; /* 0: there is none */
    uint32_t width, height;
};

/* Sprite sheets of thumbnails: columns x rows tiles a sheet, one tile every interval_ms. */
struct thumbnails {
    struct picture *sheets; /* each width x height of the whole sheet */
    uint32_t sheets_count;
    uint32_t columns, rows;
    uint32_t tile_width, tile_height;
    uint32_t interval_ms;
    uint32_t tiles_count;
};

struct presentation {
    char *asset;
    char *title;
    uint64_t duration_ms;
    uint32_t segment_ms_target;
    int64_t created_ms; /* real time */
    struct track *tracks;
    uint32_t tracks_count;
    struct picture poster;
    struct thumbnails thumbnails;
};

MUST_USE int presentation_new(const char *asset, const char *title, struct presentation **ret);
struct presentation *presentation_free(struct presentation *p);
DEFINE_CLEAN(struct presentation *, presentation_free)

/* A zeroed track at the end, its id copied; valid until the next add. -EEXIST: id taken. */
MUST_USE int presentation_add_track(struct presentation *p, const char *id, enum track_kind kind,
                                    struct track **ret);
MUST_USE int track_add_segment(struct track *t, const struct segment *s);
MUST_USE int presentation_add_sheet(struct presentation *p, const struct picture *sheet);

const struct track *presentation_find(const struct presentation *p, struct str track_id);
uint64_t track_duration(const struct track *t); /* sum of its segments, in its timescale */
void track_measure(struct track *t); /* sets bandwidth_avg and bandwidth_max from the segments */

/* JSON, keys in a fixed order: the same presentation always gives the same bytes. */
MUST_USE int presentation_write(const struct presentation *p, struct buf *out);
MUST_USE int presentation_parse(struct str bytes, struct presentation **ret, struct err *err);

/* Calls each for every blob that p names (inits, segments, pictures), some perhaps twice. */
typedef bool presentation_each(void *arg, const struct digest *d, uint32_t size);
void presentation_blobs(const struct presentation *p, presentation_each *each, void *arg);

/* The same from the bytes of a presentation, for a store that must know what keeps a blob alive;
 * ends when each returns < 0, with that. -EBADMSG: they are none. arg is not used. */
typedef int presentation_link(void *each_arg, const struct digest *d);
MUST_USE int presentation_links(void *arg, const uint8_t *bytes, uint32_t size,
                                presentation_link *each, void *each_arg);
