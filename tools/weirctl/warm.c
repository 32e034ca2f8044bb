/* SPDX-License-Identifier: Apache-2.0 */
/* weirctl edge warm: hands a list of URLs to an edge and waits until it has them. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/buf.h"
#include "base/file.h"
#include "fetch/fetch.h"
#include "weirctl.h"

#define WARM_BATCH      5000u /* URLs in one call */
#define WARM_BATCH_SIZE ((size_t)2 << 20)
#define WARM_LINE_MAX   8192
#define WARM_ANSWER_MAX ((size_t)1 << 20)
#define WARM_TURN_MS    200

static const char warm_usage[] =
    "usage: weirctl edge warm FILE|- [--concurrent N] [--no-wait] [--url URL]\n"
    "                         [--credential-file FILE] [--ca-file FILE] [--state FOLDER]\n"
    "\n"
    "Has an edge fetch what is named in FILE (- is standard input), a line each: a URL, signed or\n"
    "not, a path, or the name of an asset, which stands for all its files. Empty lines and those\n"
    "that begin with '#' do not count. What the edge has is not fetched again.\n"
    "\n"
    "--url is the URL of the edge's admin_listen; without it the edge of --state. N fills run at\n"
    "once (8, at most 64). Ends with 0 when the edge has all of it, else 1 after naming some of\n"
    "what it could not get; with --no-wait once the edge knows of it.\n";

struct warm {
    const char *edge, *credential_file, *ca_file, *state, *concurrent;
    bool no_wait;
    struct ctl_settings settings;
    struct secret credential;
    struct fetch_client *client;
    const char *url;
};

static int warm_call(struct warm *w, const char *method, const json_t *body, json_t **ret,
                     struct err *err)
{
    CLEAN_BUF struct buf url = BUF_EMPTY;
    CLEAN_BUF struct buf answer = BUF_EMPTY;
    CLEAN(rbuf_unref) struct rbuf *bytes = NULL;
    unsigned status = 0;
    buf_printf(&url, "%s/warm", w->url);
    char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);
    int r = buf_error(&url);
    if (r == 0 && body != NULL)
        r = text == NULL ? -ENOMEM : rbuf_copy(text, strlen(text), &bytes);
    free(text);
    if (r < 0)
        return err_errno(err, r, "asking the edge");
    const struct fetch_request q = {
        .method = method,
        .url = url.data,
        .bearer = w->credential.size > 0 ? w->credential.text : NULL,
        .type = body != NULL ? "application/json" : NULL,
        .body = bytes,
    };
    r = fetch_client_run(w->client, &q, WARM_ANSWER_MAX, &status, &answer, err);
    if (r < 0)
        return r;
    json_t *root = json_loadb(answer.data != NULL ? answer.data : "", answer.size, 0, NULL);
    if (status < 200 || status > 299 || !json_is_object(root)) {
        const char *message =
            json_string_value(json_object_get(json_object_get(root, "error"), "message"));
        r = err_set(err, -EIO, "the edge answers %u: %s", status,
                    message != NULL ? message : "not what an edge says");
        json_decref(root);
        return r;
    }
    *ret = root;
    return 0;
}

static int warm_send(struct warm *w, json_t *urls, struct err *err)
{
    json_t *answer = NULL;
    json_t *body = json_pack("{s:O}", "urls", urls);
    if (w->concurrent != NULL) {
        uint64_t n = 0;
        if (str_to_u64(str_of(w->concurrent), &n) < 0 || n < 1 || n > 64) {
            json_decref(body);
            return err_set(err, -EINVAL, "--concurrent is a number from 1 to 64");
        }
        (void)json_object_set_new(body, "concurrent", json_integer((json_int_t)n));
    }
    int r = body == NULL ? err_errno(err, -ENOMEM, "asking the edge")
                         : warm_call(w, "POST", body, &answer, err);
    json_decref(body);
    json_decref(answer);
    return r;
}

/* Batch by batch: a list may be longer than one call. */
static int warm_send_all(struct warm *w, FILE *in, struct err *err)
{
    char line[WARM_LINE_MAX + 2];
    size_t size = 0;
    size_t number = 0;
    json_t *urls = json_array();
    int r = 0;
    while (r == 0 && fgets(line, sizeof line, in) != NULL) {
        number++;
        size_t n = strcspn(line, "\r\n");
        if (n == sizeof line - 1) {
            r = err_set(err, -EINVAL, "line %zu is longer than %d bytes", number, WARM_LINE_MAX);
            break;
        }
        struct str text = str_trim((struct str){line, n});
        if (text.size == 0 || text.data[0] == '#')
            continue;
        json_t *one = json_stringn(text.data, text.size);
        if (one == NULL) {
            r = err_set(err, -EINVAL, "line %zu is not UTF-8", number);
            break;
        }
        (void)json_array_append_new(urls, one);
        size += text.size;
        if (json_array_size(urls) >= WARM_BATCH || size >= WARM_BATCH_SIZE) {
            r = warm_send(w, urls, err);
            (void)json_array_clear(urls);
            size = 0;
        }
    }
    if (r == 0 && ferror(in))
        r = err_errno(err, -EIO, "reading the list");
    if (r == 0 && json_array_size(urls) > 0)
        r = warm_send(w, urls, err);
    json_decref(urls);
    return r;
}

