/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/result.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/file.h"
#include "ingest/copy.h"
#include "ingest/pictures.h"
#include "media/cmaf.h"
#include "media/codec.h"

#define RESULT_INIT_SIZE_MAX ((size_t)1 << 20)

/* The inside of the box of that type, wherever in an init segment: those are our muxer's and short,
 * so the type's four letters are looked for. */
static bool result_box(struct str init, const char *type, struct str *ret)
{
    const char *at = memmem(init.data, init.size, type, 4);
    if (at == NULL || at - init.data < 4)
        return false;
    char found[5];
    struct str rest;
    struct str box = str_skip(init, (size_t)(at - init.data) - 4);
    return cmaf_box(box, found, ret, &rest) == 0;
}

/* AudioSpecificConfig inside esds: descriptors 3, 4, 5 one inside the other, ISO/IEC 14496-1. */
static bool result_asc(struct str esds, struct str *ret)
{
    struct str s = esds.size > 4 ? str_skip(esds, 4) : STR_NONE;
    while (s.size > 2) {
        uint8_t tag = (uint8_t)s.data[0];
        size_t at = 1, size = 0;
        while (at < s.size && at <= 4) {
            uint8_t c = (uint8_t)s.data[at++];
            size = size << 7 | (c & 127U);
            if ((c & 128) == 0)
                break;
        }
        size_t skip = tag == 3   ? 3
                      : tag == 4 ? 13
                                 : 0; /* fixed fields in front of what is inside */
        if (tag == 5 && size <= s.size - at) {
            *ret = (struct str){s.data + at, size};
            return true;
        }
        if (skip == 0 || at + skip > s.size)
            return false;
        s = str_skip(s, at + skip);
    }
    return false;
}

static int result_codec_text(struct str init, struct buf *out)
{
    struct str box, asc;
    if (result_box(init, "avcC", &box))
        return codec_avc(box, out);
    if (result_box(init, "hvcC", &box))
        return codec_hevc(box, out);
    if (result_box(init, "esds", &box) && result_asc(box, &asc))
        return codec_aac(asc, out);
    static const char *const plain[][2] = {{"dac3", "ac-3"}, {"dec3", "ec-3"}, {"dOps", "opus"}};
    for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
        if (!result_box(init, plain[i][0], &box))
            continue;
        buf_puts(out, plain[i][1]);
        return buf_error(out);
    }
    return -EBADMSG;
}

static int result_codec(const struct work *w, struct track *t, struct err *err)
{
    CLEAN(base_free) char *path = work_blob_path(w, &t->init);
    CLEAN_BUF struct buf init = BUF_EMPTY;
    CLEAN_BUF struct buf codec = BUF_EMPTY;
    int r = path == NULL ? -ENOMEM : file_read(path, RESULT_INIT_SIZE_MAX, &init);
    if (r == 0)
        r = result_codec_text(buf_str(&init), &codec);
    if (r == 0 && (t->codec = buf_take(&codec)) == NULL)
        r = -ENOMEM;
    return r < 0 ? err_errno(err, r, "the codec of track %s", t->id) : 0;
}

/* What all kinds have: segments, init, start. */
static int result_track(struct presentation *p, const struct work *w, const struct work_track *from,
                        enum track_kind kind, uint32_t timescale, struct track **ret,
                        struct err *err)
{
    struct track *t = NULL;
    int r = presentation_add_track(p, from->id, kind, &t);
    for (uint32_t i = 0; r == 0 && i < from->segments_count; i++)
        r = track_add_segment(t, &from->segments[i]);
    if (r < 0)
        return err_errno(err, r, "track %s", from->id);
    t->timescale = timescale;
    t->start = from->start;
    t->init = from->init;
    t->init_size = from->init_size;
    track_measure(t);
    *ret = t;
    return kind == TRACK_TEXT ? 0 : result_codec(w, t, err);
}

static int result_names(struct track *t, const char *language, const char *name, struct err *err)
{
    t->language = str_dup(str_of(language));
    t->name = str_dup(str_of(name));
    return t->language == NULL || t->name == NULL ? err_errno(err, -ENOMEM, "track %s", t->id) : 0;
}

static int result_video(const struct probe *p, struct work *w, const char *id, uint32_t width,
                        uint32_t height, struct presentation *to, struct err *err)
{
    struct work_track *from = NULL;
    struct track *t = NULL;
    int r = work_track(w, id, &from);
    if (r < 0)
        return err_errno(err, r, "track %s", id);
    r = result_track(to, w, from, TRACK_VIDEO, p->video.timescale, &t, err);
    if (r < 0)
        return r;
    t->width = width;
    t->height = height;
    if (p->video.frame_rate.num > 0) {
        t->frame_rate_num = (uint32_t)p->video.frame_rate.num;
        t->frame_rate_den = (uint32_t)p->video.frame_rate.den;
    }
    return 0;
}

