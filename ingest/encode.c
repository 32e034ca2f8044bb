/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/encode.h"
#include <errno.h>
#include <inttypes.h>
#include <libavcodec/avcodec.h>
#include <stdlib.h>
#include "ingest/orient.h"
#include "ingest/pictures.h"
#include "ingest/rendition.h"
#include "ingest/seek.h"
#include "ingest/sound.h"
#include "ingest/timeline.h"

struct encode {
    struct run *run;
    const struct probe *probe;
    uint32_t timescale;
    AVCodecContext *decoder;
    struct orient *orient; /* NULL: pictures are fine as they are */
    AVFrame *decoded, *turned;
    struct rendition *renditions[LADDER_RUNGS_MAX]; /* largest first */
    unsigned renditions_count;
    struct sound *sounds[PROBE_AUDIOS_MAX];
    unsigned sounds_count;
    struct pictures *pictures;
    uint32_t first_segment; /* number of the first one that some rendition lacks */
    int64_t resume_pts;     /* where it starts; INT64_MIN: with the film */
    uint32_t segment;       /* number of the one at hand; 0: not begun */
    int64_t boundary;       /* multiple of the segment duration that ends it */
    int64_t last_pts, last_duration;
    uint64_t frames;
    int64_t seen_end_us; /* end of the packets read, on the film's clock */
    bool last_packet_corrupt;
    struct timeline *timeline;
};

/* --- frames ----------------------------------------------------------------------------------- */

/* Where a frame stands on our clock: its own time, but never at or before the one in front. */
static int64_t encode_pts(struct encode *e, const AVFrame *f)
{
    AVRational base = e->decoder->pkt_timebase;
    int64_t pts = f->best_effort_timestamp != AV_NOPTS_VALUE
                      ? probe_ticks(e->probe, f->best_effort_timestamp, base, e->timescale)
                      : e->last_pts + e->last_duration;
    int64_t duration = f->pkt_duration > 0
                           ? av_rescale_q(f->pkt_duration, base, (AVRational){1, (int)e->timescale})
                           : 0;
    AVRational rate = e->probe->video.frame_rate;
    if (duration <= 0)
        duration = rate.num > 0 ? av_rescale(e->timescale, rate.den, rate.num) : e->timescale / 25;
    e->last_duration = MAX(duration, INT64_C(1));
    e->last_pts = MAX(pts, e->last_pts + 1);
    return e->last_pts;
}

/* The segment that a frame at pts belongs to: a new one starts with the first frame at or behind
 * each multiple of the segment duration. */
static void *encode_mark(struct encode *e, int64_t pts)
{
    if (pts < e->resume_pts)
        return rendition_mark(0, false);
    int64_t scaled = pts * 1000;
    int64_t length = (int64_t)e->run->ladder->segment_ms * e->timescale;
    bool is_start = e->segment == 0 || scaled >= e->boundary;
    if (is_start) {
        e->segment = e->segment == 0 ? e->first_segment : e->segment + 1;
        e->boundary = (scaled / length + 1) * length;
    }
    return rendition_mark(e->segment, is_start);
}

static int encode_out(struct encode *e, AVFrame *f)
{
    int64_t pts = encode_pts(e, f);
    e->frames++;
    bool is_whole = (f->flags & AV_FRAME_FLAG_CORRUPT) == 0 && f->decode_error_flags == 0;
    if (!is_whole && pts >= e->resume_pts) /* in front of it a seek has torn them, not the film */
        atomic_fetch_add(&e->run->damage.pictures, 1);
    bool is_wanted = pts >= e->resume_pts || pictures_tile_wanted(e->pictures, pts);
    if (!is_wanted || e->renditions_count == 0) {
        av_frame_unref(f);
        return 0;
    }
    AVFrame *handed = av_frame_alloc();
    if (handed == NULL) {
        struct err err;
        run_fail(e->run, err_errno(&err, -ENOMEM, "%s", e->probe->path), &err);
        return -ENOMEM;
    }
    av_frame_move_ref(handed, f);
    handed->pts = pts;
    handed->pkt_duration = e->last_duration;
    handed->opaque = encode_mark(e, pts);
    int r = pictures_poster(e->pictures, handed);
    if (r < 0) {
        av_frame_free(&handed);
        return r;
    }
    return rendition_push(e->renditions[0], handed);
}

