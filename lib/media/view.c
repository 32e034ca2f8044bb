/* SPDX-License-Identifier: Apache-2.0 */
#include "media/view.h"
#include <errno.h>
#include <inttypes.h>
#include "media/dash.h"
#include "media/hls.h"
#include "media/render.h"

#define VIEW_HLS  "application/vnd.apple.mpegurl"
#define VIEW_DASH "application/dash+xml"
#define VIEW_VTT  "text/vtt"
#define VIEW_JPEG "image/jpeg"
#define VIEW_JSON "application/json"

static const struct {
    struct str ext;
    const char *type;
} view_types[] = {{STR("m4s"), "video/iso.segment"},
                  {STR("mp4"), "video/mp4"},
                  {STR("vtt"), VIEW_VTT},
                  {STR("jpg"), VIEW_JPEG},
                  {STR("json"), VIEW_JSON}};

/* "01:02:03.456" */
static void view_time(uint64_t ms, struct buf *out)
{
    buf_printf(out, "%02" PRIu64 ":%02u:%02u.%03u", ms / 3600000, (unsigned)(ms / 60000 % 60),
               (unsigned)(ms / 1000 % 60), (unsigned)(ms % 1000));
}

/* WebVTT whose cues are pieces of the sheets (media fragments): what players' seek bars read. */
static int view_thumbnails(const struct presentation *p, struct buf *out)
{
    const struct thumbnails *th = &p->thumbnails;
    uint64_t per_sheet = (uint64_t)th->columns * th->rows;
    if (th->sheets_count == 0 || per_sheet == 0 || th->interval_ms == 0)
        return -ENOENT;
    uint64_t tiles = MIN((uint64_t)th->tiles_count, per_sheet * th->sheets_count);
    buf_puts(out, "WEBVTT\n");
    for (uint64_t i = 0; i < tiles; i++) {
        uint64_t from = i * th->interval_ms;
        uint64_t to = from + th->interval_ms;
        if (i + 1 == tiles && p->duration_ms > from)
            to = p->duration_ms; /* the last stands to the end, however long that is */
        buf_putc(out, '\n');
        view_time(from, out);
        buf_puts(out, " --> ");
        view_time(to, out);
        buf_putc(out, '\n');
        render_blob("../../", &th->sheets[i / per_sheet].digest, "jpg", out);
        uint64_t tile = i % per_sheet;
        buf_printf(out, "#xywh=%" PRIu64 ",%" PRIu64 ",%u,%u\n",
                   tile % th->columns * th->tile_width, tile / th->columns * th->tile_height,
                   th->tile_width, th->tile_height);
    }
    return buf_error(out);
}

/* The presentation as the cap leaves it: a track that may not be watched is not described. */
static int view_json(const struct presentation *p, uint32_t height_max, struct buf *out)
{
    struct track tracks[PRESENTATION_TRACKS_MAX];
    struct presentation shown = *p; /* borrows all but the list of tracks */
    shown.tracks = tracks;
    shown.tracks_count = 0;
    for (uint32_t i = 0; i < p->tracks_count && i < PRESENTATION_TRACKS_MAX; i++) {
        if (render_shown(p, &p->tracks[i], height_max))
            tracks[shown.tracks_count++] = p->tracks[i];
    }
    return presentation_write(&shown, out);
}

/* <track>/index.m3u8 and <track>/iframes.m3u8 */
static int view_track(const struct presentation *p, struct str rest, uint32_t height_max,
                      struct buf *out)
{
    struct str file;
    struct str id = str_cut(rest, '/', &file);
    const struct track *t = presentation_find(p, id);
    if (t == NULL || !render_shown(p, t, height_max))
        return -ENOENT;
    if (str_eq(file, STR("index.m3u8")))
        return hls_media(p, t, out);
    if (str_eq(file, STR("iframes.m3u8")))
        return hls_iframes(p, t, out);
    return -ENOENT;
}

/* The picture that is a view: poster.jpg, thumbnails/<n>.jpg from 1; NULL for none. */
static const struct picture *view_picture(const struct presentation *p, struct str rest)
{
    if (str_eq(rest, STR("poster.jpg")))
        return p->poster.size > 0 ? &p->poster : NULL;
    struct str prefix = STR("thumbnails/");
    struct str suffix = STR(".jpg");
    if (rest.size < prefix.size + suffix.size || !str_starts(rest, prefix) ||
        !str_ends(rest, suffix))
        return NULL;
    struct str number = {rest.data + prefix.size, rest.size - prefix.size - suffix.size};
    uint64_t n = 0;
    if (str_to_u64(number, &n) < 0 || number.data[0] == '0' || n > p->thumbnails.sheets_count)
        return NULL;
    return &p->thumbnails.sheets[n - 1];
}

static int view_text(const struct presentation *p, struct str rest, uint32_t height_max,
                     struct view *v)
{
    if (str_eq(rest, STR("master.m3u8"))) {
        v->type = VIEW_HLS;
        return hls_master(p, height_max, &v->text);
    }
    if (str_eq(rest, STR("manifest.mpd"))) {
        v->type = VIEW_DASH;
        return dash_manifest(p, height_max, &v->text);
    }
    if (str_eq(rest, STR("thumbnails.vtt"))) {
        v->type = VIEW_VTT;
        return view_thumbnails(p, &v->text);
    }
    if (str_eq(rest, STR("presentation.json"))) {
        v->type = VIEW_JSON;
        return view_json(p, height_max, &v->text);
    }
    v->type = VIEW_HLS;
    return view_track(p, rest, height_max, &v->text);
}

int view_resolve(const struct presentation *p, struct str rest, const struct view_options *options,
                 struct view *ret)
{
    ASSERT(p != NULL);
    ASSERT(ret != NULL);
    uint32_t height_max = options != NULL ? options->height_max : 0;
    struct view v = {0};
    const struct picture *picture = view_picture(p, rest);
    if (picture != NULL) {
        *ret = (struct view){
            .type = VIEW_JPEG, .is_blob = true, .digest = picture->digest, .size = picture->size};
        return 0;
    }
    int r = view_text(p, rest, height_max, &v);
    if (r < 0) {
        buf_free(&v.text);
        return r == -EINVAL ? -ENOENT : r; /* nothing to show that way */
    }
    v.size = (uint32_t)v.text.size; /* BUF_SIZE_MAX fits */
    *ret = v;
    return 0;
}

void view_clear(struct view *v)
{
    ASSERT(v != NULL);
    buf_free(&v->text);
    *v = (struct view){0};
}

int view_parse_blob(struct str name, struct digest *ret, const char **ret_type)
{
    ASSERT(ret != NULL);
    ASSERT(ret_type != NULL);
    struct str ext;
    struct str hex = str_cut(name, '.', &ext);
    for (size_t i = 0; i < ARRAY_LEN(view_types); i++) {
        if (!str_eq(ext, view_types[i].ext))
            continue;
        int r = digest_parse(hex, ret);
        if (r == 0)
            *ret_type = view_types[i].type;
        return r;
    }
    return -EINVAL;
}
