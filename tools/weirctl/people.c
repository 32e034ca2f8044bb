/* SPDX-License-Identifier: Apache-2.0 */
/* weirctl user, weirctl key: accounts and signing keys, through control's API. */
#include "weirctl.h"
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/enc.h"
#include "fetch/fetch.h"

#define PEOPLE_ANSWER_MAX ((size_t)16 << 20)
#define PEOPLE_PAGE       500

static const char user_usage[] =
    "usage: weirctl user list\n"
    "       weirctl user show|disable|enable|verify|log-out|password-reset|otp-off USER\n"
    "       weirctl user role USER free|premium|creator|admin\n"
    "       weirctl user delete USER [--keep-videos]\n"
    "                    [--state FOLDER]\n"
    "\n"
    "USER is an e-mail address or an id. disable ends all log-ins of the account and lets it log\n"
    "in no more; log-out only ends them. verify stands for the letter's link: it makes the "
    "account\n"
    "that was signed up for, or tells that an account's address is its owner's. password-reset\n"
    "prints a link to choose a new password, good for an hour, and unlocks the account. otp-off\n"
    "takes the second factor away from who has lost it. delete takes the account away with all "
    "that\n"
    "is in it, its videos too unless they are to stay as nobody's.\n";

static const char key_usage[] =
    "usage: weirctl key list|rotate [--state FOLDER]\n"
    "\n"
    "The keys by which access tokens are signed. rotate: control makes a new one and signs with "
    "it\n"
    "from now on; the old one verifies until its last token is over, half an hour later.\n";

struct people_ctl {
    struct ctl_settings settings;
    struct secret admin;
    struct fetch_client *client;
};

static int people_open(const char *state, struct people_ctl *p, struct err *err)
{
    int r = ctl_settings_load(state, &p->settings, err);
    if (r == 0)
        r = secret_load(p->settings.admin_credential_file, &p->admin, err);
    if (r < 0)
        return r;
    const struct fetch_options options = {.ca_file = p->settings.ca_file};
    r = fetch_client_new(&options, &p->client);
    return r < 0 ? err_errno(err, r, "starting") : 0;
}

static void people_close(struct people_ctl *p)
{
    fetch_client_free(p->client);
    secret_clear(&p->admin);
    ctl_settings_clear(&p->settings);
}

static int people_refused(unsigned status, const json_t *answer, struct err *err)
{
    const json_t *error = json_object_get(answer, "error");
    const char *message = json_string_value(json_object_get(error, "message"));
    return err_set(err, -EPROTO, "control answers %u: %s", status,
                   message != NULL ? message : "no answer of control");
}

/* path is behind /api/v1/admin/; body NULL: none. *ret may be NULL where nothing is answered. */
static int people_ask(struct people_ctl *p, const char *method, const char *path, json_t *body,
                      json_t **ret, struct err *err)
{
    CLEAN_BUF struct buf url = BUF_EMPTY;
    CLEAN_BUF struct buf text = BUF_EMPTY;
    CLEAN(rbuf_unref) struct rbuf *bytes = NULL;
    unsigned status = 0;
    char *dump = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    int r = body != NULL && dump == NULL ? -ENOMEM : 0;
    json_decref(body);
    if (dump != NULL)
        r = rbuf_copy(dump, strlen(dump), &bytes);
    free(dump);
    buf_printf(&url, "%s/api/v1/admin/%s", p->settings.control_url, path);
    if (r == 0)
        r = buf_error(&url);
    if (r < 0)
        return err_errno(err, r, "asking control");
    const struct fetch_request request = {
        .method = method,
        .url = url.data,
        .bearer = p->admin.text,
        .type = bytes != NULL ? "application/json" : NULL,
        .body = bytes,
    };
    r = fetch_client_run(p->client, &request, PEOPLE_ANSWER_MAX, &status, &text, err);
    if (r < 0)
        return r;
    json_t *answer = json_loadb(text.data != NULL ? text.data : "", text.size, 0, NULL);
    if (status < 200 || status > 299 || (ret != NULL && !json_is_object(answer)))
        r = people_refused(status, answer, err);
    if (r < 0 || ret == NULL)
        json_decref(answer);
    else
        *ret = answer;
    return r;
}

static const char *people_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "-";
}

/* --- users ------------------------------------------------------------------------------------ */

static void user_line(const json_t *user)
{
    printf("%s  %-8s  %-8s  %s  %s\n", people_text(user, "id"), people_text(user, "role"),
           json_is_true(json_object_get(user, "disabled")) ? "disabled" : "enabled",
           people_text(user, "created"), people_text(user, "email"));
}

static int user_list(struct people_ctl *p, struct err *err)
{
    CLEAN_BUF struct buf path = BUF_EMPTY;
    bool more = true;
    int r = 0;
    buf_printf(&path, "users?limit=%d", PEOPLE_PAGE);
    while (r == 0 && more) {
        json_t *page = NULL;
        json_t *user;
        size_t i;
        r = buf_error(&path) < 0 ? err_errno(err, buf_error(&path), "asking control")
                                 : people_ask(p, "GET", path.data, NULL, &page, err);
        json_array_foreach(json_object_get(page, "users"), i, user)
        {
            user_line(user);
        }
        const char *next = json_string_value(json_object_get(page, "next"));
        more = next != NULL;
        buf_clear(&path);
        buf_printf(&path, "users?limit=%d&cursor=%s", PEOPLE_PAGE, more ? next : "");
        json_decref(page);
    }
    return r;
}