static int encode_fail(struct encode *e, int av_error, const char *what)
{
    struct err err;
    int r = probe_error(&err, e->probe, av_error, what);
    run_fail(e->run, r, &err);
    return r;
}

static int encode_turn(struct encode *e, AVFrame *f)
{
    if (e->orient == NULL)
        return f != NULL ? encode_out(e, f) : 0;
    if (f != NULL)
        f->pts = f->best_effort_timestamp;
    int av = orient_push(e->orient, f);
    while (av >= 0) {
        av = orient_pull(e->orient, e->turned);
        if (av == AVERROR(EAGAIN) || av == AVERROR_EOF)
            return 0;
        if (av < 0)
            break;
        int r = encode_out(e, e->turned);
        if (r < 0)
            return r;
    }
    return encode_fail(e, av, "turning the picture");
}

/* NULL: no more. Packets that cannot be decoded are left out; what is missing at the end shows. */
static int encode_decode(struct encode *e, const AVPacket *packet)
{
    int av = avcodec_send_packet(e->decoder, packet);
    if (av == AVERROR(ENOMEM))
        return encode_fail(e, av, "decoding");
    if (av < 0 && av != AVERROR_EOF)
        atomic_fetch_add(&e->run->damage.pictures, 1);
    for (;;) {
        av = avcodec_receive_frame(e->decoder, e->decoded);
        if (av == AVERROR(ENOMEM))
            return encode_fail(e, av, "decoding");
        if (av == AVERROR(EAGAIN) || av == AVERROR_EOF)
            return 0;
        if (av < 0) { /* of this picture only: the decoder goes on with the next */
            atomic_fetch_add(&e->run->damage.pictures, 1);
            continue;
        }
        int r = encode_turn(e, e->decoded);
        if (r < 0)
            return r;
    }
}

/* --- demuxing --------------------------------------------------------------------------------- */

static void encode_see(struct encode *e, const AVPacket *p)
{
    const AVStream *st = e->probe->format->streams[p->stream_index];
    int64_t time = p->pts != AV_NOPTS_VALUE ? p->pts : p->dts;
    if (time == AV_NOPTS_VALUE)
        return;
    int64_t end = av_rescale_q(time + MAX(p->duration, 0), st->time_base, AV_TIME_BASE_Q) -
                  e->probe->start_us;
    e->seen_end_us = MAX(e->seen_end_us, end);
}

static int encode_jumped(struct encode *e)
{
    struct err err;
    int r = run_jumped(e->run, timeline_jumps(e->timeline), &err);
    if (r < 0)
        run_fail(e->run, r, &err);
    return r;
}

static int encode_packet(struct encode *e, AVPacket *p)
{
    unsigned jumps = timeline_jumps(e->timeline);
    (void)timeline_take(e->timeline, p);
    if (timeline_jumps(e->timeline) != jumps) {
        int r = encode_jumped(e);
        if (r < 0)
            return r;
    }
    encode_see(e, p);
    if ((p->flags & AV_PKT_FLAG_CORRUPT) != 0)
        atomic_fetch_add(&e->run->damage.packets, 1);
    if (p->stream_index == e->probe->video.index) {
        e->last_packet_corrupt = (p->flags & AV_PKT_FLAG_CORRUPT) != 0;
        return e->renditions_count > 0 ? encode_decode(e, p) : 0;
    }
    for (unsigned i = 0; i < e->sounds_count; i++) {
        if (sound_stream(e->sounds[i]) != p->stream_index)
            continue;
        AVPacket *handed = av_packet_alloc();
        if (handed == NULL)
            return encode_fail(e, AVERROR(ENOMEM), "reading");
        av_packet_move_ref(handed, p);
        return sound_push(e->sounds[i], handed);
    }
    return 0;
}

