/* SPDX-License-Identifier: Apache-2.0 */
#include "media/dash.h"
#include <errno.h>
#include <inttypes.h>
#include "media/render.h"

#define DASH_BLOBS "../../" /* from /v/<asset>/ */

/* An attribute's or element's text. */
static void dash_text(struct str text, struct buf *out)
{
    CLEAN_BUF struct buf clean = BUF_EMPTY;
    render_text(text, &clean);
    buf_put_xml(out, buf_str(&clean));
    if (buf_error(&clean) != 0 && out->error == 0)
        out->error = buf_error(&clean);
}

static void dash_attribute(const char *key, const char *value, struct buf *out)
{
    buf_printf(out, " %s=\"", key);
    dash_text(str_of(value), out);
    buf_putc(out, '"');
}

static void dash_seconds(const char *key, uint64_t ms, struct buf *out)
{
    buf_printf(out, " %s=\"PT%" PRIu64 ".%03" PRIu64 "S\"", key, ms / 1000, ms % 1000);
}

/* Where the period begins on the media's time line: the earliest start of what is seen, or heard if
 * nothing is seen. All tracks subtract that instant, so a sound that starts 20 ms behind the
 * picture stays there, and one that starts before it is cut; players stop at a hole in the picture.
 */
struct dash_base {
    uint64_t start;
    uint32_t timescale;
};

static struct dash_base dash_base(const struct presentation *p, uint32_t height_max)
{
    struct dash_base base = {0, 0};
    bool has_video = render_default(p, TRACK_VIDEO, height_max) != NULL;
    for (uint32_t i = 0; i < p->tracks_count; i++) {
        const struct track *t = &p->tracks[i];
        if (t->kind != (has_video ? TRACK_VIDEO : TRACK_AUDIO) || !render_shown(p, t, height_max))
            continue;
        bool is_earlier = (unsigned __int128)t->start * base.timescale <
                          (unsigned __int128)base.start * t->timescale;
        if (base.timescale == 0 || is_earlier)
            base = (struct dash_base){t->start, t->timescale};
    }
    return base;
}

static uint64_t dash_offset(const struct dash_base *base, const struct track *t)
{
    if (base->timescale == 0)
        return 0;
    return (uint64_t)((unsigned __int128)base->start * t->timescale / base->timescale);
}

/* One <S> a segment, without @r: dash.js (4 and 5) picks the SegmentURL by the number of the <S>
 * element, so a repeated one would give every segment of the run the same blob. */
static void dash_timeline(const struct track *t, struct buf *out)
{
    buf_puts(out, "<SegmentTimeline>");
    for (uint32_t i = 0; i < t->segments_count; i++) {
        if (i == 0)
            buf_printf(out, "<S t=\"%" PRIu64 "\" d=\"%u\"/>", t->start, t->segments[i].duration);
        else
            buf_printf(out, "<S d=\"%u\"/>", t->segments[i].duration);
    }
    buf_puts(out, "</SegmentTimeline>\n");
}

static void dash_segments(const struct track *t, const struct dash_base *base, struct buf *out)
{
    buf_printf(out, "<SegmentList timescale=\"%u\"", t->timescale);
    uint64_t offset = dash_offset(base, t);
    if (offset > 0)
        buf_printf(out, " presentationTimeOffset=\"%" PRIu64 "\"", offset);
    buf_puts(out, ">\n<Initialization sourceURL=\"");
    render_blob(DASH_BLOBS, &t->init, "mp4", out);
    buf_puts(out, "\"/>\n");
    dash_timeline(t, out);
    for (uint32_t i = 0; i < t->segments_count; i++) {
        buf_puts(out, "<SegmentURL media=\"");
        render_blob(DASH_BLOBS, &t->segments[i].digest, "m4s", out);
        buf_puts(out, "\"/>\n");
    }
    buf_puts(out, "</SegmentList>\n");
}

/* The part of a codec string before its first dot: renditions that one decoder can switch between.
 */
