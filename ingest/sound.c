/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/sound.h"
#include <errno.h>
#include <inttypes.h>
#include <libavcodec/avcodec.h>
#include <libavfilter/avfilter.h>
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
#include <libavutil/audio_fifo.h>
#include <libavutil/channel_layout.h>
#include <libavutil/opt.h>
#include <stdio.h>
#include <stdlib.h>
#include "ingest/segmenter.h"
#include "media/media_ff_init.h"

#define SOUND_QUEUE    256  /* packets; some seconds */
#define SOUND_FRAME    1024 /* samples of an AAC-LC frame; also the encoder's delay */
#define SOUND_WARM     2    /* frames encoded and thrown away in front of the first wanted one */
#define SOUND_CHANNELS 2
#define SOUND_HELD                                                                                 \
    12 /* frames: a film that ends with fewer in a segment has them in the one before */

struct sound {
    uint32_t magic;
#define SOUND_MAGIC UINT32_C(0x50d10aac)
    struct run *run;
    const struct probe_audio *audio;
    struct queue *in;
    pthread_t thread;
    bool is_started;
    struct work_track *track;
    struct segmenter *segmenter;
    AVCodecContext *decoder, *encoder;
    AVFilterGraph *graph; /* made for the format of the frames at hand */
    AVFilterContext *source, *sink;
    int format, rate, channels; /* what graph was made for */
    AVFrame *decoded, *resampled;
    AVPacket *packet;
    AVAudioFifo *fifo;
    int64_t first;              /* sample with which the first wanted segment starts */
    int64_t out;                /* sample that comes next out of the resampler */
    int64_t encode_at;          /* sample that goes next into the encoder */
    int64_t boundary;           /* sample with which the next segment starts */
    AVPacket *held[SOUND_HELD]; /* of the segment that may begin */
    unsigned held_count;
    bool has_sound;
};

static void sound_drop(void *item)
{
    AVPacket *packet = item;
    av_packet_free(&packet);
}

static int sound_fail(struct sound *s, int av_error, const char *what)
{
    struct err err;
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    (void)av_strerror(av_error, text, sizeof text);
    int code = av_error > -4096 ? av_error : -EIO;
    (void)err_set(&err, code, "%s: %s: %s: %s", s->run->probe->path, s->track->id, what, text);
    run_fail(s->run, code, &err);
    return code;
}

/* The sample with which segment number `segment` starts. */
static int64_t sound_boundary(const struct sound *s, uint32_t segment)
{
    int64_t samples = av_rescale((int64_t)(segment - 1) * s->run->ladder->segment_ms,
                                 s->audio->sample_rate, 1000);
    return (samples + SOUND_FRAME / 2) / SOUND_FRAME * SOUND_FRAME;
}

static int sound_open_decoder(struct sound *s, struct err *err)
{
    const AVStream *st = s->run->probe->format->streams[s->audio->index];
    const AVCodec *codec = avcodec_find_decoder(st->codecpar->codec_id);
    if (codec == NULL)
        return err_set(err, -ENOTSUP, "audio track %s (%s) cannot be decoded", s->audio->id,
                       avcodec_get_name(st->codecpar->codec_id));
    s->decoder = avcodec_alloc_context3(codec);
    int av = s->decoder == NULL ? AVERROR(ENOMEM)
                                : avcodec_parameters_to_context(s->decoder, st->codecpar);
    if (av >= 0) {
        s->decoder->pkt_timebase = st->time_base;
        s->decoder->thread_count = 1;
        av = avcodec_open2(s->decoder, codec, NULL);
    }
    return av < 0 ? probe_error(err, s->run->probe, av, "opening the audio decoder") : 0;
}

static int sound_open_encoder(struct sound *s, struct err *err)
{
    const AVCodec *codec = avcodec_find_encoder(AV_CODEC_ID_AAC);
    s->encoder = codec == NULL ? NULL : avcodec_alloc_context3(codec);
    if (s->encoder == NULL)
        return err_errno(err, -ENOMEM, "%s: AAC encoder", s->run->probe->path);
    AVCodecContext *c = s->encoder;
    c->sample_rate = (int)s->audio->sample_rate;
    c->sample_fmt = AV_SAMPLE_FMT_FLTP;
    c->ch_layout = (AVChannelLayout)AV_CHANNEL_LAYOUT_STEREO;
    c->bit_rate = s->run->ladder->audio_bitrate;
    c->profile = FF_PROFILE_AAC_LOW;
    c->time_base = (AVRational){1, c->sample_rate};
    c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    c->thread_count = 1;
    int av = avcodec_open2(c, codec, NULL);
    if (av < 0)
        return probe_error(err, s->run->probe, av, "opening the AAC encoder");
    if (c->frame_size != SOUND_FRAME)
        return err_set(err, -EPROTO, "the AAC encoder has frames of %d samples", c->frame_size);
    AVCodecParameters *par = avcodec_parameters_alloc();
    CLEAN_BUF struct buf init = BUF_EMPTY;
    av = par == NULL ? AVERROR(ENOMEM) : avcodec_parameters_from_context(par, c);
    int code = av < 0 ? -ENOMEM : media_ff_init(par, s->audio->sample_rate, NULL, &init);
    avcodec_parameters_free(&par);
    if (code < 0)
        return err_errno(err, code, "%s: init segment of %s", s->run->probe->path, s->track->id);
    return work_put_init(s->track, buf_str(&init), err);
}