static int encode_truncated(struct encode *e, const char *how)
{
    struct err err;
    int r = err_set(&err, -EBADMSG, "%s: is truncated: %s", e->probe->path, how);
    run_fail(e->run, r, &err);
    return r;
}

/* Whether all came that the container promised: a second or two hundredths may be missing. */
static int encode_check_end(struct encode *e)
{
    const AVFormatContext *f = e->probe->format;
    const AVStream *st = f->streams[e->probe->video.index];
    char text[128];
    if (e->last_packet_corrupt)
        return encode_truncated(e, "its last picture is not whole");
    if (e->renditions_count > 0 && e->frames == 0) {
        struct err err;
        int r = err_set(&err, -EBADMSG, "%s: none of its pictures can be decoded", e->probe->path);
        run_fail(e->run, r, &err);
        return r;
    }
    int64_t said_us = e->probe->duration_us, got_us = e->seen_end_us;
    int64_t decoded_us = av_rescale(e->last_pts + e->last_duration, 1000000, (int64_t)e->timescale);
    if (f->duration_estimation_method == AVFMT_DURATION_FROM_BITRATE)
        said_us = 0; /* a guess */
    if (strstr(f->iformat->name, "mp4") != NULL && st->duration > 0)
        said_us = av_rescale_q(st->duration, st->time_base, AV_TIME_BASE_Q);
    if (e->renditions_count > 0 && strstr(f->iformat->name, "mp4") != NULL)
        got_us = decoded_us;
    said_us -= timeline_skipped_us(e->timeline);
    int64_t lacking_us = said_us - got_us;
    if (said_us <= 0 || lacking_us <= 1000000 || lacking_us * 50 <= said_us)
        return 0;
    (void)snprintf(text, sizeof text, "it says %.1f s and ends after %.1f s", (double)said_us / 1e6,
                   (double)got_us / 1e6);
    return encode_truncated(e, text);
}

static int encode_read(struct encode *e)
{
    AVPacket *p = av_packet_alloc();
    int r = p == NULL ? encode_fail(e, AVERROR(ENOMEM), "reading") : 0;
    while (r == 0) {
        r = run_failed(e->run);
        if (r < 0)
            break;
        int av = av_read_frame(e->probe->format, p);
        if (av == AVERROR_EOF) {
            AVIOContext *io = e->probe->format->pb;
            if (io != NULL && io->error < 0)
                r = encode_fail(e, io->error, "reading");
            break;
        }
        r = av < 0 ? encode_fail(e, av, "is truncated or damaged") : encode_packet(e, p);
        av_packet_unref(p);
    }
    av_packet_free(&p);
    if (r == 0 && e->renditions_count > 0)
        r = encode_decode(e, NULL);
    if (r == 0 && e->renditions_count > 0)
        r = encode_turn(e, NULL);
    return r == 0 ? encode_check_end(e) : r;
}

/* --- making and ending ------------------------------------------------------------------------ */

static int encode_open_decoder(struct encode *e, struct err *err)
{
    const AVStream *st = e->probe->format->streams[e->probe->video.index];
    const AVCodec *codec = avcodec_find_decoder(st->codecpar->codec_id);
    if (codec == NULL)
        return err_set(err, -EBADMSG, "%s: its video codec (%s) is not known here", e->probe->path,
                       avcodec_get_name(st->codecpar->codec_id));
    e->decoder = avcodec_alloc_context3(codec);
    e->decoded = av_frame_alloc();
    e->turned = av_frame_alloc();
    int av = e->decoder == NULL || e->decoded == NULL || e->turned == NULL
                 ? AVERROR(ENOMEM)
                 : avcodec_parameters_to_context(e->decoder, st->codecpar);
    if (av >= 0) {
        e->decoder->pkt_timebase = st->time_base;
        e->decoder->thread_count = (int)MAX(e->run->cores, 1U);
        av = avcodec_open2(e->decoder, codec, NULL);
    }
    if (av >= 0 && orient_needed(&e->probe->video))
        av = orient_new(&e->probe->video, st->time_base, &e->orient);
    return av < 0 ? probe_error(err, e->probe, av, "opening the video decoder") : 0;
}

