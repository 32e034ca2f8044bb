/* SPDX-License-Identifier: Apache-2.0 */
/* Accounts as administrators see to them, and the keys of access tokens: openapi/people.yaml. A
 * user is named by id or by e-mail address. */
#include <errno.h>
#include <stdlib.h>
#include "control/model.h"
#include "control/ops.h"
#include "control/people/logins.h"
#include "control/people/ops_priv.h"
#include "control/people/otp.h"
#include "control/people/attempts.h"
#include "control/plans/leave.h"
#include "token/jwks.h"

static const char *admin_text(const json_t *doc, const char *name)
{
    return json_string_value(json_object_get(doc, name));
}

static int admin_not_found(struct call *c, int r)
{
    return r == -ENOENT || r == -EINVAL
               ? fault_set(&c->fault, 404, "USER_NOT_FOUND", "there is no such user")
               : r;
}

static int admin_answer(struct call *c, const json_t *user)
{
    return call_answer(c, json_pack("{s:o}", "user", account_listed(user)));
}

static int admin_users(struct call *c)
{
    struct db_list list = {.key = "created_ms", .descending = true};
    json_t *docs = NULL;
    char *next = NULL;
    call_list(c, &list);
    int r = db_list(c->db, MODEL_USERS, &list, &docs, &next);
    return call_page_of(c, r, "users", docs, next, account_listed);
}

static int admin_user(struct call *c)
{
    json_t *user = NULL;
    int r = account_of_text(c->db, call_path(c, "user"), &user);
    if (r == 0)
        r = admin_answer(c, user);
    json_decref(user);
    return admin_not_found(c, r);
}

/* "verified": of an account, or of who has only signed up yet. */
static int admin_verify(struct call *c, json_t **user)
{
    json_t *fresh = NULL;
    const char *name = *user != NULL ? admin_text(*user, "email") : call_path(c, "user");
    int r = account_confirm_address(c->db, name, c->now_ms, &fresh, &c->fault);
    if (r < 0)
        return r;
    json_decref(*user);
    *user = fresh;
    audit_event(c, "user verified", admin_text(fresh, "id"));
    return 0;
}

static int admin_apply(struct call *c, json_t **user)
{
    const json_t *disabled = json_object_get(c->body, "disabled");
    const char *id = admin_text(*user, "id");
    enum role role;
    json_t *fresh = NULL;
    int r = 0;
    if (role_of(call_text(c, "role"), &role)) {
        r = account_set_role(c->db, id, role, &fresh);
        if (r == 0) {
            audit_event(c, "role changed", id);
            json_decref(*user);
            *user = fresh;
            id = admin_text(fresh, "id");
        }
    }
    if (r == 0 && json_is_boolean(disabled)) {
        fresh = NULL;
        r = account_disable(c->db, id, json_is_true(disabled), c->now_ms, &fresh);
        if (r == 0) {
            audit_event(c, json_is_true(disabled) ? "user disabled" : "user enabled", id);
            json_decref(*user);
            *user = fresh;
        }
    }
    if (r == 0 && call_true(c, "second_factor_off")) {
        r = otp_disable(c->db, admin_text(*user, "id"));
        if (r == 0)
            audit_event(c, "second factor off", admin_text(*user, "id"));
    }
    return r;
}

static int admin_fresh(struct call *c, json_t **user)
{
    json_t *fresh = NULL;
    int r = db_get(c->db, MODEL_USERS, admin_text(*user, "id"), &fresh);
    if (r < 0)
        return r;
    json_decref(*user);
    *user = fresh;
    return 0;
}

static int admin_change(struct call *c)
{
    json_t *user = NULL;
    int r = account_of_text(c->db, call_path(c, "user"), &user);
    if (call_true(c, "verified") && (r == 0 || r == -ENOENT))
        r = admin_verify(c, &user);
    if (r == 0)
        r = admin_apply(c, &user);
    if (r == 0) {
        people_forget(c->control->people, admin_text(user, "id"));
        r = admin_fresh(c, &user);
    }
    if (r == 0)
        r = admin_answer(c, user);
    json_decref(user);
    return admin_not_found(c, r);
}

