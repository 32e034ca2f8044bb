/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/copy.h"
#include <errno.h>
#include <inttypes.h>
#include <libavcodec/avcodec.h>
#include <libavcodec/bsf.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include "ingest/pictures.h"
#include "ingest/segmenter.h"
#include "ingest/timeline.h"
#include "media/codec.h"
#include "media/media_ff_init.h"

#define COPY_GROUP_SIZE_MAX ((size_t)64 << 20) /* what fits a blob */

/* The packets from one key frame that starts a segment to the next: they wait here because the
 * segment in front ends where the earliest of them is shown, and that may be the last to come. */
struct copy_group {
    AVPacket **packets;
    unsigned count, cap;
    size_t size;
};

struct copy_track {
    struct run *run;
    struct work_track *track;
    struct segmenter *segmenter;
    const AVStream *stream;
    AVCodecParameters *par;
    AVBSFContext *adts; /* AAC in ADTS frames: takes the headers off */
    uint32_t timescale;
    bool is_video;
    bool has_init;
    unsigned length_size; /* of NAL units; 0: start codes */
    struct copy_group group;
    bool has_pending; /* the segmenter holds the segment in front of group */
    int64_t boundary; /* time from which the next key frame starts a segment */
    int64_t end_pts;
    int64_t floor_pts; /* packets in front of it are covered by what stands there already */
    bool is_film_start;
    struct buf sample;
};

struct copy {
    struct run *run;
    struct copy_track *tracks[PROBE_AUDIOS_MAX + 1]; /* the first: video */
    unsigned tracks_count;
    struct pictures *pictures;
    struct timeline *timeline;
    AVCodecContext *decoder; /* key frames only, for the pictures */
    AVFrame *frame;
};

void copy_prepare(struct probe *p)
{
    AVRational base = p->format->streams[p->video.index]->time_base;
    if (base.num == 1 && base.den > 1000 && base.den <= 10000000)
        p->video.timescale = (uint32_t)base.den;
    else
        p->video.timescale = 90000;
}

void copy_video_id(const struct probe *p, char out[PROBE_ID_SIZE])
{
    (void)snprintf(out, PROBE_ID_SIZE, "v%" PRIu32, MIN(p->video.width, p->video.height));
}

static int copy_refuse(const struct run *run, struct err *err, const char *format, const char *what)
{
    char why[160];
    (void)snprintf(why, sizeof why, "%s %s", format, what);
    return err_set(err, -ENOTSUP, "%s: %s, which cannot be copied: use --ladder auto",
                   run->probe->path, why);
}

/* --- one track -------------------------------------------------------------------------------- */

static void copy_group_clear(struct copy_group *g)
{
    for (unsigned i = 0; i < g->count; i++)
        av_packet_free(&g->packets[i]);
    g->count = 0;
    g->size = 0;
}

static void copy_track_free(struct copy_track *t)
{
    if (t == NULL)
        return;
    copy_group_clear(&t->group);
    free(t->group.packets);
    segmenter_free(t->segmenter);
    avcodec_parameters_free(&t->par);
    av_bsf_free(&t->adts);
    buf_free(&t->sample);
    free(t);
}

static bool copy_audio_ok(enum AVCodecID id)
{
    return id == AV_CODEC_ID_AAC || id == AV_CODEC_ID_AC3 || id == AV_CODEC_ID_EAC3 ||
           id == AV_CODEC_ID_OPUS;
}

/* How NAL units are framed: by the first byte of the description, 1 is that of avcC and hvcC. The
 * copy of the description says 4-byte lengths, which is what samples get. */
static int copy_framing(struct copy_track *t, struct err *err)
{
    bool is_hevc = t->par->codec_id == AV_CODEC_ID_HEVC;
    int at = is_hevc ? 21 : 4;
    if (t->par->extradata == NULL || t->par->extradata_size <= at)
        return copy_refuse(t->run, err, "its video has no", "parameter sets at its start");
    if (t->par->extradata[0] == 1) {
        t->length_size = (t->par->extradata[at] & 3U) + 1;
        t->par->extradata[at] |= 3;
    }
    return 0;
}

