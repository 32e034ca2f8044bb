/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/probe.h"
#include <errno.h>
#include <fcntl.h>
#include <libavutil/display.h>
#include <libavutil/mathematics.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROBE_MAGIC    UINT32_C(0x960be0f1)
#define PROBE_BLINK_US 50000

/* What a film may come in. Left out on purpose: playlists (hls, dash, concat: they name other
 * files), pictures and text shown as pictures (image2, tty), devices. */
#define PROBE_FORMATS                                                                              \
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,flv,live_flv,asf,ogg,"    \
    "mxf,mxf_opatom,gxf,nut,h264,hevc,av1,obu,ivf,vc1,dv,rm,wtv,yuv4mpegpipe,gif,swf,nsv,dirac,"   \
    "wav,w64,aiff,mp3,flac,aac,ac3,eac3,caf,au,ape,wv,amr,srt,webvtt,ass"

int probe_error(struct err *err, const struct probe *p, int av_error, const char *what)
{
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    (void)av_strerror(av_error, text, sizeof text); /* writes something in any case */
    int code = av_error < 0 && av_error > -4096 ? av_error : -EBADMSG;
    return err_set(err, code, "%s: %s: %s", p->path, what, text);
}

int64_t probe_ticks(const struct probe *p, int64_t time, AVRational base, uint32_t timescale)
{
    AVRational ours = {1, (int)timescale};
    return av_rescale_q_rnd(time, base, ours, AV_ROUND_NEAR_INF) -
           av_rescale_q_rnd(p->start_us, AV_TIME_BASE_Q, ours, AV_ROUND_NEAR_INF);
}

static int probe_avformat(const char *path, AVFormatContext **ret)
{
    /* "file:" keeps a name with a colon from being taken for a protocol. */
    CLEAN(base_free) char *url = NULL;
    if (asprintf(&url, "file:%s", path) < 0) {
        url = NULL;
        return -ENOMEM;
    }
    AVDictionary *options = NULL;
    (void)av_dict_set(&options, "format_whitelist", PROBE_FORMATS, 0); /* a lack shows below */
    (void)av_dict_set(&options, "protocol_whitelist", "file", 0);
    AVFormatContext *f = NULL;
    int r = av_dict_count(options) == 2 ? avformat_open_input(&f, url, NULL, &options) : -ENOMEM;
    av_dict_free(&options);
    if (r >= 0)
        *ret = f;
    return r;
}

/* Why avformat would not have it: the system's word first, else a look at the first bytes. */
static int probe_refused(const char *path, int av_error, struct err *err)
{
    CLEAN(base_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, -errno, "%s", path);
    char head[12] = {0};
    ssize_t got = pread(fd, head, sizeof head, 0);
    if (got < 0)
        return err_errno(err, -errno, "%s", path);
    if (got == (ssize_t)sizeof head && memcmp(head + 4, "ftyp", 4) == 0)
        return err_set(err, -EBADMSG, "%s: is truncated: its index (the moov box) is missing",
                       path);
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    (void)av_strerror(av_error, text, sizeof text);
    if (av_error == AVERROR_INVALIDDATA || av_error == AVERROR(EINVAL) || av_error == AVERROR_EOF)
        return err_set(err, -EBADMSG, "%s: is not a film in a format that is known here", path);
    return err_set(err, -EBADMSG, "%s: cannot be read as a film: %s", path, text);
}

static int probe_file(const char *path, struct err *err)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return err_errno(err, -errno, "%s", path);
    if (S_ISDIR(st.st_mode))
        return err_set(err, -EISDIR, "%s: is a folder, not a film", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, -EINVAL, "%s: is not a regular file", path);
    if (st.st_size == 0)
        return err_set(err, -EBADMSG, "%s: is empty", path);
    CLEAN(base_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? err_errno(err, -errno, "%s", path) : 0;
}

