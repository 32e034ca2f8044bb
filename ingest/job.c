/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/job.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#define JOB_MAGIC         UINT32_C(0x70b5e1a9)
#define JOB_FILE_SIZE_MAX ((size_t)64 << 10)
#define JOB_ENCODE_SHARE  0.95 /* of the progress; the rest is the upload's */

static const char *const job_states[] = {"queued", "running", "stopped", "failed", "done"};
static const char *const job_stages[] = {"probe", "encode", "upload", "publish"};

void job_ask_clear(struct job_ask *a)
{
    free(a->path);
    free(a->asset);
    free(a->ladder);
    free(a->title);
    *a = (struct job_ask){0};
}

static int job_ask_copy(const struct job_ask *from, struct job_ask *ret)
{
    struct job_ask a = {
        .path = str_dup(str_of(from->path)),
        .asset = str_dup(str_of(from->asset)),
        .ladder = str_dup(str_of(from->ladder)),
        .title = from->title == NULL ? NULL : str_dup(str_of(from->title)),
    };
    if (a.path == NULL || a.asset == NULL || a.ladder == NULL ||
        (from->title != NULL && a.title == NULL)) {
        job_ask_clear(&a);
        return -ENOMEM;
    }
    *ret = a;
    return 0;
}

int job_id(const struct job_settings *s, const struct job_ask *ask, char ret[JOB_ID_SIZE],
           struct err *err)
{
    struct stat st;
    struct ladder ladder;
    CLEAN_BUF struct buf b = BUF_EMPTY;
    if (stat(ask->path, &st) < 0)
        return err_errno(err, -errno, "%s", ask->path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, -EINVAL, "%s: is not a file", ask->path);
    int r = ladder_load(ask->ladder, s->segment_ms, &ladder, err);
    if (r < 0)
        return r;
    /* NUL cannot be part of a path, so that no two askings give the same bytes. */
    buf_put(&b, ask->path, strlen(ask->path) + 1);
    buf_put(&b, ask->asset, strlen(ask->asset) + 1);
    buf_printf(&b, "%jd %jd.%09ld ", (intmax_t)st.st_size, (intmax_t)st.st_mtim.tv_sec,
               st.st_mtim.tv_nsec);
    ladder_write(&ladder, &b);
    r = buf_error(&b);
    if (r < 0)
        return err_errno(err, r, "%s", ask->path);
    struct digest d = digest_of(b.data, b.size);
    digest_format(&d, ret);
    return 0;
}

int job_new(const char *id, const struct job_ask *ask, int64_t created_ms, struct job **ret)
{
    ASSERT(strlen(id) == JOB_ID_SIZE - 1);
    struct job *j = calloc(1, sizeof *j);
    if (j == NULL)
        return -ENOMEM;
    j->magic = JOB_MAGIC;
    memcpy(j->id, id, JOB_ID_SIZE);
    j->created_ms = created_ms;
    int r = job_ask_copy(ask, &j->ask);
    if (r < 0) {
        free(j);
        return r;
    }
    *ret = j;
    return 0;
}

struct job *job_free(struct job *j)
{
    if (j == NULL)
        return NULL;
    ASSERT(j->magic == JOB_MAGIC);
    ASSERT(j->waiters == NULL);
    job_ask_clear(&j->ask);
    MAGIC_CLEAR(j);
    free(j);
    return NULL;
}

/* --- on disk ---------------------------------------------------------------------------------- */

int job_rename(struct job *j, const char *title)
{
    char *copy = title == NULL ? NULL : str_dup(str_of(title));
    if (copy == NULL)
        return title == NULL ? 0 : -ENOMEM;
    free(j->ask.title);
    j->ask.title = copy;
    return 0;
}

static char *job_path(const struct job_settings *s, const char *format, const char *id)
{
    char name[64];
    struct str rest = str_of(format);
    struct str before = str_cut(rest, '%', &rest);
    (void)snprintf(name, sizeof name, STR_FMT "%s" STR_FMT, STR_ARG(before), id, STR_ARG(rest));
    return file_join(s->state, name);
}

static json_t *job_record(const struct job *j)
{
    char digest[DIGEST_TEXT_SIZE] = "";
    if (j->has_presentation)
        digest_format(&j->presentation, digest);
    bool stopped = j->state == JOB_STOPPED || j->is_stop_asked;
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:s*, s:I, s:b, s:b, s:s, s:I, s:I, s:I, s:s, s:s*, s:I}", "id",
        j->id, "path", j->ask.path, "asset", j->ask.asset, "ladder", j->ask.ladder, "title",
        j->ask.title, "created_ms", (json_int_t)j->created_ms, "stopped", stopped, "discarded",
        j->is_discarded, "presentation", digest, "generation", (json_int_t)j->generation,
        "segments_encoded", (json_int_t)j->encoded, "segments_reused", (json_int_t)j->reused,
        "warning", j->warning.text, "failed", j->is_kept ? j->error.text : NULL, "failed_ms",
        (json_int_t)j->failed_ms);
}

