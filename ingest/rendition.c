/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/rendition.h"
#include <errno.h>
#include <inttypes.h>
#include <libavcodec/avcodec.h>
#include <libavutil/opt.h>
#include <stdio.h>
#include <stdlib.h>
#include "ingest/scale.h"
#include "ingest/segmenter.h"
#include "media/codec.h"
#include "media/media_ff_init.h"

#define RENDITION_QUEUE 6 /* frames between two threads: enough to even out, little memory */
#define RENDITION_STARTS_MAX                                                                       \
    512 /* segments inside the encoder at once; a film of key frames only */

struct rendition {
    uint32_t magic;
#define RENDITION_MAGIC UINT32_C(0x9e4d1703)
    struct run *run;
    struct ladder_size size;
    unsigned index;
    struct rendition *next;
    struct pictures *pictures;
    struct queue *in;
    pthread_t thread;
    bool is_started;
    struct work_track *track;
    struct segmenter *segmenter;
    struct scale *scale;
    AVCodecContext *encoder;
    AVPacket *packet;
    struct buf sample;
    uint32_t first_missing;               /* number of the first segment that is to be encoded */
    int64_t starts[RENDITION_STARTS_MAX]; /* of segments whose key frame is still in the encoder */
    unsigned starts_first, starts_count;
    int64_t end_pts; /* where the last frame given to the encoder ends */
};

static void rendition_drop(void *item)
{
    AVFrame *frame = item;
    av_frame_free(&frame);
}

static int rendition_code(int av_error)
{
    return av_error > -4096 ? av_error : -EIO;
}

static int rendition_fail(struct rendition *r, int av_error, const char *what)
{
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    struct err err;
    (void)av_strerror(av_error, text, sizeof text);
    int code = err_set(&err, rendition_code(av_error), "%s: %s: %s %s", r->run->probe->path,
                       r->track->id, what, text);
    run_fail(r->run, code, &err);
    return code;
}

static void rendition_colour(AVCodecContext *c, const AVCodecParameters *from, uint32_t height)
{
    c->color_range = AVCOL_RANGE_MPEG;
    c->color_primaries = from->color_primaries;
    c->color_trc = from->color_trc;
    c->colorspace = from->color_space;
    if (from->color_space == AVCOL_SPC_RGB) /* scale.c makes it this */
        c->colorspace = height >= 720 ? AVCOL_SPC_BT709 : AVCOL_SPC_SMPTE170M;
    c->chroma_sample_location = AVCHROMA_LOC_LEFT;
}

static AVDictionary *rendition_options(const struct rung *rung)
{
    AVDictionary *o = NULL;
    (void)av_dict_set(&o, "preset", rung->preset, 0); /* a lack is seen by counting, below */
    (void)av_dict_set(&o, "profile", "high", 0);
    (void)av_dict_set(&o, "forced-idr", "1", 0);
    (void)av_dict_set(&o, "sc_threshold", "0", 0);
    if (rung->crf >= 0) {
        char crf[16];
        (void)snprintf(crf, sizeof crf, "%.2f", rung->crf);
        (void)av_dict_set(&o, "crf", crf, 0);
    }
    if (av_dict_count(o) != (rung->crf >= 0 ? 5 : 4))
        av_dict_free(&o);
    return o;
}

static int rendition_open_encoder(struct rendition *r, unsigned threads)
{
    const struct probe *p = r->run->probe;
    const struct rung *rung = r->size.rung;
    const AVCodec *codec = avcodec_find_encoder_by_name("libx264");
    if (codec == NULL)
        return AVERROR_ENCODER_NOT_FOUND;
    AVCodecContext *c = avcodec_alloc_context3(codec);
    AVDictionary *options = rendition_options(rung);
    if (c == NULL || options == NULL) {
        avcodec_free_context(&c);
        av_dict_free(&options);
        return AVERROR(ENOMEM);
    }
    c->width = (int)r->size.width_px;
    c->height = (int)r->size.height_px;
    c->pix_fmt = AV_PIX_FMT_YUV420P;
    c->sample_aspect_ratio = (AVRational){1, 1};
    c->time_base = (AVRational){1, (int)p->video.timescale};
    if (p->video.frame_rate.num > 0)
        c->framerate = p->video.frame_rate;
    /* Key frames stand where segments start and nowhere else, so that all renditions agree. */
    c->gop_size = 1 << 30;
    c->keyint_min = 1;
    c->flags = AV_CODEC_FLAG_GLOBAL_HEADER | (int)AV_CODEC_FLAG_CLOSED_GOP;
    if (rung->crf < 0)
        c->bit_rate = (int64_t)rung->bitrate;
    c->rc_max_rate = (int64_t)rung->maxrate;
    c->rc_buffer_size = (int)MIN(rung->bufsize, (uint64_t)INT32_MAX);
    c->thread_count = (int)threads;
    rendition_colour(c, p->format->streams[p->video.index]->codecpar, p->video.height);
    int av = avcodec_open2(c, codec, &options);
    av_dict_free(&options);
    if (av < 0)
        avcodec_free_context(&c);
    r->encoder = c;
    return av;
}