static int sound_parts(struct sound *s)
{
    int r = queue_new(SOUND_QUEUE, sound_drop, &s->in);
    if (r == 0)
        r = segmenter_new(s->track, s->audio->sample_rate, false, &s->segmenter);
    s->decoded = av_frame_alloc();
    s->resampled = av_frame_alloc();
    s->packet = av_packet_alloc();
    s->fifo = av_audio_fifo_alloc(AV_SAMPLE_FMT_FLTP, SOUND_CHANNELS, SOUND_FRAME * 8);
    if (s->decoded == NULL || s->resampled == NULL || s->packet == NULL || s->fifo == NULL)
        r = -ENOMEM;
    return r;
}

int sound_new(struct run *run, const struct probe_audio *audio, struct err *err, struct sound **ret)
{
    struct sound *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_errno(err, -ENOMEM, "%s", run->probe->path);
    s->magic = SOUND_MAGIC;
    s->run = run;
    s->audio = audio;
    int r = work_track(run->work, audio->id, &s->track);
    if (r == 0)
        r = sound_parts(s);
    if (r < 0)
        (void)err_errno(err, r, "%s: audio track %s", run->probe->path, audio->id);
    if (r == 0)
        r = sound_open_decoder(s, err);
    if (r == 0)
        r = sound_open_encoder(s, err);
    if (r < 0) {
        sound_free(s);
        return r;
    }
    run_queue(run, s->in);
    s->first = sound_boundary(s, s->track->segments_count + 1);
    s->boundary = sound_boundary(s, s->track->segments_count + 2);
    s->out = s->encode_at = MAX(s->first - SOUND_WARM * SOUND_FRAME, INT64_C(0));
    *ret = s;
    return 0;
}

struct sound *sound_free(struct sound *s)
{
    if (s == NULL)
        return NULL;
    ASSERT(s->magic == SOUND_MAGIC);
    ASSERT(!s->is_started);
    queue_free(s->in);
    segmenter_free(s->segmenter);
    avcodec_free_context(&s->decoder);
    avcodec_free_context(&s->encoder);
    avfilter_graph_free(&s->graph);
    av_frame_free(&s->decoded);
    av_frame_free(&s->resampled);
    av_packet_free(&s->packet);
    for (unsigned i = 0; i < s->held_count; i++)
        av_packet_free(&s->held[i]);
    if (s->fifo != NULL)
        av_audio_fifo_free(s->fifo);
    MAGIC_CLEAR(s);
    free(s);
    return NULL;
}

int sound_stream(const struct sound *s)
{
    return s->audio->index;
}

int64_t sound_from_us(const struct sound *s)
{
    return av_rescale(s->out, 1000000, s->audio->sample_rate);
}

/* --- encoding --------------------------------------------------------------------------------- */

static int sound_add(struct sound *s, const AVPacket *p, struct err *err)
{
    struct cmaf_sample sample = {.data = p->data,
                                 .size = (uint32_t)p->size,
                                 .pts = p->pts,
                                 .duration = p->duration > 0 ? (uint32_t)p->duration : SOUND_FRAME,
                                 .is_key = true};
    return segmenter_add(s->segmenter, &sample, err);
}

/* Adds the held frames, behind a cut unless the film ends here. */
static int sound_release(struct sound *s, bool is_end, struct err *err)
{
    int code = 0;
    if (!is_end) {
        code = segmenter_cut(s->segmenter, s->held[0]->pts, err);
        s->boundary = sound_boundary(s, s->track->segments_count + 2);
    }
    for (unsigned i = 0; i < s->held_count; i++) {
        if (code == 0)
            code = sound_add(s, s->held[i], err);
        av_packet_free(&s->held[i]);
    }
    s->held_count = 0;
    return code;
}

static int sound_packet(struct sound *s)
{
    const AVPacket *p = s->packet;
    struct err err = {0};
    int code = 0;
    if (p->pts < s->first)
        return 0; /* the encoder's delay, or warming up */
    if (p->pts < s->boundary) {
        code = sound_add(s, p, &err);
    } else {
        AVPacket *held = av_packet_clone(p);
        if (held == NULL)
            return sound_fail(s, AVERROR(ENOMEM), "encoding");
        s->held[s->held_count++] = held;
        if (s->held_count == SOUND_HELD)
            code = sound_release(s, false, &err);
    }
    if (code < 0)
        run_fail(s->run, code, &err);
    return code;
}

