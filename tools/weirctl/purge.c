/* SPDX-License-Identifier: Apache-2.0 */
/* weirctl purge: one POST /purge to each edge that is named; that edge tells the others. */
#include "weirctl.h"
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "fetch/fetch.h"

#define PURGE_ANSWER_MAX ((size_t)1 << 20)
#define PURGE_STALL_MS   30000 /* the edge waits for others */

static const char purge_usage[] =
    "usage: weirctl purge [--url URL]... [--asset NAME]... [--tag NAME]... [--everything]\n"
    "                     [--soft] [--upstream NAME] [--edge URL]... [--no-spread]\n"
    "                     [--credential-file FILE] [--ca-file FILE] [--state FOLDER]\n"
    "\n"
    "Makes edges forget: what is named is asked of its origin again before it is served. With "
    "--soft\n"
    "it is served as stale while it is asked for. An asset of an http upstream is a folder with "
    "all\n"
    "below; a tag is a name in Surrogate-Key or xkey.\n"
    "\n"
    "--edge is the URL of an edge's admin_listen; without it the edge of --state. That edge tells\n"
    "all others of its configuration, unless --no-spread. Ends with 0 when all have done it, else "
    "1:\n"
    "those that were not reached do it when they are back.\n";

#define LIST_MAX 1000u

struct purge_list {
    const char *option, *key;
    const char *values[LIST_MAX];
    unsigned count;
};

struct purge_args {
    struct purge_list urls, assets, tags, edges;
    bool everything, soft, no_spread;
    const char *upstream, *credential_file, *ca_file, *state;
};

/* Takes options that may be given several times out of argv; 0 or the exit code. */
static int args_lists(int argc, char **argv, struct purge_args *a, char **rest, int *ret_count)
{
    struct purge_list *lists[] = {&a->urls, &a->assets, &a->tags, &a->edges};
    int count = 0;
    for (int i = 0; i < argc; i++) {
        struct purge_list *of = NULL;
        size_t size = strcspn(argv[i], "=");
        for (size_t n = 0; n < ARRAY_LEN(lists); n++) {
            if (strlen(lists[n]->option) == size && strncmp(argv[i], lists[n]->option, size) == 0)
                of = lists[n];
        }
        if (of == NULL) {
            rest[count++] = argv[i];
            continue;
        }
        const char *value = argv[i][size] == '=' ? argv[i] + size + 1 : NULL;
        if (value == NULL && i + 1 < argc)
            value = argv[++i];
        if (value == NULL || of->count == LIST_MAX) {
            (void)fprintf(stderr, "weirctl: %s %s\n%s",
                          value == NULL ? "a value is missing behind" : "too many of", of->option,
                          purge_usage);
            return 2;
        }
        of->values[of->count++] = value;
    }
    *ret_count = count;
    return 0;
}

static int args_parse(int argc, char **argv, struct purge_args *a)
{
    char **rest = calloc((size_t)argc + 1, sizeof *rest);
    int count = 0;
    size_t words = 0;
    if (rest == NULL)
        return 1;
    int r = args_lists(argc, argv, a, rest, &count);
    const struct ctl_option options[] = {
        {"--upstream", &a->upstream, NULL},     {"--credential-file", &a->credential_file, NULL},
        {"--ca-file", &a->ca_file, NULL},       {"--state", &a->state, NULL},
        {"--everything", NULL, &a->everything}, {"--soft", NULL, &a->soft},
        {"--no-spread", NULL, &a->no_spread},
    };
    if (r == 0)
        r = ctl_parse(count, rest, purge_usage, options, ARRAY_LEN(options), NULL, 0, &words);
    free(rest);
    if (r == 0 && a->urls.count + a->assets.count + a->tags.count == 0 && !a->everything) {
        (void)fprintf(stderr, "weirctl: nothing is named\n%s", purge_usage);
        r = 2;
    }
    return r;
}

static struct rbuf *purge_body(const struct purge_args *a)
{
    const struct purge_list *lists[] = {&a->urls, &a->assets, &a->tags};
    json_t *root = json_object();
    for (size_t n = 0; n < ARRAY_LEN(lists); n++) {
        json_t *names = json_array();
        for (unsigned i = 0; i < lists[n]->count; i++)
            json_array_append_new(names, json_string(lists[n]->values[i]));
        if (lists[n]->count > 0)
            json_object_set(root, lists[n]->key, names);
        json_decref(names);
    }
    if (a->everything)
        json_object_set_new(root, "everything", json_true());
    if (a->upstream != NULL)
        json_object_set_new(root, "upstream", json_string(a->upstream));
    json_object_set_new(root, "soft", json_boolean(a->soft));
    json_object_set_new(root, "spread", json_boolean(!a->no_spread));
    char *text = json_dumps(root, JSON_COMPACT);
    struct rbuf *body = NULL;
    json_decref(root);
    if (text != NULL && rbuf_copy(text, strlen(text), &body) < 0)
        body = NULL;
    free(text);
    return body;
}