static struct str dash_family(const struct track *t)
{
    struct str rest;
    return str_cut(str_of(t->codec), '.', &rest);
}

static bool dash_same_set(const struct track *a, const struct track *b)
{
    return a->kind == b->kind && str_eq(dash_family(a), dash_family(b));
}

/* Segments of all renditions begin and end together. */
static bool dash_aligned(const struct track *a, const struct track *b)
{
    if (a->segments_count != b->segments_count || a->timescale != b->timescale ||
        a->start != b->start)
        return false;
    for (uint32_t i = 0; i < a->segments_count; i++) {
        if (a->segments[i].duration != b->segments[i].duration)
            return false;
    }
    return true;
}

static void dash_video_representation(const struct track *t, const struct dash_base *base,
                                      struct buf *out)
{
    buf_printf(out, "<Representation id=\"%s\" bandwidth=\"%u\"", t->id,
               MAX(t->bandwidth_max, UINT32_C(1)));
    dash_attribute("codecs", t->codec, out);
    buf_printf(out, " width=\"%u\" height=\"%u\"", t->width, t->height);
    if (t->frame_rate_den == 1)
        buf_printf(out, " frameRate=\"%u\"", t->frame_rate_num);
    else if (t->frame_rate_den > 1)
        buf_printf(out, " frameRate=\"%u/%u\"", t->frame_rate_num, t->frame_rate_den);
    buf_puts(out, ">\n");
    dash_segments(t, base, out);
    buf_puts(out, "</Representation>\n");
}

/* One adaptation set for the codec family of `first`, its first track. bitstreamSwitching stays
 * out: each rendition has parameter sets of its own in its init segment. */
static void dash_video_set(const struct presentation *p, uint32_t height_max,
                           const struct track *first, const struct dash_base *base, unsigned id,
                           struct buf *out)
{
    uint32_t width = 0;
    uint32_t height = 0;
    bool is_aligned = true;
    bool starts_with_key = true;
    for (uint32_t i = 0; i < p->tracks_count; i++) {
        const struct track *t = &p->tracks[i];
        if (!dash_same_set(first, t) || !render_shown(p, t, height_max))
            continue;
        width = MAX(width, t->width);
        height = MAX(height, t->height);
        is_aligned = is_aligned && dash_aligned(first, t);
        for (uint32_t k = 0; k < t->segments_count; k++)
            starts_with_key = starts_with_key && t->segments[k].key_size > 0;
    }
    buf_printf(out, "<AdaptationSet id=\"%u\" contentType=\"video\" mimeType=\"video/mp4\"", id);
    buf_printf(out, " maxWidth=\"%u\" maxHeight=\"%u\" segmentAlignment=\"%s\"", width, height,
               is_aligned ? "true" : "false");
    if (starts_with_key)
        buf_puts(out, " startWithSAP=\"1\"");
    buf_puts(out, ">\n<Role schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"main\"/>\n");
    for (uint32_t i = 0; i < p->tracks_count; i++) {
        const struct track *t = &p->tracks[i];
        if (dash_same_set(first, t) && render_shown(p, t, height_max))
            dash_video_representation(t, base, out);
    }
    buf_puts(out, "</AdaptationSet>\n");
}

static void dash_label(const struct presentation *p, uint32_t index, struct buf *out)
{
    CLEAN_BUF struct buf name = BUF_EMPTY;
    render_name(p, index, &name);
    buf_puts(out, "<Label>");
    buf_put_xml(out, buf_str(&name));
    buf_puts(out, "</Label>\n");
    if (buf_error(&name) != 0 && out->error == 0)
        out->error = buf_error(&name);
}

