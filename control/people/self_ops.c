/* SPDX-License-Identifier: Apache-2.0 */
/* Oneself: account, devices, profiles, API keys: openapi/people.yaml. Whatever is named in a path
 * is looked for among one's own; another's is not there. */
#include <errno.h>
#include "base/clock.h"
#include "control/model.h"
#include "control/ops.h"
#include "control/people/api_keys.h"
#include "control/people/logins.h"
#include "control/people/ops_priv.h"
#include "control/people/otp.h"
#include "control/people/profiles.h"

#define SELF_FRESH_MS (INT64_C(10) * 60 * 1000)

static const char *self_text(const json_t *doc, const char *name)
{
    return json_string_value(json_object_get(doc, name));
}

static int self_may_manage(struct call *c)
{
    if (profile_may_manage(c->caller.rating_max))
        return 0;
    return fault_set(&c->fault, 403, "PROFILE_RESTRICTED",
                     "this profile may not do that; choose one without a limit");
}

/* --- the account ------------------------------------------------------------------------------ */

static int self_answer(struct call *c, const json_t *user)
{
    json_t *shown = account_public(user);
    if (shown != NULL &&
        json_object_set_new(shown, "profile",
                            c->caller.profile[0] != 0 ? json_string(c->caller.profile)
                                                      : json_null()) < 0) {
        json_decref(shown);
        return -ENOMEM;
    }
    return call_answer(c, json_pack("{s:o}", "user", shown));
}

static int self_me(struct call *c)
{
    json_t *user = NULL;
    int r = ops__me(c, &user);
    if (r == 0)
        r = self_answer(c, user);
    json_decref(user);
    return r;
}

static int self_change(struct call *c)
{
    json_t *user = NULL;
    json_t *name = json_object_get(c->body, "name");
    if (name == NULL)
        return self_me(c);
    json_t *set = json_pack("{s:O}", "name", name);
    const struct db_update update = {.set = set};
    int r = set == NULL ? -ENOMEM : db_update(c->db, MODEL_USERS, c->caller.user, &update, &user);
    json_decref(set);
    if (r == 0)
        r = self_answer(c, user);
    json_decref(user);
    return r;
}

/* Nothing proves it but the log-in itself: then that must have been a moment ago. */
static int self_is_fresh(struct call *c)
{
    json_t *login = NULL;
    int r = login_get(c->db, c->caller.session, c->now_ms, &login);
    if (r == 0 &&
        json_integer_value(json_object_get(login, "created_ms")) < c->now_ms - SELF_FRESH_MS)
        r = fault_set(&c->fault, 403, "LOGIN_TOO_OLD", "log in once more first");
    json_decref(login);
    return r;
}

/* All other log-ins end: whoever had the old password has none of them any more. */
static int self_password(struct call *c)
{
    json_t *user = NULL;
    unsigned wait_s = 0;
    int r = ops__me(c, &user);
    if (r == 0 && self_text(user, "password") != NULL) {
        struct str old = call_str(c, "password");
        r = account_check(c->db, user, old, c->now_ms, &c->fault, &wait_s);
    } else if (r == 0) {
        r = self_is_fresh(c);
    }
    if (r == 0)
        r = account_set_password(c->db, c->caller.user, call_str(c, "new_password"), &c->fault);
    if (r == 0)
        r = logins_close(c->db, c->caller.user, c->caller.session);
    if (r == 0) {
        people_forget(c->control->people, c->caller.user);
        audit_event(c, "password changed", c->caller.user);
    }
    json_decref(user);
    return call_wait(c, r, wait_s);
}

static int self_delete(struct call *c)
{
    json_t *user = NULL;
    int r = self_may_manage(c);
    if (r == 0)
        r = ops__me(c, &user);
    if (r == 0)
        r = self_text(user, "password") == NULL && !otp_is_on(user) ? self_is_fresh(c)
                                                                    : ops__confirm(c, user);
    json_decref(user);
    if (r == 0)
        r = ops__delete(c, c->caller.user, GONE_USER);
    if (r == 0)
        r = ops__no_cookies(c);
    return r;
}

/* --- devices ---------------------------------------------------------------------------------- */

