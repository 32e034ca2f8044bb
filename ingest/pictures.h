/* SPDX-License-Identifier: Apache-2.0 */
/* pictures: a film's poster and its sheets of thumbnails, from the frames that are encoded anyway.
 *
 * Life:    pictures_new -> pictures_poster and pictures_tile with frames in order ->
 *          pictures_tiles_end -> (threads joined) -> pictures_finish -> pictures_free.
 * Owner:   encode_film.
 * Threads: pictures_poster: the decoder's. pictures_tile, pictures_tiles_end: the smallest
 *          rendition's. The rest: before the threads start or after they ended.
 * Errors:  run_fail from the threads' calls; finish: err.
 * Units:   frame times in ticks of the video timescale; milliseconds; pixels.
 *
 * Tiles are kept raw in WORK/tiles, each with its digest, until there are enough for sheets: a job
 * that goes on after a kill decodes from the first one that is missing. */
#pragma once
#include <libavutil/frame.h>
#include "ingest/run.h"

#define PICTURES_COLUMNS 10
#define PICTURES_ROWS    10

struct pictures;

MUST_USE int pictures_new(struct run *run, struct err *err, struct pictures **ret);
struct pictures *pictures_free(struct pictures *p);

/* Whether all tiles are there, and else the time from which frames are needed. */
bool pictures_tiles_done(const struct pictures *p);
int64_t pictures_tiles_from(const struct pictures *p);

bool pictures_tile_wanted(const struct pictures *p, int64_t pts);
MUST_USE int pictures_tile(struct pictures *p, const AVFrame *frame);
MUST_USE int pictures_tiles_end(struct pictures *p);
MUST_USE int pictures_poster(struct pictures *p, const AVFrame *frame); /* not yet scaled */

/* Writes poster and sheets to the work. */
MUST_USE int pictures_finish(struct pictures *p, struct err *err);

/* The numbers that go with the sheets in the work; false when there are no tiles. */
bool pictures_describe(const struct work *w, struct thumbnails *ret);