static json_t *job_damage(const struct job *j)
{
    return json_pack("{s:I, s:I, s:I, s:I}", "packets", (json_int_t)atomic_load(&j->damage.packets),
                     "pictures", (json_int_t)atomic_load(&j->damage.pictures), "sounds",
                     (json_int_t)atomic_load(&j->damage.sounds), "jumps",
                     (json_int_t)atomic_load(&j->damage.jumps));
}

static void job_read_damage(json_t *o, struct job *j)
{
    atomic_uint *const counts[] = {&j->damage.packets, &j->damage.pictures, &j->damage.sounds,
                                   &j->damage.jumps};
    static const char *const names[] = {"packets", "pictures", "sounds", "jumps"};
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        json_int_t n = json_integer_value(json_object_get(o, names[i]));
        atomic_store(counts[i], (unsigned)MIN(MAX(n, 0), (json_int_t)UINT32_MAX));
    }
}

static int job_write(const struct job *j, const char *path, struct err *err)
{
    json_t *record = path == NULL ? NULL : job_record(j);
    if (record != NULL)
        (void)json_object_set_new(record, "damage", job_damage(j)); /* lost: a warning stays */
    char *text = record == NULL ? NULL : json_dumps(record, JSON_COMPACT);
    json_decref(record);
    int r = text == NULL ? -ENOMEM : file_write(path, str_of(text), 0644);
    free(text);
    return r < 0 ? err_errno(err, r, "writing the record of job %s", j->id) : 0;
}

int job_save(const struct job_settings *s, const struct job *j, struct err *err)
{
    CLEAN(base_free) char *folder = job_path(s, "jobs/%", j->id);
    CLEAN(base_free) char *path = job_path(s, "jobs/%/job.json", j->id);
    int r = folder == NULL ? -ENOMEM : file_mkdirs(folder);
    return r < 0 ? err_errno(err, r, "making the folder of job %s", j->id)
                 : job_write(j, path, err);
}

int job_save_done(const struct job_settings *s, const struct job *j, struct err *err)
{
    CLEAN(base_free) char *folder = file_join(s->state, "done");
    CLEAN(base_free) char *path = job_path(s, "done/%.json", j->id);
    int r = folder == NULL ? -ENOMEM : file_mkdirs(folder);
    return r < 0 ? err_errno(err, r, "making %s/done", s->state) : job_write(j, path, err);
}

static int job_read(const char *path, const char *id, struct job **ret, struct err *err)
{
    CLEAN_BUF struct buf text = BUF_EMPTY;
    int r = path == NULL ? -ENOMEM : file_read(path, JOB_FILE_SIZE_MAX, &text);
    if (r < 0)
        return err_errno(err, r, "reading the record of job %s", id);
    json_t *o = json_loadb(text.data != NULL ? text.data : "", text.size, 0, NULL);
    struct job_ask ask = {0};
    struct job *j = NULL;
    const char *digest = "", *warning = "", *failed = NULL;
    json_int_t created = 0, generation = 0, encoded = 0, reused = 0, failed_ms = 0;
    int stopped = 0, discarded = 0;
    r = json_unpack(o, "{s:s, s:s, s:s, s?s, s:I, s?b, s?b, s?s, s?I, s?I, s?I, s?s, s?s, s?I}",
                    "path", &ask.path, "asset", &ask.asset, "ladder", &ask.ladder, "title",
                    &ask.title, "created_ms", &created, "stopped", &stopped, "discarded",
                    &discarded, "presentation", &digest, "generation", &generation,
                    "segments_encoded", &encoded, "segments_reused", &reused, "warning", &warning,
                    "failed", &failed, "failed_ms", &failed_ms) < 0
            ? -EBADMSG
            : job_new(id, &ask, created, &j); /* ask borrows o's texts */
    if (r == 0) {
        j->state = failed != NULL ? JOB_FAILED : stopped ? JOB_STOPPED : JOB_QUEUED;
        j->stage = failed != NULL ? JOB_UPLOAD : JOB_PROBE;
        j->is_kept = failed != NULL;
        j->failed_ms = failed_ms;
        j->is_discarded = discarded != 0;
        (void)snprintf(j->error.text, sizeof j->error.text, "%s", failed != NULL ? failed : "");
        j->has_presentation = digest_parse(str_of(digest), &j->presentation) == 0;
        j->generation = (uint64_t)generation;
        job_read_damage(json_object_get(o, "damage"), j);
        j->encoded = (uint64_t)encoded;
        j->reused = (uint64_t)reused;
        (void)snprintf(j->warning.text, sizeof j->warning.text, "%s", warning);
        *ret = j;
    }
    json_decref(o);
    return r < 0 ? err_errno(err, r, "the record of job %s", id) : 0;
}

