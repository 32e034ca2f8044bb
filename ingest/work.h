/* SPDX-License-Identifier: Apache-2.0 */
/* work: what a job has finished so far, on disk: blobs named by their digest and a journal, so that
 * a killed job goes on where it was.
 *
 * Life:    work_open (reads the journal, checks every blob) -> work_track, work_put... ->
 *          work_free. The folder stays until work_remove.
 * Owner:   the job. Tracks live as long as the work.
 * Threads: a track's puts by one thread; different tracks at once by different threads.
 *          work_counts: any thread. Everything else before the threads start or after they ended.
 * Errors:  -errno of the disk with a sentence in err.
 * Units:   bytes; ticks of the track's timescale.
 *
 * FOLDER/blobs/<digest> holds the bytes, FOLDER/journal one JSON line for each thing finished. A
 * blob is renamed into place before its line is written. Nothing is synced: what a power loss takes
 * away is seen by its digest and made again. */
#pragma once
#include <stdatomic.h>
#include "base/err.h"
#include "media/presentation.h"

struct work;

struct work_track {
    char id[PRESENTATION_ID_MAX + 1];
    struct digest init;
    uint32_t init_size; /* 0: none yet */
    struct segment *segments;
    uint32_t segments_count, segments_cap;
    uint64_t start; /* of segment 1 */
    uint64_t next;  /* where the first missing segment starts; 0 while there is none */
    bool is_done;
    struct work *work;
};

struct work_picture {
    char name[24]; /* "poster", "sheet-1" */
    struct picture picture;
};

MUST_USE int work_open(const char *folder, struct err *err, struct work **ret);
struct work *work_free(struct work *w);
DEFINE_CLEAN(struct work *, work_free)

/* The track of that id, made if it is new. */
MUST_USE int work_track(struct work *w, const char *id, struct work_track **ret);

/* The init segment; if the one kept differs, the track's segments are forgotten: they were made by
 * other settings. */
MUST_USE int work_put_init(struct work_track *t, struct str bytes, struct err *err);

/* The next segment: number segments_count + 1. */
MUST_USE int work_put_segment(struct work_track *t, struct str bytes, const struct segment *s,
                              uint64_t start, struct err *err);
MUST_USE int work_end_track(struct work_track *t, struct err *err);

/* Forgets what is kept of the track. */
MUST_USE int work_reset_track(struct work_track *t, struct err *err);

MUST_USE int work_put_picture(struct work *w, const char *name, struct str bytes, uint32_t width,
                              uint32_t height, struct err *err);
bool work_find_picture(const struct work *w, const char *name, struct picture *ret);

/* A number to remember ("tiles": how many there are when the film is through). */
MUST_USE int work_put_number(struct work *w, const char *name, uint64_t value, struct err *err);
bool work_find_number(const struct work *w, const char *name, uint64_t *ret);

/* Segments made by this process, and taken over from an earlier one. */
void work_counts(const struct work *w, uint64_t *ret_encoded, uint64_t *ret_reused);

/* "FOLDER/NAME", "FOLDER/blobs/DIGEST"; NULL when out of memory; caller frees. */
char *work_path(const struct work *w, const char *name);
char *work_blob_path(const struct work *w, const struct digest *d);
