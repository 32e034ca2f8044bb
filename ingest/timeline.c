/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/timeline.h"
#include <errno.h>
#include <stdlib.h>

#define TIMELINE_EPOCHS  8 /* offsets that are remembered: streams jump one after another */
#define TIMELINE_STREAMS (PROBE_AUDIOS_MAX + 1)
#define TIMELINE_BLIP    8   /* packets; so short a stay behind a jump was one bad time */
#define TIMELINE_ORDER_S 5.0 /* between decoding and showing a picture */
#define TIMELINE_PACKET_US                                                                         \
    INT64_C(1000000) /* a longer duration says nothing about where the next starts */

/* All packets of one epoch are moved by the same offset. */
struct timeline_stream {
    bool is_begun;
    unsigned epoch; /* counted from the film's start */
    unsigned stay;  /* packets in it so far */
    int64_t last_us;
    unsigned epoch_before;
    int64_t last_before_us;
};

struct timeline {
    uint32_t magic;
#define TIMELINE_MAGIC UINT32_C(0x71e1c10c)
    const struct probe *probe;
    int64_t ahead_us;
    int64_t offsets[TIMELINE_EPOCHS]; /* of epoch n at n % TIMELINE_EPOCHS */
    unsigned epochs_count;
    int64_t head_us; /* end of all that was read */
    bool is_begun;
    int64_t skipped_us;
    struct timeline_stream streams[TIMELINE_STREAMS];
};

int timeline_new(const struct probe *p, struct timeline **ret)
{
    struct timeline *t = calloc(1, sizeof *t);
    if (t == NULL)
        return -ENOMEM;
    t->magic = TIMELINE_MAGIC;
    t->probe = p;
    bool jumpy = (p->format->iformat->flags & AVFMT_TS_DISCONT) != 0;
    t->ahead_us = jumpy ? TIMELINE_AHEAD_US : TIMELINE_STILL_US;
    t->epochs_count = 1;
    *ret = t;
    return 0;
}

struct timeline *timeline_free(struct timeline *t)
{
    if (t == NULL)
        return NULL;
    ASSERT(t->magic == TIMELINE_MAGIC);
    MAGIC_CLEAR(t);
    free(t);
    return NULL;
}

unsigned timeline_jumps(const struct timeline *t)
{
    return t->epochs_count - 1;
}

int64_t timeline_skipped_us(const struct timeline *t)
{
    return t->skipped_us;
}

static struct timeline_stream *timeline_stream(struct timeline *t, int index)
{
    if (index == t->probe->video.index)
        return &t->streams[0];
    for (unsigned i = 0; i < t->probe->audios_count; i++)
        if (t->probe->audios[i].index == index)
            return &t->streams[i + 1];
    return NULL;
}

static int64_t timeline_offset(const struct timeline *t, unsigned epoch)
{
    return t->offsets[epoch % TIMELINE_EPOCHS];
}

static bool timeline_fits(const struct timeline *t, const struct timeline_stream *s, int64_t us,
                          bool has_dts)
{
    if (!t->is_begun)
        return true;
    /* Without decode times pictures come out of order by themselves. */
    int64_t back_us = has_dts ? TIMELINE_BACK_US : 8 * TIMELINE_BACK_US;
    if (s->is_begun && us < s->last_us - back_us)
        return false;
    return us <= t->head_us + t->ahead_us;
}

/* The epoch that raw_us belongs to: the stream's own, another one that is remembered, or a new one
 * in which it continues the film. */
static unsigned timeline_epoch(struct timeline *t, struct timeline_stream *s, int64_t raw_us,
                               bool has_dts)
{
    if (timeline_fits(t, s, raw_us + timeline_offset(t, s->epoch), has_dts))
        return s->epoch;
    if (s->is_begun && s->stay <= TIMELINE_BLIP && s->epoch != s->epoch_before &&
        t->epochs_count - s->epoch_before <= TIMELINE_EPOCHS) {
        int64_t back_us = raw_us + timeline_offset(t, s->epoch_before);
        if (back_us >= s->last_before_us - TIMELINE_BACK_US && back_us <= t->head_us + t->ahead_us)
            return s->epoch_before;
    }
    unsigned oldest = t->epochs_count > TIMELINE_EPOCHS ? t->epochs_count - TIMELINE_EPOCHS : 0;
    for (unsigned n = t->epochs_count; n-- > oldest;)
        if (timeline_fits(t, s, raw_us + timeline_offset(t, n), has_dts))
            return n;
    int64_t offset = t->head_us - raw_us;
    int64_t skipped_us = timeline_offset(t, s->epoch) - offset;
    t->skipped_us += MAX(skipped_us, INT64_C(0));
    t->offsets[t->epochs_count % TIMELINE_EPOCHS] = offset;
    return t->epochs_count++;
}

