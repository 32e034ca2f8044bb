/* SPDX-License-Identifier: Apache-2.0 */
/* Signing up, logging in and out, forgotten passwords: openapi/people.yaml. */
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"
#include "control/ops.h"
#include "control/people/access.h"
#include "control/people/attempts.h"
#include "control/people/logins.h"
#include "control/people/ops_priv.h"
#include "control/people/otp.h"
#include "control/model.h"
#include "control/valid.h"

#define AUTH_CODE_MS     (INT64_C(5) * 60 * 1000) /* between password and second factor */
#define AUTH_LETTERS_MAX 5                        /* an hour, to one address */
#define AUTH_DEVICE_MAX  200

/* --- shared ----------------------------------------------------------------------------------- */

static const char *auth_text(const json_t *doc, const char *name)
{
    return json_string_value(json_object_get(doc, name));
}

int ops__me(struct call *c, json_t **ret)
{
    if (c->caller.document != NULL) {
        *ret = json_incref(c->caller.document);
        return 0;
    }
    int r = db_get(c->db, MODEL_USERS, c->caller.user, ret);
    return r == -ENOENT ? fault_set(&c->fault, 401, "NOT_LOGGED_IN", "log in first") : r;
}

int ops__confirm(struct call *c, const json_t *user)
{
    unsigned wait_s = 0;
    const char *code = call_text(c, "code");
    int r = 0;
    if (call_text(c, "password") != NULL)
        r = account_check(c->db, user, call_str(c, "password"), c->now_ms, &c->fault, &wait_s);
    else if (code != NULL && otp_is_on(user))
        r = otp_check(c->db, user, code, c->now_ms, &c->fault, &wait_s);
    else if (auth_text(user, "password") != NULL)
        r = fault_set(&c->fault, 403, "PASSWORD_WRONG", "the password is needed for that");
    else if (otp_is_on(user))
        r = fault_set(&c->fault, 403, "OTP_WRONG",
                      "a code of the second factor is needed for that");
    return call_wait(c, r, wait_s);
}

/* --- what a log-in is answered with ----------------------------------------------------------- */

/* What the client calls itself, or its program: printable ASCII, or what was checked already. */
static struct str auth_device(struct call *c)
{
    struct str named = call_str(c, "device_name");
    if (named.size > 0)
        return named;
    char *text = call_keep(c, str_of(c->agent));
    if (text == NULL)
        return STR_NONE;
    size_t n = 0;
    for (const char *at = c->agent; *at != 0 && n < AUTH_DEVICE_MAX; at++)
        if (*at >= ' ' && *at < 0x7f)
            text[n++] = *at;
    return (struct str){text, n};
}

static int auth_sign(struct call *c, const json_t *user, const char *login, struct buf *out,
                     int64_t *ret_expires_s)
{
    struct access access = {.expires_s = c->now_ms / 1000 + KEYRING_TOKEN_LIFE_S};
    int r = str_copy(str_of(auth_text(user, "id")), access.user, sizeof access.user);
    if (r == 0)
        r = str_copy(str_of(login), access.login, sizeof access.login);
    if (r == 0)
        r = access_sign(people_keys(c->control->people), c->live->issuer, &access,
                        role_name(account_role(user)), out);
    *ret_expires_s = access.expires_s;
    return r;
}

static int auth_set_cookies(struct call *c, const char *access, const char *refresh)
{
    int r = call_cookie(c, OPS_ACCESS_COOKIE, access, "/", KEYRING_TOKEN_LIFE_S);
    return r < 0 ? r : call_cookie(c, OPS_REFRESH_COOKIE, refresh, OPS_REFRESH_PATH, LOGIN_LIFE_S);
}

int ops__cookies(struct call *c, const json_t *user, const char *login, const char *refresh)
{
    CLEAN_BUF struct buf access = BUF_EMPTY;
    int64_t expires_s = 0;
    int r = auth_sign(c, user, login, &access, &expires_s);
    return r < 0 ? r : auth_set_cookies(c, access.data, refresh);
}