static int probe_rotation(const AVStream *st)
{
    size_t size = 0;
    const uint8_t *matrix = av_stream_get_side_data(st, AV_PKT_DATA_DISPLAYMATRIX, &size);
    if (matrix == NULL || size < 9 * sizeof(int32_t))
        return 0;
    double degrees = -av_display_rotation_get((const int32_t *)(const void *)matrix);
    if (isnan(degrees))
        return 0;
    long quarter = lround(degrees / 90);
    return (int)(((quarter % 4) + 4) % 4) * 90;
}

/* 90,000 where it holds the frame rate exactly (24, 25, 30, 29.97, 50), else a multiple of the
 * rate's numerator (24,000 for 23.976). */
static uint32_t probe_timescale(AVRational rate)
{
    if (rate.num <= 0 || rate.den <= 0 || (INT64_C(90000) * rate.den) % rate.num == 0)
        return 90000;
    if (rate.num > 240000)
        return 90000; /* no rate but a clock: variable */
    uint32_t scale = (uint32_t)rate.num;
    while (scale < 10000)
        scale *= 2;
    return scale;
}

static int probe_video(struct probe *p, struct err *err)
{
    int best = -1;
    int64_t best_area = -1;
    for (unsigned i = 0; i < p->format->nb_streams; i++) {
        const AVStream *st = p->format->streams[i];
        if (st->codecpar->codec_type != AVMEDIA_TYPE_VIDEO ||
            (st->disposition & (AV_DISPOSITION_ATTACHED_PIC | AV_DISPOSITION_TIMED_THUMBNAILS)) !=
                0)
            continue;
        int64_t area = (int64_t)st->codecpar->width * st->codecpar->height;
        if ((st->disposition & AV_DISPOSITION_DEFAULT) != 0)
            area += INT64_C(1) << 40; /* what the file calls its default comes first */
        if (area > best_area) {
            best_area = area;
            best = (int)i;
        }
    }
    if (best < 0)
        return err_set(err, -EBADMSG, "%s: has no video", p->path);
    AVStream *st = p->format->streams[best];
    const AVCodecParameters *par = st->codecpar;
    if (par->width <= 0 || par->height <= 0 || par->width > 16384 || par->height > 16384)
        return err_set(err, -EBADMSG, "%s: its video has no usable picture size", p->path);
    struct probe_video *v = &p->video;
    v->index = best;
    v->rotation = probe_rotation(st);
    v->is_interlaced =
        par->field_order != AV_FIELD_UNKNOWN && par->field_order != AV_FIELD_PROGRESSIVE;
    v->sar = av_guess_sample_aspect_ratio(p->format, st, NULL);
    if (v->sar.num <= 0 || v->sar.den <= 0)
        v->sar = (AVRational){1, 1};
    int64_t width = av_rescale(par->width, v->sar.num, v->sar.den);
    v->width = (uint32_t)MIN(MAX(width, 1), 32768);
    v->height = (uint32_t)par->height;
    if (v->rotation % 180 != 0) {
        uint32_t swap = v->width;
        v->width = v->height;
        v->height = swap;
    }
    v->frame_rate = av_guess_frame_rate(p->format, st, NULL);
    if (v->frame_rate.num <= 0 || v->frame_rate.den <= 0 || av_q2d(v->frame_rate) > 480)
        v->frame_rate = st->avg_frame_rate.num > 0 ? st->avg_frame_rate : (AVRational){0, 1};
    v->timescale = probe_timescale(v->frame_rate);
    return 0;
}

/* "a-en", "a-en-2": every id once. */
static void probe_id(struct probe *p, char kind, const char *language, char out[PROBE_ID_SIZE])
{
    char base[PROBE_ID_SIZE - 4];
    (void)snprintf(base, sizeof base, "%c-%s", kind, language); /* a long tag is cut */
    for (char *c = base; *c != 0; c++)
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
    for (unsigned n = 1;; n++) {
        bool taken = false;
        if (n == 1)
            (void)snprintf(out, PROBE_ID_SIZE, "%s", base);
        else
            (void)snprintf(out, PROBE_ID_SIZE, "%s-%u", base, n % 100);
        for (unsigned i = 0; i < p->audios_count; i++)
            taken = taken || strcmp(p->audios[i].id, out) == 0;
        for (unsigned i = 0; i < p->texts_count; i++)
            taken = taken || strcmp(p->texts[i].id, out) == 0;
        if (!taken)
            return;
    }
}

