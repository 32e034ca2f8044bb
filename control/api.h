/* SPDX-License-Identifier: Apache-2.0 */
/* api: what the files of the API share: who asks, may they, and the way to a job.
 *
 * Life:    calls from a handler, or (api__user) from a job's work.
 * Owner:   the caller.
 * Threads: the request's loop; api__user on a pool thread.
 * Errors:  -EPROTO with the fault filled.
 * Units:   none. */
#pragma once
#include "control/job.h"

/* The session's token: bearer, else cookie; NULL when there is none or no memory. */
char *api__session(struct http_req *req);

/* The user who asks; caller decrefs. */
MUST_USE int api__user(struct job *job, json_t **ret);

/* A page of another origin can make a browser send our cookie, but neither with JSON's type nor
 * without telling its origin (SameSite=Lax keeps the cookie back besides). */
MUST_USE int api__check_post(struct control *c, struct http_req *req, struct fault *fault);
MUST_USE int api__check_origin(struct control *c, struct http_req *req, struct fault *fault);
void api__refuse(struct control *c, struct http_req *req, const struct fault *fault);

/* POST with a JSON object of these members: a job, or NULL after the refusal. */
struct job *api__post(struct control *c, struct http_req *req, const char *const *members,
                      int (*work)(struct job *job));