int ops__no_cookies(struct call *c)
{
    int r = call_cookie(c, OPS_ACCESS_COOKIE, "", "/", 0);
    return r < 0 ? r : call_cookie(c, OPS_REFRESH_COOKIE, "", OPS_REFRESH_PATH, 0);
}

int ops__answer(struct call *c, const json_t *user, const char *login, const char *refresh)
{
    CLEAN_BUF struct buf access = BUF_EMPTY;
    char expires[CLOCK_TEXT_SIZE];
    int64_t expires_s = 0;
    bool bearer = call_true(c, "bearer") || call_text(c, "refresh_token") != NULL;
    int r = auth_sign(c, user, login, &access, &expires_s);
    if (r < 0)
        return r;
    clock_format(expires_s * 1000, expires);
    json_t *answer = json_pack("{s:o, s:s}", "user", account_public(user), "expires", expires);
    if (answer == NULL)
        return -ENOMEM;
    if (!bearer)
        r = auth_set_cookies(c, access.data, refresh);
    else if (json_object_set_new(answer, "access_token", json_string(access.data)) < 0 ||
             json_object_set_new(answer, "refresh_token", json_string(refresh)) < 0)
        r = -ENOMEM;
    if (r < 0) {
        json_decref(answer);
        return r;
    }
    return call_answer(c, answer);
}

int ops__log_in_now(struct call *c, const json_t *user)
{
    char login[ID_TEXT_SIZE];
    char refresh[LOGIN_REFRESH_SIZE];
    const struct login_start start = {
        .user = auth_text(user, "id"),
        .device = auth_device(c),
        .address = str_of(c->peer),
    };
    int r = start.user == NULL ? -EBADMSG : login_open(c->db, &start, c->now_ms, login, refresh);
    if (r < 0)
        return r;
    metric_add(c->control->log_ins, 1);
    audit_event(c, "logged in", start.user);
    return ops__answer(c, user, login, refresh);
}

int ops__ticket(struct call *c, const json_t *user, char ret_ticket[TICKET_SIZE])
{
    return ticket_make(c->db, "code", auth_text(user, "id"), NULL, c->now_ms, AUTH_CODE_MS,
                       ret_ticket);
}

int ops__log_in(struct call *c, const json_t *user)
{
    char ticket[TICKET_SIZE];
    if (!otp_is_on(user))
        return ops__log_in_now(c, user);
    int r = ops__ticket(c, user, ticket);
    if (r < 0)
        return r;
    c->details = json_pack("{s:s}", "ticket", ticket);
    return c->details == NULL
               ? -ENOMEM
               : fault_set(&c->fault, 401, "OTP_NEEDED", "a code of the second factor is needed");
}

/* --- signing up ------------------------------------------------------------------------------- */

/* At most so many to one address, whoever asks for them; who asks is not told. */
static int auth_write(struct call *c, enum letter letter, const struct account_letter *l)
{
    bool allowed = false;
    int r =
        attempts_count(c->db, "letter", str_of(l->address), AUTH_LETTERS_MAX, c->now_ms, &allowed);
    if (r < 0 || !allowed)
        return r;
    return people_write(c->control->people, c->live, letter, l->address,
                        l->ticket[0] != 0 ? l->ticket : NULL);
}

static int auth_apply(struct call *c)
{
    struct account_letter letter;
    int r = account_apply(c->db, call_str(c, "email"), call_str(c, "password"), c->now_ms, &letter,
                          &c->fault);
    if (r == 0)
        r = auth_write(c, letter.is_known ? LETTER_TAKEN : LETTER_CONFIRM, &letter);
    if (r < 0)
        return r;
    c->status = 202;
    return call_answer(c, json_pack("{s:s}", "status", "letter_sent"));
}

static int auth_sign_up(struct call *c)
{
    json_t *user = NULL;
    if (c->live->outside->has_mail)
        return auth_apply(c);
    int r = account_make(c->db, call_str(c, "email"), call_str(c, "password"), c->now_ms, &user,
                         &c->fault);
    if (r < 0)
        return r;
    metric_add(c->control->sign_ups, 1);
    audit_event(c, "signed up", auth_text(user, "id"));
    c->status = 201;
    r = ops__log_in_now(c, user);
    json_decref(user);
    return r;
}

