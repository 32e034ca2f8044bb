/* SPDX-License-Identifier: Apache-2.0 */
#include "media/hls.h"
#include <errno.h>
#include <inttypes.h>
#include "media/render.h"

#define HLS_US UINT64_C(1000000)

/* What a player with no measurement yet is given first: enough for a picture at a phone's or
 * laptop's size, and little enough to start at once on most links. Apple's authoring rules ask for
 * about 2 Mbit/s on Wi-Fi. */
#define HLS_FIRST_BANDWIDTH UINT32_C(2500000)

#define HLS_BLOBS "../../../" /* from /v/<asset>/<track>/ */

/* An attribute value in quotes: what RFC 8216 section 4.2 keeps out of one cannot get in. */
static void hls_quoted(struct str text, struct buf *out)
{
    CLEAN_BUF struct buf clean = BUF_EMPTY;
    render_text(text, &clean);
    buf_putc(out, '"');
    for (size_t i = 0; i < clean.size; i++)
        buf_putc(out, clean.data[i] == '"' ? '\'' : clean.data[i]);
    buf_putc(out, '"');
    if (buf_error(&clean) != 0 && out->error == 0)
        out->error = buf_error(&clean);
}

/* Segments all start with a key frame: audio and text always do. */
static bool hls_independent(const struct track *t)
{
    for (uint32_t i = 0; i < t->segments_count && t->kind == TRACK_VIDEO; i++) {
        if (t->segments[i].key_size == 0)
            return false;
    }
    return true;
}

/* ---- master ---- */

struct hls_master_state {
    const struct presentation *p;
    uint32_t height_max;
    struct buf audio_codecs; /* ",mp4a.40.2" for each different one */
    uint32_t audio_avg, audio_max;
    bool has_audio, has_text, has_video, is_independent;
};

/* Members of a group with AUTOSELECT=YES must differ in language: the default one, else the first
 * of each language, is the one that a player may choose by itself. */
static bool hls_autoselect(const struct hls_master_state *m, const struct track *t)
{
    const struct track *chosen = render_default(m->p, t->kind, m->height_max);
    if (chosen == t)
        return true;
    if (chosen != NULL && strcmp(render_language(chosen), render_language(t)) == 0)
        return false;
    for (const struct track *o = m->p->tracks; o < t; o++) {
        if (o->kind == t->kind && strcmp(render_language(o), render_language(t)) == 0)
            return false;
    }
    return true;
}

static void hls_media_tag(const struct hls_master_state *m, uint32_t index, struct buf *out)
{
    const struct track *t = &m->p->tracks[index];
    bool is_audio = t->kind == TRACK_AUDIO;
    CLEAN_BUF struct buf name = BUF_EMPTY;
    render_name(m->p, index, &name);
    buf_puts(out, is_audio ? "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME="
                           : "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"subtitles\",NAME=");
    hls_quoted(buf_str(&name), out);
    if (strcmp(render_language(t), "und") != 0) {
        buf_puts(out, ",LANGUAGE=");
        hls_quoted(str_of(t->language), out);
    }
    /* Some audio must play; subtitles show unasked only when the title says so. */
    bool is_default =
        render_default(m->p, t->kind, m->height_max) == t && (is_audio || t->is_default);
    buf_printf(out, ",DEFAULT=%s,AUTOSELECT=%s", is_default ? "YES" : "NO",
               is_default || hls_autoselect(m, t) ? "YES" : "NO");
    if (is_audio && t->channels > 0)
        buf_printf(out, ",CHANNELS=\"%u\"", t->channels);
    if (!is_audio)
        buf_puts(out, ",FORCED=NO");
    buf_printf(out, ",URI=\"%s/index.m3u8\"\n", t->id);
}

/* "avc1.64001f,mp4a.40.2" */
static void hls_codecs(const struct hls_master_state *m, const struct track *video, struct buf *out)
{
    CLEAN_BUF struct buf codecs = BUF_EMPTY;
    if (video != NULL) {
        buf_puts(&codecs, video->codec != NULL ? video->codec : "");
        buf_put_str(&codecs, buf_str(&m->audio_codecs));
    } else {
        buf_put_str(&codecs, str_skip(buf_str(&m->audio_codecs), 1)); /* without its comma */
    }
    buf_puts(out, ",CODECS=");
    hls_quoted(buf_str(&codecs), out);
}

