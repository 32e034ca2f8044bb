/* SPDX-License-Identifier: Apache-2.0 */
/* weirctl plan: what can be subscribed to, and who has it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "admin.h"

static const char plan_usage[] =
    "usage: weirctl plan list [--json]\n"
    "       weirctl plan set PLAN [--name NAME] [--price N] [--currency CODE] [--height LINES]\n"
    "                        [--streams N] [--downloads yes|no] [--ads yes|no]\n"
    "       weirctl plan show USER\n"
    "       weirctl plan give USER PLAN [--until TIME] [--streams N]\n"
    "                                  (all also take --state FOLDER)\n"
    "\n"
    "list shows the plans, lowest first: each includes what those before it give. set changes one "
    "of\n"
    "them; a price is a month's, in minor units (cents). give gives a user (id or e-mail address) "
    "a\n"
    "plan, `none` takes theirs away; TIME is like 2026-01-31T00:00:00Z. Whoever plays more than "
    "is\n"
    "allowed then loses their oldest streams.\n";

struct plan_args {
    const char *name, *price, *currency, *height, *streams, *downloads, *ads, *until, *state;
    bool as_json;
    const char *words[3];
    size_t count;
};

static int plan_number(const char *option, const char *text, json_t **ret, struct err *err)
{
    uint64_t n;
    if (str_to_u64(str_of(text), &n) < 0 || n > INT64_MAX)
        return err_set(err, -EINVAL, "%s: '%s' is not a number", option, text);
    *ret = json_integer((json_int_t)n);
    return *ret == NULL ? -ENOMEM : 0;
}

static int plan_flag(const char *option, const char *text, json_t **ret, struct err *err)
{
    bool yes = strcmp(text, "yes") == 0;
    if (!yes && strcmp(text, "no") != 0)
        return err_set(err, -EINVAL, "%s: '%s' is neither yes nor no", option, text);
    *ret = json_boolean(yes);
    return 0;
}

/* Sets the member that an option names, where it was given. */
static int plan_put(json_t *plan, const char *member, const char *option, const char *text,
                    int (*read)(const char *, const char *, json_t **, struct err *),
                    struct err *err)
{
    json_t *value = NULL;
    if (text == NULL)
        return 0;
    int r = read == NULL ? 0 : read(option, text, &value, err);
    if (read == NULL)
        value = json_string(text);
    if (r < 0)
        return r;
    if (json_object_set_new(plan, member, value) < 0)
        return err_set(err, -EINVAL, "%s: '%s' is not UTF-8", option, text);
    return 0;
}

static int plan_edit(json_t *plan, const struct plan_args *a, struct err *err)
{
    int r = plan_put(plan, "name", "--name", a->name, NULL, err);
    if (r == 0)
        r = plan_put(plan, "currency", "--currency", a->currency, NULL, err);
    if (r == 0)
        r = plan_put(plan, "price", "--price", a->price, plan_number, err);
    if (r == 0)
        r = plan_put(plan, "height_max", "--height", a->height, plan_number, err);
    if (r == 0)
        r = plan_put(plan, "stream_limit", "--streams", a->streams, plan_number, err);
    if (r == 0)
        r = plan_put(plan, "downloads", "--downloads", a->downloads, plan_flag, err);
    if (r == 0)
        r = plan_put(plan, "ads", "--ads", a->ads, plan_flag, err);
    return r;
}

static long long plan_value(const json_t *plan, const char *name)
{
    return json_integer_value(json_object_get(plan, name));
}

static const char *plan_yes(const json_t *plan, const char *name)
{
    return json_is_true(json_object_get(plan, name)) ? "yes" : "no";
}

static void plan_print(const json_t *root, bool as_json)
{
    size_t i;
    const json_t *plan;
    if (as_json) {
        admin_print_json(root);
        return;
    }
    printf("%-16s %-20s %14s %7s %8s %10s %4s\n", "PLAN", "NAME", "PRICE/MONTH", "HEIGHT",
           "STREAMS", "DOWNLOADS", "ADS");
    json_array_foreach(json_object_get(root, "plans"), i, plan)
    {
        long long price = plan_value(plan, "price");
        printf("%-16s %-20s %7lld.%02lld %s %7lld %8lld %10s %4s\n", admin_text(plan, "id"),
               admin_text(plan, "name"), price / 100, price % 100, admin_text(plan, "currency"),
               plan_value(plan, "height_max"), plan_value(plan, "stream_limit"),
               plan_yes(plan, "downloads"), plan_yes(plan, "ads"));
    }
}

static int plan_list(struct admin *ad, const struct plan_args *a, struct err *err)
{
    json_t *root = NULL;
    int r = admin_call(ad, "GET", "/api/v1/plans", NULL, &root, err);
    if (r == 0)
        plan_print(root, a->as_json);
    json_decref(root);
    return r;
}