/* Logs nobody in: who has the letter may not be who chose the password. */
static int auth_verify(struct call *c)
{
    json_t *user = NULL;
    int r = account_confirm(c->db, call_str(c, "token"), c->now_ms, &user, &c->fault);
    if (r < 0)
        return r;
    metric_add(c->control->sign_ups, 1);
    audit_event(c, "signed up", auth_text(user, "id"));
    json_decref(user);
    return 0;
}

/* --- logging in ------------------------------------------------------------------------------- */

/* Looked up whether the account exists or not, so that the answer takes as long. */
static void auth_note_failure(struct call *c)
{
    char address[VALID_EMAIL_SIZE];
    struct fault ignored = {0};
    json_t *user = NULL;
    if (c->fault.status != 429) {
        audit_event(c, "log-in failed", NULL);
        return;
    }
    int r = valid_email(call_str(c, "email"), address, &ignored);
    if (r == 0)
        r = account_find(c->db, address, &user);
    if (r == 0)
        audit_attack(c, "log-in locked", auth_text(user, "id"));
    else
        audit_event(c, "log-in locked", NULL);
    json_decref(user);
}

static int auth_log_in(struct call *c)
{
    json_t *user = NULL;
    unsigned wait_s = 0;
    int r = account_log_in(c->db, call_str(c, "email"), call_str(c, "password"), c->now_ms, &user,
                           &c->fault, &wait_s);
    if (r == -EPROTO) {
        metric_add(c->control->log_ins_failed, 1);
        auth_note_failure(c);
    }
    if (r == 0)
        r = ops__log_in(c, user);
    json_decref(user);
    return call_wait(c, r, wait_s);
}

static int auth_otp(struct call *c)
{
    json_t *ticket = NULL;
    json_t *user = NULL;
    unsigned wait_s = 0;
    struct str text = call_str(c, "ticket");
    int r = ticket_read(c->db, "code", text, c->now_ms, &ticket);
    if (r == 0) {
        const char *id = auth_text(ticket, "about");
        r = id == NULL ? -EBADMSG : db_get(c->db, MODEL_USERS, id, &user);
    }
    json_decref(ticket);
    if (r == -ENOENT || (r == 0 && !otp_is_on(user)))
        r = fault_set(&c->fault, 401, "TICKET_INVALID", "begin with the password again");
    if (r == 0)
        r = otp_check(c->db, user, call_text(c, "code"), c->now_ms, &c->fault, &wait_s);
    if (r == -EPROTO && user != NULL) {
        metric_add(c->control->log_ins_failed, 1);
        if (c->fault.status == 429)
            audit_attack(c, "second factor locked", auth_text(user, "id"));
        else
            audit_event(c, "second factor failed", auth_text(user, "id"));
    }
    if (r == 0) {
        ticket = NULL;
        r = ticket_take(c->db, "code", text, c->now_ms, &ticket);
        json_decref(ticket);
        if (r == -ENOENT)
            r = fault_set(&c->fault, 401, "TICKET_INVALID", "begin with the password again");
    }
    if (r == 0 && account_is_disabled(user))
        r = fault_set(&c->fault, 403, "ACCOUNT_DISABLED", "this account is disabled");
    if (r == 0)
        r = ops__log_in_now(c, user);
    json_decref(user);
    return call_wait(c, r, wait_s);
}

/* --- staying, and going ----------------------------------------------------------------------- */

static struct str auth_refresh_token(const struct call *c)
{
    struct str given = call_str(c, "refresh_token");
    return given.size > 0 ? given : call_cookie_of(c, OPS_REFRESH_COOKIE);
}

/* The old cookies are taken away with every refusal: they are of no use any more. */
static int auth_refuse(struct call *c, const char *code)
{
    int r = ops__no_cookies(c);
    return r < 0 ? r : fault_set(&c->fault, 401, code, "this log-in is over, log in again");
}

