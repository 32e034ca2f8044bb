/* SPDX-License-Identifier: Apache-2.0 */
/* weirctl session: what a user plays now, and ending it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "admin.h"
#include "base/enc.h"

static const char session_usage[] =
    "usage: weirctl session list USER [--json] [--state FOLDER]\n"
    "       weirctl session end USER SESSION [--state FOLDER]\n"
    "\n"
    "Lists what a user (id or e-mail address) plays now, or ends one of these sessions: it stops "
    "at\n"
    "every edge within two seconds.\n";

static void session_print(const json_t *root, bool as_json)
{
    size_t i;
    const json_t *s;
    const json_t *sessions = json_object_get(root, "sessions");
    if (!as_json)
        printf("%-34s %-25s %-24s %s\n", "SESSION", "SINCE", "DEVICE", "ASSET");
    json_array_foreach(sessions, i, s)
    {
        if (as_json) {
            admin_print_json(s);
        } else {
            printf("%-34s %-25s %-24s %s\n", admin_text(s, "session_id"),
                   admin_text(s, "started_at"), admin_text(s, "device_name"),
                   admin_text(s, "asset"));
        }
    }
}

static int session_run(struct admin *ad, const char *const *words, bool as_json, struct err *err)
{
    bool is_end = strcmp(words[0], "end") == 0;
    CLEAN_BUF struct buf path = BUF_EMPTY;
    json_t *root = NULL;
    int r = admin_user_path(words[1], is_end ? "/sessions/" : "/sessions", &path, err);
    if (r == 0 && is_end)
        enc_percent(str_of(words[2]), &path);
    if (r == 0 && buf_error(&path) < 0)
        r = err_errno(err, buf_error(&path), "asking control");
    if (r < 0)
        return r;
    r = admin_call(ad, is_end ? "DELETE" : "GET", path.data, NULL, is_end ? NULL : &root, err);
    if (r == 0 && !is_end)
        session_print(root, as_json);
    json_decref(root);
    return r;
}

int ctl_session(int argc, char **argv)
{
    const char *state = NULL;
    const char *words[3] = {NULL};
    bool as_json = false;
    size_t count = 0;
    const struct ctl_option options[] = {{"--state", &state, NULL}, {"--json", NULL, &as_json}};
    int r = ctl_parse(argc, argv, session_usage, options, ARRAY_LEN(options), words,
                      ARRAY_LEN(words), &count);
    if (r != 0)
        return r == 3 ? 0 : r;
    if (!(count == 2 && strcmp(words[0], "list") == 0) &&
        !(count == 3 && strcmp(words[0], "end") == 0)) {
        (void)fputs(session_usage, stderr);
        return 2;
    }
    struct err err = {""};
    struct admin ad = {0};
    r = admin_open(state, &ad, &err);
    if (r == 0)
        r = session_run(&ad, words, as_json, &err);
    admin_close(&ad);
    return r < 0 ? ctl_fail(&err) : 0;
}
