/* SPDX-License-Identifier: Apache-2.0 */
#include "weirctl.h"
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/clock.h"
#include "base/heading.h"
#include "fetch/fetch.h"

#define PUBLISH_POLL_MS    200
#define PUBLISH_BAR_WIDTH  28
#define PUBLISH_ANSWER_MAX ((size_t)1 << 20)
#define PUBLISH_LOST_MAX   25 /* polls in a row that may fail: 5 s */

static const char publish_usage[] =
    "usage: weirctl publish FILE --asset NAME [--ladder auto|copy|FILE.yaml] [--title TITLE]\n"
    "                       [--state FOLDER]\n"
    "\n"
    "Encodes FILE, puts it on the origin and into the catalogue. On a terminal it shows a "
    "progress\n"
    "bar, otherwise one JSON line for each step. Interrupted, the same command goes on where it "
    "was.\n";

static volatile sig_atomic_t publish_interrupted;

/* The first asks ingest to stop the job and waits for that; the second waits for nothing. */
static void publish_on_signal(int number)
{
    static const char text[] = "\nweirctl: ended at once; the job may go on\n";
    (void)number;
    if (publish_interrupted) {
        (void)!write(STDERR_FILENO, text, sizeof text - 1); /* there is nobody else to tell */
        _exit(130);
    }
    publish_interrupted = 1;
}

struct publish {
    struct ctl_settings settings;
    struct fetch_client *client;
    bool terminal;
    double shown; /* progress last printed as a line */
    char stage[16];
};

/* One request to ingest; *ret is its JSON. An error answer becomes a sentence. */
static int publish_call(struct publish *p, const char *method, const char *path, json_t *body,
                        json_t **ret, struct err *err)
{
    CLEAN_BUF struct buf url = BUF_EMPTY;
    CLEAN_BUF struct buf answer = BUF_EMPTY;
    CLEAN(rbuf_unref) struct rbuf *sent = NULL;
    buf_printf(&url, "%s%s", p->settings.ingest_url, path);
    char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);
    int r = buf_error(&url);
    if (r == 0 && text != NULL)
        r = rbuf_copy(text, strlen(text), &sent);
    free(text);
    if (r < 0)
        return err_errno(err, r, "asking ingest");
    struct fetch_request request = {
        .method = method,
        .url = url.data,
        .bearer = p->settings.publish.text,
        .type = sent != NULL ? "application/json" : NULL,
        .body = sent,
    };
    unsigned status = 0;
    r = fetch_client_run(p->client, &request, PUBLISH_ANSWER_MAX, &status, &answer, err);
    if (r < 0)
        return r;
    json_t *root = json_loadb(answer.data != NULL ? answer.data : "", answer.size, 0, NULL);
    if (status >= 200 && status < 300 && root != NULL) {
        *ret = root;
        return 0;
    }
    const char *message =
        json_string_value(json_object_get(json_object_get(root, "error"), "message"));
    r = err_set(err, -EIO, "%s", message != NULL ? message : "ingest gave no proper answer");
    json_decref(root);
    return r;
}

static const char *job_text(json_t *job, const char *key)
{
    const char *text = json_string_value(json_object_get(job, key));
    return text != NULL ? text : "";
}

static double job_number(json_t *job, const char *key)
{
    return json_number_value(json_object_get(job, key));
}

static void publish_bar(struct publish *p, json_t *job)
{
    char bar[PUBLISH_BAR_WIDTH + 1];
    double progress = MAX(0.0, MIN(1.0, job_number(job, "progress")));
    int full = (int)(progress * PUBLISH_BAR_WIDTH);
    for (int i = 0; i < PUBLISH_BAR_WIDTH; i++)
        bar[i] = i < full ? '#' : '.';
    bar[PUBLISH_BAR_WIDTH] = 0;
    double speed = job_number(job, "speed");
    long eta_s = (long)job_number(job, "eta_s");
    printf("\r%-8s [%s] %3d%%", job_text(job, "stage"), bar, (int)(progress * 100));
    if (speed > 0)
        printf("  %.1fx", speed);
    if (eta_s > 0)
        printf("  %ld:%02ld left", eta_s / 60, eta_s % 60);
    printf("\033[K");
    (void)fflush(stdout);
    (void)p;
}

static void publish_line(struct publish *p, json_t *job)
{
    double progress = job_number(job, "progress");
    const char *state = job_text(job, "state");
    bool ended = strcmp(state, "running") != 0 && strcmp(state, "queued") != 0;
    bool moved = strcmp(p->stage, job_text(job, "stage")) != 0 || progress >= p->shown + 0.01;
    if (!ended && !moved)
        return;
    p->shown = progress;
    (void)snprintf(p->stage, sizeof p->stage, "%s", job_text(job, "stage"));
    char *text = json_dumps(job, JSON_COMPACT | JSON_REAL_PRECISION(4));
    if (text != NULL)
        printf("%s\n", text);
    (void)fflush(stdout);
    free(text);
}