static int sound_encode(struct sound *s, const AVFrame *frame)
{
    int av = avcodec_send_frame(s->encoder, frame);
    while (av >= 0) {
        av = avcodec_receive_packet(s->encoder, s->packet);
        if (av == AVERROR(EAGAIN) || av == AVERROR_EOF)
            return 0;
        if (av < 0)
            break;
        int code = sound_packet(s);
        av_packet_unref(s->packet);
        if (code < 0)
            return code;
    }
    return sound_fail(s, av, "encoding");
}

/* Whole AAC frames from the fifo into the encoder; at the end the rest too. */
static int sound_drain(struct sound *s, bool is_end)
{
    int size;
    while ((size = av_audio_fifo_size(s->fifo)) >= SOUND_FRAME || (is_end && size > 0)) {
        AVFrame *f = av_frame_alloc();
        if (f == NULL)
            return sound_fail(s, AVERROR(ENOMEM), "encoding");
        f->nb_samples = MIN(size, SOUND_FRAME);
        f->format = AV_SAMPLE_FMT_FLTP;
        f->sample_rate = s->encoder->sample_rate;
        f->ch_layout = (AVChannelLayout)AV_CHANNEL_LAYOUT_STEREO;
        int av = av_frame_get_buffer(f, 0);
        if (av >= 0)
            av = av_audio_fifo_read(s->fifo, (void **)f->extended_data, f->nb_samples);
        f->pts = s->encode_at;
        s->encode_at += f->nb_samples;
        int code = av < 0 ? sound_fail(s, av, "encoding") : sound_encode(s, f);
        av_frame_free(&f);
        if (code < 0)
            return code;
    }
    return 0;
}

/* --- resampling ------------------------------------------------------------------------------- */

/* aresample with async: gaps become silence, overlaps are cut, and the first sample that comes out
 * is the one numbered s->out whatever the first time that goes in. */
static int sound_make_graph(struct sound *s, const AVFrame *f)
{
    char layout[64], source[256], chain[256];
    AVRational base = s->decoder->pkt_timebase;
    if (av_channel_layout_describe(&f->ch_layout, layout, sizeof layout) < 0)
        return AVERROR(EINVAL);
    (void)snprintf(source, sizeof source,
                   "time_base=%d/%d:sample_rate=%d:sample_fmt=%s:channel_layout=%s", base.num,
                   base.den, f->sample_rate, av_get_sample_fmt_name((enum AVSampleFormat)f->format),
                   layout);
    (void)snprintf(chain, sizeof chain,
                   "aresample=%" PRIu32 ":async=1:first_pts=%" PRId64
                   ",aformat=sample_fmts=fltp:sample_rates=%" PRIu32 ":channel_layouts=stereo",
                   s->audio->sample_rate, s->out, s->audio->sample_rate);
    s->graph = avfilter_graph_alloc();
    AVFilterInOut *in = avfilter_inout_alloc(), *out = avfilter_inout_alloc();
    int av = s->graph == NULL || in == NULL || out == NULL ? AVERROR(ENOMEM) : 0;
    if (av >= 0)
        s->graph->nb_threads = 1;
    if (av >= 0)
        av = avfilter_graph_create_filter(&s->source, avfilter_get_by_name("abuffer"), "in", source,
                                          NULL, s->graph);
    if (av >= 0)
        av = avfilter_graph_create_filter(&s->sink, avfilter_get_by_name("abuffersink"), "out",
                                          NULL, NULL, s->graph);
    if (av >= 0) {
        *out = (AVFilterInOut){av_strdup("in"), s->source, 0, NULL}; /* seen from the chain */
        *in = (AVFilterInOut){av_strdup("out"), s->sink, 0, NULL};
        av = avfilter_graph_parse_ptr(s->graph, chain, &in, &out, NULL);
    }
    avfilter_inout_free(&in);
    avfilter_inout_free(&out);
    if (av >= 0)
        av = avfilter_graph_config(s->graph, NULL);
    s->format = f->format;
    s->rate = f->sample_rate;
    s->channels = f->ch_layout.nb_channels;
    return av;
}

static int sound_pull(struct sound *s)
{
    for (;;) {
        int av = av_buffersink_get_frame(s->sink, s->resampled);
        if (av == AVERROR(EAGAIN) || av == AVERROR_EOF)
            return 0;
        if (av >= 0) {
            AVFrame *f = s->resampled;
            av = av_audio_fifo_write(s->fifo, (void **)f->extended_data, f->nb_samples);
            s->out += f->nb_samples;
            s->has_sound = true;
            av_frame_unref(f);
        }
        if (av < 0)
            return sound_fail(s, av, "resampling");
        int code = sound_drain(s, false);
        if (code < 0)
            return code;
    }
}

