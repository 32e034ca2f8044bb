/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/jobs.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/heading.h"
#include "base/log.h"
#include "ingest/spool.h"

#define JOBS_KEPT_MAX 1000 /* ended ones that are still shown */

/* Folders of failed jobs that can go on from their finished work: so many, and so long. */
#define JOBS_FAILED_MAX    8
#define JOBS_FAILED_AGE_MS (INT64_C(7) * 24 * 3600 * 1000)

struct job_waiter {
    jobs_ended *ended;
    void *arg;
    struct job_waiter *next;
};

struct jobs {
    uint32_t magic;
#define JOBS_MAGIC UINT32_C(0x10b5a117)
    struct job_settings settings;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct job *first; /* oldest first */
    struct job *running;
    unsigned count;
    bool is_stopping;
    bool has_thread;
    pthread_t thread;
    struct metric *done, *failed, *encoded;
};

/* --- the list (under the lock) ---------------------------------------------------------------- */

static struct job *jobs_find(const struct jobs *s, const char *id)
{
    for (struct job *j = s->first; j != NULL; j = j->next)
        if (strcmp(j->id, id) == 0)
            return j;
    return NULL;
}

static bool jobs_has_ended(const struct job *j)
{
    return j->state == JOB_FAILED || j->state == JOB_DONE;
}

static void jobs_unlink(struct jobs *s, struct job *j)
{
    struct job **at = &s->first;
    while (*at != j)
        at = &(*at)->next;
    *at = j->next;
    s->count--;
}

static void jobs_add(struct jobs *s, struct job *j)
{
    struct job **at = &s->first;
    while (*at != NULL && (*at)->created_ms <= j->created_ms)
        at = &(*at)->next;
    j->next = *at;
    *at = j;
    s->count++;
    for (struct job *old = s->first; s->count > JOBS_KEPT_MAX && old != NULL;) {
        struct job *next = old->next;
        if (jobs_has_ended(old) && old != j && old != s->running && !old->is_kept) {
            jobs_unlink(s, old);
            job_free(old);
        }
        old = next;
    }
}

static struct job *jobs_next_queued(const struct jobs *s)
{
    for (struct job *j = s->first; j != NULL; j = j->next)
        if (j->state == JOB_QUEUED)
            return j;
    return NULL;
}

/* Under the lock. The oldest folders of failed jobs go: those above the number kept, and those that
 * nobody has come back to for a week. */
static void jobs_prune(struct jobs *s, int64_t now_ms)
{
    for (;;) {
        struct job *oldest = NULL;
        unsigned count = 0;
        for (struct job *j = s->first; j != NULL; j = j->next) {
            if (!j->is_kept || j == s->running)
                continue;
            count++;
            if (oldest == NULL || j->failed_ms < oldest->failed_ms)
                oldest = j;
        }
        if (oldest == NULL ||
            (count <= JOBS_FAILED_MAX && now_ms - oldest->failed_ms < JOBS_FAILED_AGE_MS))
            return;
        log_info("job %s of %s failed and was not asked for again: its segments go", oldest->id,
                 oldest->ask.asset);
        job_remove(&s->settings, oldest->id);
        oldest->is_kept = false;
    }
}

/* --- uploaded films --------------------------------------------------------------------------- */

static bool jobs_is_upload(const struct jobs *s, const struct job *j)
{
    return s->settings.spool != NULL && spool_owns(s->settings.spool, j->ask.path);
}

static void jobs_drop_upload(const struct jobs *s, const struct job *j)
{
    if (jobs_is_upload(s, j))
        spool_remove(j->ask.path);
}

/* A job that is still to do needs its film. */
static bool jobs_needs(void *arg, const char *path)
{
    const struct jobs *s = arg;
    for (const struct job *j = s->first; j != NULL; j = j->next)
        if (!jobs_has_ended(j) && strcmp(j->ask.path, path) == 0)
            return true;
    return false;
}

/* --- life ------------------------------------------------------------------------------------- */

static bool jobs_is_id(const char *name)
{
    struct digest d;
    return digest_parse(str_of(name), &d) == 0;
}

