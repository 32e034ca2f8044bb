/* SPDX-License-Identifier: Apache-2.0 */
/* Real H.264 with B-frames: encoded, framed by codec.c, cut into segments by cmaf.c, behind an init
 * segment of FFmpeg's, and read back by FFmpeg's own demuxer and decoder. */
#include "media/cmaf.h"
#include <errno.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <stdlib.h>
#include "media/codec.h"
#include "../unit.h"

enum { WIDTH = 128, HEIGHT = 96, FRAMES = 75, GOP = 25, TIMESCALE = 12800, TICKS = 512 };

static AVCodecContext *cmaf_ffmpeg_encoder(void)
{
    const AVCodec *codec = avcodec_find_encoder_by_name("libx264");
    if (codec == NULL)
        return NULL;
    AVCodecContext *c = avcodec_alloc_context3(codec);
    assert_non_null(c);
    c->width = WIDTH;
    c->height = HEIGHT;
    c->pix_fmt = AV_PIX_FMT_YUV420P;
    c->time_base = (AVRational){1, TIMESCALE};
    c->framerate = (AVRational){25, 1};
    c->gop_size = GOP;
    c->keyint_min = GOP;
    c->max_b_frames = 3;
    c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    c->thread_count = 1;
    assert_int_equal(av_opt_set(c->priv_data, "preset", "veryfast", 0), 0);
    assert_int_equal(av_opt_set(c->priv_data, "x264-params", "scenecut=0:b-adapt=0", 0), 0);
    assert_int_equal(avcodec_open2(c, codec, NULL), 0);
    return c;
}

/* ftyp and moov as FFmpeg's muxer writes them for a fragmented file. */
static void cmaf_ffmpeg_init(const AVCodecContext *c, struct buf *out)
{
    AVFormatContext *mux = NULL;
    assert_true(avformat_alloc_output_context2(&mux, NULL, "mp4", NULL) >= 0);
    AVStream *stream = avformat_new_stream(mux, NULL);
    assert_non_null(stream);
    stream->time_base = c->time_base;
    assert_true(avcodec_parameters_from_context(stream->codecpar, c) >= 0);
    AVDictionary *options = NULL;
    assert_true(av_dict_set(&options, "movflags", "empty_moov+default_base_moof", 0) >= 0);
    assert_int_equal(avio_open_dyn_buf(&mux->pb), 0);
    assert_true(avformat_write_header(mux, &options) >= 0);
    av_dict_free(&options);
    uint8_t *bytes = NULL;
    int size = avio_close_dyn_buf(mux->pb, &bytes);
    mux->pb = NULL;
    assert_true(size > 0);
    buf_put(out, bytes, (size_t)size);
    av_free(bytes);
    avformat_free_context(mux);
}

struct cmaf_ffmpeg_state {
    struct cmaf_writer *writer;
    struct buf *out;
    uint32_t sequence;
    struct segment segments[8];
    uint64_t starts[8];
};

static void cmaf_ffmpeg_end(struct cmaf_ffmpeg_state *s, int64_t end_pts)
{
    assert_true(s->sequence < 8);
    assert_int_equal(cmaf_writer_end(s->writer, s->sequence + 1, end_pts, s->out,
                                     &s->segments[s->sequence], &s->starts[s->sequence]),
                     0);
    s->sequence++;
}

static void cmaf_ffmpeg_packets(AVCodecContext *c, AVPacket *packet, struct cmaf_ffmpeg_state *s)
{
    while (avcodec_receive_packet(c, packet) == 0) {
        bool is_key = (packet->flags & AV_PKT_FLAG_KEY) != 0;
        if (is_key && packet->pts > 0)
            cmaf_ffmpeg_end(s, packet->pts);
        CLEAN_BUF struct buf sample = BUF_EMPTY;
        struct str annexb = {(const char *)packet->data, (size_t)packet->size};
        assert_int_equal(codec_annexb_to_lengths(annexb, CODEC_NAL_AVC, true, &sample), 0);
        struct cmaf_sample in = {(const uint8_t *)sample.data, (uint32_t)sample.size, packet->pts,
                                 TICKS, is_key};
        assert_int_equal(cmaf_writer_add(s->writer, &in), 0);
        av_packet_unref(packet);
    }
}

static void cmaf_ffmpeg_encode(AVCodecContext *c, struct cmaf_ffmpeg_state *s)
{
    AVPacket *packet = av_packet_alloc();
    AVFrame *frame = av_frame_alloc();
    assert_non_null(packet);
    assert_non_null(frame);
    frame->width = WIDTH;
    frame->height = HEIGHT;
    frame->format = AV_PIX_FMT_YUV420P;
    assert_int_equal(av_frame_get_buffer(frame, 0), 0);
    for (int i = 0; i < FRAMES; i++) {
        assert_int_equal(av_frame_make_writable(frame), 0);
        for (int y = 0; y < HEIGHT; y++)
            for (int x = 0; x < WIDTH; x++)
                frame->data[0][y * frame->linesize[0] + x] = (uint8_t)(x * 2 + y + i * 5);
        for (int y = 0; y < HEIGHT / 2; y++) {
            memset(frame->data[1] + y * frame->linesize[1], 100 + i, WIDTH / 2);
            memset(frame->data[2] + y * frame->linesize[2], 128, WIDTH / 2);
        }
        frame->pts = (int64_t)i * TICKS;
        assert_int_equal(avcodec_send_frame(c, frame), 0);
        cmaf_ffmpeg_packets(c, packet, s);
    }
    assert_int_equal(avcodec_send_frame(c, NULL), 0);
    cmaf_ffmpeg_packets(c, packet, s);
    cmaf_ffmpeg_end(s, INT64_MIN);
    av_packet_free(&packet);
    av_frame_free(&frame);
}