static int copy_open_adts(struct copy_track *t)
{
    const AVBitStreamFilter *filter = av_bsf_get_by_name("aac_adtstoasc");
    int av = filter == NULL ? AVERROR_BSF_NOT_FOUND : av_bsf_alloc(filter, &t->adts);
    if (av >= 0)
        av = avcodec_parameters_copy(t->adts->par_in, t->par);
    if (av >= 0) {
        t->adts->time_base_in = t->stream->time_base;
        av = av_bsf_init(t->adts);
    }
    return av;
}

static int copy_track_new(struct run *run, const char *id, int index, struct err *err,
                          struct copy_track **ret)
{
    struct copy_track *t = calloc(1, sizeof *t);
    if (t == NULL)
        return err_errno(err, -ENOMEM, "%s", run->probe->path);
    t->run = run;
    t->stream = run->probe->format->streams[index];
    t->is_video = index == run->probe->video.index;
    t->timescale =
        t->is_video ? run->probe->video.timescale : (uint32_t)t->stream->codecpar->sample_rate;
    t->par = avcodec_parameters_alloc();
    int r = t->par == NULL ? -ENOMEM : 0;
    if (r == 0 && avcodec_parameters_copy(t->par, t->stream->codecpar) < 0)
        r = -ENOMEM;
    if (r == 0)
        r = work_track(run->work, id, &t->track);
    if (r == 0)
        r = segmenter_new(t->track, t->timescale, t->is_video, &t->segmenter);
    if (r < 0) {
        copy_track_free(t);
        return err_errno(err, r, "%s: track %s", run->probe->path, id);
    }
    if (t->is_video)
        r = copy_framing(t, err);
    else if (t->par->codec_id == AV_CODEC_ID_AAC && t->par->extradata_size == 0) {
        int av = copy_open_adts(t);
        r = av < 0 ? probe_error(err, run->probe, av, "unwrapping AAC") : 0;
    }
    if (r < 0) {
        copy_track_free(t);
        return r;
    }
    segmenter_replay(t->segmenter);
    *ret = t;
    return 0;
}

/* The first packet without its ADTS header carries what the header said, even if the packet itself
 * is in front of the film's start and left out. */
static int copy_describe(struct copy_track *t, const AVPacket *p)
{
    size_t size = 0;
    const uint8_t *extra = av_packet_get_side_data(p, AV_PKT_DATA_NEW_EXTRADATA, &size);
    if (extra == NULL || size == 0 || t->par->extradata != NULL)
        return 0;
    t->par->extradata = av_mallocz(size + AV_INPUT_BUFFER_PADDING_SIZE);
    if (t->par->extradata == NULL)
        return AVERROR(ENOMEM);
    memcpy(t->par->extradata, extra, size);
    t->par->extradata_size = (int)size;
    return 0;
}

/* With the first packet: some codecs are described by it. */
static int copy_init(struct copy_track *t, const AVPacket *first, struct err *err)
{
    CLEAN_BUF struct buf init = BUF_EMPTY;
    bool by_data = t->par->codec_id == AV_CODEC_ID_AC3 || t->par->codec_id == AV_CODEC_ID_EAC3;
    int r = media_ff_init(t->par, t->timescale, by_data ? first : NULL, &init);
    if (r < 0)
        return copy_refuse(t->run, err, "its track", t->track->id);
    t->has_init = true;
    if (t->track->init_size > 0) { /* of a run before: the segments were made to go with it */
        struct digest d = digest_of(init.data, init.size);
        if (digest_eq(&d, &t->track->init))
            return 0;
        return err_set(err, -ESTALE, "track %s: its init segment is not what it was", t->track->id);
    }
    return work_put_init(t->track, buf_str(&init), err);
}

/* The NAL unit at *at, without its length; -EBADMSG when there is none: the picture is damaged. */
static int copy_nal(const struct copy_track *t, const AVPacket *p, size_t *at, uint32_t *ret_size)
{
    size_t size = (size_t)p->size;
    if (t->length_size > size - *at)
        return -EBADMSG;
    uint32_t n = 0;
    for (unsigned i = 0; i < t->length_size; i++)
        n = n << 8 | p->data[*at + i];
    *at += t->length_size;
    if (n == 0 || n > size - *at)
        return -EBADMSG;
    *ret_size = n;
    return 0;
}

