/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's parts against a real origin, both in this process, spoken to over HTTP. */
#include "film.h"
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "base/file.h"
#include "fetch/fetch.h"
#include "ingest/ingest.h"
#include "ingest/job.h"
#include "origin/origin.h"

#define QUIET  "ffmpeg -nostdin -v error -y "
#define SECRET "a secret of some length"

static struct origin *jobs_origin;
static struct ingest *jobs_ingest;
static struct fetch_client *jobs_client;
static uint16_t jobs_origin_port;

static char *jobs_path(const char *name)
{
    return file_join(film_dir, name);
}

static void jobs_start_origin(uint16_t port)
{
    CLEAN(base_free) char *secret = jobs_path("secret");
    CLEAN(base_free) char *store = jobs_path("origin");
    char address[] = "127.0.0.1", size[] = "16M";
    struct origin_config c = {.listen = {.address = address, .port = port},
                              .workers = 1,
                              .store = {.path = store, .volume_size = size, .hot_size = size},
                              .publish_credential_file = secret};
    struct err err = {0};
    int r = origin_start(&c, &err, &jobs_origin);
    if (r < 0)
        print_error("%s\n", err.text);
    assert_int_equal(r, 0);
    jobs_origin_port = origin_port(jobs_origin);
}

static void jobs_start_ingest(const char *control_url)
{
    CLEAN(base_free) char *secret = jobs_path("secret");
    CLEAN(base_free) char *state = jobs_path("ingest");
    char address[] = "127.0.0.1", url[64], control[64];
    double seconds = 2;
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", jobs_origin_port);
    (void)snprintf(control, sizeof control, "%s", control_url != NULL ? control_url : "");
    struct ingest_config c = {.listen = {.address = address},
                              .credential_file = secret,
                              .state = state,
                              .origin_url = url,
                              .publish_credential_file = secret,
                              .control_url = control_url != NULL ? control : NULL,
                              .admin_credential_file = control_url != NULL ? secret : NULL,
                              .segment_seconds = &seconds,
                              .threads = 2};
    struct err err = {0};
    assert_int_equal(ingest_check(&c, &err), 0);
    assert_int_equal(ingest_start(&c, &err, &jobs_ingest), 0);
}

static int jobs_setup(void **state)
{
    if (film_folder(state) != 0)
        return -1;
    film_run("printf '" SECRET "\\n' > secret");
    film_run(QUIET
             "-f lavfi -i testsrc2=size=160x120:rate=25:duration=6 -f lavfi -i "
             "sine=duration=6 -c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac film.mp4");
    film_run(
        "printf 'rungs:\\n  - {height: 120, video_bitrate: 200k, preset: ultrafast}\\n' > l.yaml");
    struct fetch_options options = {0};
    jobs_start_origin(0);
    jobs_start_ingest(NULL);
    return fetch_client_new(&options, &jobs_client);
}

static int jobs_teardown(void **state)
{
    fetch_client_free(jobs_client);
    ingest_stop(jobs_ingest);
    origin_stop(jobs_origin);
    return film_folder_remove(state);
}

/* One request; the status, and the answer's JSON (or NULL) for the caller to drop. */
static unsigned jobs_call(uint16_t port, const char *method, const char *path, const char *body,
                          json_t **ret)
{
    char url[256];
    CLEAN_BUF struct buf out = BUF_EMPTY;
    CLEAN(rbuf_unref) struct rbuf *sent = NULL;
    struct err err = {0};
    unsigned status = 0;
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u%s", port, path);
    if (body != NULL)
        assert_int_equal(rbuf_copy(body, strlen(body), &sent), 0);
    struct fetch_request q = {.method = method, .url = url, .bearer = SECRET, .body = sent};
    assert_int_equal(fetch_client_run(jobs_client, &q, 1 << 20, &status, &out, &err), 0);
    *ret = json_loadb(out.data != NULL ? out.data : "", out.size, 0, NULL);
    return status;
}

static unsigned jobs_post_film(const char *film, const char *asset, const char *ladder,
                               json_t **ret)
{
    char body[512];
    (void)snprintf(
        body, sizeof body,
        "{\"path\":\"%s/%s\",\"asset\":\"%s\",\"ladder\":\"%s%s%s\",\"title\":\"A \\\"film\\\"\"}",
        film_dir, film, asset, strchr(ladder, '.') != NULL ? film_dir : "",
        strchr(ladder, '.') != NULL ? "/" : "", ladder);
    return jobs_call(ingest_port(jobs_ingest), "POST", "/jobs", body, ret);
}

