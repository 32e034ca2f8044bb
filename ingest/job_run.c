/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/job.h"
#include <errno.h>
#include <stdio.h>
#include "base/clock.h"
#include "base/file.h"
#include "ingest/copy.h"
#include "ingest/encode.h"
#include "ingest/result.h"
#include "ingest/text.h"

/* What stands in a job's folder. */
static int job_run_work(const struct job_run *jr, struct work **ret, struct err *err)
{
    char name[64];
    (void)snprintf(name, sizeof name, "jobs/%s/work", jr->job->id);
    CLEAN(base_free) char *folder = file_join(jr->settings->state, name);
    return folder == NULL ? err_errno(err, -ENOMEM, "job %s", jr->job->id)
                          : work_open(folder, err, ret);
}

/* The film and the ladder must be those that the id was made from: segments of another film must
 * not be mixed in. */
static int job_run_same(const struct job_run *jr, struct err *err)
{
    char id[JOB_ID_SIZE];
    int r = job_id(jr->settings, &jr->job->ask, id, err);
    if (r == 0 && strcmp(id, jr->job->id) != 0)
        r = err_set(err, -ESTALE, "%s: film or ladder has changed since the job was made",
                    jr->job->ask.path);
    return r;
}

static void job_run_note(struct run *run)
{
    if (run->probe->bitmaps_count > 0)
        run_note(run, "%u picture subtitle track(s) left out", run->probe->bitmaps_count);
}

static int job_run_encode(const struct job_run *jr, struct run *run, struct err *err)
{
    struct job *j = jr->job;
    jr->enter(jr->arg, j, JOB_ENCODE, run->work);
    atomic_store(&j->started_ms, (int64_t)clock_mono_ms());
    job_run_note(run);
    int r = run->ladder->is_copy ? copy_film(run, err) : encode_film(run, err);
    if (r == 0)
        r = text_extract(run, result_duration_ms(run->probe, run->ladder, run->work), err);
    return r;
}

static int job_run_publish(const struct job_run *jr, struct run *run, struct publish_done *ret,
                           struct err *err)
{
    struct job *j = jr->job;
    CLEAN(presentation_free) struct presentation *film = NULL;
    struct result_about about = {.asset = j->ask.asset,
                                 .title = j->ask.title != NULL ? j->ask.title : j->ask.asset,
                                 .created_ms = j->created_ms};
    jr->enter(jr->arg, j, JOB_UPLOAD, run->work);
    int r = result_build(run->probe, run->ladder, run->work, &about, &film, err);
    if (r == 0)
        r = publish_film(&jr->settings->remote, run->work, film, &j->stop, &j->publish, ret, err);
    if (r == 0 && run->notes[0] != 0) {
        char warning[sizeof ret->warning.text];
        (void)snprintf(warning, sizeof warning, "%s", ret->warning.text);
        (void)snprintf(ret->warning.text, sizeof ret->warning.text, "%.300s%s%.200s", run->notes,
                       warning[0] != 0 ? "; " : "", warning);
    }
    return r;
}

int job_run(const struct job_run *jr, struct publish_done *ret_done, struct err *err)
{
    struct job *j = jr->job;
    struct ladder ladder;
    CLEAN(probe_free) struct probe *probe = NULL;
    CLEAN(work_free) struct work *work = NULL;
    jr->enter(jr->arg, j, JOB_PROBE, NULL);
    int r = job_run_same(jr, err);
    if (r == 0)
        r = ladder_load(j->ask.ladder, jr->settings->segment_ms, &ladder, err);
    if (r == 0)
        r = probe_open(j->ask.path, &probe, err);
    if (r == 0)
        r = job_run_work(jr, &work, err);
    if (r < 0)
        return r;
    if (ladder.is_copy)
        copy_prepare(probe);
    struct run run = {.probe = probe,
                      .ladder = &ladder,
                      .work = work,
                      .cores = jr->settings->cores,
                      .stop = &j->stop,
                      .progress = &j->progress};
    run_init(&run);
    struct publish_done done = {0};
    r = job_run_encode(jr, &run, err);
    if (r == 0)
        r = job_run_publish(jr, &run, &done, err);
    atomic_store(&j->damage.packets, atomic_load(&run.damage.packets));
    atomic_store(&j->damage.pictures, atomic_load(&run.damage.pictures));
    atomic_store(&j->damage.sounds, atomic_load(&run.damage.sounds));
    atomic_store(&j->damage.jumps, atomic_load(&run.damage.jumps));
    run_clear(&run);
    jr->enter(jr->arg, j, j->stage, NULL); /* work goes */
    if (r == 0)
        *ret_done = done;
    return r;
}
