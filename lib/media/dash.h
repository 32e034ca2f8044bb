/* SPDX-License-Identifier: Apache-2.0 */
/* dash: the MPEG-DASH manifest (MPD) of a presentation: SegmentTimeline, one SegmentURL a blob.
 *
 * Life:    a call, a text.
 * Owner:   the caller's buf.
 * Threads: any.
 * Errors:  -EINVAL when there is nothing to show; -ENOMEM.
 * Units:   -
 * Source:  ISO/IEC 23009-1:2022; DASH-IF IOP v5 (thumbnail_tile for sprite sheets). */
#pragma once
#include "media/presentation.h"

MUST_USE int dash_manifest(const struct presentation *p, uint32_t height_max, struct buf *out);