static const char *jobs_text(json_t *job, const char *key)
{
    const char *text = json_string_value(json_object_get(job, key));
    return text != NULL ? text : "";
}

static void jobs_nap(void)
{
    struct timespec t = {0, 20000000L};
    (void)nanosleep(&t, NULL);
}

/* Waits until the job is in none of its moving states. */
static json_t *jobs_wait(const char *id)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/jobs/%s", id);
    for (;;) {
        json_t *job = NULL;
        assert_int_equal(jobs_call(ingest_port(jobs_ingest), "GET", path, NULL, &job), 200);
        const char *state = jobs_text(job, "state");
        if (strcmp(state, "queued") != 0 && strcmp(state, "running") != 0)
            return job;
        json_decref(job);
        jobs_nap();
    }
}

static char *jobs_id(json_t *job)
{
    char *id = str_dup(str_of(jobs_text(job, "id")));
    assert_non_null(id);
    json_decref(job);
    return id;
}

static unsigned jobs_count_files(const char *folder)
{
    CLEAN(base_free) char *count = film_ask("find ingest/%s -type f 2>/dev/null | wc -l", folder);
    return (unsigned)strtoul(count, NULL, 10);
}

static void jobs_test_publish(void **state)
{
    (void)state;
    json_t *job = NULL, *ref = NULL;
    assert_int_equal(jobs_post_film("film.mp4", "first", "l.yaml", &job), 202);
    CLEAN(base_free) char *id = jobs_id(job);
    job = jobs_wait(id);
    assert_string_equal(jobs_text(job, "state"), "done");
    assert_string_equal(jobs_text(job, "title"), "A \"film\"");
    assert_int_equal(json_integer_value(json_object_get(job, "segments_encoded")), 3 + 3);
    assert_true(json_real_value(json_object_get(job, "progress")) > 0.99);
    assert_int_equal(jobs_call(jobs_origin_port, "GET", "/ref/first", NULL, &ref), 200);
    assert_string_equal(jobs_text(ref, "presentation"), jobs_text(job, "presentation"));
    json_decref(ref);
    json_decref(job);
    assert_int_equal(jobs_count_files("jobs"), 0);
    assert_int_equal(jobs_count_files("done"), 1);
    /* What players get: as many frames as the film has. */
    CLEAN(base_free)
    char *frames = film_ask(
        "ffprobe -v error -count_frames -select_streams v -show_entries stream=nb_read_frames "
        "-of csv=p=0 http://127.0.0.1:%u/v/first/master.m3u8 | head -1",
        jobs_origin_port);
    assert_int_equal(strtoul(frames, NULL, 10), 150);
    /* Asked again, it is there at once; with the ref gone, it comes back without encoding. */
    assert_int_equal(jobs_post_film("film.mp4", "first", "l.yaml", &job), 200);
    assert_string_equal(jobs_text(job, "state"), "done");
    json_decref(job);
    assert_int_equal(jobs_call(jobs_origin_port, "DELETE", "/ref/first", NULL, &ref), 204);
    json_decref(ref);
    assert_int_equal(jobs_post_film("film.mp4", "first", "l.yaml", &job), 200);
    json_decref(job);
    assert_int_equal(jobs_call(jobs_origin_port, "GET", "/ref/first", NULL, &ref), 200);
    json_decref(ref);
    /* A restart knows it from its record. */
    ingest_stop(jobs_ingest);
    jobs_start_ingest(NULL);
    assert_int_equal(jobs_post_film("film.mp4", "first", "l.yaml", &job), 200);
    assert_string_equal(jobs_text(job, "state"), "done");
    json_decref(job);
}

/* A new title of the same film is published without encoding anything. */
static void jobs_test_renamed(void **state)
{
    (void)state;
    json_t *job = NULL, *ref = NULL, *film = NULL;
    char body[512], path[64];
    (void)snprintf(body, sizeof body,
                   "{\"path\":\"%s/film.mp4\",\"asset\":\"first\",\"ladder\":\"%s/l.yaml\","
                   "\"title\":\"Another \xc3\xa4\"}",
                   film_dir, film_dir);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(jobs_call(ingest_port(jobs_ingest), "POST", "/jobs", body, &job), 200);
        assert_string_equal(jobs_text(job, "title"), "Another \xc3\xa4");
        assert_int_equal(jobs_call(jobs_origin_port, "GET", "/ref/first", NULL, &ref), 200);
        assert_string_equal(jobs_text(ref, "presentation"), jobs_text(job, "presentation"));
        (void)snprintf(path, sizeof path, "/blob/%s", jobs_text(ref, "presentation"));
        assert_int_equal(jobs_call(jobs_origin_port, "GET", path, NULL, &film), 200);
        assert_string_equal(jobs_text(film, "title"), "Another \xc3\xa4");
        json_decref(job);
        json_decref(ref);
        json_decref(film);
        ingest_stop(jobs_ingest); /* the record knows the new one as well */
        jobs_start_ingest(NULL);
    }
    assert_int_equal(jobs_count_files("jobs"), 0);
}

