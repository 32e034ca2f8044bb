/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/orient.h"
#include <errno.h>
#include <libavfilter/avfilter.h>
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
#include <libavutil/pixdesc.h>
#include <stdio.h>
#include <stdlib.h>

struct orient {
    uint32_t magic;
#define ORIENT_MAGIC UINT32_C(0x0913e7d5)
    int rotation;
    bool is_interlaced;
    AVRational base;
    AVFilterGraph *graph;
    AVFilterContext *source, *sink;
    int width, height, format; /* what graph was made for */
    AVFrame *waiting;          /* of another format: behind the flush of the graph at hand */
    bool is_flushing, is_ended;
};

bool orient_needed(const struct probe_video *v)
{
    return v->rotation != 0 || v->is_interlaced;
}

int orient_new(const struct probe_video *v, AVRational base, struct orient **ret)
{
    struct orient *o = calloc(1, sizeof *o);
    if (o == NULL)
        return AVERROR(ENOMEM);
    o->magic = ORIENT_MAGIC;
    o->rotation = v->rotation;
    o->is_interlaced = v->is_interlaced;
    o->base = base;
    *ret = o;
    return 0;
}

struct orient *orient_free(struct orient *o)
{
    if (o == NULL)
        return NULL;
    ASSERT(o->magic == ORIENT_MAGIC);
    avfilter_graph_free(&o->graph);
    av_frame_free(&o->waiting);
    MAGIC_CLEAR(o);
    free(o);
    return NULL;
}

static int orient_graph(struct orient *o, const AVFrame *f)
{
    char source[256], chain[128];
    const char *turn = o->rotation == 90    ? "transpose=clock"
                       : o->rotation == 270 ? "transpose=cclock"
                       : o->rotation == 180 ? "hflip,vflip"
                                            : "null";
    (void)snprintf(source, sizeof source,
                   "video_size=%dx%d:pix_fmt=%d:time_base=%d/%d:pixel_aspect=1/1", f->width,
                   f->height, f->format, o->base.num, o->base.den);
    (void)snprintf(chain, sizeof chain, "%s%s",
                   o->is_interlaced ? "yadif=mode=send_frame:deint=interlaced," : "", turn);
    o->graph = avfilter_graph_alloc();
    AVFilterInOut *in = avfilter_inout_alloc(), *out = avfilter_inout_alloc();
    int av = o->graph == NULL || in == NULL || out == NULL ? AVERROR(ENOMEM) : 0;
    if (av >= 0)
        o->graph->nb_threads = 1; /* the rungs keep the cores busy */
    if (av >= 0)
        av = avfilter_graph_create_filter(&o->source, avfilter_get_by_name("buffer"), "in", source,
                                          NULL, o->graph);
    if (av >= 0)
        av = avfilter_graph_create_filter(&o->sink, avfilter_get_by_name("buffersink"), "out", NULL,
                                          NULL, o->graph);
    if (av >= 0) {
        *out = (AVFilterInOut){av_strdup("in"), o->source, 0, NULL}; /* seen from the chain */
        *in = (AVFilterInOut){av_strdup("out"), o->sink, 0, NULL};
        av = avfilter_graph_parse_ptr(o->graph, chain, &in, &out, NULL);
    }
    avfilter_inout_free(&in);
    avfilter_inout_free(&out);
    if (av >= 0)
        av = avfilter_graph_config(o->graph, NULL);
    o->width = f->width;
    o->height = f->height;
    o->format = f->format;
    o->is_flushing = false;
    return av;
}

int orient_push(struct orient *o, AVFrame *frame)
{
    ASSERT(o->magic == ORIENT_MAGIC);
    ASSERT(o->waiting == NULL);
    o->is_ended = frame == NULL;
    if (o->graph == NULL && frame == NULL)
        return 0;
    bool changed =
        o->graph != NULL && frame != NULL &&
        (frame->width != o->width || frame->height != o->height || frame->format != o->format);
    if (changed) {
        o->waiting = av_frame_alloc();
        if (o->waiting == NULL)
            return AVERROR(ENOMEM);
        av_frame_move_ref(o->waiting, frame);
    }
    if (changed || frame == NULL) {
        o->is_flushing = true;
        return av_buffersrc_add_frame(o->source, NULL);
    }
    int av = o->graph == NULL ? orient_graph(o, frame) : 0;
    return av < 0 ? av : av_buffersrc_add_frame(o->source, frame);
}

int orient_pull(struct orient *o, AVFrame *frame)
{
    ASSERT(o->magic == ORIENT_MAGIC);
    if (o->graph == NULL)
        return o->is_ended ? AVERROR_EOF : AVERROR(EAGAIN);
    int av = av_buffersink_get_frame(o->sink, frame);
    if (av == AVERROR_EOF && o->waiting != NULL) { /* through: now the one of the other format */
        avfilter_graph_free(&o->graph);
        av = orient_graph(o, o->waiting);
        if (av >= 0)
            av = av_buffersrc_add_frame(o->source, o->waiting);
        av_frame_free(&o->waiting);
        if (av >= 0)
            av = av_buffersink_get_frame(o->sink, frame);
    }
    if (av >= 0) { /* yadif counts in halves of our time base */
        AVRational base = av_buffersink_get_time_base(o->sink);
        if (frame->pts != AV_NOPTS_VALUE)
            frame->pts = av_rescale_q(frame->pts, base, o->base);
        frame->best_effort_timestamp = frame->pts;
    }
    return av;
}