static void user_show(const json_t *user)
{
    printf("id: %s\nemail: %s\nname: %s\nrole: %s\ndisabled: %s\nsecond factor: %s\npassword: %s\n"
           "created: %s\n",
           people_text(user, "id"), people_text(user, "email"), people_text(user, "name"),
           people_text(user, "role"),
           json_is_true(json_object_get(user, "disabled")) ? "yes" : "no",
           json_is_true(json_object_get(user, "second_factor")) ? "on" : "off",
           json_is_true(json_object_get(user, "has_password")) ? "yes" : "none",
           people_text(user, "created"));
}

static const struct user_action {
    const char *name;
    const char *method;
    const char *behind; /* of the user's path */
    const char *member; /* of a PATCH */
    bool value;
} user_actions[] = {
    {"show", "GET", "", NULL, false},
    {"disable", "PATCH", "", "disabled", true},
    {"enable", "PATCH", "", "disabled", false},
    {"verify", "PATCH", "", "verified", true},
    {"otp-off", "PATCH", "", "second_factor_off", true},
    {"role", "PATCH", "", NULL, false},
    {"log-out", "DELETE", "/devices", NULL, false},
    {"delete", "DELETE", "", NULL, false},
    {"password-reset", "POST", "/password-reset", NULL, false},
};

static const struct user_action *user_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(user_actions); i++)
        if (strcmp(user_actions[i].name, name) == 0)
            return &user_actions[i];
    return NULL;
}

static int user_do(struct people_ctl *p, const struct user_action *a, const char *user,
                   const char *role, bool keeps, struct err *err)
{
    CLEAN_BUF struct buf path = BUF_EMPTY;
    json_t *body = NULL;
    json_t *answer = NULL;
    buf_puts(&path, "users/");
    enc_percent(str_of(user), &path);
    buf_puts(&path, a->behind);
    if (keeps)
        buf_puts(&path, "?videos=keep");
    if (buf_error(&path) < 0)
        return err_errno(err, buf_error(&path), "asking control");
    if (a->member != NULL)
        body = json_pack("{s:b}", a->member, a->value);
    else if (role != NULL)
        body = json_pack("{s:s}", "role", role);
    else if (strcmp(a->method, "POST") == 0)
        body = json_object();
    bool answers = strcmp(a->method, "DELETE") != 0;
    int r = people_ask(p, a->method, path.data, body, answers ? &answer : NULL, err);
    if (r == 0 && json_object_get(answer, "link") != NULL)
        printf("%s\n", people_text(answer, "link"));
    else if (r == 0 && answers)
        user_show(json_object_get(answer, "user"));
    json_decref(answer);
    return r;
}

int ctl_user(int argc, char **argv)
{
    struct err err = {.text = ""};
    struct people_ctl p = {0};
    const char *words[3] = {NULL};
    const char *state = NULL;
    size_t count = 0;
    bool keeps = false;
    const struct ctl_option options[] = {{"--state", &state, NULL},
                                         {"--keep-videos", NULL, &keeps}};
    int r = ctl_parse(argc, argv, user_usage, options, ARRAY_LEN(options), words, 3, &count);
    if (r != 0)
        return r == 3 ? 0 : r;
    const struct user_action *a = count > 0 ? user_find(words[0]) : NULL;
    bool list = count == 1 && strcmp(words[0], "list") == 0;
    bool is_role = a != NULL && strcmp(a->name, "role") == 0;
    if ((!list && (a == NULL || count != (is_role ? 3u : 2u))) ||
        (keeps && (a == NULL || strcmp(a->name, "delete") != 0))) {
        (void)fputs(user_usage, stderr);
        return 2;
    }
    r = people_open(state, &p, &err);
    if (r == 0)
        r = list ? user_list(&p, &err) : user_do(&p, a, words[1], words[2], keeps, &err);
    people_close(&p);
    return r < 0 ? ctl_fail(&err) : 0;
}

/* --- keys ------------------------------------------------------------------------------------- */

int ctl_key(int argc, char **argv)
{
    struct err err = {.text = ""};
    struct people_ctl p = {0};
    const char *word = NULL;
    const char *state = NULL;
    json_t *answer = NULL;
    size_t count = 0;
    json_t *kid;
    size_t i;
    const struct ctl_option options[] = {{"--state", &state, NULL}};
    int r = ctl_parse(argc, argv, key_usage, options, ARRAY_LEN(options), &word, 1, &count);
    if (r != 0)
        return r == 3 ? 0 : r;
    bool rotate = count == 1 && strcmp(word, "rotate") == 0;
    if (!rotate && (count != 1 || strcmp(word, "list") != 0)) {
        (void)fputs(key_usage, stderr);
        return 2;
    }
    r = people_open(state, &p, &err);
    if (r == 0)
        r = people_ask(&p, rotate ? "POST" : "GET", rotate ? "sign-keys/rotate" : "sign-keys",
                       rotate ? json_object() : NULL, &answer, &err);
    const char *signs = people_text(answer, "signs");
    json_array_foreach(json_object_get(answer, "verify"), i, kid)
    {
        const char *name = json_string_value(kid);
        printf("%s  %s\n", name != NULL ? name : "-",
               name != NULL && strcmp(name, signs) == 0 ? "signs" : "verifies");
    }
    json_decref(answer);
    people_close(&p);
    return r < 0 ? ctl_fail(&err) : 0;
}
