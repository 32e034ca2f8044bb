/* SPDX-License-Identifier: Apache-2.0 */
/* copy: a film into segments as it is, without encoding: H.264 and HEVC, AAC, AC-3, E-AC-3, Opus.
 *
 * Life:    copy_prepare right after probe_open, then copy_film, which returns when all is done.
 * Owner:   the caller's run, run_init done, as for encode_film.
 * Threads: the caller's.
 * Errors:  -ENOTSUP with a sentence that says what cannot be copied and names the way out;
 *          -ECANCELED; else as encode_film.
 * Units:   -
 *
 * Segments are cut at the source's key frames. A restart goes through the file again and compares:
 * that is as fast as reading it. */
#pragma once
#include "ingest/run.h"

void copy_prepare(struct probe *p); /* our clock becomes the source's own, where that is exact */
MUST_USE int copy_film(struct run *run, struct err *err);

/* The id of the one video track: "v1080". */
void copy_video_id(const struct probe *p, char out[PROBE_ID_SIZE]);
