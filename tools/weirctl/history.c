/* SPDX-License-Identifier: Apache-2.0 */
/* weirctl history: what users watched, and where it is kept. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "admin.h"

static const char history_usage[] =
    "usage: weirctl history show USER\n"
    "       weirctl history export USER > FILE.ndjson\n"
    "       weirctl history clear USER\n"
    "       weirctl history status [--json]\n"
    "                       (all also take --state FOLDER)\n"
    "\n"
    "show lists what a user (id or e-mail address) watched, all profiles, the latest first; "
    "export\n"
    "writes the same as lines of JSON; clear forgets it. All of the database: what is older than\n"
    "half a year is in archived files, which `zstd -dc` reads. status tells how much there is.\n"
    "Each look and each clearing is in the audit log.\n";

static int history_write(int written)
{
    return written < 0 || ferror(stdout) ? -EIO : 0;
}

static int history_line(void *arg, const json_t *e)
{
    long long position_s = json_integer_value(json_object_get(e, "position_ms")) / 1000;
    (void)arg;
    return history_write(printf("%-24s  %3lld:%02lld:%02lld  %-4s  %s  %s\n", admin_text(e, "last"),
                                position_s / 3600, position_s / 60 % 60, position_s % 60,
                                json_is_true(json_object_get(e, "done")) ? "done" : "",
                                admin_text(e, "video"), admin_text(e, "viewer")));
}

/* Without what is not the user's: posters are signed for whoever asks. */
static int history_record(void *arg, const json_t *e)
{
    json_t *record = json_copy((json_t *)(uintptr_t)e);
    (void)arg;
    if (record == NULL)
        return -ENOMEM;
    (void)json_object_del(record, "poster_url"); /* it may be absent */
    admin_print_json(record);
    json_decref(record);
    return history_write(0);
}

static void history_print_status(const json_t *s)
{
    const json_t *archive = json_object_get(s, "archive");
    printf("hot: %lld entries\nwarm: %lld months of viewers, from %s\n",
           (long long)json_integer_value(json_object_get(s, "hot")),
           (long long)json_integer_value(json_object_get(s, "warm")), admin_text(s, "warm_oldest"));
    if (json_is_object(archive))
        printf("archive: %lld files, %lld bytes, from %s to %s\n",
               (long long)json_integer_value(json_object_get(archive, "files")),
               (long long)json_integer_value(json_object_get(archive, "bytes")),
               admin_text(archive, "oldest"), admin_text(archive, "newest"));
    else
        printf("archive: none (history_folder is not set: packed months stay in the database)\n");
}

static int history_status(struct admin *ad, bool as_json, struct err *err)
{
    json_t *status = NULL;
    int r = admin_call(ad, "GET", "/api/v1/admin/history", NULL, &status, err);
    if (r == 0 && as_json)
        admin_print_json(status);
    else if (r == 0)
        history_print_status(status);
    json_decref(status);
    return r;
}

static int history_run(struct admin *ad, const char *const *words, bool as_json, struct err *err)
{
    CLEAN_BUF struct buf path = BUF_EMPTY;
    if (strcmp(words[0], "status") == 0)
        return history_status(ad, as_json, err);
    int r = admin_user_path(words[1], "/history", &path, err);
    if (r < 0)
        return r;
    if (strcmp(words[0], "clear") == 0)
        return admin_call(ad, "DELETE", path.data, NULL, NULL, err);
    bool show = strcmp(words[0], "show") == 0;
    return admin_pages(ad, path.data, "history", show ? history_line : history_record, NULL, err);
}

static bool history_fits(const char *const *words, size_t count, bool as_json)
{
    if (count == 1)
        return strcmp(words[0], "status") == 0;
    return count == 2 && !as_json &&
           (strcmp(words[0], "show") == 0 || strcmp(words[0], "export") == 0 ||
            strcmp(words[0], "clear") == 0);
}

int ctl_history(int argc, char **argv)
{
    const char *state = NULL;
    const char *words[2] = {NULL};
    bool as_json = false;
    size_t count = 0;
    const struct ctl_option options[] = {{"--state", &state, NULL}, {"--json", NULL, &as_json}};
    int r = ctl_parse(argc, argv, history_usage, options, ARRAY_LEN(options), words,
                      ARRAY_LEN(words), &count);
    if (r != 0)
        return r == 3 ? 0 : r;
    if (!history_fits(words, count, as_json)) {
        (void)fputs(history_usage, stderr);
        return 2;
    }
    struct err err = {""};
    struct admin ad = {0};
    r = admin_open(state, &ad, &err);
    if (r == 0)
        r = history_run(&ad, words, as_json, &err);
    admin_close(&ad);
    return r < 0 ? ctl_fail(&err) : 0;
}
