/* SPDX-License-Identifier: Apache-2.0 */
/* jobs: all jobs of the daemon, and the thread that runs them, one at a time, oldest first.
 *
 * Life:    jobs_new (takes up what an earlier daemon left) -> jobs_start -> calls -> jobs_stop
 *          (what runs is left to be taken up again) -> jobs_free.
 * Owner:   the daemon's main.
 * Threads: any. jobs_post blocks on disk and network: never on a loop.
 * Errors:  enum jobs_error's HTTP meaning is api.c's business; err has the sentence.
 * Units:   -  */
#pragma once
#include "base/metrics.h"
#include "ingest/job.h"

struct jobs;

MUST_USE int jobs_new(const struct job_settings *settings, struct metrics *metrics,
                      struct jobs **ret, struct err *err);
MUST_USE int jobs_start(struct jobs *s);
void jobs_stop(struct jobs *s);
struct jobs *jobs_free(struct jobs *s);

/* *ret: the job's JSON (the caller's). *ret_is_new: it was taken up by this call. -EINVAL (ladder,
 * asset), -ENOENT... (the film), -EHOSTDOWN (the origin does not say whether it is still there). */
MUST_USE int jobs_post(struct jobs *s, const struct job_ask *ask, json_t **ret, bool *ret_is_new,
                       struct err *err);
json_t *jobs_list(struct jobs *s);                /* NULL: out of memory */
json_t *jobs_get(struct jobs *s, const char *id); /* NULL: no such job */

/* Stops a job; ended is called once it has (on any thread, perhaps at once) with its JSON, which
 * ended owns (NULL: out of memory). discard: what it finished is thrown away. -ENOENT. */
typedef void jobs_ended(void *arg, json_t *job);
MUST_USE int jobs_delete(struct jobs *s, const char *id, bool discard, jobs_ended *ended,
                         void *arg);