static void jobs_test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        unsigned status;
        const char *code;
    } bad[] = {
        {"nonsense", 400, "BODY_INVALID"},
        {"[]", 400, "BODY_INVALID"},
        {"{}", 422, "JOB_INVALID"},
        {"{\"path\":5,\"asset\":\"a\"}", 422, "JOB_INVALID"},
        {"{\"path\":\"/a\\u0000b\",\"asset\":\"a\"}", 422, "JOB_INVALID"},
        {"{\"path\":\"relative\",\"asset\":\"a\"}", 422, "JOB_INVALID"},
        {"{\"path\":\"/nowhere\",\"asset\":\"../x\"}", 422, "JOB_INVALID"},
        {"{\"path\":\"/nowhere\",\"asset\":\".x\"}", 422, "JOB_INVALID"},
        {"{\"path\":\"/nowhere\",\"asset\":\"a\",\"title\":\"\"}", 422, "JOB_INVALID"},
        {"{\"path\":\"/nowhere\",\"asset\":\"a\",\"title\":\"a\\nb\"}", 422, "JOB_INVALID"},
        {"{\"path\":\"/nowhere\",\"asset\":\"a\",\"title\":\"\xff\"}", 400, "BODY_INVALID"},
        {"{\"path\":\"/etc/passwd\",\"asset\":\"a\",\"ladder\":\"best\"}", 422, "JOB_INVALID"},
        {"{\"path\":\"/nowhere\",\"asset\":\"a\"}", 422, "SOURCE_UNREADABLE"},
    };
    uint16_t port = ingest_port(jobs_ingest);
    json_t *answer = NULL;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(jobs_call(port, "POST", "/jobs", bad[i].body, &answer), bad[i].status);
        assert_string_equal(jobs_text(json_object_get(answer, "error"), "code"), bad[i].code);
        json_decref(answer);
    }
    assert_int_equal(
        jobs_call(port, "GET", "/jobs/00000000000000000000000000000000", NULL, &answer), 404);
    json_decref(answer);
    assert_int_equal(jobs_call(port, "DELETE", "/jobs/xyz", NULL, &answer), 404);
    json_decref(answer);
    CLEAN(base_free)
    char *none = film_ask("curl -s -o /dev/null -w '%%{http_code}' "
                          "http://127.0.0.1:%u/jobs",
                          port);
    assert_string_equal(none, "401");
    CLEAN(base_free)
    char *wrong = film_ask("curl -s -o /dev/null -w '%%{http_code}' -H "
                           "'Authorization: Bearer wrong' http://127.0.0.1:%u/jobs",
                           port);
    assert_string_equal(wrong, "401");
}

/* A job that fails says why and leaves nothing, neither here nor on the origin. */
static void jobs_test_failed(void **state)
{
    (void)state;
    json_t *job = NULL, *ref = NULL;
    film_run("head -c 20000 film.mp4 > broken.mp4");
    assert_int_equal(jobs_post_film("broken.mp4", "broken", "l.yaml", &job), 202);
    CLEAN(base_free) char *id = jobs_id(job);
    job = jobs_wait(id);
    assert_string_equal(jobs_text(job, "state"), "failed");
    assert_non_null(strstr(jobs_text(job, "error"), "broken.mp4: is truncated"));
    json_decref(job);
    assert_int_equal(jobs_count_files("jobs"), 0);
    assert_int_equal(jobs_call(jobs_origin_port, "GET", "/ref/broken", NULL, &ref), 404);
    json_decref(ref);
}

/* Films by number under one ladder: posts it and waits for its end. */
static json_t *jobs_run_film(const char *asset, const char *state)
{
    json_t *job = NULL;
    assert_int_equal(jobs_post_film("film.mp4", asset, "l.yaml", &job), 202);
    CLEAN(base_free) char *id = jobs_id(job);
    job = jobs_wait(id);
    assert_string_equal(jobs_text(job, "state"), state);
    return job;
}

