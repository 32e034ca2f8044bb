/* SPDX-License-Identifier: Apache-2.0 */
#include "film.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/file.h"
#include "ingest/copy.h"
#include "ingest/text.h"

char film_dir[64];

int film_folder(void **state)
{
    (void)state;
    av_log_set_level(AV_LOG_FATAL);
    (void)snprintf(film_dir, sizeof film_dir, "/tmp/weir-ingest-XXXXXX");
    return mkdtemp(film_dir) == NULL;
}

int film_folder_remove(void **state)
{
    (void)state;
    return file_remove_all(film_dir);
}

__attribute__((format(printf, 1, 0))) static char *film_command(const char *format, va_list list)
{
    char *text = NULL, *all = NULL;
    assert_true(vasprintf(&text, format, list) > 0);
    assert_true(asprintf(&all, "cd %s && %s", film_dir, text) > 0);
    free(text);
    return all;
}

void film_run(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    char *command = film_command(format, list);
    va_end(list);
    int r = system(command);
    if (r != 0)
        print_error("failed (%d): %s\n", r, command);
    free(command);
    assert_int_equal(r, 0);
}

char *film_ask(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    char *command = film_command(format, list);
    va_end(list);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    struct buf out = BUF_EMPTY;
    char piece[4096];
    size_t got;
    while ((got = fread(piece, 1, sizeof piece, f)) > 0)
        buf_put(&out, piece, got);
    int r = pclose(f);
    if (r != 0)
        print_error("failed (%d): %s\n", r, command);
    assert_int_equal(r, 0);
    free(command);
    while (out.size > 0 && out.data[out.size - 1] == '\n')
        out.data[--out.size] = 0;
    char *text = buf_take(&out);
    return text != NULL ? text : strdup("");
}

void film_ladder(struct film_job *job, uint32_t segment_ms, unsigned rungs, ...)
{
    struct ladder l;
    assert_int_equal(ladder_load("auto", segment_ms, &l, &job->err), 0);
    va_list list;
    va_start(list, rungs);
    for (unsigned i = 0; i < rungs; i++) {
        l.rungs[i].height = va_arg(list, unsigned);
        assert_int_equal(str_copy(STR("ultrafast"), l.rungs[i].preset, LADDER_PRESET_MAX), 0);
    }
    va_end(list);
    l.rungs_count = rungs;
    job->ladder = l;
}

int film_encode(struct film_job *job, const char *name, const char *work)
{
    CLEAN(base_free) char *path = file_join(film_dir, name);
    CLEAN(base_free) char *folder = file_join(film_dir, work);
    CLEAN(probe_free) struct probe *probe = NULL;
    int r = probe_open(path, &probe, &job->err);
    if (r < 0)
        return r;
    CLEAN(work_free) struct work *w = NULL;
    if (job->ladder.is_copy)
        copy_prepare(probe);
    r = work_open(folder, &job->err, &w);
    if (r < 0)
        return r;
    struct run run = {.probe = probe,
                      .ladder = &job->ladder,
                      .work = w,
                      .cores = 2,
                      .stop = &job->stop,
                      .progress = &job->progress};
    run_init(&run);
    r = job->ladder.is_copy ? copy_film(&run, &job->err) : encode_film(&run, &job->err);
    if (r == 0)
        r = text_extract(&run, 10000, &job->err);
    run_clear(&run);
    memcpy(job->notes, run.notes, sizeof job->notes);
    work_counts(w, &job->encoded, &job->reused);
    return r;
}

struct work *film_work(const char *work)
{
    CLEAN(base_free) char *folder = file_join(film_dir, work);
    struct err err;
    struct work *w = NULL;
    assert_int_equal(work_open(folder, &err, &w), 0);
    return w;
}

static void film_append(FILE *out, const struct work *w, const struct digest *d)
{
    CLEAN(base_free) char *path = work_blob_path(w, d);
    CLEAN_BUF struct buf bytes = BUF_EMPTY;
    assert_int_equal(file_read(path, SIZE_MAX, &bytes), 0);
    assert_int_equal(fwrite(bytes.data, 1, bytes.size, out), bytes.size);
}

unsigned film_export(const char *work, const char *track, const char *out)
{
    struct work *w = film_work(work);
    struct work_track *t = NULL;
    assert_int_equal(work_track(w, track, &t), 0);
    assert_true(t->is_done);
    CLEAN(base_free) char *path = file_join(film_dir, out);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    if (t->init_size > 0)
        film_append(f, w, &t->init);
    for (unsigned i = 0; i < t->segments_count; i++)
        film_append(f, w, &t->segments[i].digest);
    assert_int_equal(fclose(f), 0);
    unsigned count = t->segments_count;
    work_free(w);
    return count;
}

unsigned film_frames(const char *name)
{
    CLEAN(base_free)
    char *said = film_ask("ffprobe -v warning -count_frames -show_entries stream=nb_read_frames "
                          "-of csv=p=0 %s 2>said",
                          name);
    CLEAN(base_free) char *complaints = film_ask("cat said");
    char *end = NULL;
    unsigned long count = strtoul(said, &end, 10); /* side data may leave commas behind it */
    if (complaints[0] != 0)
        print_error("ffprobe %s: %s\n", name, complaints);
    assert_true(end != said);
    assert_string_equal(complaints, "");
    return (unsigned)count;
}
