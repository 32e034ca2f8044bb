/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/scale.h"
#include <errno.h>
#include <libavutil/imgutils.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
#include <stdlib.h>

#define SCALE_ALIGN 64 /* AVX-512 rows */

/* What a context was made for; a film may change in the middle. */
struct scale_source {
    int width, height, format;
    int space;
    bool is_full;
};

struct scale {
    uint32_t magic;
#define SCALE_MAGIC UINT32_C(0x5ca1e001)
    int width, height;
    enum AVPixelFormat format;
    bool is_full; /* what comes out */
    struct SwsContext *context;
    struct scale_source source;
    AVBufferPool *pool;
};

static bool scale_is_yuvj(int format)
{
    return format == AV_PIX_FMT_YUVJ420P || format == AV_PIX_FMT_YUVJ422P ||
           format == AV_PIX_FMT_YUVJ444P || format == AV_PIX_FMT_YUVJ440P ||
           format == AV_PIX_FMT_YUVJ411P;
}

int scale_new(uint32_t width, uint32_t height, enum AVPixelFormat format, struct scale **ret)
{
    int size = av_image_get_buffer_size(format, (int)width, (int)height, SCALE_ALIGN);
    if (size < 0)
        return -EINVAL;
    struct scale *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    s->magic = SCALE_MAGIC;
    s->width = (int)width;
    s->height = (int)height;
    s->format = format;
    s->is_full = scale_is_yuvj(format);
    s->pool = av_buffer_pool_init((size_t)size + SCALE_ALIGN, NULL); /* readers may run over */
    if (s->pool == NULL)
        return scale_free(s), -ENOMEM;
    *ret = s;
    return 0;
}

struct scale *scale_free(struct scale *s)
{
    if (s == NULL)
        return NULL;
    ASSERT(s->magic == SCALE_MAGIC);
    sws_freeContext(s->context);
    av_buffer_pool_uninit(&s->pool);
    MAGIC_CLEAR(s);
    free(s);
    return NULL;
}

static bool scale_is_rgb(int format)
{
    const AVPixFmtDescriptor *d = av_pix_fmt_desc_get((enum AVPixelFormat)format);
    return d != NULL && (d->flags & AV_PIX_FMT_FLAG_RGB) != 0;
}

static int scale_prepare(struct scale *s, const AVFrame *in)
{
    struct scale_source now = {
        .width = in->width,
        .height = in->height,
        .format = in->format,
        .space = (int)in->colorspace,
        .is_full = scale_is_yuvj(in->format) || in->color_range == AVCOL_RANGE_JPEG,
    };
    if (s->context != NULL && now.width == s->source.width && now.height == s->source.height &&
        now.format == s->source.format && now.space == s->source.space &&
        now.is_full == s->source.is_full)
        return 0;
    sws_freeContext(s->context);
    s->context = sws_getContext(in->width, in->height, (enum AVPixelFormat)in->format, s->width,
                                s->height, s->format, SWS_BICUBIC, NULL, NULL, NULL);
    if (s->context == NULL)
        return -EINVAL;
    /* Between two YUV formats the matrix stays what it was; RGB gets the one that players assume
     * for its size. */
    int matrix = now.space;
    if (scale_is_rgb(in->format) || matrix == AVCOL_SPC_UNSPECIFIED || matrix == AVCOL_SPC_RGB)
        matrix = in->height >= 720 ? AVCOL_SPC_BT709 : AVCOL_SPC_SMPTE170M;
    const int *table = sws_getCoefficients(matrix);
    (void)sws_setColorspaceDetails(s->context, table, now.is_full, table, s->is_full, 0, 1 << 16,
                                   1 << 16); /* -1: not for this pair of formats, nothing to do */
    s->source = now;
    return 0;
}

static AVFrame *scale_take(struct scale *s)
{
    AVFrame *f = av_frame_alloc();
    if (f == NULL)
        return NULL;
    f->buf[0] = av_buffer_pool_get(s->pool);
    f->format = s->format;
    f->width = s->width;
    f->height = s->height;
    if (f->buf[0] == NULL || av_image_fill_arrays(f->data, f->linesize, f->buf[0]->data, s->format,
                                                  s->width, s->height, SCALE_ALIGN) < 0)
        av_frame_free(&f);
    return f;
}

int scale_frame(struct scale *s, const AVFrame *in, AVFrame **ret)
{
    ASSERT(s->magic == SCALE_MAGIC);
    if (in->width == s->width && in->height == s->height && in->format == s->format &&
        (s->is_full || in->color_range != AVCOL_RANGE_JPEG)) {
        AVFrame *same = av_frame_clone(in);
        if (same == NULL)
            return -ENOMEM;
        *ret = same;
        return 0;
    }
    int r = scale_prepare(s, in);
    if (r < 0)
        return r;
    AVFrame *out = scale_take(s);
    if (out == NULL)
        return -ENOMEM;
    r = av_frame_copy_props(out, in);
    if (r >= 0)
        r = sws_scale(s->context, (const uint8_t *const *)in->data, in->linesize, 0, in->height,
                      out->data, out->linesize);
    if (r < 0) {
        av_frame_free(&out);
        return r > -4096 ? r : -EINVAL;
    }
    out->sample_aspect_ratio = (AVRational){1, 1};
    out->color_range = s->is_full ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG;
    *ret = out;
    return 0;
}