static int auth_refresh(struct call *c)
{
    char refresh[LOGIN_REFRESH_SIZE];
    json_t *login = NULL;
    json_t *user = NULL;
    int r = login_rotate(c->db, auth_refresh_token(c), c->now_ms, refresh, &login);
    const char *id = auth_text(login, "id");
    const char *user_id = auth_text(login, "user");
    if (r == -EKEYREJECTED) {
        people_forget(c->control->people, id);
        audit_attack(c, "refresh token used twice, log-in ended", user_id);
        r = -ENOENT;
    } else if (r == 0) {
        r = user_id == NULL ? -EBADMSG : db_get(c->db, MODEL_USERS, user_id, &user);
    }
    if (r == 0 && account_is_disabled(user))
        r = -ENOENT;
    if (r == 0)
        r = ops__answer(c, user, id, refresh);
    json_decref(login);
    json_decref(user);
    return r == -ENOENT ? auth_refuse(c, "REFRESH_INVALID") : r;
}

/* By the refresh token, so that it works when the access token is over; else by that. */
static int auth_log_out(struct call *c)
{
    json_t *login = NULL;
    char id[DB_ID_SIZE_MAX + 1] = "";
    int r = login_of_refresh(c->db, auth_refresh_token(c), c->now_ms, &login);
    if (r == 0)
        r = str_copy(str_of(auth_text(login, "id")), id, sizeof id);
    else if (r == -ENOENT && c->caller.kind == CALLER_USER)
        r = str_copy(str_of(c->caller.session), id, sizeof id);
    json_decref(login);
    if (r == -ENOENT)
        return auth_refuse(c, "NOT_LOGGED_IN");
    if (r == 0)
        r = ops__no_cookies(c);
    if (r == 0)
        r = login_close(c->db, id);
    if (r == 0 || r == -ENOENT) /* another request was quicker */
        people_forget(c->control->people, id);
    return r == -ENOENT ? 0 : r;
}

/* --- forgotten passwords ---------------------------------------------------------------------- */

static int auth_reset(struct call *c)
{
    struct account_letter letter;
    if (!c->live->outside->has_mail)
        return fault_set(&c->fault, 409, "LETTERS_OFF",
                         "this installation sends no letters, ask who looks after it");
    int r = account_wish_reset(c->db, call_str(c, "email"), c->now_ms, &letter, &c->fault);
    if (r == 0)
        r = auth_write(c, letter.is_known ? LETTER_RESET : LETTER_NONE, &letter);
    if (r < 0)
        return r;
    return call_answer(c, json_pack("{s:s}", "status", "letter_sent"));
}

static int auth_reset_confirm(struct call *c)
{
    json_t *user = NULL;
    int r = account_reset(c->db, call_str(c, "token"), call_str(c, "password"), c->now_ms, &user,
                          &c->fault);
    if (r < 0)
        return r;
    people_forget(c->control->people, auth_text(user, "id"));
    audit_event(c, "password reset", auth_text(user, "id"));
    json_decref(user);
    return 0;
}

/* --- for those who verify access tokens elsewhere --------------------------------------------- */

static void auth_on_jwks(struct http_req *req, void *arg)
{
    struct control *c = arg;
    http_res_header(req, "cache-control", "public, max-age=300");
    http_reply_json(req, 200, keyring_public(people_keys(c->people)));
}

int people_routes(struct control *c)
{
    return http_route(c->server, HTTP_GET, "/.well-known/jwks.json", auth_on_jwks, c);
}

const struct op_handler account_ops[] = {
    {"auth_signup", auth_sign_up, NULL},
    {"auth_verify", auth_verify, NULL},
    {"auth_login", auth_log_in, NULL},
    {"auth_otp", auth_otp, NULL},
    {"auth_refresh", auth_refresh, NULL},
    {"auth_logout", auth_log_out, NULL},
    {"auth_reset", auth_reset, NULL},
    {"auth_reset_confirm", auth_reset_confirm, NULL},
    {NULL, NULL, NULL},
};