static json_t *self_device(const struct call *c, const json_t *login)
{
    char created[CLOCK_TEXT_SIZE];
    char seen[CLOCK_TEXT_SIZE];
    const char *id = self_text(login, "id");
    clock_format(json_integer_value(json_object_get(login, "created_ms")), created);
    clock_format(json_integer_value(json_object_get(login, "seen_ms")), seen);
    return json_pack("{s:s, s:O, s:O, s:s, s:s, s:b}", "id", id, "name",
                     json_object_get(login, "device"), "address", json_object_get(login, "address"),
                     "created", created, "seen", seen, "current",
                     id != NULL && strcmp(id, c->caller.session) == 0);
}

static int self_list(struct call *c, const char *name, json_t *docs,
                     json_t *(*show)(const struct call *c, const json_t *doc))
{
    json_t *list = json_array();
    json_t *doc;
    size_t i;
    int r = list == NULL ? -ENOMEM : 0;
    json_array_foreach(docs, i, doc)
    {
        if (r == 0 && json_array_append_new(list, show(c, doc)) < 0)
            r = -ENOMEM;
    }
    json_decref(docs);
    if (r < 0) {
        json_decref(list);
        return r;
    }
    return call_answer(c, json_pack("{s:o}", name, list));
}

static int self_devices(struct call *c)
{
    json_t *docs = NULL;
    int r = logins_list(c->db, c->caller.user, c->now_ms, &docs);
    return r < 0 ? r : self_list(c, "devices", docs, self_device);
}

static int self_device_end(struct call *c)
{
    const char *id = call_path(c, "device");
    json_t *login = NULL;
    int r = login_get(c->db, id, c->now_ms, &login);
    const char *user = self_text(login, "user");
    if (r == 0 && (user == NULL || strcmp(user, c->caller.user) != 0))
        r = -ENOENT;
    json_decref(login);
    if (r == 0)
        r = login_close(c->db, id);
    if (r == -ENOENT)
        return fault_set(&c->fault, 404, "DEVICE_NOT_FOUND", "you are not logged in there");
    if (r == 0) {
        people_forget(c->control->people, id);
        audit_event(c, "device logged out", c->caller.user);
    }
    return r;
}

static int self_devices_end(struct call *c)
{
    int r = logins_close(c->db, c->caller.user, c->caller.session);
    if (r == 0) {
        people_forget(c->control->people, c->caller.user);
        audit_event(c, "other devices logged out", c->caller.user);
    }
    return r;
}

/* --- profiles --------------------------------------------------------------------------------- */

static int self_no_profile(struct call *c, int r)
{
    return r == -ENOENT ? fault_set(&c->fault, 404, "PROFILE_NOT_FOUND", "there is no such profile")
                        : r;
}

static json_t *self_profile(const struct call *c, const json_t *doc)
{
    (void)c;
    return profile_public(doc);
}

static int self_profiles(struct call *c)
{
    json_t *docs = NULL;
    int r = profiles_list(c->db, c->caller.user, &docs);
    return r < 0 ? r : self_list(c, "profiles", docs, self_profile);
}

static int self_profile_make(struct call *c)
{
    json_t *doc = NULL;
    int r = self_may_manage(c);
    if (r == 0)
        r = profile_make(c->db, c->caller.user, c->body, c->now_ms, &doc, &c->fault);
    if (r == 0)
        r = call_answer(c, profile_public(doc));
    json_decref(doc);
    return r;
}

/* The log-ins that watch as this profile get its new limit. */
static int self_apply_limit(struct call *c, const json_t *profile)
{
    const char *id = self_text(profile, "id");
    json_t *logins = NULL;
    json_t *login;
    size_t i;
    int r = logins_list(c->db, c->caller.user, c->now_ms, &logins);
    json_array_foreach(logins, i, login)
    {
        const char *chosen = self_text(login, "profile");
        if (r == 0 && chosen != NULL && strcmp(chosen, id) == 0)
            r = login_choose(c->db, self_text(login, "id"), id,
                             json_object_get(profile, "rating_max"));
        r = r == -ENOENT ? 0 : r;
    }
    json_decref(logins);
    if (r == 0)
        people_forget(c->control->people, c->caller.user);
    return r;
}

