/* SPDX-License-Identifier: Apache-2.0 */
/* sound: one audio track at work: a thread that decodes, resamples to stereo, encodes AAC-LC and
 * writes segments.
 *
 * Life:    sound_new -> sound_start -> sound_push*, sound_finish -> sound_join -> sound_free.
 * Owner:   encode_film. A pushed packet is the sound's, also after a failure.
 * Threads: push and finish by the demuxer's.
 * Errors:  run_fail; push: -ECANCELED once the run has failed.
 * Units:   packets carry their stream's times; the track counts samples.
 *
 * Segment n holds the AAC frames from the one nearest to (n - 1) segment durations to the one
 * nearest to n of them (a last one that would be a blink is part of the
 * one before): that depends on nothing but n, so a restart continues exactly. */
#pragma once
#include <libavcodec/packet.h>
#include "ingest/run.h"

struct sound;

/* -ENOTSUP (with a sentence) when the codec cannot be decoded here. */
MUST_USE int sound_new(struct run *run, const struct probe_audio *audio, struct err *err,
                       struct sound **ret);
MUST_USE int sound_start(struct sound *s);
MUST_USE int sound_push(struct sound *s, AVPacket *packet);
void sound_finish(struct sound *s);
void sound_join(struct sound *s);
struct sound *sound_free(struct sound *s);

int sound_stream(const struct sound *s);
int64_t sound_from_us(const struct sound *s); /* film time from which packets are needed */