static void dash_audio_set(const struct presentation *p, uint32_t index, bool is_main,
                           const struct dash_base *base, unsigned id, struct buf *out)
{
    const struct track *t = &p->tracks[index];
    buf_printf(out, "<AdaptationSet id=\"%u\" contentType=\"audio\" mimeType=\"audio/mp4\"", id);
    dash_attribute("lang", render_language(t), out);
    buf_puts(out, " segmentAlignment=\"true\" startWithSAP=\"1\">\n");
    dash_label(p, index, out);
    buf_printf(out, "<Role schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"%s\"/>\n",
               is_main ? "main" : "alternate");
    buf_printf(out, "<Representation id=\"%s\" bandwidth=\"%u\"", t->id,
               MAX(t->bandwidth_max, UINT32_C(1)));
    dash_attribute("codecs", t->codec, out);
    if (t->sample_rate > 0)
        buf_printf(out, " audioSamplingRate=\"%u\"", t->sample_rate);
    buf_puts(out, ">\n");
    if (t->channels > 0)
        buf_printf(out,
                   "<AudioChannelConfiguration schemeIdUri=\"urn:mpeg:dash:23003:3:"
                   "audio_channel_configuration:2011\" value=\"%u\"/>\n",
                   t->channels);
    dash_segments(t, base, out);
    buf_puts(out, "</Representation>\n</AdaptationSet>\n");
}

/* A whole WebVTT file beside the segments: dash.js and Shaka load it once. */
static void dash_text_set(const struct presentation *p, uint32_t index, unsigned id,
                          struct buf *out)
{
    const struct track *t = &p->tracks[index];
    buf_printf(out, "<AdaptationSet id=\"%u\" contentType=\"text\" mimeType=\"text/vtt\"", id);
    dash_attribute("lang", render_language(t), out);
    buf_puts(out, ">\n");
    dash_label(p, index, out);
    buf_puts(out, "<Role schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"subtitle\"/>\n");
    if (t->is_default)
        buf_puts(out, "<Role schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"main\"/>\n");
    buf_printf(out, "<Representation id=\"%s\" bandwidth=\"%u\"><BaseURL>", t->id,
               MAX(t->bandwidth_max, UINT32_C(1)));
    render_blob(DASH_BLOBS, &t->segments[0].digest, "vtt", out);
    buf_puts(out, "</BaseURL></Representation>\n</AdaptationSet>\n");
}

/* Sprite sheets by number, as DASH-IF asks: players find a tile by the template's duration, which
 * is a full sheet's, also in the last one. The numbers are a view (view.c) that leads to the blobs.
 */
static void dash_thumbnails(const struct presentation *p, unsigned id, struct buf *out)
{
    const struct thumbnails *th = &p->thumbnails;
    uint64_t sheet_ms = (uint64_t)th->columns * th->rows * th->interval_ms;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < th->sheets_count; i++)
        bytes = MAX(bytes, (uint64_t)th->sheets[i].size);
    uint64_t bandwidth = MAX((bytes * 8000 + sheet_ms - 1) / sheet_ms, UINT64_C(1));
    buf_printf(out, "<AdaptationSet id=\"%u\" contentType=\"image\" mimeType=\"image/jpeg\">\n",
               id);
    buf_printf(out,
               "<SegmentTemplate media=\"thumbnails/$Number$.jpg\" timescale=\"1000\""
               " duration=\"%" PRIu64 "\" startNumber=\"1\"/>\n",
               sheet_ms);
    buf_printf(out, "<Representation id=\"thumbnails\" bandwidth=\"%" PRIu64 "\"",
               MIN(bandwidth, (uint64_t)UINT32_MAX));
    buf_printf(out, " width=\"%" PRIu64 "\" height=\"%" PRIu64 "\">\n",
               (uint64_t)th->columns * th->tile_width, (uint64_t)th->rows * th->tile_height);
    buf_printf(out,
               "<EssentialProperty schemeIdUri=\"http://dashif.org/guidelines/thumbnail_tile\""
               " value=\"%ux%u\"/>\n",
               th->columns, th->rows);
    buf_puts(out, "</Representation>\n</AdaptationSet>\n");
}

