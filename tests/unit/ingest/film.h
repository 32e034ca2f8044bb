/* SPDX-License-Identifier: Apache-2.0 */
/* film: what the ingest tests share: films made by the ffmpeg program, an encode of one, and what
 * ffprobe says of the tracks that came out.
 *
 * Life:    film_folder in a group's setup, film_folder_remove in its teardown.
 * Owner:   paths and texts returned are the caller's.
 * Threads: one.
 * Errors:  a failure fails the test.
 * Units:   milliseconds. */
#pragma once
#include "../unit.h"
#include "ingest/encode.h"

extern char film_dir[64];

int film_folder(void **state);
int film_folder_remove(void **state);

/* Runs the command (printf's), in film_dir; fails the test unless it ends with 0. */
void film_run(const char *format, ...) PRINTF_LIKE(1, 2);

/* What the command prints, without a newline at the end. */
char *film_ask(const char *format, ...) PRINTF_LIKE(1, 2);

struct film_job {
    struct err err;
    struct ladder ladder;
    struct run_progress progress;
    atomic_bool stop;
    char notes[RUN_NOTES_SIZE];
    uint64_t encoded, reused;
};

/* Probes film_dir/name and encodes (or copies) it into film_dir/work. job->ladder is set before. */
int film_encode(struct film_job *job, const char *name, const char *work);
void film_ladder(struct film_job *job, uint32_t segment_ms, unsigned rungs, ...);

/* Opens the finished work again, as a restart would. */
struct work *film_work(const char *work);

/* Writes init and segments of a track one behind the other to film_dir/out; returns how many. */
unsigned film_export(const char *work, const char *track, const char *out);

/* Frames that ffprobe decodes from a file of film_dir; the test fails if it complains. */
unsigned film_frames(const char *name);
