/* SPDX-License-Identifier: Apache-2.0 */
/* job: one film on its way: what was asked, its folder, how far it is.
 *
 * Life:    job_new or job_load -> (queued) job_run on the encoder's thread -> job_free.
 * Owner:   jobs.c. Fields of the first part never change; those of the second are guarded by the
 *          lock of struct jobs, but for the atomics.
 * Threads: job_run: the encoder's; it takes the lock through the callback of struct job_run.
 * Errors:  -errno with a sentence in err.
 * Units:   milliseconds.
 *
 * STATE/jobs/<id>/job.json says what was asked, beside it the work; STATE/done/<id>.json is all
 * that is left of a job that is done. A job that failed leaves nothing, unless it failed with its
 * work made and only the origin or the disk in the way: then its folder is kept for a while. */
#pragma once
#include <jansson.h>
#include "ingest/publish.h"
#include "ingest/run.h"

#define JOB_ID_SIZE DIGEST_TEXT_SIZE

enum job_state { JOB_QUEUED, JOB_RUNNING, JOB_STOPPED, JOB_FAILED, JOB_DONE };
enum job_stage { JOB_PROBE, JOB_ENCODE, JOB_UPLOAD, JOB_PUBLISH };

struct job_ask {
    char *path, *asset, *ladder, *title; /* title: NULL: the asset's name */
};

struct job_waiter; /* jobs.c: who wants to know that it has ended */

struct job {
    uint32_t magic;
    char id[JOB_ID_SIZE];
    struct job_ask ask;
    int64_t created_ms;
    struct job *next; /* in the list of jobs.c */

    enum job_state state;
    enum job_stage stage;
    struct err error;   /* of a failed one */
    struct err warning; /* of one that is done */
    bool has_presentation;
    struct digest presentation;
    uint64_t generation;
    bool is_settling;   /* over, but its files are not in order yet: shown as running */
    bool is_discarded;  /* stop and throw away */
    bool is_stop_asked; /* by a call, not by the daemon's end: stays stopped after a restart */
    bool is_kept;       /* failed, but its folder is there to go on from */
    int64_t failed_ms;  /* when */
    struct job_waiter *waiters;

    atomic_bool stop;
    struct run_progress progress;
    struct publish_state publish;
    _Atomic int64_t started_ms; /* when encoding began, by the monotonic clock */
    struct run_damage damage;   /* of the film; all 0 while it is read */
    struct work *work;          /* while it runs: its counts */
    uint64_t encoded, reused;
};

struct job_settings {
    const char *state; /* folder */
    const char *spool; /* folder of uploads: their films go with their jobs; NULL: none */
    uint32_t segment_ms;
    unsigned cores;
    struct remote remote;
};

void job_ask_clear(struct job_ask *a);
MUST_USE int job_rename(struct job *j, const char *title); /* copies; NULL: nothing to do */

/* The id of what is asked, from the film's path, size and time and the ladder's content. -errno and
 * a sentence when film or ladder cannot be read. */
MUST_USE int job_id(const struct job_settings *s, const struct job_ask *ask, char ret[JOB_ID_SIZE],
                    struct err *err);

MUST_USE int job_new(const char *id, const struct job_ask *ask, int64_t created_ms,
                     struct job **ret); /* copies */
struct job *job_free(struct job *j);

MUST_USE int job_save(const struct job_settings *s, const struct job *j, struct err *err);
MUST_USE int job_load(const struct job_settings *s, const char *id, struct job **ret,
                      struct err *err);
MUST_USE int job_save_done(const struct job_settings *s, const struct job *j, struct err *err);
MUST_USE int job_load_done(const struct job_settings *s, const char *id, struct job **ret,
                           struct err *err);
void job_remove(const struct job_settings *s, const char *id);      /* its folder */
void job_remove_done(const struct job_settings *s, const char *id); /* its record */

/* The job as docs/api.md shows it; NULL when out of memory. */
json_t *job_show(const struct job *j);

/* All of it: probe, encode, upload, publish. enter: called at each new stage, and with the work (or
 * NULL) to be shown. *ret_done is set on success. */
struct job_run {
    const struct job_settings *settings;
    struct job *job;
    void (*enter)(void *arg, struct job *j, enum job_stage stage, struct work *work);
    void *arg;
};
MUST_USE int job_run(const struct job_run *run, struct publish_done *ret_done, struct err *err);