/* The link that a letter would have, for the operator to hand over. */
static int admin_reset(struct call *c)
{
    struct account_letter letter;
    CLEAN_BUF struct buf link = BUF_EMPTY;
    json_t *user = NULL;
    int r = account_of_text(c->db, call_path(c, "user"), &user);
    if (r == 0)
        r = account_wish_reset(c->db, str_of(admin_text(user, "email")), c->now_ms, &letter,
                               &c->fault);
    if (r == 0 && letter.ticket[0] == 0)
        r = fault_set(&c->fault, 409, "ACCOUNT_DISABLED", "this account is disabled");
    if (r == 0)
        r = attempts_forget(c->db, "login", str_of(letter.address));
    if (r == 0) {
        buf_printf(&link, "%s/#/reset/%s", c->live->public_url != NULL ? c->live->public_url : "",
                   letter.ticket);
        r = buf_error(&link);
    }
    if (r == 0)
        audit_event(c, "password reset asked for", admin_text(user, "id"));
    json_decref(user);
    return r < 0
               ? admin_not_found(c, r)
               : call_answer(c, json_pack("{s:s, s:s}", "token", letter.ticket, "link", link.data));
}

static int admin_log_out(struct call *c)
{
    json_t *user = NULL;
    int r = account_of_text(c->db, call_path(c, "user"), &user);
    if (r == 0)
        r = logins_close(c->db, admin_text(user, "id"), NULL);
    if (r == 0) {
        people_forget(c->control->people, admin_text(user, "id"));
        audit_event(c, "devices logged out", admin_text(user, "id"));
    }
    json_decref(user);
    return admin_not_found(c, r);
}

/* --- deleting --------------------------------------------------------------------------------- */

int ops__delete(struct call *c, const char *user, enum gone_kind kind)
{
    c->data = call_keep(c, str_of(user));
    int r = c->data == NULL ? -ENOMEM : gone_put(c->db, kind, user, c->now_ms);
    if (r < 0)
        return r;
    people_forget(c->control->people, user);
    audit_event(c, "account deleted", user);
    return 0;
}

/* The account is gone whatever becomes of this: the sweep does it again. */
static void admin_on_left(void *arg, int res)
{
    (void)res;
    call_finish(arg, 0);
}

void ops__leave(struct call *c)
{
    const struct control_worker *w = http_req_worker(c->req);
    if (leave_all(w->leases, c->data, admin_on_left, c) < 0)
        call_finish(c, 0);
}

static int admin_delete(struct call *c)
{
    json_t *user = NULL;
    const char *videos = call_query_text(c, "videos");
    bool keeps = videos != NULL && strcmp(videos, "keep") == 0;
    int r = account_of_text(c->db, call_path(c, "user"), &user);
    if (r == 0)
        r = ops__delete(c, admin_text(user, "id"), keeps ? GONE_USER_KEPT : GONE_USER);
    json_decref(user);
    return admin_not_found(c, r);
}

/* --- signing keys ----------------------------------------------------------------------------- */

static int admin_keys(struct call *c)
{
    char kid[JWK_KID_SIZE];
    json_t *set = keyring_public(people_keys(c->control->people));
    json_t *key;
    size_t i;
    json_t *kids = json_array();
    json_array_foreach(json_object_get(set, "keys"), i, key)
    {
        (void)json_array_append(kids, json_object_get(key, "kid")); /* no memory: a shorter list */
    }
    json_decref(set);
    keyring_kid(people_keys(c->control->people), kid, sizeof kid);
    return call_answer(c, json_pack("{s:s, s:o}", "signs", kid, "verify", kids));
}

static int admin_rotate(struct call *c)
{
    struct err err = {""};
    int r = keyring_rotate(people_keys(c->control->people), c->now_ms, &err);
    if (r < 0)
        return fault_set(&c->fault, 500, "KEY_NOT_ROTATED", "%s", err.text);
    audit_event(c, "signing key rotated", NULL);
    return admin_keys(c);
}

const struct op_handler admin_people_ops[] = {
    {"admin_users", admin_users, NULL},
    {"admin_user", admin_user, NULL},
    {"admin_user_change", admin_change, NULL},
    {"admin_user_delete", admin_delete, ops__leave},
    {"admin_user_reset", admin_reset, NULL},
    {"admin_user_log_out", admin_log_out, NULL},
    {"admin_sign_keys", admin_keys, NULL},
    {"admin_sign_key_rotate", admin_rotate, NULL},
    {NULL, NULL, NULL},
};
