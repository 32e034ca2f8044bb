/* SPDX-License-Identifier: Apache-2.0 */
/* job: one API request on its way from the loop to a pool thread and back.
 *
 * Life:    job_new -> fill in what was asked -> job_submit (answers in every case, and frees), by
 *          way of `then` where there is one and the work was good.
 *          job_free only for one that was not submitted.
 * Owner:   the loop, then the pool thread, then the loop again; never two at once.
 * Threads: job_new, job_submit, job_free on the request's loop.
 * Errors:  job_new gives NULL after it has answered (out of memory).
 * Units:   - */
#pragma once
#include "control/control.h"

struct job *job_new(struct control *c, struct http_req *req, int (*work)(struct job *job));
void job_submit(struct job *job);
void job_finish(struct job *job); /* the end of `then`: answers and frees */
struct job *job_free(struct job *job);

/* Answers in the error shape, at once. */
void job_refuse(struct http_req *req, const struct fault *fault);
