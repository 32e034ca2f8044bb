/* SPDX-License-Identifier: Apache-2.0 */
/* Signing up, logging in and out, oneself: openapi/account.yaml. */
#include <errno.h>
#include "base/clock.h"
#include "control/api/call.h"
#include "control/ops.h"
#include "control/users.h"

/* --- who asks --------------------------------------------------------------------------------- */

static struct str account_token(const struct call *c)
{
    const char *bearer = call_bearer(c);
    return bearer != NULL ? str_of(bearer) : call_cookie_of(c, SESSION_COOKIE);
}

/* The admin credential is known at once, a session is asked for in the database. */
static int account_look(struct call *c)
{
    char guess[SESSION_DIGEST_SIZE];
    const char *bearer = call_bearer(c);
    struct str token = account_token(c);
    if (bearer != NULL) {
        session_digest(str_of(bearer), guess);
        if (session_digest_eq(guess, c->live->admin_digest)) {
            c->caller.kind = CALLER_OPERATOR;
            return 0;
        }
    }
    return token.size == SESSION_TOKEN_SIZE - 1 ? -EAGAIN : 0;
}

static int account_find(struct call *c)
{
    int r = session_user(c->db, account_token(c), c->now_ms, &c->caller.document);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    const json_t *id = json_object_get(c->caller.document, "id");
    struct str text = {json_string_value(id), json_string_length(id)};
    r = text.size > 0 ? str_copy(text, c->caller.user, sizeof c->caller.user) : -EBADMSG;
    if (r == 0)
        c->caller.kind = CALLER_USER;
    return r;
}

const struct caller_ops account_callers = {account_look, account_find};

/* --- operations ------------------------------------------------------------------------------- */

static int account_answer(struct call *c, const json_t *user)
{
    return call_answer(c, json_pack("{s:o}", "user", users_public(user)));
}

/* Opens a session for the user and answers with it. */
static int account_log_in_as(struct call *c, const json_t *user)
{
    char token[SESSION_TOKEN_SIZE];
    const char *id = json_string_value(json_object_get(user, "id"));
    int r = id == NULL ? -EBADMSG : session_open(c->db, id, clock_real_ms(), token);
    if (r == 0)
        r = call_cookie(c, SESSION_COOKIE, token, "/", SESSION_LIFETIME_S);
    return r == 0 ? account_answer(c, user) : r;
}

static int account_sign_up(struct call *c)
{
    json_t *user = NULL;
    int r = users_sign_up(c->db, call_str(c, "email"), call_str(c, "password"), clock_real_ms(),
                          &user, &c->fault);
    if (r < 0)
        return r;
    metric_add(c->control->sign_ups, 1);
    r = account_log_in_as(c, user);
    json_decref(user);
    return r;
}

static int account_log_in(struct call *c)
{
    json_t *user = NULL;
    int r = users_log_in(c->db, call_str(c, "email"), call_str(c, "password"), &user, &c->fault);
    metric_add(r == 0 ? c->control->log_ins : c->control->log_ins_failed, 1);
    if (r == 0)
        r = account_log_in_as(c, user);
    json_decref(user);
    return r;
}

static int account_log_out(struct call *c)
{
    int r = call_cookie(c, SESSION_COOKIE, "", "/", 0);
    if (r == 0)
        r = session_close(c->db, account_token(c));
    return r == -ENOENT ? 0 : r; /* another request was quicker */
}

static int account_me(struct call *c)
{
    return account_answer(c, c->caller.document);
}

const struct op_handler account_ops[] = {
    {"auth_signup", account_sign_up, NULL},
    {"auth_login", account_log_in, NULL},
    {"auth_logout", account_log_out, NULL},
    {"users_me", account_me, NULL},
    {NULL, NULL, NULL},
};
