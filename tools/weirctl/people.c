/* SPDX-License-Identifier: Apache-2.0 */
/* weirctl user, weirctl key: accounts and signing keys, through control's API. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "admin.h"

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

/* --- users ------------------------------------------------------------------------------------ */

static int user_line(void *arg, const json_t *user)
{
    (void)arg;
    printf("%s  %-8s  %-8s  %s  %s\n", admin_text(user, "id"), admin_text(user, "role"),
           json_is_true(json_object_get(user, "disabled")) ? "disabled" : "enabled",
           admin_text(user, "created"), admin_text(user, "email"));
    return 0;
}

static int user_list(struct admin *ad, struct err *err)
{
    return admin_pages(ad, "/api/v1/admin/users", "users", user_line, NULL, err);
}

static void user_show(const json_t *user)
{
    printf("id: %s\nemail: %s\nname: %s\nrole: %s\ndisabled: %s\nsecond factor: %s\npassword: %s\n"
           "created: %s\n",
           admin_text(user, "id"), admin_text(user, "email"), admin_text(user, "name"),
           admin_text(user, "role"), json_is_true(json_object_get(user, "disabled")) ? "yes" : "no",
           json_is_true(json_object_get(user, "second_factor")) ? "on" : "off",
           json_is_true(json_object_get(user, "has_password")) ? "yes" : "none",
           admin_text(user, "created"));
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

static int user_do(struct admin *ad, const struct user_action *a, const char *user,
                   const char *role, bool keeps, struct err *err)
{
    CLEAN_BUF struct buf path = BUF_EMPTY;
    json_t *body = NULL;
    json_t *answer = NULL;
    int r = admin_user_path(user, keeps ? "?videos=keep" : a->behind, &path, err);
    if (r < 0)
        return r;
    if (a->member != NULL)
        body = json_pack("{s:b}", a->member, a->value);
    else if (role != NULL)
        body = json_pack("{s:s}", "role", role);
    else if (strcmp(a->method, "POST") == 0)
        body = json_object();
    bool answers = strcmp(a->method, "DELETE") != 0;
    r = admin_call(ad, a->method, path.data, body, answers ? &answer : NULL, err);
    json_decref(body);
    const char *link = json_string_value(json_object_get(answer, "link"));
    if (r == 0 && link != NULL) /* control knows its own address only where it has a public_url */
        printf("%s%s\n", link[0] == '/' ? ad->settings.control_url : "", link);
    else if (r == 0 && answers)
        user_show(json_object_get(answer, "user"));
    json_decref(answer);
    return r;
}

int ctl_user(int argc, char **argv)
{
    struct err err = {.text = ""};
    struct admin ad = {0};
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
    r = admin_open(state, &ad, &err);
    if (r == 0)
        r = list ? user_list(&ad, &err) : user_do(&ad, a, words[1], words[2], keeps, &err);
    admin_close(&ad);
    return r < 0 ? ctl_fail(&err) : 0;
}

/* --- keys ------------------------------------------------------------------------------------- */

int ctl_key(int argc, char **argv)
{
    struct err err = {.text = ""};
    struct admin ad = {0};
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
    json_t *nothing = rotate ? json_object() : NULL;
    r = admin_open(state, &ad, &err);
    if (r == 0)
        r = admin_call(&ad, rotate ? "POST" : "GET",
                       rotate ? "/api/v1/admin/sign-keys/rotate" : "/api/v1/admin/sign-keys",
                       nothing, &answer, &err);
    json_decref(nothing);
    const char *signs = admin_text(answer, "signs");
    json_array_foreach(json_object_get(answer, "verify"), i, kid)
    {
        const char *name = json_string_value(kid);
        printf("%s  %s\n", name != NULL ? name : "-",
               name != NULL && strcmp(name, signs) == 0 ? "signs" : "verifies");
    }
    json_decref(answer);
    admin_close(&ad);
    return r < 0 ? ctl_fail(&err) : 0;
}