int job_load(const struct job_settings *s, const char *id, struct job **ret, struct err *err)
{
    CLEAN(base_free) char *path = job_path(s, "jobs/%/job.json", id);
    return job_read(path, id, ret, err);
}

int job_load_done(const struct job_settings *s, const char *id, struct job **ret, struct err *err)
{
    CLEAN(base_free) char *path = job_path(s, "done/%.json", id);
    struct job *j = NULL;
    int r = job_read(path, id, &j, err);
    if (r == 0 && !j->has_presentation) {
        job_free(j);
        return err_set(err, -EBADMSG, "the record of job %s names no presentation", id);
    }
    if (r == 0) {
        j->state = JOB_DONE;
        j->stage = JOB_PUBLISH;
        *ret = j;
    }
    return r;
}

static void job_remove_path(const char *path, const char *id)
{
    int r = path == NULL ? -ENOMEM : file_remove_all(path);
    if (r < 0)
        log_warn("job %s: its files cannot be removed: %s", id, strerror(-r));
}

void job_remove(const struct job_settings *s, const char *id)
{
    CLEAN(base_free) char *path = job_path(s, "jobs/%", id);
    job_remove_path(path, id);
}

void job_remove_done(const struct job_settings *s, const char *id)
{
    CLEAN(base_free) char *path = job_path(s, "done/%.json", id);
    job_remove_path(path, id);
}

/* --- shown ------------------------------------------------------------------------------------ */

/* How far encoding is, in film: the mean over the renditions. */
static int64_t job_at_ms(const struct job *j)
{
    unsigned count = MIN(atomic_load(&j->progress.renditions), (unsigned)LADDER_RUNGS_MAX);
    int64_t sum = 0;
    for (unsigned i = 0; i < count; i++)
        sum += atomic_load(&j->progress.at_ms[i]);
    return count == 0 ? 0 : sum / count;
}

static double job_progress(const struct job *j)
{
    if (j->state == JOB_DONE)
        return 1;
    if (j->stage == JOB_PROBE)
        return 0;
    int64_t duration = atomic_load(&j->progress.duration_ms);
    if (j->stage == JOB_ENCODE)
        return duration <= 0 ? 0
                             : MIN((double)job_at_ms(j) / (double)duration, 1.0) * JOB_ENCODE_SHARE;
    double blobs = (double)atomic_load(&j->publish.blobs);
    double done = blobs <= 0 ? 0 : (double)atomic_load(&j->publish.blobs_done) / blobs;
    return JOB_ENCODE_SHARE + (1 - JOB_ENCODE_SHARE) * 0.9 * MIN(done, 1.0);
}

static double job_speed(const struct job *j)
{
    int64_t started = atomic_load(&j->started_ms);
    int64_t elapsed = (int64_t)clock_mono_ms() - started;
    int64_t film = job_at_ms(j) - atomic_load(&j->progress.from_ms);
    if (j->state != JOB_RUNNING || j->stage != JOB_ENCODE || started == 0 || elapsed < 200)
        return 0;
    return film <= 0 ? 0 : (double)film / (double)elapsed;
}

json_t *job_show(const struct job *j)
{
    char digest[DIGEST_TEXT_SIZE];
    double speed = job_speed(j);
    int64_t left = atomic_load(&j->progress.duration_ms) - job_at_ms(j);
    uint64_t encoded = j->encoded, reused = j->reused;
    enum job_stage stage = j->stage;
    enum job_state state = j->is_settling ? JOB_RUNNING : j->state;
    if (j->work != NULL)
        work_counts(j->work, &encoded, &reused);
    if (stage == JOB_UPLOAD && atomic_load(&j->publish.is_publishing))
        stage = JOB_PUBLISH;
    if (j->has_presentation)
        digest_format(&j->presentation, digest);
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s?, s:s, s:f, s:f, s:I, s:s?, s:s?, s:I, s:I}", "id",
                  j->id, "asset", j->ask.asset, "path", j->ask.path, "ladder", j->ask.ladder,
                  "state", job_states[state], "title", j->ask.title, "stage", job_stages[stage],
                  "progress", job_progress(j), "speed", speed, "eta_s",
                  speed > 0 && left > 0 ? (json_int_t)((double)left / speed / 1000) : (json_int_t)0,
                  "error", state == JOB_FAILED ? j->error.text : NULL, "presentation",
                  j->has_presentation ? digest : NULL, "segments_encoded", (json_int_t)encoded,
                  "segments_reused", (json_int_t)reused);
    if (o == NULL)
        return NULL;
    int r = json_object_set_new(o, "generation",
                                j->has_presentation ? json_integer((json_int_t)j->generation)
                                                    : json_null());
    if (r == 0)
        r = json_object_set_new(o, "damage", job_damage(j));
    if (r == 0 && j->warning.text[0] != 0)
        r = json_object_set_new(o, "warning", json_string(j->warning.text));
    if (r < 0) {
        json_decref(o);
        return NULL;
    }
    return o;
}
