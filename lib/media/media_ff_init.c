/* SPDX-License-Identifier: Apache-2.0 */
#include "media/media_ff_init.h"
#include <errno.h>
#include <libavformat/avformat.h>
#include "media/cmaf.h"

static int ff_init_code(int av_error)
{
    return av_error > -4096 ? av_error : -EBADMSG; /* FFmpeg's own codes lie below */
}

/* Keeps the boxes that describe, drops what a muxer adds for samples that it never got. */
static int ff_init_keep(struct str bytes, struct buf *out)
{
    bool has_moov = false;
    while (bytes.size > 0) {
        char type[5];
        struct str body, rest;
        int r = cmaf_box(bytes, type, &body, &rest);
        if (r < 0)
            return r;
        bool is_moov = strcmp(type, "moov") == 0;
        if (is_moov || strcmp(type, "ftyp") == 0)
            buf_put(out, bytes.data, bytes.size - rest.size);
        has_moov = has_moov || is_moov;
        bytes = rest;
    }
    int r = buf_error(out);
    return r == 0 && !has_moov ? -EBADMSG : r;
}

static int ff_init_write(AVFormatContext *f, const AVCodecParameters *par, uint32_t timescale,
                         const AVPacket *first)
{
    AVStream *st = avformat_new_stream(f, NULL);
    if (st == NULL)
        return -ENOMEM;
    int r = avcodec_parameters_copy(st->codecpar, par);
    if (r < 0)
        return ff_init_code(r);
    st->codecpar->codec_tag = 0; /* the source container's: the muxer chooses its own */
    if (par->codec_id == AV_CODEC_ID_HEVC)
        st->codecpar->codec_tag = MKTAG('h', 'v', 'c', '1'); /* parameter sets in here only */
    if (par->codec_id == AV_CODEC_ID_H264)
        st->codecpar->codec_tag = MKTAG('a', 'v', 'c', '1');
    st->time_base = (AVRational){1, (int)timescale};
    AVDictionary *options = NULL;
    (void)av_dict_set(
        &options, "movflags",
        first == NULL ? "empty_moov+default_base_moof+cmaf" /* a lack of memory: checked below */
                      : "delay_moov+frag_custom+default_base_moof+cmaf",
        0);
    (void)av_dict_set(&options, "use_editlist", "0", 0);
    (void)av_dict_set_int(&options, "video_track_timescale", timescale, 0);
    (void)av_dict_set(&options, "fflags", "+bitexact", 0); /* no version: same film, same bytes */
    r = av_dict_count(options) == 4 ? avformat_write_header(f, &options) : AVERROR(ENOMEM);
    av_dict_free(&options);
    if (r < 0)
        return ff_init_code(r);
    AVPacket *packet = first == NULL ? NULL : av_packet_clone(first);
    if (packet != NULL) {
        packet->stream_index = 0;
        packet->pts = packet->dts = 0;
        r = av_write_frame(f, packet);
    }
    av_packet_free(&packet);
    if (r >= 0)
        r = av_write_frame(f, NULL); /* flushes: with delay_moov this writes it */
    avio_flush(f->pb);
    return r < 0 ? ff_init_code(r) : 0;
}

int media_ff_init(const struct AVCodecParameters *par, uint32_t timescale,
                  const struct AVPacket *first, struct buf *out)
{
    ASSERT(par != NULL);
    ASSERT(out != NULL);
    if (timescale == 0 || timescale > INT32_MAX)
        return -EINVAL;
    AVFormatContext *f = NULL;
    int r = avformat_alloc_output_context2(&f, NULL, "mp4", NULL);
    if (r < 0)
        return ff_init_code(r);
    r = avio_open_dyn_buf(&f->pb);
    if (r < 0) {
        avformat_free_context(f);
        return ff_init_code(r);
    }
    r = ff_init_write(f, par, timescale, first);
    /* The trailer (mfra, an empty moof) goes nowhere near the bytes that are kept. */
    uint8_t *bytes = NULL;
    int size = avio_close_dyn_buf(f->pb, &bytes);
    f->pb = NULL;
    if (r == 0)
        r = ff_init_keep((struct str){(const char *)bytes, (size_t)size}, out);
    av_free(bytes);
    avformat_free_context(f);
    return r;
}