/* One line an edge; whether all have done it. */
static bool purge_show(const char *url, unsigned status, json_t *root, struct err *err)
{
    json_t *error = json_object_get(root, "error");
    json_t *said = error != NULL ? json_object_get(error, "details") : root;
    json_t *edges = json_object_get(said, "edges"), *edge;
    const char *message = json_string_value(json_object_get(error, "message"));
    bool all = status == 200 && json_is_array(edges);
    size_t i;
    if (!json_is_array(edges)) {
        (void)err_set(err, -EIO, "%s answered %u: %s", url, status,
                      message != NULL ? message : "no answer of an edge");
        return false;
    }
    json_array_foreach(edges, i, edge)
    {
        const char *name = json_string_value(json_object_get(edge, "edge"));
        const char *why = json_string_value(json_object_get(edge, "error"));
        if (name == NULL || strcmp(name, "self") == 0)
            name = url;
        if (json_is_true(json_object_get(edge, "done")))
            printf("%s: done\n", name);
        else
            printf("%s: NOT DONE: %s\n", name, why != NULL ? why : "it did not say why");
        all = all && json_is_true(json_object_get(edge, "done"));
    }
    if (!all)
        (void)err_set(err, -EIO, "%s: not all edges have done it", url);
    return all;
}

static bool purge_one(struct fetch_client *client, const char *edge, const char *bearer,
                      struct rbuf *body, struct err *err)
{
    CLEAN_BUF struct buf url = BUF_EMPTY;
    CLEAN_BUF struct buf answer = BUF_EMPTY;
    unsigned status = 0;
    buf_printf(&url, "%s/purge", edge);
    if (buf_error(&url) < 0)
        return err_errno(err, buf_error(&url), "asking %s", edge) == 0;
    struct fetch_request request = {.method = "POST",
                                    .url = url.data,
                                    .bearer = bearer,
                                    .type = "application/json",
                                    .body = body};
    if (fetch_client_run(client, &request, PURGE_ANSWER_MAX, &status, &answer, err) < 0) {
        printf("%s: NOT DONE: %s\n", edge, err->text);
        return false;
    }
    json_t *root = json_loadb(answer.data != NULL ? answer.data : "", answer.size, 0, NULL);
    bool done = purge_show(edge, status, root, err);
    json_decref(root);
    return done;
}

static int purge_run(struct purge_args *a, const struct ctl_settings *s, struct err *err)
{
    struct secret secret = {0};
    struct fetch_client *client = NULL;
    const struct fetch_options options = {.ca_file = a->ca_file != NULL ? a->ca_file : s->ca_file,
                                          .stall_ms = PURGE_STALL_MS};
    if (a->edges.count == 0)
        a->edges.values[a->edges.count++] = s->edge_admin_url;
    CLEAN(rbuf_unref) struct rbuf *body = purge_body(a);
    int r = body == NULL ? err_set(err, -ENOMEM, "out of memory") : 0;
    if (r == 0 && a->credential_file != NULL)
        r = secret_load(a->credential_file, &secret, err);
    if (r == 0 && (r = fetch_client_new(&options, &client)) < 0)
        err_errno(err, r, "starting");
    for (unsigned i = 0; client != NULL && i < a->edges.count; i++) {
        const char *bearer = secret.size > 0 ? secret.text : NULL;
        if (!purge_one(client, a->edges.values[i], bearer, body, err))
            r = -EIO;
    }
    fetch_client_free(client);
    secret_clear(&secret);
    return r;
}

int ctl_purge(int argc, char **argv)
{
    struct err err = {.text = ""};
    struct ctl_settings settings = {0};
    struct purge_args args = {
        .urls = {.option = "--url", .key = "url"},
        .assets = {.option = "--asset", .key = "asset"},
        .tags = {.option = "--tag", .key = "tags"},
        .edges = {.option = "--edge"},
    };
    int r = args_parse(argc, argv, &args);
    if (r != 0)
        return r == 3 ? 0 : r;
    if (args.edges.count == 0 || args.state != NULL)
        r = ctl_settings_load(args.state, args.edges.count == 0 ? CTL_EDGE_ADMIN : 0, &settings,
                              &err);
    if (r == 0)
        r = purge_run(&args, &settings, &err);
    ctl_settings_clear(&settings);
    return r < 0 ? ctl_fail(&err) : 0;
}