/* The init segment; settings that differ from those of a run before drop that run's segments. */
static int rendition_put_init(struct rendition *r, struct err *err)
{
    AVCodecParameters *par = avcodec_parameters_alloc();
    CLEAN_BUF struct buf init = BUF_EMPTY;
    int av = par == NULL ? AVERROR(ENOMEM) : avcodec_parameters_from_context(par, r->encoder);
    int code = av < 0 ? rendition_code(av)
                      : media_ff_init(par, r->run->probe->video.timescale, NULL, &init);
    avcodec_parameters_free(&par);
    if (code < 0)
        return err_errno(err, code, "%s: init segment of %s", r->run->probe->path, r->track->id);
    return work_put_init(r->track, buf_str(&init), err);
}

int rendition_new(struct run *run, const struct ladder_size *size, unsigned threads, unsigned index,
                  struct err *err, struct rendition **ret)
{
    struct rendition *r = calloc(1, sizeof *r);
    if (r == NULL)
        return err_errno(err, -ENOMEM, "%s", run->probe->path);
    r->magic = RENDITION_MAGIC;
    r->run = run;
    r->size = *size;
    r->index = index;
    char id[PRESENTATION_ID_MAX + 1];
    (void)snprintf(id, sizeof id, "v%" PRIu32, size->height);
    int code = work_track(run->work, id, &r->track);
    if (code == 0)
        code = queue_new(RENDITION_QUEUE, rendition_drop, &r->in);
    if (code == 0)
        code = segmenter_new(r->track, run->probe->video.timescale, true, &r->segmenter);
    if (code == 0)
        code = scale_new(size->width_px, size->height_px, AV_PIX_FMT_YUV420P, &r->scale);
    r->packet = av_packet_alloc();
    if (code == 0 && r->packet == NULL)
        code = -ENOMEM;
    if (code < 0) {
        rendition_free(r);
        return err_errno(err, code, "%s: rendition %s", run->probe->path, id);
    }
    run_queue(run, r->in);
    if (!r->track->is_done) {
        int av = rendition_open_encoder(r, threads);
        if (av < 0)
            code = probe_error(err, run->probe, av, "opening the H.264 encoder");
        else
            code = rendition_put_init(r, err);
    }
    if (code < 0) {
        run->queues_count--; /* it goes with r */
        rendition_free(r);
        return code;
    }
    r->first_missing = r->track->segments_count + 1;
    *ret = r;
    return 0;
}

struct rendition *rendition_free(struct rendition *r)
{
    if (r == NULL)
        return NULL;
    ASSERT(r->magic == RENDITION_MAGIC);
    ASSERT(!r->is_started);
    queue_free(r->in);
    segmenter_free(r->segmenter);
    scale_free(r->scale);
    avcodec_free_context(&r->encoder);
    av_packet_free(&r->packet);
    buf_free(&r->sample);
    MAGIC_CLEAR(r);
    free(r);
    return NULL;
}

void rendition_link(struct rendition *r, struct rendition *next, struct pictures *pictures)
{
    r->next = next;
    r->pictures = pictures;
}

struct work_track *rendition_track(const struct rendition *r)
{
    return r->track;
}

/* One packet of the encoder. Key frames are exactly those that were asked for. */
static int rendition_packet(struct rendition *r)
{
    const AVPacket *p = r->packet;
    struct err err = {0};
    bool is_key = (p->flags & AV_PKT_FLAG_KEY) != 0;
    int code = 0;
    if (is_key) {
        if (r->starts_count == 0 || r->starts[r->starts_first] != p->pts)
            code = err_set(&err, -EPROTO, "%s: %s: the encoder put a key frame at %" PRId64,
                           r->run->probe->path, r->track->id, p->pts);
        else
            code = segmenter_cut(r->segmenter, p->pts, &err);
        r->starts_first = (r->starts_first + 1) % RENDITION_STARTS_MAX;
        r->starts_count -= r->starts_count > 0;
    }
    buf_clear(&r->sample);
    if (code == 0) {
        struct str annexb = {(const char *)p->data, (size_t)p->size};
        code = codec_annexb_to_lengths(annexb, CODEC_NAL_AVC, true, &r->sample);
        if (code < 0)
            (void)err_errno(&err, code, "%s: %s: framing", r->run->probe->path, r->track->id);
    }
    if (code == 0) {
        struct cmaf_sample s = {.data = (const uint8_t *)r->sample.data,
                                .size = (uint32_t)r->sample.size,
                                .pts = p->pts,
                                .duration = p->duration > 0 ? (uint32_t)p->duration : 0,
                                .is_key = is_key};
        code = segmenter_add(r->segmenter, &s, &err);
        atomic_store(&r->run->progress->at_ms[r->index],
                     p->pts * 1000 / r->run->probe->video.timescale);
    }
    if (code < 0)
        run_fail(r->run, code, &err);
    return code;
}