static int publish_ended(struct publish *p, json_t *job, const char *file)
{
    const char *state = job_text(job, "state");
    const char *warning = job_text(job, "warning");
    if (p->terminal)
        printf("\n");
    if (strcmp(state, "done") == 0) {
        if (p->terminal)
            printf("%s is published as %s (generation %lld)\n", file, job_text(job, "asset"),
                   (long long)job_number(job, "generation"));
        if (warning[0] != 0)
            (void)fprintf(stderr, "weirctl: %s\n", warning);
        return 0;
    }
    if (strcmp(state, "failed") == 0)
        (void)fprintf(stderr, "weirctl: %s\n", job_text(job, "error"));
    else
        (void)fprintf(stderr, "weirctl: stopped; the same command goes on from here\n");
    return strcmp(state, "failed") == 0 ? 1 : 130;
}

static void publish_sleep(void)
{
    struct timespec wait = {0, PUBLISH_POLL_MS * 1000000L};
    (void)nanosleep(&wait, NULL); /* a signal ends it early: wanted */
}

/* Follows the job until it has ended; *ret_code is the exit code. */
static int publish_follow(struct publish *p, const char *id, const char *file, int *ret_code,
                          struct err *err)
{
    char path[128];
    (void)snprintf(path, sizeof path, "/jobs/%.64s", id);
    unsigned lost = 0;
    for (bool stopping = false;;) {
        json_t *job = NULL;
        bool stop_now = publish_interrupted && !stopping;
        int r = publish_call(p, stop_now ? "DELETE" : "GET", path, NULL, &job, err);
        if (r < 0 && ++lost >= PUBLISH_LOST_MAX)
            return r;
        if (r == 0) {
            lost = 0;
            stopping = stopping || stop_now; /* a stop that did not arrive is asked for again */
            if (p->terminal)
                publish_bar(p, job);
            else
                publish_line(p, job);
            const char *state = job_text(job, "state");
            if (strcmp(state, "running") != 0 && strcmp(state, "queued") != 0) {
                *ret_code = publish_ended(p, job, file);
                json_decref(job);
                return 0;
            }
            json_decref(job);
        }
        publish_sleep();
    }
}

static int publish_start(struct publish *p, const char *file, const char *asset, const char *ladder,
                         const char *title, char **ret_id, struct err *err)
{
    char path[PATH_MAX];
    char ladder_path[PATH_MAX];
    if (realpath(file, path) == NULL)
        return err_errno(err, -errno, "%s", file);
    bool named = strcmp(ladder, "auto") == 0 || strcmp(ladder, "copy") == 0;
    if (!named && realpath(ladder, ladder_path) == NULL)
        return err_errno(err, -errno, "ladder %s", ladder);
    if (title != NULL) {
        int bad = heading_check(str_of(title), err);
        if (bad < 0)
            return bad;
    }
    json_t *body = json_pack("{s:s, s:s, s:s}", "path", path, "asset", asset, "ladder",
                             named ? ladder : ladder_path);
    if (body != NULL && title != NULL &&
        json_object_set_new(body, "title", json_string(title)) < 0) {
        json_decref(body);
        return err_set(err, -ENOMEM, "out of memory");
    }
    if (body == NULL)
        return err_set(err, -EINVAL, "a name is not UTF-8");
    json_t *job = NULL;
    int r = publish_call(p, "POST", "/jobs", body, &job, err);
    json_decref(body);
    if (r < 0)
        return r;
    *ret_id = str_dup(str_of(job_text(job, "id")));
    json_decref(job);
    return *ret_id == NULL ? err_set(err, -ENOMEM, "out of memory") : 0;
}

int ctl_publish(int argc, char **argv)
{
    const char *file = NULL, *asset = NULL, *ladder = "auto", *title = NULL, *state = NULL;
    const struct ctl_option options[] = {{"--asset", &asset, NULL},
                                         {"--ladder", &ladder, NULL},
                                         {"--title", &title, NULL},
                                         {"--state", &state, NULL}};
    size_t words = 0;
    int r = ctl_parse(argc, argv, publish_usage, options, ARRAY_LEN(options), &file, 1, &words);
    if (r != 0)
        return r == 3 ? 0 : r;
    if (words != 1 || asset == NULL) {
        (void)fprintf(stderr, "weirctl: publish needs a file and --asset\n%s", publish_usage);
        return 2;
    }
    struct err err = {0};
    struct publish p = {.terminal = isatty(STDOUT_FILENO) == 1, .shown = -1};
    CLEAN(base_free) char *id = NULL;
    int code = 1;
    r = ctl_settings_load(state, CTL_INGEST | CTL_PUBLISH, &p.settings, &err);
    if (r == 0) {
        struct fetch_options fetch = {.ca_file = p.settings.ca_file};
        r = fetch_client_new(&fetch, &p.client);
        if (r < 0)
            (void)err_errno(&err, r, "starting");
    }
    if (r == 0)
        r = publish_start(&p, file, asset, ladder, title, &id, &err);
    if (r == 0) {
        struct sigaction action = {.sa_handler = publish_on_signal};
        (void)sigaction(SIGINT, &action, NULL);
        (void)sigaction(SIGTERM, &action, NULL);
        r = publish_follow(&p, id, file, &code, &err);
    }
    fetch_client_free(p.client);
    ctl_settings_clear(&p.settings);
    return r < 0 ? ctl_fail(&err) : code;
}