static uint32_t hls_sum(uint32_t a, uint32_t b)
{
    return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

static void hls_variant(const struct hls_master_state *m, const struct track *t, struct buf *out)
{
    bool is_video = t->kind == TRACK_VIDEO;
    uint32_t peak = is_video ? hls_sum(t->bandwidth_max, m->audio_max) : m->audio_max;
    uint32_t average = is_video ? hls_sum(t->bandwidth_avg, m->audio_avg) : m->audio_avg;
    buf_printf(out, "#EXT-X-STREAM-INF:BANDWIDTH=%u,AVERAGE-BANDWIDTH=%u", peak, average);
    hls_codecs(m, is_video ? t : NULL, out);
    if (is_video)
        buf_printf(out, ",RESOLUTION=%ux%u", t->width, t->height);
    if (is_video && t->frame_rate_den > 0) {
        uint64_t milli =
            ((uint64_t)t->frame_rate_num * 1000 + t->frame_rate_den / 2) / t->frame_rate_den;
        buf_printf(out, ",FRAME-RATE=%" PRIu64 ".%03" PRIu64, milli / 1000, milli % 1000);
    }
    if (m->has_audio)
        buf_puts(out, ",AUDIO=\"audio\"");
    if (m->has_text)
        buf_puts(out, ",SUBTITLES=\"subtitles\"");
    buf_printf(out, ",CLOSED-CAPTIONS=NONE\n%s/index.m3u8\n", t->id);
}

/* Bits a second of the key frames alone, at their largest and on average. */
static bool hls_iframe_rates(const struct track *t, uint32_t *ret_max, uint32_t *ret_avg)
{
    uint64_t bytes = 0;
    uint64_t ticks = 0;
    uint64_t peak = 0;
    for (uint32_t i = 0; i < t->segments_count; i++) {
        const struct segment *s = &t->segments[i];
        bytes += s->key_size;
        ticks += s->duration;
        /* A short last segment would give a peak that never lasts; half a second is the least. */
        uint64_t lasts = MAX((uint64_t)s->duration, MAX((uint64_t)t->timescale / 2, UINT64_C(1)));
        peak = MAX(peak, ((uint64_t)s->key_size * 8 * t->timescale + lasts - 1) / lasts);
    }
    if (bytes == 0 || ticks == 0)
        return false;
    uint64_t average = (uint64_t)(((unsigned __int128)bytes * 8 * t->timescale) / ticks);
    *ret_max = (uint32_t)MIN(MAX(peak, UINT64_C(1)), (uint64_t)UINT32_MAX);
    *ret_avg = (uint32_t)MIN(MAX(average, UINT64_C(1)), (uint64_t)UINT32_MAX);
    return true;
}

static void hls_iframe_variant(const struct track *t, struct buf *out)
{
    uint32_t peak;
    uint32_t average;
    if (!hls_iframe_rates(t, &peak, &average))
        return;
    buf_printf(out, "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=%u,AVERAGE-BANDWIDTH=%u,CODECS=", peak,
               average);
    hls_quoted(str_of(t->codec), out);
    buf_printf(out, ",RESOLUTION=%ux%u,URI=\"%s/iframes.m3u8\"\n", t->width, t->height, t->id);
}

static void hls_survey(struct hls_master_state *m)
{
    m->is_independent = true;
    for (uint32_t i = 0; i < m->p->tracks_count; i++) {
        const struct track *t = &m->p->tracks[i];
        if (!render_shown(m->p, t, m->height_max))
            continue;
        m->is_independent = m->is_independent && hls_independent(t);
        m->has_video = m->has_video || t->kind == TRACK_VIDEO;
        m->has_text = m->has_text || t->kind == TRACK_TEXT;
        if (t->kind != TRACK_AUDIO)
            continue;
        m->has_audio = true;
        m->audio_avg = MAX(m->audio_avg, t->bandwidth_avg);
        m->audio_max = MAX(m->audio_max, t->bandwidth_max);
        bool is_new = true;
        for (const struct track *o = m->p->tracks; o < t; o++) {
            if (o->kind == TRACK_AUDIO && o->segments_count > 0 &&
                str_eq(str_of(o->codec), str_of(t->codec)))
                is_new = false;
        }
        if (is_new)
            buf_printf(&m->audio_codecs, ",%s", t->codec != NULL ? t->codec : "");
    }
}

/* The best that fits HLS_FIRST_BANDWIDTH, else the least of all. */
static const struct track *hls_first(const struct hls_master_state *m)
{
    const struct track *best = NULL;
    const struct track *least = NULL;
    for (uint32_t i = 0; i < m->p->tracks_count; i++) {
        const struct track *t = &m->p->tracks[i];
        if (t->kind != TRACK_VIDEO || !render_shown(m->p, t, m->height_max))
            continue;
        if (least == NULL || t->bandwidth_max < least->bandwidth_max)
            least = t;
        if (hls_sum(t->bandwidth_max, m->audio_max) <= HLS_FIRST_BANDWIDTH &&
            (best == NULL || t->bandwidth_max > best->bandwidth_max))
            best = t;
    }
    return best != NULL ? best : least;
}

/* The next larger video track behind `after` (NULL: the least), ties in their order. */
static const struct track *hls_next(const struct hls_master_state *m, const struct track *after)
{
    const struct track *next = NULL;
    for (uint32_t i = 0; i < m->p->tracks_count; i++) {
        const struct track *t = &m->p->tracks[i];
        if (t->kind != TRACK_VIDEO || !render_shown(m->p, t, m->height_max))
            continue;
        bool is_behind = after == NULL || t->bandwidth_max > after->bandwidth_max ||
                         (t->bandwidth_max == after->bandwidth_max && t > after);
        if (is_behind && (next == NULL || t->bandwidth_max < next->bandwidth_max))
            next = t;
    }
    return next;
}

static void hls_variants(const struct hls_master_state *m, struct buf *out)
{
    if (!m->has_video) { /* sound alone: the group's default stands for all */
        hls_variant(m, render_default(m->p, TRACK_AUDIO, m->height_max), out);
        return;
    }
    const struct track *first = hls_first(m);
    hls_variant(m, first, out);
    const struct track *t = NULL;
    while ((t = hls_next(m, t)) != NULL) {
        if (t != first)
            hls_variant(m, t, out);
    }
    while ((t = hls_next(m, t)) != NULL)
        hls_iframe_variant(t, out);
}

int hls_master(const struct presentation *p, uint32_t height_max, struct buf *out)
{
    ASSERT(p != NULL);
    ASSERT(out != NULL);
    struct hls_master_state m = {.p = p, .height_max = height_max};
    hls_survey(&m);
    int r = -EINVAL;
    if (m.has_video || m.has_audio) {
        buf_puts(out, "#EXTM3U\n#EXT-X-VERSION:7\n");
        if (m.is_independent)
            buf_puts(out, "#EXT-X-INDEPENDENT-SEGMENTS\n");
        for (uint32_t i = 0; i < p->tracks_count; i++) {
            if (p->tracks[i].kind != TRACK_VIDEO && render_shown(p, &p->tracks[i], height_max))
                hls_media_tag(&m, i, out);
        }
        hls_variants(&m, out);
        r = buf_error(&m.audio_codecs) != 0 ? buf_error(&m.audio_codecs) : buf_error(out);
    }
    buf_free(&m.audio_codecs);
    return r;
}

/* ---- media ---- */

/* EXTINF values are differences of rounded times, so that the rounding never adds up. */
static uint64_t hls_lasts_us(const struct track *t, uint64_t from, uint64_t to)
{
    return MAX(render_us(t, to) - render_us(t, from), UINT64_C(1));
}

/* RFC 8216 section 4.3.3.1: no EXTINF, rounded to whole seconds, may be larger. */
static void hls_target(uint64_t longest_us, struct buf *out)
{
    uint64_t target = (longest_us + HLS_US / 2) / HLS_US;
    buf_printf(out, "#EXT-X-TARGETDURATION:%" PRIu64 "\n", MAX(target, UINT64_C(1)));
}

static void hls_extinf(uint64_t us, struct buf *out)
{
    buf_printf(out, "#EXTINF:%" PRIu64 ".%06" PRIu64 ",\n", us / HLS_US, us % HLS_US);
}

static void hls_map(const struct track *t, struct buf *out)
{
    buf_puts(out, "#EXT-X-MAP:URI=\"");
    render_blob(HLS_BLOBS, &t->init, "mp4", out);
    buf_puts(out, "\"\n");
}

int hls_media(const struct presentation *p, const struct track *t, struct buf *out)
{
    ASSERT(p != NULL);
    ASSERT(t != NULL);
    ASSERT(out != NULL);
    if (t->segments_count == 0 || t->timescale == 0)
        return -EINVAL;
    uint64_t longest_us = 0;
    uint64_t at = 0;
    for (uint32_t i = 0; i < t->segments_count; i++) {
        uint64_t end = at + t->segments[i].duration;
        longest_us = MAX(longest_us, hls_lasts_us(t, at, end));
        at = end;
    }
    buf_puts(out, "#EXTM3U\n#EXT-X-VERSION:7\n");
    hls_target(longest_us, out);
    buf_puts(out, "#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:VOD\n");
    if (hls_independent(t))
        buf_puts(out, "#EXT-X-INDEPENDENT-SEGMENTS\n");
    if (t->kind != TRACK_TEXT)
        hls_map(t, out);
    at = 0;
    for (uint32_t i = 0; i < t->segments_count; i++) {
        const struct segment *s = &t->segments[i];
        hls_extinf(hls_lasts_us(t, at, at + s->duration), out);
        render_blob(HLS_BLOBS, &s->digest, t->kind == TRACK_TEXT ? "vtt" : "m4s", out);
        buf_putc(out, '\n');
        at += s->duration;
    }
    buf_puts(out, "#EXT-X-ENDLIST\n");
    return buf_error(out);
}

/* ---- I-frames ---- */

/* The next segment that starts with a key frame, and how long its picture stands: up to the one
 * after. *next is where to look; the first stands from the very start. */
static const struct segment *hls_next_key(const struct track *t, uint32_t *next, uint64_t *at,
                                          uint64_t *ret_end)
{
    uint32_t i = *next;
    uint64_t end = *at;
    while (i < t->segments_count && t->segments[i].key_size == 0)
        end += t->segments[i++].duration;
    if (i == t->segments_count)
        return NULL;
    const struct segment *key = &t->segments[i];
    end += t->segments[i++].duration;
    while (i < t->segments_count && t->segments[i].key_size == 0)
        end += t->segments[i++].duration;
    *next = i;
    *ret_end = end;
    return key;
}

int hls_iframes(const struct presentation *p, const struct track *t, struct buf *out)
{
    ASSERT(p != NULL);
    ASSERT(t != NULL);
    ASSERT(out != NULL);
    uint64_t longest_us = 0;
    uint64_t at = 0;
    uint64_t end = 0;
    uint32_t next = 0;
    if (t->kind != TRACK_VIDEO || t->timescale == 0)
        return -EINVAL;
    while (hls_next_key(t, &next, &at, &end) != NULL) {
        longest_us = MAX(longest_us, hls_lasts_us(t, at, end));
        at = end;
    }
    if (longest_us == 0)
        return -EINVAL; /* no segment starts with a key frame */
    buf_puts(out, "#EXTM3U\n#EXT-X-VERSION:7\n");
    hls_target(longest_us, out);
    buf_puts(out, "#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-I-FRAMES-ONLY\n");
    hls_map(t, out);
    at = 0;
    next = 0;
    const struct segment *key;
    while ((key = hls_next_key(t, &next, &at, &end)) != NULL) {
        hls_extinf(hls_lasts_us(t, at, end), out);
        buf_printf(out, "#EXT-X-BYTERANGE:%u@0\n", key->key_size);
        render_blob(HLS_BLOBS, &key->digest, "m4s", out);
        buf_putc(out, '\n');
        at = end;
    }
    buf_puts(out, "#EXT-X-ENDLIST\n");
    return buf_error(out);
}
