/* SPDX-License-Identifier: Apache-2.0 */
/* weirctl edge: what a running edge tells of itself on its admin address. */
#include <errno.h>
#include <math.h>
#include <string.h>
#include "edge_ctl.h"

#define EDGE_ANSWER_MAX ((size_t)16 << 20)

static const struct {
    const char *name;
    ctl_command *run;
    const char *help;
} commands[] = {
    {"stat", ctl_edge_stat, "figures since the edge started"},
    {"top", ctl_edge_top, "a live table of the hottest assets"},
    {"hot", ctl_edge_hot, "the URLs that are answered from RAM most"},
    {"warm", ctl_edge_warm, "fill the cache from a list of URLs"},
};

static void edge_usage(FILE *out)
{
    (void)fprintf(out, "usage: weirctl edge COMMAND [--url URL | --state FOLDER] [ARGUMENTS]\n\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        (void)fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].help);
    (void)fprintf(out, "\nURL is the edge's admin_listen, such as http://127.0.0.1:9101. weirctl "
                       "edge COMMAND --help\ntells more.\n");
}

int ctl_edge(int argc, char **argv)
{
    if (argc >= 1 && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)) {
        edge_usage(stdout);
        return 0;
    }
    for (size_t i = 0; argc >= 1 && i < ARRAY_LEN(commands); i++) {
        if (strcmp(argv[0], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    if (argc >= 1)
        (void)fprintf(stderr, "weirctl: there is no command 'edge %s'\n\n", argv[0]);
    edge_usage(stderr);
    return 2;
}

/* --- asking ----------------------------------------------------------------------------------- */

int ctl_edge_open(const struct ctl_edge_where *w, struct ctl_edge_link *ret, struct err *err)
{
    *ret = (struct ctl_edge_link){0};
    int r = w->url != NULL ? 0 : ctl_settings_load(w->state, CTL_EDGE_ADMIN, &ret->settings, err);
    if (r < 0)
        return r;
    ret->url = w->url != NULL ? w->url : ret->settings.edge_admin_url;
    struct fetch_options options = {.ca_file = ret->settings.ca_file};
    r = fetch_client_new(&options, &ret->client);
    if (r < 0)
        return err_errno(err, r, "starting");
    return 0;
}

void ctl_edge_close(struct ctl_edge_link *l)
{
    fetch_client_free(l->client);
    ctl_settings_clear(&l->settings);
}

int ctl_edge_get(struct ctl_edge_link *l, const char *path, json_t **ret, struct err *err)
{
    CLEAN_BUF struct buf url = BUF_EMPTY;
    CLEAN_BUF struct buf answer = BUF_EMPTY;
    unsigned status = 0;
    size_t size = strlen(l->url);
    while (size > 0 && l->url[size - 1] == '/')
        size--;
    buf_printf(&url, "%.*s%s", (int)size, l->url, path);
    if (buf_error(&url) < 0)
        return err_errno(err, buf_error(&url), "asking %s", l->url);
    struct fetch_request request = {.method = "GET", .url = url.data};
    int r = fetch_client_run(l->client, &request, EDGE_ANSWER_MAX, &status, &answer, err);
    if (r < 0)
        return r;
    json_t *root = json_loadb(answer.data != NULL ? answer.data : "", answer.size, 0, NULL);
    if (status == 200 && json_is_object(root)) {
        *ret = root;
        return 0;
    }
    const char *message =
        json_string_value(json_object_get(json_object_get(root, "error"), "message"));
    r = err_set(err, -EIO, "%s answers with %u: %s", url.data, status,
                message != NULL ? message : "not what an edge says");
    json_decref(root);
    return r;
}

/* --- telling ---------------------------------------------------------------------------------- */

uint64_t ctl_edge_count(const json_t *object, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(object, key));
    return n > 0 ? (uint64_t)n : 0;
}

double ctl_edge_real(const json_t *object, const char *key)
{
    double x = json_number_value(json_object_get(object, key));
    return isfinite(x) && x > 0 ? x : 0;
}

const char *ctl_edge_ratio(const json_t *object, const char *key, char out[CTL_EDGE_RATIO_TEXT])
{
    const json_t *ratio = json_object_get(object, key);
    if (!json_is_number(ratio))
        return "-";
    (void)snprintf(out, CTL_EDGE_RATIO_TEXT, "%.1f%%",
                   100 * MIN(MAX(json_number_value(ratio), 0.0), 1.0));
    return out;
}

/* Names are parts of URLs that strangers wrote: what a terminal would take for a command is not
 * shown. */
const char *ctl_edge_text(const json_t *object, const char *key, char out[CTL_EDGE_NAME_TEXT])
{
    const char *text = json_string_value(json_object_get(object, key));
    size_t n = 0;
    for (; text != NULL && text[n] != '\0' && n + 1 < CTL_EDGE_NAME_TEXT; n++)
        out[n] = (unsigned char)text[n] < 0x20 || (unsigned char)text[n] >= 0x7f ? '?' : text[n];
    out[n] = '\0';
    return n > 0 ? out : "-";
}

int ctl_edge_json(json_t *root)
{
    char *text = json_dumps(root, JSON_COMPACT);
    if (text == NULL)
        return -ENOMEM;
    printf("%s\n", text);
    free(text);
    return 0;
}

int ctl_edge_said(int r, struct err *err)
{
    if (r == 0 && (fflush(stdout) != 0 || ferror(stdout) != 0))
        r = err_errno(err, -errno, "writing to stdout");
    return r < 0 ? ctl_fail(err) : 0;
}
