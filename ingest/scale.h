/* SPDX-License-Identifier: Apache-2.0 */
/* scale: pictures to one size and pixel format, from a pool of frames.
 *
 * Life:    scale_new -> scale_frame* -> scale_free. Frames outlive it: the pool is counted.
 * Owner:   one thread; a frame returned is the caller's.
 * Threads: one.
 * Errors:  -ENOMEM, -EINVAL (a pixel format that swscale does not take).
 * Units:   pixels. */
#pragma once
#include <libavutil/frame.h>
#include "base/base.h"

struct scale;

MUST_USE int scale_new(uint32_t width, uint32_t height, enum AVPixelFormat format,
                       struct scale **ret);
struct scale *scale_free(struct scale *s);

/* *ret has in's properties (times, opaque). It is a new reference to in's own picture where nothing
 * is to be done. Full range becomes limited range, except into yuvj formats. */
MUST_USE int scale_frame(struct scale *s, const AVFrame *in, AVFrame **ret);
