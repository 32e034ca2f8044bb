/* SPDX-License-Identifier: Apache-2.0 */
/* render: what the HLS and DASH writers share: which tracks are shown, clean texts, links to blobs.
 *
 * Life:    calls.
 * Owner:   the caller's buf; the presentation is only read.
 * Threads: any.
 * Errors:  none; a buf keeps its own.
 * Units:   lines of picture; microseconds. */
#pragma once
#include "media/presentation.h"

/* Whether t is part of the views under a cap of height_max lines (0: none): audio, text, and video
 * that is not higher or is the lowest there is. Tracks without segments are never shown. */
bool render_shown(const struct presentation *p, const struct track *t, uint32_t height_max);

/* The track of this kind that plays when nobody chose: the first default, else the first; NULL. */
const struct track *render_default(const struct presentation *p, enum track_kind kind,
                                   uint32_t height_max);

/* Appends text as valid UTF-8 without control characters and without what neither XML nor a
 * playlist can hold: such bytes become U+FFFD, control characters spaces. */
void render_text(struct str text, struct buf *out);

/* The name for people of p->tracks[index], unlike that of any other track of its kind. */
void render_name(const struct presentation *p, uint32_t index, struct buf *out);

/* "und" when not known; never NULL. */
const char *render_language(const struct track *t);

/* prefix, "b/<digest>." and ext. */
void render_blob(const char *prefix, const struct digest *d, const char *ext, struct buf *out);

/* Ticks of the track as microseconds, rounded to the nearest. */
uint64_t render_us(const struct track *t, uint64_t ticks);
