/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/segmenter.h"
#include <errno.h>
#include <stdlib.h>

struct segmenter {
    uint32_t magic;
#define SEGMENTER_MAGIC UINT32_C(0x5e9aa7c3)
    struct work_track *track;
    struct cmaf_writer *writer;
    struct buf bytes; /* kept between segments: its memory is used again */
    uint32_t samples;
    bool is_replay;
    uint32_t replayed; /* segments compared so far */
};

int segmenter_new(struct work_track *track, uint32_t timescale, bool is_video,
                  struct segmenter **ret)
{
    struct segmenter *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    s->magic = SEGMENTER_MAGIC;
    s->track = track;
    int r = cmaf_writer_new(timescale, is_video, &s->writer);
    if (r < 0) {
        free(s);
        return r;
    }
    *ret = s;
    return 0;
}

struct segmenter *segmenter_free(struct segmenter *s)
{
    if (s == NULL)
        return NULL;
    ASSERT(s->magic == SEGMENTER_MAGIC);
    cmaf_writer_free(s->writer);
    buf_free(&s->bytes);
    MAGIC_CLEAR(s);
    free(s);
    return NULL;
}

void segmenter_replay(struct segmenter *s)
{
    s->is_replay = s->track->segments_count > 0;
}

bool segmenter_is_empty(const struct segmenter *s)
{
    return s->samples == 0;
}

int segmenter_add(struct segmenter *s, const struct cmaf_sample *sample, struct err *err)
{
    ASSERT(s->magic == SEGMENTER_MAGIC);
    int r = cmaf_writer_add(s->writer, sample);
    if (r < 0)
        return err_errno(err, r, "track %s: a sample at %lld of %u bytes", s->track->id,
                         (long long)sample->pts, sample->size);
    s->samples++;
    return 0;
}

int segmenter_cut(struct segmenter *s, int64_t end_pts, struct err *err)
{
    ASSERT(s->magic == SEGMENTER_MAGIC);
    if (s->samples == 0)
        return 0;
    struct segment segment;
    uint64_t start;
    uint32_t number = s->is_replay ? s->replayed + 1 : s->track->segments_count + 1;
    buf_clear(&s->bytes);
    int r = cmaf_writer_end(s->writer, number, end_pts, &s->bytes, &segment, &start);
    if (r < 0)
        return err_errno(err, r, "track %s: segment %u", s->track->id, number);
    s->samples = 0;
    if (s->is_replay) {
        if (!digest_eq(&segment.digest, &s->track->segments[number - 1].digest))
            return err_set(err, -ESTALE, "track %s: segment %u is not what it was", s->track->id,
                           number);
        s->replayed = number;
        s->is_replay = number < s->track->segments_count;
        return 0;
    }
    return work_put_segment(s->track, buf_str(&s->bytes), &segment, start, err);
}
