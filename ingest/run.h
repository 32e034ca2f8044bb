/* SPDX-License-Identifier: Apache-2.0 */
/* run: what all threads of one encode share: the film, where results go, the first error, progress.
 *
 * Life:    run_init -> encode_film or copy_film, text_extract -> run_clear.
 * Owner:   the job.
 * Threads: run_fail, run_failed, run_note, run_at: any. run_queue: before the threads start.
 * Errors:  the first run_fail counts; it aborts all queues, so that every thread ends soon.
 * Units:   milliseconds of film. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include "ingest/ladder.h"
#include "ingest/probe.h"
#include "ingest/queue.h"
#include "ingest/work.h"

#define RUN_QUEUES_MAX (LADDER_RUNGS_MAX + PROBE_AUDIOS_MAX)
#define RUN_NOTES_SIZE 512

/* Shown to whoever watches while the encode runs; lives longer than it. */
struct run_progress {
    _Atomic int64_t at_ms[LADDER_RUNGS_MAX]; /* each rendition's place in the film */
    atomic_uint renditions;
    _Atomic int64_t from_ms;     /* the mean of at_ms when this run began */
    _Atomic int64_t duration_ms; /* as expected; the real one at the end */
};

/* What of a film was not as it should be; kept in the work, for a run that finds it all made. */
struct run_damage {
    atomic_uint packets;  /* that the container calls damaged, or whose framing is broken */
    atomic_uint pictures; /* that could not be decoded, or not wholly */
    atomic_uint sounds;   /* the same */
    atomic_uint jumps;    /* of the film's clock */
};

struct run {
    const struct probe *probe;
    const struct ladder *ladder;
    struct work *work;
    unsigned cores;
    const atomic_bool *stop; /* set from outside: end soon with -ECANCELED */
    struct run_progress *progress;
    pthread_mutex_t lock;
    int error;
    struct err err;
    char notes[RUN_NOTES_SIZE]; /* sentences on what was left out */
    struct run_damage damage;
    struct queue *queues[RUN_QUEUES_MAX];
    unsigned queues_count;
};

void run_init(struct run *r);
void run_clear(struct run *r);
void run_queue(struct run *r, struct queue *q); /* to be aborted on failure; stays its owner's */
void run_fail(struct run *r, int error, const struct err *err);
int run_failed(struct run *r); /* the first error, -ECANCELED when asked to stop, or 0 */
void run_note(struct run *r, const char *format, ...) PRINTF_LIKE(2, 3);

/* A jump of the film's clock was met: remembered at once, for a later run must not seek past it. */
MUST_USE int run_jumped(struct run *r, unsigned jumps, struct err *err);
bool run_has_jumps(const struct run *r);

/* All is read: damage becomes notes, and numbers of the work. */
MUST_USE int run_report(struct run *r, struct err *err);
