/* SPDX-License-Identifier: Apache-2.0 */
#include "media/presentation_priv.h"
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

static const char *const presentation_kinds[] = {"video", "audio", "text"};

/* ---- check ---- */

static bool presentation_text_ok(const char *text, size_t size_max, const char *extra)
{
    struct str s = str_of(text);
    if (s.size == 0 || s.size > size_max)
        return false;
    for (size_t i = 0; i < s.size; i++) {
        char c = s.data[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  (c != 0 && strchr(extra, c) != NULL);
        if (!ok)
            return false;
    }
    return true;
}

static bool presentation_size_ok(uint32_t size)
{
    return size > 0 && size <= PRESENTATION_BLOB_SIZE_MAX;
}

static bool presentation_picture_ok(const struct picture *p)
{
    return presentation_size_ok(p->size) && p->width > 0 && p->width <= PRESENTATION_LINES_MAX &&
           p->height > 0 && p->height <= PRESENTATION_LINES_MAX;
}

static int track_check_segments(const struct track *t, struct err *err)
{
    bool is_text = t->kind == TRACK_TEXT;
    if (t->segments_count == 0 || t->segments_count > PRESENTATION_SEGMENTS_MAX)
        return err_set(err, -EINVAL, "track %s: %u segments", t->id, t->segments_count);
    if (is_text && t->segments_count != 1)
        return err_set(err, -EINVAL, "track %s: text is one segment, the whole file", t->id);
    if (is_text ? t->init_size != 0 : !presentation_size_ok(t->init_size))
        return err_set(err, -EINVAL, "track %s: init_size %u", t->id, t->init_size);
    for (uint32_t i = 0; i < t->segments_count; i++) {
        const struct segment *s = &t->segments[i];
        if (!presentation_size_ok(s->size) || s->duration == 0 || s->key_size > s->size ||
            (t->kind != TRACK_VIDEO && s->key_size != 0))
            return err_set(err, -EINVAL, "track %s: segment %u: size, duration or key size", t->id,
                           i);
    }
    return 0;
}

static int track_check(const struct track *t, struct err *err)
{
    if (t->kind != TRACK_VIDEO && t->kind != TRACK_AUDIO && t->kind != TRACK_TEXT)
        return err_set(err, -EINVAL, "track %s: kind", t->id);
    if (!presentation_text_ok(t->codec, PRESENTATION_CODEC_MAX, ".-_+"))
        return err_set(err, -EINVAL, "track %s: codec", t->id);
    if (t->language != NULL && !presentation_text_ok(t->language, PRESENTATION_LANGUAGE_MAX, "-"))
        return err_set(err, -EINVAL, "track %s: language", t->id);
    if (str_of(t->name).size > PRESENTATION_NAME_MAX)
        return err_set(err, -EINVAL, "track %s: name longer than %d bytes", t->id,
                       PRESENTATION_NAME_MAX);
    if (t->timescale == 0 || t->start > PRESENTATION_TICKS_MAX)
        return err_set(err, -EINVAL, "track %s: timescale or start", t->id);
    if (t->kind == TRACK_VIDEO && (t->width == 0 || t->width > PRESENTATION_LINES_MAX ||
                                   t->height == 0 || t->height > PRESENTATION_LINES_MAX ||
                                   (t->frame_rate_num == 0) != (t->frame_rate_den == 0)))
        return err_set(err, -EINVAL, "track %s: width, height or frame rate", t->id);
    if (t->kind == TRACK_AUDIO &&
        (t->channels == 0 || t->channels > 64 || t->sample_rate == 0 || t->sample_rate > 1000000))
        return err_set(err, -EINVAL, "track %s: channels or sample rate", t->id);
    return track_check_segments(t, err);
}

static int presentation_check_thumbnails(const struct thumbnails *th, struct err *err)
{
    if (th->sheets_count == 0)
        return 0;
    if (th->sheets_count > PRESENTATION_SHEETS_MAX || th->columns == 0 ||
        th->columns > PRESENTATION_TILES_SIDE || th->rows == 0 ||
        th->rows > PRESENTATION_TILES_SIDE || th->tile_width == 0 ||
        th->tile_width > PRESENTATION_LINES_MAX || th->tile_height == 0 ||
        th->tile_height > PRESENTATION_LINES_MAX || th->interval_ms == 0)
        return err_set(err, -EINVAL, "thumbnails: columns, rows, tile size or interval");
    uint64_t sheet = (uint64_t)th->columns * th->rows;
    uint64_t tiles = th->tiles_count;
    if (tiles <= sheet * (th->sheets_count - 1) || tiles > sheet * th->sheets_count)
        return err_set(err, -EINVAL, "thumbnails: %u tiles do not fill %u sheets", th->tiles_count,
                       th->sheets_count);
    for (uint32_t i = 0; i < th->sheets_count; i++) {
        if (!presentation_picture_ok(&th->sheets[i]))
            return err_set(err, -EINVAL, "thumbnails: sheet %u: size, width or height", i);
    }
    return 0;
}

int presentation__check(const struct presentation *p, struct err *err)
{
    ASSERT(p != NULL);
    if (!presentation__asset_ok(str_of(p->asset)))
        return err_set(err, -EINVAL, "asset: not an asset name");
    if (str_of(p->title).size > PRESENTATION_TITLE_MAX)
        return err_set(err, -EINVAL, "title longer than %d bytes", PRESENTATION_TITLE_MAX);
    if (p->duration_ms > PRESENTATION_TICKS_MAX || p->created_ms < 0 ||
        (uint64_t)p->created_ms > PRESENTATION_TICKS_MAX)
        return err_set(err, -EINVAL, "duration_ms or created_ms out of range");
    if (p->tracks_count > PRESENTATION_TRACKS_MAX)
        return err_set(err, -EINVAL, "more than %d tracks", PRESENTATION_TRACKS_MAX);
    for (uint32_t i = 0; i < p->tracks_count; i++) {
        const struct track *t = &p->tracks[i];
        if (!presentation__id_ok(str_of(t->id)))
            return err_set(err, -EINVAL, "track %u: id", i);
        if (presentation_find(p, str_of(t->id)) != t)
            return err_set(err, -EINVAL, "track %s: comes twice", t->id);
        int r = track_check(t, err);
        if (r < 0)
            return r;
    }
    if (p->poster.size > 0 && !presentation_picture_ok(&p->poster))
        return err_set(err, -EINVAL, "poster: size, width or height");
    return presentation_check_thumbnails(&p->thumbnails, err);
}

/* ---- write ---- */

static void presentation_put_digest(const struct digest *d, struct buf *out)
{
    char text[DIGEST_TEXT_SIZE];
    digest_format(d, text);
    buf_printf(out, "\"%s\"", text);
}

static void presentation_put_text(const char *key, const char *text, struct buf *out)
{
    buf_printf(out, ",\"%s\":", key);
    if (text == NULL)
        buf_puts(out, "null");
    else
        buf_put_json_string(out, str_of(text));
}

static void track_write(const struct track *t, struct buf *out)
{
    buf_printf(out, "{\"id\":\"%s\",\"kind\":\"%s\"", t->id, presentation_kinds[t->kind]);
    presentation_put_text("codec", t->codec, out);
    presentation_put_text("language", t->language, out);
    presentation_put_text("name", t->name, out);
    buf_printf(out, ",\"default\":%s,\"timescale\":%u,\"start\":%llu",
               t->is_default ? "true" : "false", t->timescale, (unsigned long long)t->start);
    buf_printf(out, ",\"bandwidth_avg\":%u,\"bandwidth_max\":%u", t->bandwidth_avg,
               t->bandwidth_max);
    if (t->kind == TRACK_VIDEO)
        buf_printf(out, ",\"width\":%u,\"height\":%u,\"frame_rate\":[%u,%u]", t->width, t->height,
                   t->frame_rate_num, t->frame_rate_den);
    if (t->kind == TRACK_AUDIO)
        buf_printf(out, ",\"channels\":%u,\"sample_rate\":%u", t->channels, t->sample_rate);
    if (t->kind != TRACK_TEXT) {
        buf_puts(out, ",\"init\":");
        presentation_put_digest(&t->init, out);
        buf_printf(out, ",\"init_size\":%u", t->init_size);
    }
    buf_puts(out, ",\"segments\":[");
    for (uint32_t i = 0; i < t->segments_count; i++) {
        const struct segment *s = &t->segments[i];
        buf_puts(out, i > 0 ? ",[" : "[");
        presentation_put_digest(&s->digest, out);
        buf_printf(out, ",%u,%u,%u]", s->size, s->duration, s->key_size);
    }
    buf_puts(out, "]}");
}

static void presentation_put_picture(const struct picture *p, struct buf *out)
{
    buf_putc(out, '[');
    presentation_put_digest(&p->digest, out);
    buf_printf(out, ",%u,%u,%u]", p->size, p->width, p->height);
}

static void thumbnails_write(const struct thumbnails *th, struct buf *out)
{
    buf_printf(out, ",\"thumbnails\":{\"columns\":%u,\"rows\":%u,\"tile_width\":%u", th->columns,
               th->rows, th->tile_width);
    buf_printf(out, ",\"tile_height\":%u,\"interval_ms\":%u,\"tiles_count\":%u,\"sheets\":[",
               th->tile_height, th->interval_ms, th->tiles_count);
    for (uint32_t i = 0; i < th->sheets_count; i++) {
        if (i > 0)
            buf_putc(out, ',');
        presentation_put_picture(&th->sheets[i], out);
    }
    buf_puts(out, "]}");
}

int presentation_write(const struct presentation *p, struct buf *out)
{
    ASSERT(p != NULL);
    ASSERT(out != NULL);
    struct err why = {0};
    int r = presentation__check(p, &why);
    if (r < 0)
        return r;
    buf_printf(out, "{\"version\":%d,\"asset\":\"%s\"", PRESENTATION_VERSION, p->asset);
    presentation_put_text("title", p->title, out);
    buf_printf(out, ",\"duration_ms\":%llu,\"segment_ms_target\":%u,\"created_ms\":%lld",
               (unsigned long long)p->duration_ms, p->segment_ms_target, (long long)p->created_ms);
    buf_puts(out, ",\"tracks\":[");
    for (uint32_t i = 0; i < p->tracks_count; i++) {
        if (i > 0)
            buf_putc(out, ',');
        track_write(&p->tracks[i], out);
    }
    buf_putc(out, ']');
    if (p->poster.size > 0) {
        buf_puts(out, ",\"poster\":");
        presentation_put_picture(&p->poster, out);
    }
    if (p->thumbnails.sheets_count > 0)
        thumbnails_write(&p->thumbnails, out);
    buf_putc(out, '}');
    return buf_error(out);
}

/* ---- parse ---- */

static json_t *presentation_json_free(json_t *j)
{
    json_decref(j);
    return NULL;
}
DEFINE_CLEAN(json_t *, presentation_json_free)

static int parse_u64(const json_t *j, const char *key, uint64_t max, uint64_t *ret, struct err *err)
{
    if (!json_is_integer(j) || json_integer_value(j) < 0 || (uint64_t)json_integer_value(j) > max)
        return err_set(err, -EBADMSG, "%s: not a whole number from 0 to %llu", key,
                       (unsigned long long)max);
    *ret = (uint64_t)json_integer_value(j);
    return 0;
}

static int parse_u32(const json_t *j, const char *key, uint32_t *ret, struct err *err)
{
    uint64_t value = 0;
    int r = parse_u64(j, key, UINT32_MAX, &value, err);
    if (r == 0)
        *ret = (uint32_t)value;
    return r;
}

/* null or absent: NULL. */
static int parse_text(const json_t *object, const char *key, char **ret, struct err *err)
{
    const json_t *j = json_object_get(object, key);
    if (j == NULL || json_is_null(j))
        return 0;
    if (!json_is_string(j))
        return err_set(err, -EBADMSG, "%s: not a text", key);
    char *copy = str_dup((struct str){json_string_value(j), json_string_length(j)});
    if (copy == NULL)
        return -ENOMEM;
    free(*ret);
    *ret = copy;
    return 0;
}

static int parse_digest(const json_t *j, const char *key, struct digest *ret, struct err *err)
{
    struct str text = {json_string_value(j), json_string_length(j)};
    if (!json_is_string(j) || digest_parse(text, ret) < 0)
        return err_set(err, -EBADMSG, "%s: not a digest", key);
    return 0;
}

/* ["digest", a, b, c]: segments and pictures. */
static int parse_row(const json_t *j, const char *key, struct digest *ret_digest,
                     uint32_t ret_numbers[3], struct err *err)
{
    if (!json_is_array(j) || json_array_size(j) != 4)
        return err_set(err, -EBADMSG, "%s: not [digest, number, number, number]", key);
    int r = parse_digest(json_array_get(j, 0), key, ret_digest, err);
    for (size_t i = 0; i < 3 && r == 0; i++)
        r = parse_u32(json_array_get(j, i + 1), key, &ret_numbers[i], err);
    return r;
}

static int parse_picture(const json_t *j, const char *key, struct picture *ret, struct err *err)
{
    uint32_t n[3] = {0};
    struct digest d;
    int r = parse_row(j, key, &d, n, err);
    if (r < 0)
        return r;
    if (n[0] == 0)
        return err_set(err, -EBADMSG, "%s: size 0", key);
    *ret = (struct picture){.digest = d, .size = n[0], .width = n[1], .height = n[2]};
    return 0;
}

struct parse_number {
    const char *key;
    uint32_t *ret;
};

static int parse_numbers(const json_t *object, const struct parse_number *numbers, size_t count,
                         struct err *err)
{
    int r = 0;
    for (size_t i = 0; i < count && r == 0; i++)
        r = parse_u32(json_object_get(object, numbers[i].key), numbers[i].key, numbers[i].ret, err);
    return r;
}

static int parse_segments(const json_t *j, struct track *t, struct err *err)
{
    if (!json_is_array(j) || json_array_size(j) > PRESENTATION_SEGMENTS_MAX)
        return err_set(err, -EBADMSG, "segments: not a list of at most %d",
                       PRESENTATION_SEGMENTS_MAX);
    size_t i;
    const json_t *row;
    json_array_foreach(j, i, row)
    {
        struct segment s = {0};
        uint32_t n[3] = {0};
        int r = parse_row(row, "segments", &s.digest, n, err);
        if (r < 0)
            return r;
        s.size = n[0];
        s.duration = n[1];
        s.key_size = n[2];
        r = track_add_segment(t, &s);
        if (r == -EINVAL)
            return err_set(err, -EBADMSG, "segments: a size, duration or key size is wrong");
        if (r < 0)
            return r;
    }
    return 0;
}

static int parse_track_kind(const json_t *j, struct track *t, struct err *err)
{
    if (t->kind == TRACK_VIDEO) {
        const json_t *rate = json_object_get(j, "frame_rate");
        if (!json_is_array(rate) || json_array_size(rate) != 2)
            return err_set(err, -EBADMSG, "frame_rate: not [number, number]");
        int r = parse_u32(json_array_get(rate, 0), "frame_rate", &t->frame_rate_num, err);
        if (r == 0)
            r = parse_u32(json_array_get(rate, 1), "frame_rate", &t->frame_rate_den, err);
        if (r < 0)
            return r;
        const struct parse_number numbers[] = {{"width", &t->width}, {"height", &t->height}};
        return parse_numbers(j, numbers, ARRAY_LEN(numbers), err);
    }
    if (t->kind == TRACK_AUDIO) {
        const struct parse_number numbers[] = {{"channels", &t->channels},
                                               {"sample_rate", &t->sample_rate}};
        return parse_numbers(j, numbers, ARRAY_LEN(numbers), err);
    }
    return 0;
}

static int parse_track(const json_t *j, struct presentation *p, struct err *err)
{
    const json_t *id = json_object_get(j, "id");
    const json_t *kind = json_object_get(j, "kind");
    if (!json_is_string(id) || !json_is_string(kind))
        return err_set(err, -EBADMSG, "a track without id or kind");
    size_t k = 0;
    while (k < ARRAY_LEN(presentation_kinds) &&
           strcmp(presentation_kinds[k], json_string_value(kind)) != 0)
        k++;
    if (k == ARRAY_LEN(presentation_kinds))
        return err_set(err, -EBADMSG, "kind: not video, audio or text");
    struct track *t = NULL;
    int r = presentation_add_track(p, json_string_value(id), (enum track_kind)k, &t);
    if (r == -EINVAL || r == -EEXIST)
        return err_set(err, -EBADMSG, "id: wrong, taken, or too many tracks");
    const json_t *is_default = json_object_get(j, "default");
    if (r == 0 && is_default != NULL && !json_is_boolean(is_default))
        return err_set(err, -EBADMSG, "default: not true or false");
    if (r < 0)
        return r;
    t->is_default = json_is_true(is_default);
    if ((r = parse_text(j, "codec", &t->codec, err)) < 0 ||
        (r = parse_text(j, "language", &t->language, err)) < 0 ||
        (r = parse_text(j, "name", &t->name, err)) < 0)
        return r;
    const struct parse_number numbers[] = {{"timescale", &t->timescale},
                                           {"bandwidth_avg", &t->bandwidth_avg},
                                           {"bandwidth_max", &t->bandwidth_max}};
    if ((r = parse_numbers(j, numbers, ARRAY_LEN(numbers), err)) < 0 ||
        (r = parse_u64(json_object_get(j, "start"), "start", PRESENTATION_TICKS_MAX, &t->start,
                       err)) < 0 ||
        (r = parse_track_kind(j, t, err)) < 0)
        return r;
    if (t->kind != TRACK_TEXT) {
        r = parse_digest(json_object_get(j, "init"), "init", &t->init, err);
        if (r == 0)
            r = parse_u32(json_object_get(j, "init_size"), "init_size", &t->init_size, err);
    }
    return r < 0 ? r : parse_segments(json_object_get(j, "segments"), t, err);
}

static int parse_thumbnails(const json_t *j, struct presentation *p, struct err *err)
{
    if (j == NULL)
        return 0;
    struct thumbnails *th = &p->thumbnails;
    const struct parse_number numbers[] = {
        {"columns", &th->columns},         {"rows", &th->rows},
        {"tile_width", &th->tile_width},   {"tile_height", &th->tile_height},
        {"interval_ms", &th->interval_ms}, {"tiles_count", &th->tiles_count}};
    int r = parse_numbers(j, numbers, ARRAY_LEN(numbers), err);
    if (r < 0)
        return r;
    const json_t *sheets = json_object_get(j, "sheets");
    if (!json_is_array(sheets) || json_array_size(sheets) == 0 ||
        json_array_size(sheets) > PRESENTATION_SHEETS_MAX)
        return err_set(err, -EBADMSG, "sheets: not a list of 1 to %d", PRESENTATION_SHEETS_MAX);
    size_t i;
    const json_t *row;
    json_array_foreach(sheets, i, row)
    {
        struct picture sheet;
        r = parse_picture(row, "sheets", &sheet, err);
        if (r == 0)
            r = presentation_add_sheet(p, &sheet);
        if (r < 0)
            return r;
    }
    return 0;
}

static int parse_root(const json_t *j, struct presentation **ret, struct err *err)
{
    uint64_t version = 0;
    int r = parse_u64(json_object_get(j, "version"), "version", INT32_MAX, &version, err);
    if (r < 0)
        return r;
    if (version != PRESENTATION_VERSION)
        return err_set(err, -EBADMSG, "version %llu is not known here, only %d",
                       (unsigned long long)version, PRESENTATION_VERSION);
    const char *asset = json_string_value(json_object_get(j, "asset"));
    CLEAN(presentation_free) struct presentation *p = NULL;
    r = presentation_new(asset, NULL, &p);
    if (r < 0)
        return r == -EINVAL ? err_set(err, -EBADMSG, "asset: not an asset name") : r;
    uint64_t created = 0;
    if ((r = parse_text(j, "title", &p->title, err)) < 0 ||
        (r = parse_u64(json_object_get(j, "duration_ms"), "duration_ms", PRESENTATION_TICKS_MAX,
                       &p->duration_ms, err)) < 0 ||
        (r = parse_u64(json_object_get(j, "created_ms"), "created_ms", PRESENTATION_TICKS_MAX,
                       &created, err)) < 0 ||
        (r = parse_u32(json_object_get(j, "segment_ms_target"), "segment_ms_target",
                       &p->segment_ms_target, err)) < 0)
        return r;
    p->created_ms = (int64_t)created;
    const json_t *tracks = json_object_get(j, "tracks");
    if (!json_is_array(tracks))
        return err_set(err, -EBADMSG, "tracks: not a list");
    size_t i;
    const json_t *track;
    json_array_foreach(tracks, i, track)
    {
        r = parse_track(track, p, err);
        if (r < 0)
            return r;
    }
    const json_t *poster = json_object_get(j, "poster");
    if (poster != NULL && (r = parse_picture(poster, "poster", &p->poster, err)) < 0)
        return r;
    if ((r = parse_thumbnails(json_object_get(j, "thumbnails"), p, err)) < 0)
        return r;
    r = presentation__check(p, err);
    if (r < 0)
        return -EBADMSG; /* err says why */
    *ret = p;
    p = NULL;
    return 0;
}

int presentation_parse(struct str bytes, struct presentation **ret, struct err *err)
{
    ASSERT(ret != NULL);
    if (bytes.size > PRESENTATION_BLOB_SIZE_MAX)
        return err_set(err, -EBADMSG, "a presentation of more than 64 MiB");
    json_error_t why;
    CLEAN(presentation_json_free)
    json_t *j =
        json_loadb(bytes.data != NULL ? bytes.data : "", bytes.size, JSON_REJECT_DUPLICATES, &why);
    if (j == NULL && json_error_code(&why) == json_error_out_of_memory)
        return -ENOMEM;
    if (j == NULL)
        return err_set(err, -EBADMSG, "line %d: %s", why.line, why.text);
    if (!json_is_object(j))
        return err_set(err, -EBADMSG, "not a JSON object");
    return parse_root(j, ret, err);
}