static void timeline_move(AVPacket *p, int64_t offset_us, AVRational base)
{
    int64_t offset = av_rescale_q(offset_us, AV_TIME_BASE_Q, base);
    if (p->pts != AV_NOPTS_VALUE)
        p->pts += offset;
    if (p->dts != AV_NOPTS_VALUE)
        p->dts += offset;
}

/* Subtitles and the like come seldom: they go with the nearest of the clocks. */
static void timeline_follow(const struct timeline *t, AVPacket *p, int64_t raw_us, AVRational base)
{
    unsigned oldest = t->epochs_count > TIMELINE_EPOCHS ? t->epochs_count - TIMELINE_EPOCHS : 0;
    int64_t best_us = 0, best_far = INT64_MAX;
    for (unsigned n = t->epochs_count; n-- > oldest;) {
        int64_t far = llabs(raw_us + timeline_offset(t, n) - t->head_us);
        if (far < best_far) {
            best_far = far;
            best_us = timeline_offset(t, n);
        }
    }
    timeline_move(p, best_us, base);
}

/* Containers without decode times have them worked out by the demuxer, from the pictures in front:
 * across a jump they are of the other side. */
static void timeline_check_order(AVPacket *p, AVRational base)
{
    if (p->pts == AV_NOPTS_VALUE || p->dts == AV_NOPTS_VALUE)
        return;
    double apart_s = ((double)p->pts - (double)p->dts) * av_q2d(base);
    if (apart_s > TIMELINE_ORDER_S || apart_s < -TIMELINE_ORDER_S)
        p->dts = AV_NOPTS_VALUE;
}

bool timeline_take(struct timeline *t, AVPacket *p)
{
    ASSERT(t->magic == TIMELINE_MAGIC);
    AVRational base = t->probe->format->streams[p->stream_index]->time_base;
    timeline_check_order(p, base);
    bool has_dts = p->dts != AV_NOPTS_VALUE;
    int64_t time = has_dts ? p->dts : p->pts;
    struct timeline_stream *s = timeline_stream(t, p->stream_index);
    /* A time of more than 2^61 is no time: sums of it could not be trusted. */
    if (time == AV_NOPTS_VALUE || llabs(time) > INT64_MAX / 4)
        return false;
    int64_t raw_us = av_rescale_q(time, base, AV_TIME_BASE_Q);
    if (raw_us > INT64_MAX / 4 || raw_us < INT64_MIN / 4) {
        p->pts = p->dts = AV_NOPTS_VALUE;
        return false;
    }
    if (s == NULL) {
        timeline_follow(t, p, raw_us, base);
        return false;
    }
    if (av_rescale_q(p->duration, base, AV_TIME_BASE_Q) > t->ahead_us)
        p->duration = 0; /* as if the file had not said it */
    unsigned epoch = timeline_epoch(t, s, raw_us, has_dts);
    bool is_jump = s->is_begun && epoch != s->epoch;
    if (is_jump) {
        s->epoch_before = s->epoch;
        s->last_before_us = s->last_us;
        s->stay = 0;
    }
    s->epoch = epoch;
    s->stay++;
    s->last_us = raw_us + timeline_offset(t, epoch);
    s->is_begun = true;
    timeline_move(p, timeline_offset(t, epoch), base);
    int64_t end_us =
        p->pts != AV_NOPTS_VALUE ? av_rescale_q(p->pts, base, AV_TIME_BASE_Q) : s->last_us;
    end_us =
        MAX(end_us, s->last_us) +
        MIN(av_rescale_q(MAX(p->duration, INT64_C(0)), base, AV_TIME_BASE_Q), TIMELINE_PACKET_US);
    t->head_us = t->is_begun ? MAX(t->head_us, end_us) : end_us;
    t->is_begun = true;
    return is_jump;
}