static int cmaf_ffmpeg_read(void *arg, uint8_t *out, int size)
{
    struct str *rest = arg;
    if (rest->size == 0)
        return AVERROR_EOF;
    size_t n = MIN((size_t)size, rest->size);
    memcpy(out, rest->data, n);
    *rest = str_skip(*rest, n);
    return (int)n;
}

/* Counts what the decoder gives; every picture must come at its time, none be damaged. FFmpeg's
 * demuxer adds the largest negative composition offset of a track to all its times (it wants no
 * picture to be shown before it is decoded); browsers do not. So the first picture's time is what
 * the others are held against: at most the three frames that may be reordered. */
static int cmaf_ffmpeg_frames(AVCodecContext *decoder, AVFrame *frame, int count, int64_t *first)
{
    while (avcodec_receive_frame(decoder, frame) == 0) {
        if (count == 0)
            *first = frame->pts;
        assert_in_range(*first, 0, 3 * TICKS);
        assert_int_equal(frame->pts, *first + (int64_t)count * TICKS);
        assert_int_equal(frame->decode_error_flags, 0);
        int seen = frame->data[1][0];
        assert_in_range(seen, 100 + count - 3, 100 + count + 3); /* the colour that went in */
        count++;
        av_frame_unref(frame);
    }
    return count;
}

static void cmaf_ffmpeg_decode(struct str bytes)
{
    AVFormatContext *in = avformat_alloc_context();
    assert_non_null(in);
    in->pb = avio_alloc_context(av_malloc(4096), 4096, 0, &bytes, cmaf_ffmpeg_read, NULL, NULL);
    assert_non_null(in->pb);
    assert_int_equal(avformat_open_input(&in, NULL, NULL, NULL), 0);
    assert_int_equal(in->nb_streams, 1);
    AVStream *stream = in->streams[0];
    assert_int_equal(stream->time_base.den, TIMESCALE);
    const AVCodec *codec = avcodec_find_decoder(stream->codecpar->codec_id);
    AVCodecContext *decoder = avcodec_alloc_context3(codec);
    assert_non_null(decoder);
    assert_true(avcodec_parameters_to_context(decoder, stream->codecpar) >= 0);
    decoder->thread_count = 1;
    decoder->err_recognition = AV_EF_EXPLODE;
    assert_int_equal(avcodec_open2(decoder, codec, NULL), 0);
    AVPacket *packet = av_packet_alloc();
    AVFrame *frame = av_frame_alloc();
    int packets = 0;
    int frames = 0;
    int64_t first = 0;
    while (av_read_frame(in, packet) == 0) {
        assert_int_equal(packet->dts, (int64_t)packets * TICKS);
        assert_int_equal((packet->flags & AV_PKT_FLAG_KEY) != 0, packets % GOP == 0);
        packets++;
        assert_int_equal(avcodec_send_packet(decoder, packet), 0);
        frames = cmaf_ffmpeg_frames(decoder, frame, frames, &first);
        av_packet_unref(packet);
    }
    assert_int_equal(avcodec_send_packet(decoder, NULL), 0);
    frames = cmaf_ffmpeg_frames(decoder, frame, frames, &first);
    assert_int_equal(packets, FRAMES);
    assert_int_equal(frames, FRAMES);
    av_packet_free(&packet);
    av_frame_free(&frame);
    avcodec_free_context(&decoder);
    AVIOContext *io = in->pb;
    avformat_close_input(&in);
    av_freep(&io->buffer);
    avio_context_free(&io);
}

static void cmaf_ffmpeg_test(void **state)
{
    (void)state;
    av_log_set_level(AV_LOG_ERROR);
    AVCodecContext *c = cmaf_ffmpeg_encoder();
    if (c == NULL)
        skip(); /* FFmpeg was built without libx264 */
    CLEAN_BUF struct buf file = BUF_EMPTY;
    CLEAN_BUF struct buf codec = BUF_EMPTY;
    struct cmaf_ffmpeg_state s = {.out = &file};
    struct str extradata = {(const char *)c->extradata, (size_t)c->extradata_size};
    assert_int_equal(codec_avc(extradata, &codec), 0);
    assert_true(str_starts(buf_str(&codec), STR("avc1.64")));
    assert_int_equal(cmaf_writer_new(TIMESCALE, true, &s.writer), 0);
    cmaf_ffmpeg_init(c, &file);
    size_t init_size = file.size;
    cmaf_ffmpeg_encode(c, &s);
    assert_int_equal(s.sequence, FRAMES / GOP);
    size_t size = init_size;
    for (uint32_t i = 0; i < s.sequence; i++) {
        assert_true(s.starts[i] == (uint64_t)i * GOP * TICKS);
        assert_int_equal(s.segments[i].duration, GOP * TICKS);
        assert_in_range(s.segments[i].key_size, 100, s.segments[i].size);
        size += s.segments[i].size;
    }
    assert_int_equal(size, file.size);

    const char *keep = getenv("WEIR_KEEP"); /* to look at it by hand: ffprobe, ffmpeg -f null */
    if (keep != NULL) {
        FILE *f = fopen(keep, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(file.data, 1, file.size, f), file.size);
        assert_int_equal(fclose(f), 0);
    }
    cmaf_ffmpeg_decode(buf_str(&file));
    (void)cmaf_writer_free(s.writer); /* always NULL */
    avcodec_free_context(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(cmaf_ffmpeg_test)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