static bool copy_is_whole(const struct copy_track *t, const AVPacket *p)
{
    uint32_t n = 0;
    if (p->size <= 0)
        return false;
    if (!t->is_video || t->length_size == 0)
        return true;
    for (size_t at = 0; at < (size_t)p->size; at += n)
        if (copy_nal(t, p, &at, &n) < 0)
            return false;
    return true;
}

/* Lengths of 1 to 3 bytes become 4. */
static int copy_widen(struct copy_track *t, const AVPacket *p)
{
    uint32_t n = 0;
    for (size_t at = 0; at < (size_t)p->size;) {
        if (copy_nal(t, p, &at, &n) < 0)
            return -EBADMSG;
        uint8_t head[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
        buf_put(&t->sample, head, sizeof head);
        buf_put(&t->sample, p->data + at, n);
        at += n;
    }
    return buf_error(&t->sample);
}

static int copy_sample(struct copy_track *t, const AVPacket *p, struct err *err)
{
    struct cmaf_sample s = {.data = p->data,
                            .size = (uint32_t)p->size,
                            .pts = p->pts,
                            .duration = (uint32_t)MIN(p->duration, (int64_t)UINT32_MAX),
                            .is_key = !t->is_video || (p->flags & AV_PKT_FLAG_KEY) != 0};
    int r = 0;
    buf_clear(&t->sample);
    if (t->is_video && t->length_size == 0) {
        struct str annexb = {(const char *)p->data, (size_t)p->size};
        enum codec_nal kind = t->par->codec_id == AV_CODEC_ID_HEVC ? CODEC_NAL_HEVC : CODEC_NAL_AVC;
        r = codec_annexb_to_lengths(annexb, kind, false, &t->sample);
    } else if (t->is_video && t->length_size != 4) {
        r = copy_widen(t, p);
    }
    if (r < 0)
        return err_errno(err, r, "%s: track %s: a picture's framing", t->run->probe->path,
                         t->track->id);
    if (t->sample.size > 0) {
        s.data = (const uint8_t *)t->sample.data;
        s.size = (uint32_t)t->sample.size;
    }
    t->end_pts = MAX(t->end_pts, p->pts + p->duration);
    return segmenter_add(t->segmenter, &s, err);
}

/* The group becomes the segmenter's segment; the one in front ends where it starts. */
static int copy_flush(struct copy_track *t, struct err *err)
{
    struct copy_group *g = &t->group;
    int64_t first = INT64_MAX;
    for (unsigned i = 0; i < g->count; i++)
        first = MIN(first, g->packets[i]->pts);
    int r = g->count > 0 && t->has_pending ? segmenter_cut(t->segmenter, first, err) : 0;
    for (unsigned i = 0; r == 0 && i < g->count; i++)
        r = copy_sample(t, g->packets[i], err);
    t->has_pending = t->has_pending || g->count > 0;
    copy_group_clear(g);
    return r;
}

static int copy_collect(struct copy_track *t, AVPacket *p, struct err *err)
{
    struct copy_group *g = &t->group;
    g->size += (size_t)p->size;
    if (g->size > COPY_GROUP_SIZE_MAX)
        return copy_refuse(t->run, err, "its key frames are too far apart in track", t->track->id);
    if (g->count == g->cap) {
        unsigned cap = MAX(g->cap * 2, 256U);
        AVPacket **grown = reallocarray(g->packets, cap, sizeof(AVPacket *));
        if (grown == NULL)
            return err_errno(err, -ENOMEM, "%s", t->run->probe->path);
        g->packets = grown;
        g->cap = cap;
    }
    for (unsigned i = 0; t->is_video && i < g->count; i++)
        if (g->packets[i]->pts == p->pts) { /* two pictures at one time: a tick apart */
            p->pts++;
            i = UINT_MAX; /* from the first again */
        }
    g->packets[g->count] = av_packet_alloc();
    if (g->packets[g->count] == NULL)
        return err_errno(err, -ENOMEM, "%s", t->run->probe->path);
    av_packet_move_ref(g->packets[g->count++], p);
    return 0;
}

/* Audio is cut with the frame nearest to the boundary, video with the first key frame behind it. */
static bool copy_is_start(struct copy_track *t, const AVPacket *p)
{
    int64_t half = t->is_video ? 0 : p->duration / 2;
    int64_t scaled = (p->pts + half) * 1000;
    int64_t length = (int64_t)t->run->ladder->segment_ms * t->timescale;
    bool is_key = !t->is_video || (p->flags & AV_PKT_FLAG_KEY) != 0;
    if (!is_key || scaled < t->boundary)
        return false;
    t->boundary = (scaled / length + 1) * length;
    return true;
}

/* One packet, times already ours. */
static int copy_take(struct copy_track *t, AVPacket *p, struct err *err)
{
    int r = t->has_init ? 0 : copy_init(t, p, err);
    if (r == 0 && copy_is_start(t, p))
        r = copy_flush(t, err);
    return r == 0 ? copy_collect(t, p, err) : r;
}

/* p has the source's times. */
static int copy_packet(struct copy_track *t, AVPacket *p, struct err *err)
{
    const struct probe *probe = t->run->probe;
    if (p->pts == AV_NOPTS_VALUE && !t->is_video)
        p->pts = p->dts;
    if (p->pts == AV_NOPTS_VALUE)
        return copy_refuse(t->run, err, "its packets have no times in track", t->track->id);
    p->pts = probe_ticks(probe, p->pts, t->stream->time_base, t->timescale);
    p->duration =
        av_rescale_q(p->duration, t->stream->time_base, (AVRational){1, (int)t->timescale});
    bool is_begun = t->group.count > 0 || t->has_pending;
    if (!copy_is_whole(t, p)) {
        if ((p->flags & AV_PKT_FLAG_CORRUPT) == 0) /* else it is counted already */
            atomic_fetch_add(&t->run->damage.packets, 1);
        return 0;
    }
    if (t->is_video && !is_begun && (p->flags & AV_PKT_FLAG_KEY) == 0)
        return 0; /* nothing can be shown before the first key frame */
    if (p->pts < 0 && !t->is_video)
        return 0; /* the encoder's delay: cut off by the source's own edit list as well */
    if (p->pts < 0)
        return copy_refuse(t->run, err, "an edit list cuts its", "first pictures off");
    if (p->pts < t->floor_pts)
        return 0;
    if (t->is_film_start || !t->is_video)
        t->floor_pts = p->pts + (t->is_video ? 0 : 1);
    t->is_film_start = false;
    return copy_take(t, p, err);
}

static int copy_adts(struct copy_track *t, AVPacket *p, struct err *err)
{
    int av = av_bsf_send_packet(t->adts, p);
    while (av >= 0) {
        av = av_bsf_receive_packet(t->adts, p);
        if (av == AVERROR(EAGAIN) || av == AVERROR_EOF)
            return 0;
        if (av >= 0)
            av = copy_describe(t, p);
        int r = av < 0 ? av : copy_packet(t, p, err);
        av_packet_unref(p);
        if (av >= 0 && r < 0)
            return r;
    }
    return probe_error(err, t->run->probe, av, "unwrapping AAC");
}

static int copy_track_end(struct copy_track *t, struct err *err)
{
    int r = copy_flush(t, err);
    if (r == 0)
        r = segmenter_cut(t->segmenter, t->is_video && t->end_pts > 0 ? t->end_pts : INT64_MIN,
                          err);
    return r == 0 ? work_end_track(t->track, err) : r;
}

/* --- the film --------------------------------------------------------------------------------- */

static int copy_open_decoder(struct copy *c)
{
    const AVStream *st = c->tracks[0]->stream;
    const AVCodec *codec = avcodec_find_decoder(st->codecpar->codec_id);
    c->frame = av_frame_alloc();
    c->decoder = codec == NULL ? NULL : avcodec_alloc_context3(codec);
    if (c->decoder == NULL || c->frame == NULL)
        return AVERROR(ENOMEM);
    int av = avcodec_parameters_to_context(c->decoder, st->codecpar);
    if (av < 0)
        return av;
    c->decoder->pkt_timebase = st->time_base;
    c->decoder->skip_frame = AVDISCARD_NONKEY;
    c->decoder->thread_count = 1;
    return avcodec_open2(c->decoder, codec, NULL);
}

/* Poster and thumbnails from the key frames; p NULL: no more. One that does not decode is no
 * loss. */
static int copy_pictures(struct copy *c, const AVPacket *p)
{
    if (avcodec_send_packet(c->decoder, p) < 0)
        return 0;
    int r = 0;
    while (r == 0 && avcodec_receive_frame(c->decoder, c->frame) >= 0) {
        AVFrame *f = c->frame;
        if (f->best_effort_timestamp != AV_NOPTS_VALUE) {
            f->pts = probe_ticks(c->run->probe, f->best_effort_timestamp, c->decoder->pkt_timebase,
                                 c->run->probe->video.timescale);
            r = pictures_poster(c->pictures, f);
            if (r == 0)
                r = pictures_tile(c->pictures, f);
        }
        av_frame_unref(f);
    }
    return r;
}

static int copy_open(struct copy *c, struct err *err)
{
    struct run *run = c->run;
    const struct probe *p = run->probe;
    const AVCodecParameters *par = p->format->streams[p->video.index]->codecpar;
    char id[PROBE_ID_SIZE];
    copy_video_id(p, id);
    if (par->codec_id != AV_CODEC_ID_H264 && par->codec_id != AV_CODEC_ID_HEVC)
        return copy_refuse(run, err, "its video is", avcodec_get_name(par->codec_id));
    if (p->video.rotation != 0)
        return copy_refuse(run, err, "its picture is", "turned");
    int r = copy_track_new(run, id, p->video.index, err, &c->tracks[0]);
    if (r < 0)
        return r;
    c->tracks_count = 1;
    for (unsigned i = 0; i < p->audios_count; i++) {
        par = p->format->streams[p->audios[i].index]->codecpar;
        if (!copy_audio_ok(par->codec_id))
            return copy_refuse(run, err, "its audio is", avcodec_get_name(par->codec_id));
        r = copy_track_new(run, p->audios[i].id, p->audios[i].index, err,
                           &c->tracks[c->tracks_count]);
        if (r < 0)
            return r;
        c->tracks_count++;
    }
    r = pictures_new(run, err, &c->pictures);
    if (r < 0)
        return r;
    int av = copy_open_decoder(c);
    return av < 0 ? probe_error(err, p, av, "opening the video decoder") : 0;
}

/* Where the pictures taken so far end. */
static int64_t copy_reach(const struct copy_track *t)
{
    int64_t reach = t->end_pts;
    for (unsigned i = 0; i < t->group.count; i++) {
        const AVPacket *p = t->group.packets[i];
        reach = MAX(reach, p->pts + MAX(p->duration, INT64_C(1)));
    }
    return reach;
}

static int copy_one(struct copy *c, AVPacket *p, struct err *err)
{
    unsigned jumps = timeline_jumps(c->timeline);
    bool is_jump = timeline_take(c->timeline, p);
    if (timeline_jumps(c->timeline) != jumps) {
        int r = run_jumped(c->run, timeline_jumps(c->timeline), err);
        if (r < 0)
            return r;
    }
    if ((p->flags & AV_PKT_FLAG_CORRUPT) != 0)
        atomic_fetch_add(&c->run->damage.packets, 1);
    for (unsigned i = 0; i < c->tracks_count; i++) {
        struct copy_track *t = c->tracks[i];
        if (t->stream->index != p->stream_index || t->track->is_done)
            continue;
        int r = 0;
        if (t->is_video && (p->flags & AV_PKT_FLAG_KEY) != 0)
            r = copy_pictures(c, p);
        if (r < 0) {
            *err = c->run->err;
            return r;
        }
        /* A jump to a key frame: another film begins, and what it shows in front of that frame
         * needs pictures that are not here. Elsewhere only the clock is wrong. */
        t->is_film_start = is_jump && t->is_video && (p->flags & AV_PKT_FLAG_KEY) != 0;
        if (t->is_film_start)
            t->floor_pts = copy_reach(t);
        r = t->adts != NULL ? copy_adts(t, p, err) : copy_packet(t, p, err);
        if (r == 0 && t->is_video)
            atomic_store(&c->run->progress->at_ms[0], t->end_pts * 1000 / t->timescale);
        return r;
    }
    return 0;
}

static int copy_check_end(struct copy *c, bool last_corrupt, struct err *err)
{
    const struct copy_track *t = c->tracks[0];
    const char *path = c->run->probe->path;
    const AVFormatContext *f = c->run->probe->format;
    if (last_corrupt)
        return err_set(err, -EBADMSG, "%s: is truncated: its last packet is not whole", path);
    if (t->track->segments_count == 0 && segmenter_is_empty(t->segmenter) && t->group.count == 0)
        return err_set(err, -EBADMSG, "%s: has no key frame", path);
    if (strstr(f->iformat->name, "mp4") == NULL || t->stream->duration <= 0 || t->track->is_done)
        return 0;
    int64_t said =
        av_rescale_q(t->stream->duration, t->stream->time_base, (AVRational){1, (int)t->timescale});
    said -= av_rescale(timeline_skipped_us(c->timeline), t->timescale, 1000000);
    int64_t got = copy_reach(t);
    if (said - got <= t->timescale || (said - got) * 50 <= said)
        return 0;
    return err_set(err, -EBADMSG, "%s: is truncated: it says %.1f s and ends after %.1f s", path,
                   (double)said / t->timescale, (double)got / t->timescale);
}

static int copy_read(struct copy *c, struct err *err)
{
    AVPacket *p = av_packet_alloc();
    int r = p == NULL ? err_errno(err, -ENOMEM, "%s", c->run->probe->path) : 0;
    bool last_corrupt = false;
    while (r == 0) {
        r = run_failed(c->run);
        if (r < 0)
            break;
        int av = av_read_frame(c->run->probe->format, p);
        if (av == AVERROR_EOF)
            break;
        last_corrupt = av >= 0 && (p->flags & AV_PKT_FLAG_CORRUPT) != 0;
        r = av < 0 ? probe_error(err, c->run->probe, av, "is truncated or damaged")
                   : copy_one(c, p, err);
        av_packet_unref(p);
    }
    av_packet_free(&p);
    if (r == 0)
        r = copy_check_end(c, last_corrupt, err);
    if (r == 0)
        r = copy_pictures(c, NULL);
    if (r == 0)
        r = pictures_tiles_end(c->pictures);
    for (unsigned i = 0; r == 0 && i < c->tracks_count; i++)
        if (!c->tracks[i]->track->is_done)
            r = copy_track_end(c->tracks[i], err);
    return r == 0 ? pictures_finish(c->pictures, err) : r;
}

/* What an earlier run left does not go with this one: begin afresh. */
static int copy_reset(struct copy *c, struct err *err)
{
    int r = 0;
    for (unsigned i = 0; r == 0 && i < c->tracks_count; i++)
        r = work_reset_track(c->tracks[i]->track, err);
    return r;
}

static int copy_once(struct run *run, struct err *err)
{
    struct copy c = {.run = run};
    atomic_store(&run->damage.packets, 0);
    int r = timeline_new(run->probe, &c.timeline);
    r = r < 0 ? err_errno(err, r, "%s", run->probe->path) : copy_open(&c, err);
    bool all_done = r == 0 && pictures_tiles_done(c.pictures);
    for (unsigned i = 0; i < c.tracks_count; i++)
        all_done = all_done && c.tracks[i]->track->is_done;
    if (r == 0)
        r = all_done ? pictures_finish(c.pictures, err) : copy_read(&c, err);
    if (r == -ESTALE && copy_reset(&c, err) < 0)
        r = -EIO;
    for (unsigned i = 0; i < c.tracks_count; i++)
        copy_track_free(c.tracks[i]);
    pictures_free(c.pictures);
    timeline_free(c.timeline);
    avcodec_free_context(&c.decoder);
    av_frame_free(&c.frame);
    return r;
}

int copy_film(struct run *run, struct err *err)
{
    ASSERT(run->ladder->is_copy);
    atomic_store(&run->progress->renditions, 1);
    atomic_store(&run->progress->duration_ms, run->probe->duration_us / 1000);
    int r = copy_once(run, err);
    if (r == 0)
        r = run_report(run, err);
    if (r != -ESTALE)
        return r;
    /* The reader stands at the end of the file. */
    int av = av_seek_frame(run->probe->format, -1, run->probe->start_us, AVSEEK_FLAG_BACKWARD);
    if (av < 0)
        return probe_error(err, run->probe, av, "cannot be read again");
    r = copy_once(run, err);
    return r == 0 ? run_report(run, err) : r;
}