static void probe_names(const AVStream *st, const char *fallback, char language[LANGUAGE_SIZE],
                        char name[PROBE_NAME_SIZE])
{
    const AVDictionaryEntry *tag = av_dict_get(st->metadata, "language", NULL, 0);
    language_tag(tag != NULL ? tag->value : NULL, language);
    const AVDictionaryEntry *title = av_dict_get(st->metadata, "title", NULL, 0);
    const char *known = language_name(language);
    const char *text = title != NULL && title->value[0] != 0 ? title->value
                       : known != NULL                       ? known
                                                             : fallback;
    size_t size = strlen(text);
    if (size >= PROBE_NAME_SIZE) /* cut in front of a whole UTF-8 character */
        for (size = PROBE_NAME_SIZE - 1; size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80;)
            size--;
    memcpy(name, text, size);
    name[size] = 0;
}

static void probe_audio(struct probe *p, const AVStream *st)
{
    if (p->audios_count == PROBE_AUDIOS_MAX || st->codecpar->sample_rate <= 0)
        return;
    struct probe_audio a = {.index = st->index};
    probe_names(st, "Audio", a.language, a.name);
    probe_id(p, 'a', a.language, a.id);
    a.is_default = (st->disposition & AV_DISPOSITION_DEFAULT) != 0;
    a.sample_rate = st->codecpar->sample_rate == 44100 ? 44100 : 48000;
    p->audios[p->audios_count++] = a;
}

static void probe_subtitle(struct probe *p, const AVStream *st)
{
    const AVCodecDescriptor *d = avcodec_descriptor_get(st->codecpar->codec_id);
    if (d == NULL || (d->props & AV_CODEC_PROP_TEXT_SUB) == 0) {
        p->bitmaps_count++;
        return;
    }
    if (p->texts_count == PROBE_TEXTS_MAX)
        return;
    struct probe_text t = {.index = st->index};
    probe_names(st, "Subtitles", t.language, t.name);
    probe_id(p, 't', t.language, t.id);
    t.is_default = (st->disposition & AV_DISPOSITION_DEFAULT) != 0;
    p->texts[p->texts_count++] = t;
}

static void probe_tracks(struct probe *p)
{
    for (unsigned i = 0; i < p->format->nb_streams; i++) {
        AVStream *st = p->format->streams[i];
        if (st->codecpar->codec_type == AVMEDIA_TYPE_AUDIO)
            probe_audio(p, st);
        else if (st->codecpar->codec_type == AVMEDIA_TYPE_SUBTITLE)
            probe_subtitle(p, st);
    }
    bool seen = false; /* exactly one default: the first that says so, else the first */
    for (unsigned i = 0; i < p->audios_count; i++) {
        p->audios[i].is_default = p->audios[i].is_default && !seen;
        seen = seen || p->audios[i].is_default;
    }
    if (!seen && p->audios_count > 0)
        p->audios[0].is_default = true;
}

/* An index that names bytes behind the end of the file: known before an hour of encoding. */
static int probe_index(const struct probe *p, struct err *err)
{
    int64_t size = p->format->pb != NULL ? avio_size(p->format->pb) : -1;
    if (size < 0 || strstr(p->format->iformat->name, "mp4") == NULL)
        return 0;
    for (unsigned i = 0; i < p->format->nb_streams; i++) {
        AVStream *st = p->format->streams[i];
        for (int n = avformat_index_get_entries_count(st); n-- > 0;) {
            const AVIndexEntry *e = avformat_index_get_entry(st, n);
            if (e != NULL && e->pos + e->size > size)
                return err_set(err, -EBADMSG,
                               "%s: is truncated: its index names %lld bytes, "
                               "the file has %lld",
                               p->path, (long long)e->pos + e->size, (long long)size);
        }
    }
    return 0;
}