static int sound_close_graph(struct sound *s)
{
    if (s->graph == NULL)
        return 0;
    int av = av_buffersrc_add_frame(s->source, NULL);
    int code = av < 0 ? sound_fail(s, av, "resampling") : sound_pull(s);
    avfilter_graph_free(&s->graph);
    return code;
}

static int sound_frame(struct sound *s)
{
    AVFrame *f = s->decoded;
    AVRational base = s->decoder->pkt_timebase;
    if (f->sample_rate <= 0 || f->nb_samples <= 0 || f->ch_layout.nb_channels <= 0)
        return 0;
    if (f->ch_layout.order == AV_CHANNEL_ORDER_UNSPEC)
        av_channel_layout_default(&f->ch_layout, f->ch_layout.nb_channels);
    f->pts = f->best_effort_timestamp;
    if (f->pts != AV_NOPTS_VALUE) {
        f->pts -= av_rescale_q(s->run->probe->start_us, AV_TIME_BASE_Q, base);
        int64_t end = av_rescale_q(f->pts, base, (AVRational){1, (int)s->audio->sample_rate}) +
                      av_rescale(f->nb_samples, s->audio->sample_rate, f->sample_rate);
        if (!s->has_sound && s->graph == NULL && end < s->out)
            return 0; /* from before what is wanted: a seek lands early */
    }
    int code = 0;
    if (s->graph != NULL && (f->format != s->format || f->sample_rate != s->rate ||
                             f->ch_layout.nb_channels != s->channels))
        code = sound_close_graph(s);
    if (code == 0 && s->graph == NULL) {
        int av = sound_make_graph(s, f);
        if (av < 0)
            code = sound_fail(s, av, "resampling");
    }
    if (code < 0)
        return code;
    int av = av_buffersrc_add_frame(s->source, f);
    return av < 0 ? sound_fail(s, av, "resampling") : sound_pull(s);
}

/* NULL: no more. A packet that cannot be decoded is left out: the gap becomes silence. */
static int sound_decode(struct sound *s, const AVPacket *packet)
{
    int av = avcodec_send_packet(s->decoder, packet);
    if (av < 0 && av != AVERROR_EOF) {
        atomic_fetch_add(&s->run->damage.sounds, 1);
        return av == AVERROR(ENOMEM) ? sound_fail(s, av, "decoding") : 0;
    }
    for (;;) {
        av = avcodec_receive_frame(s->decoder, s->decoded);
        if (av < 0 && av != AVERROR(EAGAIN) && av != AVERROR_EOF)
            atomic_fetch_add(&s->run->damage.sounds, 1);
        if (av < 0)
            return av == AVERROR(ENOMEM) ? sound_fail(s, av, "decoding") : 0;
        int code = sound_frame(s);
        av_frame_unref(s->decoded);
        if (code < 0)
            return code;
    }
}

static int sound_end(struct sound *s)
{
    struct err err = {0};
    int code = sound_decode(s, NULL);
    if (code == 0)
        code = sound_close_graph(s);
    if (code == 0)
        code = sound_drain(s, true);
    if (code == 0)
        code = sound_encode(s, NULL);
    if (code < 0)
        return code;
    code = sound_release(s, true, &err);
    if (code == 0)
        code = segmenter_cut(s->segmenter, INT64_MIN, &err);
    if (code == 0)
        code = work_end_track(s->track, &err);
    if (code < 0)
        run_fail(s->run, code, &err);
    return code;
}

static void *sound_thread(void *arg)
{
    struct sound *s = arg;
    int code;
    void *item = NULL;
    while ((code = queue_pop(s->in, &item)) == 0) {
        AVPacket *packet = item;
        code = sound_decode(s, packet);
        av_packet_free(&packet);
        if (code < 0)
            break;
    }
    if (code == -ENODATA)
        (void)sound_end(s); /* has told the run itself */
    return NULL;
}

int sound_start(struct sound *s)
{
    int e = pthread_create(&s->thread, NULL, sound_thread, s);
    s->is_started = e == 0;
    return -e;
}

int sound_push(struct sound *s, AVPacket *packet)
{
    int code = queue_push(s->in, packet);
    if (code < 0)
        av_packet_free(&packet);
    return code;
}

void sound_finish(struct sound *s)
{
    queue_close(s->in);
}

void sound_join(struct sound *s)
{
    if (s->is_started)
        (void)pthread_join(s->thread, NULL); /* fails for a thread that is not there only */
    s->is_started = false;
}
