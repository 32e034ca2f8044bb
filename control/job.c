/* SPDX-License-Identifier: Apache-2.0 */
#include "control/job.h"
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"

struct job *job_new(struct control *c, struct http_req *req, int (*work)(struct job *job))
{
    struct job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        http_reply_error(req, 503, "BUSY", "the service is busy, try again in a moment");
        return NULL;
    }
    job->magic = JOB_MAGIC;
    job->control = c;
    job->req = http_req_ref(req);
    job->loop = http_req_loop(req);
    job->live = control_live(c);
    job->work = work;
    job->status = 200;
    job->began_us = clock_mono_us();
    return job;
}

struct job *job_free(struct job *job)
{
    if (job == NULL)
        return NULL;
    ASSERT(job->magic == JOB_MAGIC);
    http_req_unref(job->req);
    live_unref(job->live);
    json_decref(job->body);
    json_decref(job->answer);
    free(job->session);
    free(job->asset);
    free(job->cursor);
    free(job->playback);
    free(job->user_id);
    json_decref(job->video);
    MAGIC_CLEAR(job);
    free(job);
    return NULL;
}

void job_refuse(struct http_req *req, const struct fault *fault)
{
    http_res_header(req, "cache-control", "no-store");
    if (fault->status == 503)
        http_res_header(req, "retry-after", "2");
    if (fault->status == 401)
        http_res_header(req, "www-authenticate", "Bearer");
    http_reply_error(req, fault->status, fault->code, "%s", fault->message);
}

static void job_answer(struct job *job)
{
    struct http_req *req = job->req;
    web_headers(job->live->web, req);
    if (job->sets_cookie)
        http_res_header(req, "set-cookie",
                        SESSION_COOKIE "=%s; Path=/; Max-Age=%d; HttpOnly; Secure; SameSite=Lax",
                        job->cookie, job->cookie[0] != 0 ? SESSION_LIFETIME_S : 0);
    if (job->error < 0) {
        job_refuse(req, &job->fault);
        return;
    }
    http_res_header(req, "cache-control", "no-store");
    if (job->answer == NULL) {
        http_reply(req, job->status, NULL, STR_NONE);
        return;
    }
    json_t *answer = job->answer;
    job->answer = NULL;
    http_reply_json(req, job->status, answer);
}

void job_finish(struct job *job)
{
    ASSERT(job->magic == JOB_MAGIC);
    if (job->error < 0)
        fault_of_errno(&job->fault, job->error, "answering a request");
    job_answer(job);
    metric_observe(job->control->work_seconds, (double)(clock_mono_us() - job->began_us) / 1e6);
    job_free(job);
}

/* Back on the loop. */
static void job_on_done(void *arg)
{
    struct job *job = arg;
    ASSERT(job->magic == JOB_MAGIC);
    if (job->error == 0 && job->then != NULL)
        job->then(job);
    else
        job_finish(job);
}

/* On a pool thread. */
static void job_on_pool(void *arg)
{
    struct job *job = arg;
    ASSERT(job->magic == JOB_MAGIC);
    struct control *c = job->control;
    /* At a quarter of a second each the queue may be far longer than anybody waits for an end. */
    if (job->hashes && atomic_load(&c->is_stopping))
        job->error = fault_set(&job->fault, 503, "STOPPING", "the service is stopping");
    else
        job->error = job->work(job);
    if (job->hashes)
        (void)atomic_fetch_sub_explicit(&c->passwords_waiting, 1, memory_order_relaxed);
    bool fails = job->error < 0 && job->error != -EPROTO && job->error != -ENOMEM;
    atomic_store_explicit(&c->db_fails, fails, memory_order_relaxed);
    if (loop_post(job->loop, job_on_done, job) < 0)
        /* Nowhere to free it either: its request belongs to the loop. The client times out. */
        log_error("out of memory: an answer is lost");
}

int control_run(struct control *c, struct job *job)
{
    int r = -EAGAIN;
    if (job->hashes && atomic_fetch_add_explicit(&c->passwords_waiting, 1, memory_order_relaxed) >=
                           CONTROL_PASSWORDS_MAX) {
        (void)atomic_fetch_sub_explicit(&c->passwords_waiting, 1, memory_order_relaxed);
        return -EAGAIN;
    }
    /* Under the lock, so that control_stop frees no pool that is about to be used. */
    (void)pthread_mutex_lock(&c->lock);
    struct pool *pool = job->hashes ? c->passwords : c->pool;
    if (pool != NULL)
        r = pool_run(pool, job_on_pool, job);
    (void)pthread_mutex_unlock(&c->lock);
    if (r < 0 && job->hashes)
        (void)atomic_fetch_sub_explicit(&c->passwords_waiting, 1, memory_order_relaxed);
    return r;
}

void job_submit(struct job *job)
{
    ASSERT(job->magic == JOB_MAGIC);
    int r = control_run(job->control, job);
    if (r == 0)
        return;
    (void)fault_set(&job->fault, 503, "BUSY", "the service is busy, try again in a moment");
    job->error = r;
    job_answer(job);
    job_free(job);
}
