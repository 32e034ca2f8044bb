/* SPDX-License-Identifier: Apache-2.0 */
/* hls: HTTP Live Streaming playlists of a presentation.
 *
 * Life:    a call, a text.
 * Owner:   the caller's buf.
 * Threads: any.
 * Errors:  -EINVAL when the track cannot be shown that way; -ENOMEM.
 * Units:   -
 * Source:  RFC 8216 and draft-pantos-hls-rfc8216bis (fMP4, CODECS, EXT-X-I-FRAME-STREAM-INF). */
#pragma once
#include "media/presentation.h"

MUST_USE int hls_master(const struct presentation *p, uint32_t height_max, struct buf *out);
MUST_USE int hls_media(const struct presentation *p, const struct track *t, struct buf *out);
MUST_USE int hls_iframes(const struct presentation *p, const struct track *t, struct buf *out);