static void jobs_restart_origin(const char *secret)
{
    uint16_t port = jobs_origin_port;
    origin_stop(jobs_origin);
    film_run("printf '%s\n' > secret", secret);
    jobs_start_origin(port);
    film_run("printf '" SECRET "\n' > secret");
}

/* What is encoded outlives an upload that the origin refuses, and a restart behind it; only so many
 * folders are kept. */
static void jobs_test_upload_failed(void **state)
{
    (void)state;
    json_t *job = NULL;
    jobs_restart_origin("a secret that nobody knows");
    job = jobs_run_film("refused", "failed");
    assert_non_null(strstr(jobs_text(job, "error"), "the origin answered"));
    json_decref(job);
    assert_true(jobs_count_files("jobs/*/work/blobs") >= 6);
    ingest_stop(jobs_ingest);
    jobs_start_ingest(NULL);
    assert_int_equal(jobs_call(ingest_port(jobs_ingest), "GET", "/jobs", NULL, &job), 200);
    json_t *first = json_array_get(json_object_get(job, "jobs"), 0);
    assert_string_equal(jobs_text(first, "state"), "failed");
    assert_non_null(strstr(jobs_text(first, "error"), "the origin answered"));
    json_decref(job);
    char name[16];
    for (unsigned i = 0; i < 8; i++) {
        (void)snprintf(name, sizeof name, "refused-%u", i);
        json_decref(jobs_run_film(name, "failed"));
    }
    CLEAN(base_free) char *kept = film_ask("ls ingest/jobs | wc -l");
    assert_string_equal(kept, "8");
    jobs_restart_origin(SECRET);
    job = jobs_run_film("refused-0", "done");
    assert_int_equal(json_integer_value(json_object_get(job, "segments_encoded")), 0);
    assert_int_equal(json_integer_value(json_object_get(job, "segments_reused")), 6);
    json_decref(job);
    job = jobs_run_film("refused", "done"); /* its folder was the oldest: it went */
    assert_int_equal(json_integer_value(json_object_get(job, "segments_encoded")), 6);
    json_decref(job);
    for (unsigned i = 1; i < 8; i++) {
        (void)snprintf(name, sizeof name, "refused-%u", i);
        json_decref(jobs_run_film(name, "done"));
    }
    assert_int_equal(jobs_count_files("jobs"), 0);
}

/* Stopped, the job keeps what it has; the same question goes on from it; discarded, it is gone. */
static void jobs_test_stop(void **state)
{
    (void)state;
    json_t *job = NULL;
    char path[80];
    film_run(QUIET "-stream_loop 20 -i film.mp4 -c copy long.mp4");
    assert_int_equal(jobs_post_film("long.mp4", "long", "l.yaml", &job), 202);
    CLEAN(base_free) char *id = jobs_id(job);
    (void)snprintf(path, sizeof path, "/jobs/%s", id);
    for (json_int_t made = 0; made < 4;) {
        assert_int_equal(jobs_call(ingest_port(jobs_ingest), "GET", path, NULL, &job), 200);
        made = json_integer_value(json_object_get(job, "segments_encoded"));
        json_decref(job);
        jobs_nap();
    }
    assert_int_equal(jobs_call(ingest_port(jobs_ingest), "DELETE", path, NULL, &job), 200);
    assert_string_equal(jobs_text(job, "state"), "stopped");
    json_int_t made = json_integer_value(json_object_get(job, "segments_encoded"));
    json_decref(job);
    ingest_stop(jobs_ingest); /* a restart leaves a stopped job alone */
    jobs_start_ingest(NULL);
    job = jobs_wait(id);
    assert_string_equal(jobs_text(job, "state"), "stopped");
    json_decref(job);
    assert_int_equal(jobs_post_film("long.mp4", "long", "l.yaml", &job), 202);
    json_decref(job);
    job = jobs_wait(id);
    assert_string_equal(jobs_text(job, "state"), "done");
    assert_int_equal(json_integer_value(json_object_get(job, "segments_reused")), made);
    json_decref(job);
    assert_int_equal(jobs_post_film("long.mp4", "other", "l.yaml", &job), 202);
    CLEAN(base_free) char *other = jobs_id(job);
    (void)snprintf(path, sizeof path, "/jobs/%s?discard=1", other);
    assert_int_equal(jobs_call(ingest_port(jobs_ingest), "DELETE", path, NULL, &job), 200);
    json_decref(job);
    path[strlen("/jobs/") + 32] = 0;
    assert_int_equal(jobs_call(ingest_port(jobs_ingest), "GET", path, NULL, &job), 404);
    json_decref(job);
    assert_int_equal(jobs_count_files("jobs"), 0);
}