/* x264's threads in proportion to a rung's share of the pixels: every thread costs a little, and
 * the rungs run side by side already. */
static unsigned encode_threads(const struct encode *e, const struct ladder_size *sizes,
                               unsigned count, unsigned i)
{
    uint64_t all = 0;
    for (unsigned n = 0; n < count; n++)
        all += (uint64_t)sizes[n].width_px * sizes[n].height_px;
    uint64_t own = (uint64_t)sizes[i].width_px * sizes[i].height_px;
    uint64_t threads = (own * e->run->cores * 3 / 2 + all / 2) / all;
    return (unsigned)MIN(MAX(threads, UINT64_C(1)), UINT64_C(16));
}

static int encode_make_renditions(struct encode *e, struct err *err)
{
    struct ladder_size sizes[LADDER_RUNGS_MAX];
    unsigned count =
        ladder_fit(e->run->ladder, e->probe->video.width, e->probe->video.height, sizes);
    for (unsigned i = 0; i < count; i++) {
        int r = rendition_new(e->run, &sizes[i], encode_threads(e, sizes, count, i), i, err,
                              &e->renditions[i]);
        if (r < 0)
            return r;
        e->renditions_count++;
    }
    atomic_store(&e->run->progress->renditions, count);
    /* Where to begin: with the first segment that is missing anywhere. */
    e->first_segment = UINT32_MAX;
    e->resume_pts = INT64_MAX;
    bool all_done = true;
    int64_t sum_ms = 0;
    for (unsigned i = 0; i < count; i++) {
        const struct work_track *t = rendition_track(e->renditions[i]);
        if (!t->is_done && t->segments_count + 1 < e->first_segment) {
            e->first_segment = t->segments_count + 1;
            e->resume_pts = t->segments_count == 0 ? INT64_MIN : (int64_t)t->next;
        }
        all_done = all_done && t->is_done;
        int64_t at_ms = (int64_t)(t->next * 1000 / e->timescale);
        atomic_store(&e->run->progress->at_ms[i], at_ms);
        sum_ms += at_ms;
        struct rendition *smaller = i + 1 < count ? e->renditions[i + 1] : NULL;
        rendition_link(e->renditions[i], smaller, smaller == NULL ? e->pictures : NULL);
    }
    ASSERT(count > 0);
    atomic_store(&e->run->progress->from_ms, sum_ms / count);
    if (all_done && pictures_tiles_done(e->pictures))
        while (e->renditions_count > 0) {
            e->renditions_count--;
            e->renditions[e->renditions_count] = rendition_free(e->renditions[e->renditions_count]);
            e->run->queues_count--;
        }
    return 0;
}

static int encode_make_sounds(struct encode *e, struct err *err)
{
    for (unsigned i = 0; i < e->probe->audios_count; i++) {
        struct work_track *t = NULL;
        int r = work_track(e->run->work, e->probe->audios[i].id, &t);
        if (r < 0)
            return err_errno(err, r, "%s: audio tracks", e->probe->path);
        if (t->is_done)
            continue;
        r = sound_new(e->run, &e->probe->audios[i], err, &e->sounds[e->sounds_count]);
        if (r == -ENOTSUP) {
            run_note(e->run, "%s", err->text);
            continue;
        }
        if (r < 0)
            return r;
        e->sounds_count++;
    }
    return 0;
}