static void dash_video_sets(const struct presentation *p, uint32_t height_max,
                            const struct dash_base *base, unsigned *id, struct buf *out)
{
    for (uint32_t i = 0; i < p->tracks_count; i++) {
        const struct track *t = &p->tracks[i];
        bool is_first = t->kind == TRACK_VIDEO && render_shown(p, t, height_max);
        for (uint32_t k = 0; k < i && is_first; k++)
            is_first =
                !(dash_same_set(&p->tracks[k], t) && render_shown(p, &p->tracks[k], height_max));
        if (is_first)
            dash_video_set(p, height_max, t, base, (*id)++, out);
    }
}

static void dash_other_sets(const struct presentation *p, uint32_t height_max,
                            const struct dash_base *base, unsigned *id, struct buf *out)
{
    const struct track *main_audio = render_default(p, TRACK_AUDIO, height_max);
    if (main_audio != NULL) /* first: players that know no roles take the first */
        dash_audio_set(p, (uint32_t)(main_audio - p->tracks), true, base, (*id)++, out);
    for (uint32_t i = 0; i < p->tracks_count; i++) {
        const struct track *t = &p->tracks[i];
        if (t->kind == TRACK_AUDIO && t != main_audio && render_shown(p, t, height_max))
            dash_audio_set(p, i, false, base, (*id)++, out);
    }
    for (uint32_t i = 0; i < p->tracks_count; i++) {
        const struct track *t = &p->tracks[i];
        if (t->kind == TRACK_TEXT && render_shown(p, t, height_max))
            dash_text_set(p, i, (*id)++, out);
    }
    const struct thumbnails *th = &p->thumbnails;
    if (th->sheets_count > 0 && th->columns > 0 && th->rows > 0 && th->interval_ms > 0)
        dash_thumbnails(p, (*id)++, out);
}

/* The longest track and the longest segment, for titles that do not say how long they are. */
static void dash_durations(const struct presentation *p, uint32_t height_max, uint64_t *ret_ms,
                           uint64_t *ret_segment_ms)
{
    uint64_t longest_ms = 0;
    uint64_t segment_ms = 0;
    for (uint32_t i = 0; i < p->tracks_count; i++) {
        const struct track *t = &p->tracks[i];
        if (t->kind == TRACK_TEXT || !render_shown(p, t, height_max))
            continue;
        longest_ms = MAX(longest_ms, (render_us(t, track_duration(t)) + 999) / 1000);
        for (uint32_t k = 0; k < t->segments_count; k++)
            segment_ms = MAX(segment_ms, (render_us(t, t->segments[k].duration) + 999) / 1000);
    }
    *ret_ms = p->duration_ms > 0 ? p->duration_ms : longest_ms;
    *ret_segment_ms = segment_ms;
}

int dash_manifest(const struct presentation *p, uint32_t height_max, struct buf *out)
{
    ASSERT(p != NULL);
    ASSERT(out != NULL);
    if (render_default(p, TRACK_VIDEO, height_max) == NULL &&
        render_default(p, TRACK_AUDIO, height_max) == NULL)
        return -EINVAL;
    uint64_t duration_ms;
    uint64_t segment_ms;
    dash_durations(p, height_max, &duration_ms, &segment_ms);
    struct dash_base base = dash_base(p, height_max);
    unsigned id = 0;
    /* The main profile is the one that has SegmentList: names of blobs follow no template. */
    buf_puts(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                  "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\""
                  " profiles=\"urn:mpeg:dash:profile:isoff-main:2011\" type=\"static\"");
    dash_seconds("mediaPresentationDuration", duration_ms, out);
    dash_seconds("maxSegmentDuration", segment_ms, out);
    dash_seconds("minBufferTime", MAX(segment_ms, UINT64_C(1)), out);
    buf_puts(out, ">\n<ProgramInformation><Title>");
    dash_text(str_of(p->title), out);
    buf_puts(out, "</Title></ProgramInformation>\n<Period id=\"0\" start=\"PT0S\"");
    dash_seconds("duration", duration_ms, out);
    buf_puts(out, ">\n");
    dash_video_sets(p, height_max, &base, &id, out);
    dash_other_sets(p, height_max, &base, &id, out);
    buf_puts(out, "</Period>\n</MPD>\n");
    return buf_error(out);
}