static int rendition_packets(struct rendition *r)
{
    for (;;) {
        int av = avcodec_receive_packet(r->encoder, r->packet);
        if (av == AVERROR(EAGAIN) || av == AVERROR_EOF)
            return 0;
        if (av < 0)
            return rendition_fail(r, av, "encoding:");
        int code = rendition_packet(r);
        av_packet_unref(r->packet);
        if (code < 0)
            return code;
    }
}

static int rendition_encode(struct rendition *r, AVFrame *frame)
{
    uintptr_t mark = (uintptr_t)frame->opaque;
    uint32_t segment = (uint32_t)(mark >> 1);
    if (r->encoder == NULL || segment < r->first_missing)
        return 0; /* kept from a run before, or for thumbnails only */
    /* The decoder says here what the picture was in the source: that must not steer ours. */
    frame->pict_type = AV_PICTURE_TYPE_NONE;
    if ((mark & 1) != 0) {
        frame->pict_type = AV_PICTURE_TYPE_I;
        if (r->starts_count == RENDITION_STARTS_MAX)
            return rendition_fail(r, AVERROR(ENOBUFS), "encoding:");
        r->starts[(r->starts_first + r->starts_count) % RENDITION_STARTS_MAX] = frame->pts;
        r->starts_count++;
    }
    r->end_pts = frame->pts + frame->pkt_duration;
    int av = avcodec_send_frame(r->encoder, frame);
    if (av < 0)
        return rendition_fail(r, av, "encoding:");
    return rendition_packets(r);
}

static int rendition_frame(struct rendition *r, const AVFrame *in)
{
    AVFrame *frame = NULL;
    int code = scale_frame(r->scale, in, &frame);
    if (code < 0)
        return rendition_fail(r, code, "scaling:");
    if (r->next != NULL) {
        AVFrame *handed = av_frame_clone(frame);
        code = handed == NULL ? rendition_fail(r, AVERROR(ENOMEM), "scaling:")
                              : rendition_push(r->next, handed);
    }
    if (code == 0 && r->pictures != NULL)
        code = pictures_tile(r->pictures, frame);
    if (code == 0)
        code = rendition_encode(r, frame);
    av_frame_free(&frame);
    return code;
}

/* The film is through: what is left in the encoder, then the last segment. */
static int rendition_end(struct rendition *r)
{
    struct err err = {0};
    if (r->pictures != NULL) {
        int code = pictures_tiles_end(r->pictures);
        if (code < 0)
            return code;
    }
    if (r->encoder == NULL)
        return 0;
    int av = avcodec_send_frame(r->encoder, NULL);
    if (av < 0)
        return rendition_fail(r, av, "encoding:");
    int code = rendition_packets(r);
    if (code < 0)
        return code;
    code = segmenter_cut(r->segmenter, r->end_pts, &err);
    if (code == 0)
        code = work_end_track(r->track, &err);
    if (code < 0)
        run_fail(r->run, code, &err);
    return code;
}

static void *rendition_thread(void *arg)
{
    struct rendition *r = arg;
    int code;
    void *item = NULL;
    while ((code = queue_pop(r->in, &item)) == 0) {
        AVFrame *frame = item;
        code = rendition_frame(r, frame);
        av_frame_free(&frame);
        if (code < 0)
            break;
    }
    if (r->next != NULL && code == -ENODATA)
        rendition_finish(r->next);
    if (code == -ENODATA)
        (void)rendition_end(r); /* has told the run itself */
    return NULL;
}

int rendition_start(struct rendition *r)
{
    int e = pthread_create(&r->thread, NULL, rendition_thread, r);
    r->is_started = e == 0;
    return -e;
}

int rendition_push(struct rendition *r, AVFrame *frame)
{
    int code = queue_push(r->in, frame);
    if (code < 0)
        av_frame_free(&frame);
    return code;
}

void rendition_finish(struct rendition *r)
{
    queue_close(r->in);
}

void rendition_join(struct rendition *r)
{
    if (r->is_started)
        (void)pthread_join(r->thread, NULL); /* fails for a thread that is not there only */
    r->is_started = false;
}