static int result_videos(const struct probe *p, const struct ladder *l, struct work *w,
                         struct presentation *to, struct err *err)
{
    char id[PROBE_ID_SIZE];
    if (l->is_copy) {
        copy_video_id(p, id);
        return result_video(p, w, id, p->video.width, p->video.height, to, err);
    }
    struct ladder_size sizes[LADDER_RUNGS_MAX];
    unsigned count = ladder_fit(l, p->video.width, p->video.height, sizes);
    int r = 0;
    for (unsigned i = 0; r == 0 && i < count; i++) {
        (void)snprintf(id, sizeof id, "v%" PRIu32, sizes[i].height);
        r = result_video(p, w, id, sizes[i].width_px, sizes[i].height_px, to, err);
    }
    return r;
}

static int result_audios(const struct probe *p, const struct ladder *l, struct work *w,
                         struct presentation *to, struct err *err)
{
    for (unsigned i = 0; i < p->audios_count; i++) {
        const struct probe_audio *a = &p->audios[i];
        const AVCodecParameters *par = p->format->streams[a->index]->codecpar;
        struct work_track *from = NULL;
        struct track *t = NULL;
        int r = work_track(w, a->id, &from);
        if (r == 0 && from->segments_count == 0)
            continue; /* a track without a sound in it */
        uint32_t rate = l->is_copy ? (uint32_t)par->sample_rate : a->sample_rate;
        if (r == 0)
            r = result_track(to, w, from, TRACK_AUDIO, rate, &t, err);
        if (r == 0)
            r = result_names(t, a->language, a->name, err);
        if (r < 0)
            return r;
        t->is_default = a->is_default;
        t->sample_rate = rate;
        t->channels = l->is_copy ? (uint32_t)MAX(par->ch_layout.nb_channels, 1) : 2;
    }
    return 0;
}

static int result_texts(const struct probe *p, struct work *w, struct presentation *to,
                        struct err *err)
{
    for (unsigned i = 0; i < p->texts_count; i++) {
        const struct probe_text *text = &p->texts[i];
        struct work_track *from = NULL;
        struct track *t = NULL;
        int r = work_track(w, text->id, &from);
        if (r == 0 && from->segments_count == 0)
            continue;
        if (r == 0)
            r = result_track(to, w, from, TRACK_TEXT, 1000, &t, err);
        if (r == 0)
            r = result_names(t, text->language, text->name, err);
        if (r == 0 && (t->codec = str_dup(STR("wvtt"))) == NULL)
            r = err_errno(err, -ENOMEM, "track %s", t->id);
        if (r < 0)
            return r;
        t->is_default = text->is_default;
    }
    return 0;
}

static int result_pictures(const struct work *w, struct presentation *to, struct err *err)
{
    (void)work_find_picture(w, "poster", &to->poster); /* none: size stays 0 */
    struct thumbnails t;
    if (!pictures_describe(w, &t))
        return 0;
    uint32_t each = t.columns * t.rows;
    uint32_t sheets = (t.tiles_count + each - 1) / each;
    for (uint32_t i = 0; i < sheets; i++) {
        char name[20];
        struct picture sheet;
        (void)snprintf(name, sizeof name, "sheet-%" PRIu32, i);
        if (!work_find_picture(w, name, &sheet))
            return err_set(err, -EPROTO, "thumbnail sheet %" PRIu32 " is missing", i);
        int r = presentation_add_sheet(to, &sheet);
        if (r < 0)
            return err_errno(err, r, "thumbnails");
    }
    to->thumbnails.columns = t.columns;
    to->thumbnails.rows = t.rows;
    to->thumbnails.tile_width = t.tile_width;
    to->thumbnails.tile_height = t.tile_height;
    to->thumbnails.interval_ms = t.interval_ms;
    to->thumbnails.tiles_count = t.tiles_count;
    return 0;
}

int result_build(const struct probe *p, const struct ladder *l, struct work *w,
                 const struct result_about *about, struct presentation **ret, struct err *err)
{
    CLEAN(presentation_free) struct presentation *to = NULL;
    int r = presentation_new(about->asset, about->title, &to);
    if (r < 0)
        return err_errno(err, r, "asset %s", about->asset);
    to->created_ms = about->created_ms;
    to->segment_ms_target = l->segment_ms;
    r = result_videos(p, l, w, to, err);
    if (r == 0)
        r = result_audios(p, l, w, to, err);
    for (uint32_t i = 0; r == 0 && i < to->tracks_count; i++) {
        const struct track *t = &to->tracks[i];
        uint64_t end_ms = (t->start + track_duration(t)) * 1000 / t->timescale;
        to->duration_ms = MAX(to->duration_ms, end_ms);
    }
    if (r == 0)
        r = result_texts(p, w, to, err);
    if (r == 0)
        r = result_pictures(w, to, err);
    if (r < 0)
        return r;
    *ret = to;
    to = NULL;
    return 0;
}

uint64_t result_duration_ms(const struct probe *p, const struct ladder *l, struct work *w)
{
    char id[PROBE_ID_SIZE];
    struct ladder_size sizes[LADDER_RUNGS_MAX];
    if (l->is_copy) {
        copy_video_id(p, id);
    } else {
        (void)ladder_fit(l, p->video.width, p->video.height, sizes); /* at least one */
        (void)snprintf(id, sizeof id, "v%" PRIu32, sizes[0].height);
    }
    struct work_track *t = NULL;
    return work_track(w, id, &t) < 0 ? 0 : t->next * 1000 / p->video.timescale;
}