static json_int_t warm_count(const json_t *a, const json_t *before, const char *key)
{
    return json_integer_value(json_object_get(a, key)) -
           json_integer_value(json_object_get(before, key));
}

static void warm_show(const json_t *now, const json_t *before, const char *end)
{
    (void)printf("%lld fetched (%lld bytes), %lld were here, %lld failed, %lld to do%s",
                 warm_count(now, before, "fetched"), warm_count(now, before, "bytes"),
                 warm_count(now, before, "here"), warm_count(now, before, "failed"),
                 json_integer_value(json_object_get(now, "queued")) +
                     json_integer_value(json_object_get(now, "running")),
                 end);
    (void)fflush(stdout);
}

/* 1: something failed. */
static int warm_wait(struct warm *w, const json_t *before, struct err *err)
{
    for (;;) {
        json_t *now = NULL;
        int r = warm_call(w, "GET", NULL, &now, err);
        if (r < 0)
            return r;
        bool done = json_integer_value(json_object_get(now, "queued")) == 0 &&
                    json_integer_value(json_object_get(now, "running")) == 0;
        if (done) {
            warm_show(now, before, "\n");
            json_int_t failed = warm_count(now, before, "failed");
            const json_t *list = json_object_get(now, "failures");
            size_t count = json_array_size(list);
            size_t shown = failed < (json_int_t)count ? (size_t)failed : count;
            for (size_t i = count - shown; i < count; i++) {
                const json_t *one = json_array_get(list, i);
                (void)fprintf(stderr, "weirctl: %s: %s\n",
                              json_string_value(json_object_get(one, "url")),
                              json_string_value(json_object_get(one, "why")));
            }
            json_decref(now);
            return failed > 0 ? 1 : 0;
        }
        json_decref(now);
        const struct timespec turn = {.tv_nsec = WARM_TURN_MS * 1000000L};
        (void)nanosleep(&turn, NULL);
    }
}

static int warm_open(struct warm *w, struct err *err)
{
    int r = w->edge != NULL ? 0 : ctl_settings_load(w->state, CTL_EDGE_ADMIN, &w->settings, err);
    if (r == 0 && w->credential_file != NULL)
        r = secret_load(w->credential_file, &w->credential, err);
    if (r < 0)
        return r;
    w->url = w->edge != NULL ? w->edge : w->settings.edge_admin_url;
    const struct fetch_options options = {.ca_file = w->ca_file != NULL ? w->ca_file
                                                                        : w->settings.ca_file};
    r = fetch_client_new(&options, &w->client);
    return r < 0 ? err_errno(err, r, "starting") : 0;
}

static int warm_run(struct warm *w, const char *path, struct err *err)
{
    json_t *before = NULL;
    int r = warm_open(w, err);
    FILE *in = r < 0 ? NULL : strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (r == 0 && in == NULL)
        r = err_errno(err, -errno, "%s", path);
    if (r == 0)
        r = warm_call(w, "GET", NULL, &before, err);
    if (r == 0)
        r = warm_send_all(w, in, err);
    if (r == 0 && !w->no_wait)
        r = warm_wait(w, before, err);
    if (in != NULL && in != stdin)
        (void)fclose(in); /* it was read */
    json_decref(before);
    return r;
}

int ctl_edge_warm(int argc, char **argv)
{
    struct warm w = {.edge = NULL};
    struct err err = {.text = ""};
    const char *words[1] = {NULL};
    size_t words_count = 0;
    const struct ctl_option options[] = {
        {"--url", &w.edge, NULL},
        {"--credential-file", &w.credential_file, NULL},
        {"--ca-file", &w.ca_file, NULL},
        {"--state", &w.state, NULL},
        {"--concurrent", &w.concurrent, NULL},
        {"--no-wait", NULL, &w.no_wait},
    };
    int code =
        ctl_parse(argc, argv, warm_usage, options, ARRAY_LEN(options), words, 1, &words_count);
    if (code != 0)
        return code == 3 ? 0 : code;
    if (words_count != 1) {
        (void)fprintf(stderr, "%s", warm_usage);
        return 2;
    }
    int r = warm_run(&w, words[0], &err);
    fetch_client_free(w.client);
    ctl_settings_clear(&w.settings);
    secret_clear(&w.credential);
    return r < 0 ? ctl_fail(&err) : r;
}