static int jobs_take_up(struct jobs *s, struct err *err)
{
    CLEAN(base_free) char *folder = file_join(s->settings.state, "jobs");
    int r = folder == NULL ? -ENOMEM : file_mkdirs(folder);
    if (r < 0)
        return err_errno(err, r, "making the folder of jobs in %s", s->settings.state);
    DIR *d = opendir(folder);
    if (d == NULL)
        return err_errno(err, -errno, "reading %s", folder);
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        struct job *j = NULL;
        struct err why = {0};
        if (!jobs_is_id(e->d_name))
            continue;
        int got = job_load(&s->settings, e->d_name, &j, &why);
        if (got == 0 && j->is_discarded) { /* the daemon ended while it was being thrown away */
            job_remove(&s->settings, j->id);
            job_free(j);
        } else if (got == 0) {
            if (j->state == JOB_QUEUED)
                log_info("job %s of %s is taken up again", j->id, j->ask.asset);
            jobs_add(s, j);
        } else {
            log_warn("%s: thrown away", why.text);
            job_remove(&s->settings, e->d_name);
        }
    }
    (void)closedir(d); /* it was read only */
    jobs_prune(s, clock_real_ms());
    if (s->settings.spool != NULL)
        spool_sweep(s->settings.spool, jobs_needs, s);
    return 0;
}