/* A stop that was asked for stands, also when the daemon ends before the job has. */
static void jobs_test_stop_and_end(void **state)
{
    (void)state;
    json_t *job = NULL;
    char path[80];
    assert_int_equal(jobs_post_film("long.mp4", "halted", "l.yaml", &job), 202);
    CLEAN(base_free) char *id = jobs_id(job);
    (void)snprintf(path, sizeof path, "/jobs/%s", id);
    while (jobs_count_files("jobs/*/work/blobs") < 2)
        jobs_nap();
    film_run("(curl -s -X DELETE -H 'Authorization: Bearer " SECRET "' -o /dev/null "
             "http://127.0.0.1:%u%s &) >/dev/null 2>&1; "
             "until grep -q '\"stopped\":true' ingest/jobs/%s/job.json; do :; done",
             ingest_port(jobs_ingest), path, id);
    ingest_stop(jobs_ingest);
    jobs_start_ingest(NULL);
    assert_int_equal(jobs_call(ingest_port(jobs_ingest), "GET", path, NULL, &job), 200);
    assert_string_equal(jobs_text(job, "state"), "stopped");
    json_decref(job);
    (void)snprintf(path, sizeof path, "/jobs/%s?discard=1", id);
    assert_int_equal(jobs_call(ingest_port(jobs_ingest), "DELETE", path, NULL, &job), 200);
    json_decref(job);
    assert_int_equal(jobs_count_files("jobs"), 0);
    /* What a kill -9 leaves between the asking and the end. */
    char record[] = "/film", auto_ladder[] = "auto";
    struct job_settings settings = {.state = film_dir};
    struct job_ask ask = {.path = record, .asset = record + 1, .ladder = auto_ladder};
    struct job *j = NULL, *read = NULL;
    struct err err = {0};
    assert_int_equal(job_new(id, &ask, 1, &j), 0);
    j->state = JOB_RUNNING;
    j->is_stop_asked = true;
    assert_int_equal(job_save(&settings, j, &err), 0);
    assert_int_equal(job_load(&settings, id, &read, &err), 0);
    assert_int_equal(read->state, JOB_STOPPED);
    job_free(read);
    job_free(j);
}

/* A daemon that ends in the middle takes its job up again by itself. */
static void jobs_test_taken_up(void **state)
{
    (void)state;
    json_t *job = NULL;
    assert_int_equal(jobs_post_film("long.mp4", "again", "l.yaml", &job), 202);
    CLEAN(base_free) char *id = jobs_id(job);
    while (jobs_count_files("jobs/*/work/blobs") < 6)
        jobs_nap();
    ingest_stop(jobs_ingest);
    jobs_start_ingest(NULL);
    job = jobs_wait(id);
    assert_string_equal(jobs_text(job, "state"), "done");
    assert_true(json_integer_value(json_object_get(job, "segments_reused")) > 0);
    json_decref(job);
}

/* Without the control service the film is published all the same, and the job says so. */
static void jobs_test_no_control(void **state)
{
    (void)state;
    json_t *job = NULL;
    ingest_stop(jobs_ingest);
    jobs_start_ingest("http://127.0.0.1:9");
    assert_int_equal(jobs_post_film("film.mp4", "uncontrolled", "copy", &job), 202);
    CLEAN(base_free) char *id = jobs_id(job);
    job = jobs_wait(id);
    assert_string_equal(jobs_text(job, "state"), "done");
    assert_non_null(strstr(jobs_text(job, "warning"), "catalogue"));
    json_decref(job);
    ingest_stop(jobs_ingest);
    jobs_start_ingest(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_test_publish),       cmocka_unit_test(jobs_test_renamed),
        cmocka_unit_test(jobs_test_refused),       cmocka_unit_test(jobs_test_failed),
        cmocka_unit_test(jobs_test_upload_failed), cmocka_unit_test(jobs_test_stop),
        cmocka_unit_test(jobs_test_stop_and_end),  cmocka_unit_test(jobs_test_taken_up),
        cmocka_unit_test(jobs_test_no_control),
    };
    return cmocka_run_group_tests(tests, jobs_setup, jobs_teardown);
}