/* Boxes of the file's top level: more than one index is more than one film. */
static bool probe_has_more(const char *path)
{
    CLEAN(base_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    unsigned indexes = 0;
    uint8_t head[16];
    uint64_t size = 0;
    for (off_t at = 0; fd >= 0 && indexes < 2; at += (off_t)size) {
        ssize_t got = pread(fd, head, sizeof head, at);
        if (got < 8)
            break;
        size = (uint64_t)head[0] << 24 | (uint64_t)head[1] << 16 | (uint64_t)head[2] << 8 | head[3];
        if (size == 1 && got == (ssize_t)sizeof head)
            for (unsigned i = 8; i < sizeof head; i++)
                size = size << 8 | head[i];
        if (size < 8 || size > (uint64_t)(INT64_MAX - at))
            break;
        indexes += memcmp(head + 4, "moov", 4) == 0 ? 1 : 0;
    }
    return indexes > 1;
}

/* Where the film's clock starts: with the container's. But with the video where that starts only a
 * blink later, because an audio encoder's delay lies in front of it (Matroska and MPEG-TS count it,
 * MP4 does not): a hole in front of the first picture would make players stumble. */
static int64_t probe_start(const struct probe *p)
{
    int64_t start = p->format->start_time != AV_NOPTS_VALUE ? p->format->start_time : 0;
    const AVStream *video = p->format->streams[p->video.index];
    if (video->start_time == AV_NOPTS_VALUE)
        return start;
    int64_t first = av_rescale_q(video->start_time, video->time_base, AV_TIME_BASE_Q);
    return first > start && first - start <= PROBE_BLINK_US ? first : start;
}

int probe_open(const char *path, struct probe **ret, struct err *err)
{
    ASSERT(path != NULL);
    ASSERT(ret != NULL);
    int r = probe_file(path, err);
    if (r < 0)
        return r;
    CLEAN(probe_free) struct probe *p = calloc(1, sizeof *p);
    if (p == NULL)
        return err_errno(err, -ENOMEM, "%s", path);
    p->magic = PROBE_MAGIC;
    p->path = str_dup(str_of(path));
    if (p->path == NULL)
        return err_errno(err, -ENOMEM, "%s", path);
    r = probe_avformat(path, &p->format);
    if (r < 0)
        return probe_refused(path, r, err);
    r = avformat_find_stream_info(p->format, NULL);
    if (r < 0)
        return probe_error(err, p, r, "cannot be read as a film");
    r = probe_video(p, err);
    if (r == 0)
        r = probe_index(p, err);
    if (r < 0)
        return r;
    probe_tracks(p);
    p->has_more = strstr(p->format->iformat->name, "mp4") != NULL && probe_has_more(path);
    p->start_us = probe_start(p);
    p->duration_us = p->format->duration != AV_NOPTS_VALUE ? MAX(p->format->duration, 0) : 0;
    *ret = p;
    p = NULL;
    return 0;
}

int probe_reopen(const struct probe *p, AVFormatContext **ret, struct err *err)
{
    AVFormatContext *f = NULL;
    int r = probe_avformat(p->path, &f);
    if (r < 0)
        return probe_refused(p->path, r, err);
    r = avformat_find_stream_info(f, NULL);
    if (r >= 0 && f->nb_streams < p->format->nb_streams)
        r = AVERROR_INVALIDDATA; /* another file than before */
    if (r < 0) {
        avformat_close_input(&f);
        return probe_error(err, p, r, "cannot be read as a film");
    }
    *ret = f;
    return 0;
}

struct probe *probe_free(struct probe *p)
{
    if (p == NULL)
        return NULL;
    ASSERT(p->magic == PROBE_MAGIC);
    avformat_close_input(&p->format);
    free(p->path);
    MAGIC_CLEAR(p);
    free(p);
    return NULL;
}
