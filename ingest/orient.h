/* SPDX-License-Identifier: Apache-2.0 */
/* orient: turns pictures upright and takes interlacing out, for the films that need it. One picture
 * out for each one in, at its own time.
 *
 * Life:    orient_new -> orient_push and orient_pull, alternately -> orient_push(NULL), orient_pull
 *          -> orient_free.
 * Owner:   the decoder's thread.
 * Threads: one.
 * Errors:  AVERROR codes, as libavfilter's: orient_pull: EAGAIN, EOF.
 * Units:   frame times in the time base of orient_new. */
#pragma once
#include "ingest/probe.h"

struct orient;

bool orient_needed(const struct probe_video *v);
MUST_USE int orient_new(const struct probe_video *v, AVRational base, struct orient **ret);
struct orient *orient_free(struct orient *o);
MUST_USE int orient_push(struct orient *o, AVFrame *frame); /* takes over what frame refers to */
MUST_USE int orient_pull(struct orient *o, AVFrame *frame);
