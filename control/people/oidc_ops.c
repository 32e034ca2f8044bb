/* SPDX-License-Identifier: Apache-2.0 */
/* Logging in by an OpenID provider: openapi/people.yaml. Providers may be slow, so the work is done
 * by the threads that wait for those outside, and not by the database's. */
#include <errno.h>
#include <stdlib.h>
#include "control/ops.h"
#include "control/people/logins.h"
#include "control/people/oidc.h"
#include "control/people/ops_priv.h"
#include "control/people/otp.h"
#include "base/log.h"
#include "http/loop.h"

#define OIDC_COOKIE      "weir_oidc"
#define OIDC_COOKIE_PATH "/api/v1/auth/oidc"

struct oidc_turn {
    struct call *call;
    int (*work)(struct call *c);
    int error;
};

static void oidc_on_loop(void *arg)
{
    struct oidc_turn *turn = arg;
    struct call *c = turn->call;
    int r = turn->error;
    free(turn);
    call_finish(c, r);
}

static void oidc_on_thread(void *arg)
{
    struct oidc_turn *turn = arg;
    turn->error = turn->work(turn->call);
    if (loop_post(turn->call->loop, oidc_on_loop, turn) < 0)
        /* As in gate.c: its request belongs to the loop. The client times out. */
        log_error("out of memory: an answer is lost");
}

static void oidc_outside(struct call *c, int (*work)(struct call *c))
{
    struct oidc_turn *turn = malloc(sizeof *turn);
    int r = turn == NULL ? -ENOMEM : 0;
    if (r == 0) {
        *turn = (struct oidc_turn){c, work, 0};
        r = people_run(c->control->people, oidc_on_thread, turn);
    }
    if (r < 0) {
        free(turn);
        call_finish(c, r);
    }
}

/* Where providers send browsers back to: the same text for both turns. */
static int oidc_redirect_uri(const struct call *c, struct buf *out)
{
    buf_printf(out, "%s" OIDC_COOKIE_PATH "/%s/callback", c->live->public_url,
               call_path(c, "provider"));
    return buf_error(out);
}

static int oidc_list(struct call *c)
{
    const struct outside *o = c->live->outside;
    json_t *list = json_array();
    for (unsigned i = 0; i < o->providers_count; i++)
        if (json_array_append_new(list, json_pack("{s:s}", "name", o->providers[i].name)) < 0) {
            json_decref(list);
            return -ENOMEM;
        }
    return call_answer(c, json_pack("{s:o}", "providers", list));
}

static int oidc_known(struct call *c)
{
    if (oidc_has(c->live->outside->oidc, call_path(c, "provider")))
        return 0;
    return fault_set(&c->fault, 404, "PROVIDER_NOT_FOUND", "there is no such provider");
}

/* --- there ------------------------------------------------------------------------------------ */

static int oidc_go(struct call *c)
{
    CLEAN_BUF struct buf redirect = BUF_EMPTY;
    CLEAN_BUF struct buf url = BUF_EMPTY;
    char cookie[TICKET_SIZE];
    const char *path = call_query_text(c, "path");
    int r = oidc_redirect_uri(c, &redirect);
    if (r < 0)
        return r;
    const struct oidc_begin begin = {
        .provider = call_path(c, "provider"),
        .redirect_uri = redirect.data,
        .path = path != NULL ? path : "/",
    };
    r = oidc_begin(c->live->outside->oidc, c->db, &begin, c->now_ms, cookie, &url, &c->fault);
    if (r == 0)
        r = call_cookie(c, OIDC_COOKIE, cookie, OIDC_COOKIE_PATH, OIDC_WAY_MS / 1000);
    return r < 0 ? r : call_header(c, "location", "%s", url.data);
}

static void oidc_go_outside(struct call *c)
{
    oidc_outside(c, oidc_go);
}

/* --- and back --------------------------------------------------------------------------------- */

/* The browser goes on to the page, logged in; or to where it asks for the second factor. */
static int oidc_log_in(struct call *c, const json_t *user, const char *path)
{
    char login[ID_TEXT_SIZE];
    char refresh[LOGIN_REFRESH_SIZE];
    char ticket[TICKET_SIZE];
    if (otp_is_on(user)) {
        int r = ops__ticket(c, user, ticket);
        return r < 0 ? r : call_header(c, "location", "/#/code/%s", ticket);
    }
    const char *id = json_string_value(json_object_get(user, "id"));
    const struct login_start start = {
        .user = id, .device = STR("OpenID"), .address = str_of(c->peer)};
    int r = id == NULL ? -EBADMSG : login_open(c->db, &start, c->now_ms, login, refresh);
    if (r == 0)
        r = ops__cookies(c, user, login, refresh);
    if (r < 0)
        return r;
    metric_add(c->control->log_ins, 1);
    audit_event(c, "logged in by a provider", id);
    return call_header(c, "location", "%s", path);
}

static int oidc_back(struct call *c)
{
    CLEAN_BUF struct buf redirect = BUF_EMPTY;
    CLEAN_BUF struct buf path = BUF_EMPTY;
    json_t *user = NULL;
    int r = oidc_redirect_uri(c, &redirect);
    if (r == 0)
        r = call_cookie(c, OIDC_COOKIE, "", OIDC_COOKIE_PATH, 0);
    if (r < 0)
        return r;
    const struct oidc_end end = {
        .provider = call_path(c, "provider"),
        .redirect_uri = redirect.data,
        .state = call_query_text(c, "state"),
        .code = call_query_text(c, "error") != NULL ? NULL : call_query_text(c, "code"),
        .issuer = call_query_text(c, "iss"),
        .cookie = call_cookie_of(c, OIDC_COOKIE),
    };
    r = oidc_end(c->live->outside->oidc, c->db, &end, c->now_ms, &user, &path, &c->fault);
    if (r == -EPROTO) {
        metric_add(c->control->log_ins_failed, 1);
        audit_event(c, "log-in by a provider failed", NULL);
    }
    if (r == 0)
        r = oidc_log_in(c, user, path.data);
    json_decref(user);
    return r;
}

static void oidc_back_outside(struct call *c)
{
    oidc_outside(c, oidc_back);
}

const struct op_handler oidc_ops[] = {
    {"auth_oidc", oidc_list, NULL},
    {"auth_oidc_begin", oidc_known, oidc_go_outside},
    {"auth_oidc_callback", oidc_known, oidc_back_outside},
    {NULL, NULL, NULL},
};
