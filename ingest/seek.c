/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/seek.h"
#include <errno.h>
#include <stdlib.h>

#define SEEK_PACKETS_MAX 4000    /* looked at after a seek */
#define SEEK_NEAR_US     3000000 /* nothing is saved for less */

static int seek_to(const struct probe *p, int64_t us)
{
    const AVStream *st = p->format->streams[p->video.index];
    int64_t time = av_rescale_q(us + p->start_us, AV_TIME_BASE_Q, st->time_base);
    return av_seek_frame(p->format, p->video.index, time, AVSEEK_FLAG_BACKWARD);
}

/* Whether a packet that comes first in its stream is early enough. */
static bool seek_packet_ok(const struct probe *p, const AVPacket *packet,
                           const struct seek_need *need)
{
    const AVStream *st = p->format->streams[packet->stream_index];
    if (packet->pts == AV_NOPTS_VALUE)
        return false;
    if (need->stream == p->video.index && (packet->flags & AV_PKT_FLAG_KEY) == 0)
        return false;
    int64_t us = av_rescale_q(packet->pts, st->time_base, AV_TIME_BASE_Q) - p->start_us;
    return us <= need->from_us;
}

/* Reads until the first packet of each needed stream was seen. */
static bool seek_landed(const struct probe *p, const struct seek_need *needs, unsigned count)
{
    bool seen[PROBE_AUDIOS_MAX + 1] = {false};
    unsigned left = count;
    AVPacket *packet = av_packet_alloc();
    bool ok = packet != NULL;
    for (unsigned n = 0; ok && left > 0; n++) {
        ok = n < SEEK_PACKETS_MAX && av_read_frame(p->format, packet) >= 0;
        for (unsigned i = 0; ok && i < count; i++) {
            if (needs[i].stream != packet->stream_index || seen[i])
                continue;
            seen[i] = true;
            left--;
            ok = seek_packet_ok(p, packet, &needs[i]);
        }
        if (packet != NULL)
            av_packet_unref(packet);
    }
    av_packet_free(&packet);
    return ok;
}

int seek_before(const struct probe *p, const struct seek_need *needs, unsigned count,
                struct err *err)
{
    ASSERT(count <= PROBE_AUDIOS_MAX + 1);
    int64_t from_us = INT64_MAX;
    for (unsigned i = 0; i < count; i++)
        from_us = MIN(from_us, needs[i].from_us);
    const char *name = p->format->iformat->name;
    bool has_index = strstr(name, "mp4") != NULL || strstr(name, "matroska") != NULL;
    if (count == 0 || from_us < SEEK_NEAR_US || !has_index)
        return 0;
    static const int64_t back_us[] = {1000000, 5000000, 30000000, 120000000};
    for (size_t i = 0; i < ARRAY_LEN(back_us); i++) {
        int64_t target_us = from_us - back_us[i];
        if (target_us <= 0)
            break;
        if (seek_to(p, target_us) >= 0 && seek_landed(p, needs, count) &&
            seek_to(p, target_us) >= 0)
            return 0;
    }
    int av = seek_to(p, -1000000); /* from the start after all */
    return av < 0 ? probe_error(err, p, av, "cannot be read from its start again") : 0;
}