static int encode_seek(struct encode *e, struct err *err)
{
    struct seek_need needs[PROBE_AUDIOS_MAX + 1];
    unsigned count = 0;
    if (e->renditions_count > 0) {
        int64_t from = e->resume_pts;
        if (!pictures_tiles_done(e->pictures))
            from = MIN(from, pictures_tiles_from(e->pictures));
        int64_t us = from <= 0 ? 0 : av_rescale(from, 1000000, e->timescale);
        needs[count++] = (struct seek_need){e->probe->video.index, us};
    }
    for (unsigned i = 0; i < e->sounds_count; i++)
        needs[count++] =
            (struct seek_need){sound_stream(e->sounds[i]), sound_from_us(e->sounds[i])};
    return run_has_jumps(e->run) ? 0 : seek_before(e->probe, needs, count, err);
}

static int encode_start(struct encode *e, struct err *err)
{
    int r = 0;
    for (unsigned i = 0; r == 0 && i < e->renditions_count; i++)
        r = rendition_start(e->renditions[i]);
    for (unsigned i = 0; r == 0 && i < e->sounds_count; i++)
        r = sound_start(e->sounds[i]);
    return r < 0 ? err_errno(err, r, "%s: starting a thread", e->probe->path) : 0;
}

static int encode_run(struct encode *e, struct err *err)
{
    int r = timeline_new(e->probe, &e->timeline);
    if (r < 0)
        return err_errno(err, r, "%s", e->probe->path);
    r = pictures_new(e->run, err, &e->pictures);
    if (r == 0)
        r = encode_open_decoder(e, err);
    if (r == 0)
        r = encode_make_renditions(e, err);
    if (r == 0)
        r = encode_make_sounds(e, err);
    if (r < 0)
        return r;
    if (e->renditions_count > 0 || e->sounds_count > 0) {
        r = encode_seek(e, err);
        if (r == 0)
            r = encode_start(e, err);
        if (r < 0)
            run_fail(e->run, r, err); /* ends those that run */
        if (r == 0)
            r = encode_read(e);
        if (r < 0) { /* also when asked to stop: no thread may take this for the film's end */
            struct err stopped = {0};
            run_fail(e->run, r, &stopped); /* an earlier error stands */
        }
    }
    if (e->renditions_count > 0)
        rendition_finish(e->renditions[0]);
    for (unsigned i = 0; i < e->sounds_count; i++)
        sound_finish(e->sounds[i]);
    for (unsigned i = 0; i < e->renditions_count; i++)
        rendition_join(e->renditions[i]);
    for (unsigned i = 0; i < e->sounds_count; i++)
        sound_join(e->sounds[i]);
    r = e->run->error; /* all threads have ended: no lock */
    if (r < 0) {
        *err = e->run->err;
        return r;
    }
    return pictures_finish(e->pictures, err);
}

int encode_film(struct run *run, struct err *err)
{
    ASSERT(run->progress != NULL);
    ASSERT(!run->ladder->is_copy);
    struct encode *e = calloc(1, sizeof *e);
    if (e == NULL)
        return err_errno(err, -ENOMEM, "%s", run->probe->path);
    e->run = run;
    e->probe = run->probe;
    e->timescale = run->probe->video.timescale;
    e->last_pts = -1;
    atomic_store(&run->progress->duration_ms, run->probe->duration_us / 1000);
    int r = encode_run(e, err);
    if (r == 0)
        r = run_report(run, err);
    for (unsigned i = 0; i < e->renditions_count; i++)
        rendition_free(e->renditions[i]);
    for (unsigned i = 0; i < e->sounds_count; i++)
        sound_free(e->sounds[i]);
    pictures_free(e->pictures);
    timeline_free(e->timeline);
    orient_free(e->orient);
    avcodec_free_context(&e->decoder);
    av_frame_free(&e->decoded);
    av_frame_free(&e->turned);
    free(e);
    return r;
}
