/* SPDX-License-Identifier: Apache-2.0 */
/* sample: a presentation as ingest would make it, for the tests of what reads one.
 *
 * Life:    sample_presentation -> presentation_free.
 * Owner:   the test.
 * Threads: one.
 * Errors:  fails the test.
 * Units:   as presentation.h. */
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include "media/presentation.h"
#include "../unit.h"

static inline struct digest sample_digest(const char *text)
{
    return digest_of(text, strlen(text));
}

static inline struct track *sample_track(struct presentation *p, const char *id,
                                         enum track_kind kind, const char *codec,
                                         const char *language, const char *name)
{
    struct track *t = NULL;
    assert_int_equal(presentation_add_track(p, id, kind, &t), 0);
    t->codec = str_dup(str_of(codec));
    t->language = language != NULL ? str_dup(str_of(language)) : NULL;
    t->name = name != NULL ? str_dup(str_of(name)) : NULL;
    if (kind != TRACK_TEXT) {
        t->init = sample_digest(id);
        t->init_size = 700;
    }
    t->timescale = 1000;
    return t;
}

static inline void sample_segments(struct track *t, uint32_t count, uint32_t size,
                                   uint32_t duration)
{
    for (uint32_t i = 0; i < count; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "%s-%u", t->id, i); /* ids are short */
        struct segment s = {.digest = sample_digest(text),
                            .size = size,
                            .duration = duration,
                            .key_size = t->kind == TRACK_VIDEO ? size / 4 : 0};
        assert_int_equal(track_add_segment(t, &s), 0);
    }
    track_measure(t);
}

static inline void sample_video(struct presentation *p, const char *id, uint32_t width,
                                uint32_t height, uint32_t size)
{
    struct track *t = sample_track(p, id, TRACK_VIDEO, "avc1.64001f", NULL, NULL);
    t->timescale = 24000;
    t->width = width;
    t->height = height;
    t->frame_rate_num = 24000;
    t->frame_rate_den = 1001;
    sample_segments(t, 3, size, 96096); /* 4.004 s */
    struct segment last = {
        .digest = sample_digest(id), .size = size / 10, .duration = 30030, .key_size = size / 20};
    assert_int_equal(track_add_segment(t, &last), 0);
    track_measure(t);
}

static inline void sample_audio(struct presentation *p, const char *id, const char *language,
                                const char *name, bool is_default)
{
    struct track *t = sample_track(p, id, TRACK_AUDIO, "mp4a.40.2", language, name);
    t->timescale = 48000;
    t->channels = 2;
    t->sample_rate = 48000;
    t->is_default = is_default;
    sample_segments(t, 3, 64000, 192512);
}

/* Three video tracks, two sounds, subtitles, a poster and 30 thumbnails on two sheets of 5 x 4. */
static inline struct presentation *sample_presentation(void)
{
    struct presentation *p = NULL;
    assert_int_equal(presentation_new("big.film", "Tom & \"Jerry\" <1>", &p), 0);
    p->duration_ms = 13263;
    p->segment_ms_target = 4000;
    p->created_ms = 1750000000123;
    sample_video(p, "v360", 640, 360, 400000);
    sample_video(p, "v720", 1280, 720, 1100000);
    sample_video(p, "v1080", 1920, 1080, 2500000);
    sample_audio(p, "a-en", "en", "English", true);
    sample_audio(p, "a-de", "de", "Deutsch", false);
    struct track *t = sample_track(p, "t-de", TRACK_TEXT, "wvtt", "de", "Deutsch");
    sample_segments(t, 1, 4000, 13263);
    p->poster = (struct picture){sample_digest("poster"), 20000, 1280, 720};
    p->thumbnails.columns = 5;
    p->thumbnails.rows = 4;
    p->thumbnails.tile_width = 160;
    p->thumbnails.tile_height = 90;
    p->thumbnails.interval_ms = 500;
    p->thumbnails.tiles_count = 30;
    struct picture sheet = {sample_digest("sheet-0"), 90000, 800, 360};
    assert_int_equal(presentation_add_sheet(p, &sheet), 0);
    sheet = (struct picture){sample_digest("sheet-1"), 50000, 800, 180};
    assert_int_equal(presentation_add_sheet(p, &sheet), 0);
    return p;
}