static int plan_set(struct admin *ad, const struct plan_args *a, struct err *err)
{
    json_t *root = NULL;
    json_t *plan = NULL;
    json_t *now = NULL;
    size_t i;
    json_t *each;
    int r = admin_call(ad, "GET", "/api/v1/plans", NULL, &root, err);
    json_array_foreach(json_object_get(root, "plans"), i, each)
    {
        if (strcmp(admin_text(each, "id"), a->words[1]) == 0)
            plan = each;
    }
    if (r == 0 && plan == NULL)
        r = err_set(err, -ENOENT, "there is no plan '%s'", a->words[1]);
    if (r == 0)
        r = plan_edit(plan, a, err);
    if (r == 0) /* with the rev that was read: somebody else's change is not undone */
        r = admin_call(ad, "PUT", "/api/v1/admin/plans", root, &now, err);
    if (r == 0)
        plan_print(now, a->as_json);
    json_decref(now);
    json_decref(root);
    return r;
}

static void plan_print_held(const json_t *held, bool as_json)
{
    if (as_json) {
        admin_print_json(held);
        return;
    }
    const json_t *until = json_object_get(held, "until");
    printf("%s, %lld streams at once, %s%s\n", admin_text(json_object_get(held, "plan"), "name"),
           plan_value(held, "stream_limit"), json_is_string(until) ? "until " : "for ever",
           json_is_string(until) ? json_string_value(until) : "");
}

static int plan_of_user(struct admin *ad, const struct plan_args *a, const char *method,
                        const json_t *body, struct err *err)
{
    CLEAN_BUF struct buf path = BUF_EMPTY;
    json_t *held = NULL;
    int r = admin_user_path(a->words[1], "/plan", &path, err);
    if (r < 0)
        return r;
    r = admin_call(ad, method, path.data, body, &held, err);
    if (r == 0)
        plan_print_held(held, a->as_json);
    json_decref(held);
    return r;
}

static int plan_give(struct admin *ad, const struct plan_args *a, struct err *err)
{
    bool is_none = strcmp(a->words[2], "none") == 0;
    json_t *body = json_pack("{s:s?}", "plan_id", is_none ? NULL : a->words[2]);
    int r = body == NULL ? err_set(err, -EINVAL, "'%s' is not UTF-8", a->words[2]) : 0;
    if (r == 0)
        r = plan_put(body, "until", "--until", a->until, NULL, err);
    if (r == 0)
        r = plan_put(body, "stream_limit", "--streams", a->streams, plan_number, err);
    if (r == 0)
        r = plan_of_user(ad, a, "PUT", body, err);
    json_decref(body);
    return r;
}

static int plan_run(struct admin *ad, const struct plan_args *a, struct err *err)
{
    if (strcmp(a->words[0], "list") == 0)
        return plan_list(ad, a, err);
    if (strcmp(a->words[0], "set") == 0)
        return plan_set(ad, a, err);
    if (strcmp(a->words[0], "show") == 0)
        return plan_of_user(ad, a, "GET", NULL, err);
    return plan_give(ad, a, err);
}

static bool plan_args_fit(const struct plan_args *a)
{
    static const struct {
        const char *command;
        size_t count;
    } forms[] = {{"list", 1}, {"set", 2}, {"show", 2}, {"give", 3}};
    for (size_t i = 0; a->count > 0 && i < ARRAY_LEN(forms); i++)
        if (strcmp(a->words[0], forms[i].command) == 0)
            return a->count == forms[i].count;
    return false;
}

int ctl_plan(int argc, char **argv)
{
    struct plan_args a = {0};
    const struct ctl_option options[] = {
        {"--name", &a.name, NULL},         {"--price", &a.price, NULL},
        {"--currency", &a.currency, NULL}, {"--height", &a.height, NULL},
        {"--streams", &a.streams, NULL},   {"--downloads", &a.downloads, NULL},
        {"--ads", &a.ads, NULL},           {"--until", &a.until, NULL},
        {"--state", &a.state, NULL},       {"--json", NULL, &a.as_json},
    };
    int r = ctl_parse(argc, argv, plan_usage, options, ARRAY_LEN(options), a.words,
                      ARRAY_LEN(a.words), &a.count);
    if (r != 0)
        return r == 3 ? 0 : r;
    if (!plan_args_fit(&a)) {
        (void)fputs(plan_usage, stderr);
        return 2;
    }
    struct err err = {""};
    struct admin ad = {0};
    r = admin_open(a.state, &ad, &err);
    if (r == 0)
        r = plan_run(&ad, &a, &err);
    admin_close(&ad);
    return r < 0 ? ctl_fail(&err) : 0;
}