int jobs_new(const struct job_settings *settings, struct metrics *metrics, struct jobs **ret,
             struct err *err)
{
    struct jobs *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_errno(err, -ENOMEM, "starting");
    s->magic = JOBS_MAGIC;
    s->settings = *settings;
    pthread_mutex_init(&s->lock, NULL); /* with default attributes these cannot fail */
    pthread_cond_init(&s->changed, NULL);
    s->done =
        metrics_counter(metrics, "weir_ingest_jobs_total", "Jobs that ended", "result=\"done\"");
    s->failed =
        metrics_counter(metrics, "weir_ingest_jobs_total", "Jobs that ended", "result=\"failed\"");
    s->encoded = metrics_counter(metrics, "weir_ingest_segments_encoded_total",
                                 "Segments made by jobs that ended", "");
    int r = jobs_take_up(s, err);
    if (r < 0) {
        jobs_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

struct jobs *jobs_free(struct jobs *s)
{
    if (s == NULL)
        return NULL;
    ASSERT(s->magic == JOBS_MAGIC);
    ASSERT(!s->has_thread);
    while (s->first != NULL) {
        struct job *j = s->first;
        s->first = j->next;
        job_free(j);
    }
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    MAGIC_CLEAR(s);
    free(s);
    return NULL;
}

/* --- running ---------------------------------------------------------------------------------- */

static void jobs_enter(void *arg, struct job *j, enum job_stage stage, struct work *work)
{
    struct jobs *s = arg;
    pthread_mutex_lock(&s->lock);
    j->stage = stage;
    if (work == NULL && j->work != NULL)
        work_counts(j->work, &j->encoded, &j->reused);
    j->work = work;
    pthread_mutex_unlock(&s->lock);
}

/* Under the lock; the waiters are called without it. */
static struct job_waiter *jobs_ended_now(struct jobs *s, struct job *j, int r,
                                         const struct publish_done *done, const struct err *err)
{
    if (r == 0) {
        j->state = JOB_DONE;
        j->stage = JOB_PUBLISH;
        j->has_presentation = true;
        j->presentation = done->presentation;
        j->generation = done->generation;
        j->warning = done->warning;
        metric_add(s->done, 1);
    } else if (r == -ECANCELED) {
        j->state = s->is_stopping && !j->is_stop_asked ? JOB_QUEUED : JOB_STOPPED;
    } else {
        j->state = JOB_FAILED;
        j->error = *err;
        /* What was encoded is good: the origin, or room on a disk, was what lacked. */
        j->is_kept = !j->is_discarded && !jobs_is_upload(s, j) &&
                     (j->stage == JOB_UPLOAD || r == -ENOSPC || r == -EDQUOT);
        j->failed_ms = clock_real_ms();
        metric_add(s->failed, 1);
    }
    metric_add(s->encoded, j->encoded);
    j->is_settling = true;
    struct job_waiter *waiters = j->waiters;
    j->waiters = NULL;
    return waiters;
}

/* What of the job stays on disk. The record of a done job comes before its folder goes: whatever
 * happens in between, the film is not encoded again. */
static void jobs_keep(struct jobs *s, struct job *j)
{
    struct err err = {0};
    int r = 0;
    if (j->state == JOB_DONE)
        r = job_save_done(&s->settings, j, &err);
    bool is_left = j->state == JOB_STOPPED || (j->state == JOB_FAILED && j->is_kept);
    if (is_left && !j->is_discarded)
        r = job_save(&s->settings, j, &err);
    if (r < 0)
        log_error("%s", err.text);
    if (j->state == JOB_DONE || (j->state == JOB_FAILED && !j->is_kept) || j->is_discarded) {
        job_remove(&s->settings, j->id);
        jobs_drop_upload(s, j);
    }
}

static void jobs_tell(struct job_waiter *waiters, json_t *shown)
{
    while (waiters != NULL) {
        struct job_waiter *w = waiters;
        waiters = w->next;
        w->ended(w->arg, json_deep_copy(shown));
        free(w);
    }
    json_decref(shown);
}

static void jobs_run_one(struct jobs *s, struct job *j)
{
    struct publish_done done = {0};
    struct err err = {0};
    struct job_run run = {.settings = &s->settings, .job = j, .enter = jobs_enter, .arg = s};
    log_info("job %s: %s becomes %s", j->id, j->ask.path, j->ask.asset);
    int r = job_run(&run, &done, &err);
    pthread_mutex_lock(&s->lock);
    struct job_waiter *waiters = jobs_ended_now(s, j, r, &done, &err);
    pthread_mutex_unlock(&s->lock);
    jobs_keep(s, j); /* its state changes on this thread only while it is s->running */
    if (j->state == JOB_FAILED)
        log_error("job %s failed: %s", j->id, j->error.text);
    else
        log_info("job %s: %s", j->id, j->state == JOB_DONE ? "done" : "stopped");
    pthread_mutex_lock(&s->lock);
    s->running = NULL;
    j->is_settling = false;
    jobs_prune(s, clock_real_ms());
    json_t *shown = job_show(j);
    if (j->is_discarded && j->state == JOB_STOPPED) {
        jobs_unlink(s, j);
        job_free(j);
    }
    pthread_mutex_unlock(&s->lock);
    jobs_tell(waiters, shown);
}

static void *jobs_thread(void *arg)
{
    struct jobs *s = arg;
    for (;;) {
        pthread_mutex_lock(&s->lock);
        struct job *j = NULL;
        while (!s->is_stopping && (j = jobs_next_queued(s)) == NULL)
            pthread_cond_wait(&s->changed, &s->lock);
        if (s->is_stopping) {
            pthread_mutex_unlock(&s->lock);
            return NULL;
        }
        j->state = JOB_RUNNING;
        s->running = j;
        pthread_mutex_unlock(&s->lock);
        jobs_run_one(s, j);
    }
}

int jobs_start(struct jobs *s)
{
    int e = pthread_create(&s->thread, NULL, jobs_thread, s);
    s->has_thread = e == 0;
    return -e;
}

void jobs_stop(struct jobs *s)
{
    pthread_mutex_lock(&s->lock);
    s->is_stopping = true;
    if (s->running != NULL)
        atomic_store(&s->running->stop, true);
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (s->has_thread)
        (void)pthread_join(s->thread, NULL); /* fails for a thread that is not there only */
    s->has_thread = false;
}

/* --- calls ------------------------------------------------------------------------------------ */

static bool jobs_asset_ok(const char *asset)
{
    size_t size = strlen(asset);
    if (size == 0 || size > 128 || asset[0] == '.')
        return false;
    for (size_t i = 0; i < size; i++)
        if (!isalnum((unsigned char)asset[i]) && strchr("._-", asset[i]) == NULL)
            return false;
    return true;
}

static int jobs_check(const struct job_ask *ask, struct err *err)
{
    if (!jobs_asset_ok(ask->asset))
        return err_set(err, -EINVAL,
                       "'%s' is not an asset name: 1 to 128 of A-Z a-z 0-9 . _ -, "
                       "not starting with a dot",
                       ask->asset);
    if (ask->path[0] != '/')
        return err_set(err, -EINVAL, "the film's path must start with /");
    bool is_named = strcmp(ask->ladder, "auto") == 0 || strcmp(ask->ladder, "copy") == 0;
    if (!is_named && ask->ladder[0] != '/')
        return err_set(err, -EINVAL, "ladder must be auto, copy or a path that starts with /");
    return ask->title == NULL ? 0 : heading_check(str_of(ask->title), err);
}

/* What publishing again has changed of a done job. */
static int jobs_take_done(struct job *j, const struct publish_done *done, const char *title)
{
    int r = job_rename(j, title);
    if (r == 0) {
        j->presentation = done->presentation;
        j->generation = done->generation;
        j->warning = done->warning;
    }
    return r;
}

/* A job that is done and known here or by its record: is it still published? 0: yes, *ret. */
static int jobs_post_done(struct jobs *s, const char *id, const char *title, json_t **ret,
                          struct err *err)
{
    struct job *j = NULL;
    struct err none;
    struct publish_done done;
    if (job_load_done(&s->settings, id, &j, &none) < 0)
        return -ENOENT;
    int r = publish_again(&s->settings.remote, j->ask.asset, &j->presentation, title, &done, err);
    if (r == 0) {
        r = jobs_take_done(j, &done, title);
        r = r < 0 ? err_errno(err, r, "job %s", id) : job_save_done(&s->settings, j, err);
    }
    if (r == 0) {
        pthread_mutex_lock(&s->lock);
        struct job *known = jobs_find(s, id);
        bool is_done = known != NULL && known->state == JOB_DONE;
        if (is_done)
            r = jobs_take_done(known, &done, title);
        *ret = r < 0 ? NULL : job_show(is_done ? known : j);
        if (known == NULL) {
            jobs_add(s, j); /* GET /jobs/<id> finds it now */
            j = NULL;
        }
        pthread_mutex_unlock(&s->lock);
        if (*ret == NULL)
            r = err_errno(err, -ENOMEM, "job %s", id);
    } else if (r == -ENOENT) {
        job_remove_done(&s->settings, id);
    }
    job_free(j);
    return r;
}

/* Under the lock. Puts an ended or stopped job into the queue again, from its beginning. */
static void jobs_again(struct job *j)
{
    j->state = JOB_QUEUED;
    j->stage = JOB_PROBE;
    j->error.text[0] = j->warning.text[0] = 0;
    j->has_presentation = false;
    j->is_discarded = false;
    j->is_stop_asked = false;
    j->is_kept = false;
    j->encoded = j->reused = 0;
    atomic_store(&j->stop, false);
    atomic_store(&j->progress.renditions, 0);
    atomic_store(&j->publish.blobs, 0);
    atomic_store(&j->publish.blobs_done, 0);
    atomic_store(&j->publish.is_publishing, false);
    for (unsigned i = 0; i < LADDER_RUNGS_MAX; i++)
        atomic_store(&j->progress.at_ms[i], 0);
}

static int jobs_queue(struct jobs *s, const char *id, const struct job_ask *ask, json_t **ret,
                      bool *ret_is_new, struct err *err)
{
    int r = 0;
    pthread_mutex_lock(&s->lock);
    struct job *j = jobs_find(s, id);
    bool is_new = j == NULL || jobs_has_ended(j) || j->state == JOB_STOPPED;
    bool is_renamed =
        j != NULL && ask->title != NULL && !str_eq(str_of(ask->title), str_of(j->ask.title));
    if (j != NULL && j == s->running && is_renamed) {
        is_new = false; /* its thread reads the title */
        r = err_set(err, -EAGAIN, "the job runs under another title: try again when it has ended");
    } else if (is_renamed && job_rename(j, ask->title) < 0) {
        is_new = false;
        r = err_errno(err, -ENOMEM, "job %s", id);
    } else if (j == NULL) {
        r = job_new(id, ask, clock_real_ms(), &j);
        if (r == 0)
            jobs_add(s, j);
        else
            (void)err_errno(err, r, "job %s", id);
    } else if (is_new && j != s->running) {
        jobs_again(j);
    } else if (is_new) {
        r = err_set(err, -EAGAIN, "the job is just ending: try again");
    }
    if (r == 0 && (is_new || is_renamed))
        r = job_save(&s->settings, j, err);
    if (r == 0) {
        *ret = job_show(j);
        *ret_is_new = is_new;
        pthread_cond_broadcast(&s->changed);
        if (*ret == NULL)
            r = err_errno(err, -ENOMEM, "job %s", id);
    } else if (is_new && j != NULL && j != s->running) {
        jobs_unlink(s, j); /* what cannot be recorded is not begun */
        job_free(j);
    }
    pthread_mutex_unlock(&s->lock);
    return r;
}

int jobs_post(struct jobs *s, const struct job_ask *ask, json_t **ret, bool *ret_is_new,
              struct err *err)
{
    ASSERT(s->magic == JOBS_MAGIC);
    char id[JOB_ID_SIZE];
    int r = jobs_check(ask, err);
    if (r == 0)
        r = job_id(&s->settings, ask, id, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&s->lock);
    const struct job *j = jobs_find(s, id);
    bool may_be_done = j == NULL || j->state == JOB_DONE;
    pthread_mutex_unlock(&s->lock);
    if (may_be_done) {
        r = jobs_post_done(s, id, ask->title, ret, err);
        if (r != -ENOENT) {
            *ret_is_new = false;
            return r;
        }
    }
    return jobs_queue(s, id, ask, ret, ret_is_new, err);
}

json_t *jobs_list(struct jobs *s)
{
    json_t *list = json_array();
    pthread_mutex_lock(&s->lock);
    for (const struct job *j = s->first; list != NULL && j != NULL; j = j->next) {
        if (json_array_append_new(list, job_show(j)) < 0) {
            json_decref(list);
            list = NULL;
        }
    }
    pthread_mutex_unlock(&s->lock);
    return list;
}

json_t *jobs_get(struct jobs *s, const char *id)
{
    pthread_mutex_lock(&s->lock);
    const struct job *j = jobs_find(s, id);
    json_t *shown = j == NULL ? NULL : job_show(j);
    pthread_mutex_unlock(&s->lock);
    return shown;
}

/* Under the lock. A job that is not running: stopped here and now. */
static json_t *jobs_stop_idle(struct jobs *s, struct job *j, bool discard)
{
    if (j->state == JOB_QUEUED)
        j->state = JOB_STOPPED;
    if (discard && j->is_kept) {
        job_remove(&s->settings, j->id);
        j->is_kept = false;
    }
    j->is_discarded = discard && j->state == JOB_STOPPED;
    json_t *shown = job_show(j);
    if (j->state == JOB_STOPPED)
        jobs_keep(s, j);
    if (j->is_discarded) {
        jobs_unlink(s, j);
        job_free(j);
    }
    return shown;
}

int jobs_delete(struct jobs *s, const char *id, bool discard, jobs_ended *ended, void *arg)
{
    ASSERT(s->magic == JOBS_MAGIC);
    struct job_waiter *w = malloc(sizeof *w);
    if (w == NULL)
        return -ENOMEM;
    pthread_mutex_lock(&s->lock);
    struct job *j = jobs_find(s, id);
    json_t *shown = NULL;
    bool waits = j != NULL && j == s->running && j->state == JOB_RUNNING;
    if (waits) {
        *w = (struct job_waiter){ended, arg, j->waiters};
        j->waiters = w;
        j->is_discarded = j->is_discarded || discard;
        j->is_stop_asked = true;
        atomic_store(&j->stop, true);
        /* Written now: a daemon that ends before the job has must not take it up again. */
        struct err err = {0};
        if (job_save(&s->settings, j, &err) < 0)
            log_error("%s", err.text);
    } else if (j != NULL) {
        shown = j == s->running ? job_show(j) : jobs_stop_idle(s, j, discard);
    }
    pthread_mutex_unlock(&s->lock);
    if (!waits)
        free(w);
    if (j == NULL)
        return -ENOENT;
    if (!waits)
        ended(arg, shown);
    return 0;
}