/* Preferences are everybody's own; the rest is for who may manage. */
static int self_profile_change(struct call *c)
{
    const char *id = call_path(c, "profile");
    const char *key;
    json_t *value;
    json_t *doc = NULL;
    bool only_preferences = strcmp(id, c->caller.profile) == 0;
    json_object_foreach(c->body, key, value)
    {
        only_preferences = only_preferences && strcmp(key, "preferences") == 0;
    }
    int r = only_preferences ? 0 : self_may_manage(c);
    if (r == 0)
        r = profile_change(c->db, c->caller.user, id, c->body, &doc, &c->fault);
    if (r == 0 && json_object_get(c->body, "rating_max") != NULL)
        r = self_apply_limit(c, doc);
    if (r == 0)
        r = call_answer(c, profile_public(doc));
    json_decref(doc);
    return self_no_profile(c, r);
}

/* Log-ins that watch as it keep its limit: to have none, they choose another. */
static int self_profile_end(struct call *c)
{
    int r = self_may_manage(c);
    if (r == 0)
        r = profile_end(c->db, c->caller.user, call_path(c, "profile"), c->now_ms);
    return self_no_profile(c, r);
}

static int self_profile_choose(struct call *c)
{
    json_t *doc = NULL;
    unsigned wait_s = 0;
    int r = profile_get(c->db, c->caller.user, call_path(c, "profile"), &doc);
    if (r == 0)
        r = profile_check_pin(c->db, doc, call_text(c, "pin"), c->now_ms, &c->fault, &wait_s);
    if (r == 0)
        r = login_choose(c->db, c->caller.session, self_text(doc, "id"),
                         json_object_get(doc, "rating_max"));
    if (r == 0) {
        people_forget(c->control->people, c->caller.session);
        r = call_answer(c, profile_public(doc));
    }
    json_decref(doc);
    return call_wait(c, self_no_profile(c, r), wait_s);
}

/* --- API keys --------------------------------------------------------------------------------- */

static json_t *self_key(const struct call *c, const json_t *doc)
{
    (void)c;
    return api_key_public(doc);
}

static int self_keys(struct call *c)
{
    json_t *docs = NULL;
    int r = api_keys_list(c->db, c->caller.user, &docs);
    return r < 0 ? r : self_list(c, "keys", docs, self_key);
}

static int self_key_make(struct call *c)
{
    char key[API_KEY_SIZE];
    json_t *user = NULL;
    json_t *doc = NULL;
    int64_t days = call_integer(c, "days");
    int r = ops__me(c, &user);
    if (r == 0)
        r = ops__confirm(c, user);
    if (r == 0) {
        const struct api_key_new fresh = {
            .user = c->caller.user,
            .role = account_role(user),
            .name = call_text(c, "name"),
            .scopes = json_object_get(c->body, "scopes"),
            .expires_ms = days > 0 ? c->now_ms + days * INT64_C(86400000) : 0,
        };
        r = api_key_make(c->db, &fresh, c->now_ms, key, &doc, &c->fault);
    }
    json_decref(user);
    if (r < 0)
        return r;
    json_t *answer = api_key_public(doc);
    json_decref(doc);
    if (answer != NULL && json_object_set_new(answer, "key", json_string(key)) < 0) {
        json_decref(answer);
        return -ENOMEM;
    }
    audit_event(c, "API key made", c->caller.user);
    return call_answer(c, answer);
}

static int self_key_end(struct call *c)
{
    const char *id = call_path(c, "key");
    int r = api_key_end(c->db, c->caller.user, id);
    if (r == -ENOENT)
        return fault_set(&c->fault, 404, "KEY_NOT_FOUND", "there is no such key");
    if (r == 0) {
        people_forget(c->control->people, id);
        audit_event(c, "API key ended", c->caller.user);
    }
    return r;
}

const struct op_handler self_ops[] = {
    {"users_me", self_me, NULL},
    {"users_me_change", self_change, NULL},
    {"users_me_delete", self_delete, ops__leave},
    {"users_me_password", self_password, NULL},
    {"devices_list", self_devices, NULL},
    {"devices_end", self_devices_end, NULL},
    {"device_end", self_device_end, NULL},
    {"profiles_list", self_profiles, NULL},
    {"profile_make", self_profile_make, NULL},
    {"profile_change", self_profile_change, NULL},
    {"profile_end", self_profile_end, NULL},
    {"profile_choose", self_profile_choose, NULL},
    {"keys_list", self_keys, NULL},
    {"key_make", self_key_make, NULL},
    {"key_end", self_key_end, NULL},
    {NULL, NULL, NULL},
};
