/* SPDX-License-Identifier: Apache-2.0 */
/* Plans, who has which, and the sessions of a user as an administrator sees them:
 * openapi/plans.yaml. */
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "control/ops.h"
#include "control/people/accounts.h"
#include "control/plans/playback_ops.h"
#include "control/plans/rights.h"

/* --- the list --------------------------------------------------------------------------------- */

static int plan_answer_list(struct call *c)
{
    CLEAN(plan_list_free) struct plan_list *l = NULL;
    int64_t rev = 0;
    int r = plans_get(c->control->plans, &l, &rev);
    if (r < 0)
        return r;
    return call_answer(c,
                       json_pack("{s:o, s:I}", "plans", plan_list_json(l), "rev", (json_int_t)rev));
}

static int plan_set_list(struct call *c)
{
    int64_t rev = 0;
    int r = plans_set(c->control->plans, json_object_get(c->body, "plans"), call_integer(c, "rev"),
                      &rev, &c->fault);
    if (r < 0)
        return r;
    atomic_store(&c->control->sweep_wanted, true); /* a limit may be lower now */
    return plan_answer_list(c);
}

/* --- who has which ---------------------------------------------------------------------------- */

struct plan_state {
    char user[DB_ID_SIZE_MAX + 1];
    unsigned limit;
};

static void plan_state_free(void *data)
{
    free(data);
}

/* The user that the path names by id or by address. */
static int plan_find_user(struct call *c, struct plan_state **ret)
{
    json_t *user = NULL;
    int r = account_of_text(c->db, call_path(c, "user"), &user);
    if (r == -ENOENT || r == -EINVAL) /* longer than any id */
        return fault_set(&c->fault, 404, "USER_NOT_FOUND", "there is no such user");
    struct plan_state *state = r == 0 ? calloc(1, sizeof *state) : NULL;
    if (r == 0 && state == NULL)
        r = -ENOMEM;
    if (r == 0) {
        c->data = state;
        c->data_free = plan_state_free;
        r = str_copy(str_of(json_string_value(json_object_get(user, "id"))), state->user,
                     sizeof state->user);
    }
    json_decref(user);
    if (r == 0)
        *ret = state;
    return r;
}

static int plan_answer_held(struct call *c, const char *user, struct plan_state *state)
{
    CLEAN(plan_list_free) struct plan_list *l = NULL;
    json_t *rights = NULL;
    char until[CLOCK_TEXT_SIZE];
    int r = plans_get(c->control->plans, &l, NULL);
    if (r == 0)
        r = rights_get(c->db, user, &rights);
    if (r < 0)
        return r;
    struct entitle_ask ask = {
        .plans = l,
        .now_ms = c->now_ms,
        .default_plan = c->live->default_plan,
        .default_limit = c->live->stream_limit,
    };
    rights_fill(rights, &ask, NULL);
    struct entitle_verdict has = entitle_viewer(&ask);
    if (has.until_ms != 0)
        clock_format(has.until_ms, until);
    if (state != NULL)
        state->limit = has.stream_limit;
    r = call_answer(c, json_pack("{s:o, s:s?, s:i}", "plan", plan_json(has.plan), "until",
                                 has.until_ms != 0 ? until : NULL, "stream_limit",
                                 (int)has.stream_limit));
    json_decref(rights);
    return r;
}

static int plan_mine(struct call *c)
{
    return plan_answer_held(c, c->caller.user, NULL);
}

static int plan_of(struct call *c)
{
    struct plan_state *state = NULL;
    int r = plan_find_user(c, &state);
    return r < 0 ? r : plan_answer_held(c, state->user, NULL);
}

/* 0: for ever. */
static int plan_until(struct call *c, int64_t *ret)
{
    const char *text = call_text(c, "until");
    if (text == NULL) {
        *ret = 0;
        return 0;
    }
    if (clock_parse(str_of(text), ret) < 0)
        return fault_set(&c->fault, 422, "BODY_INVALID", "\"until\" is not a time");
    *ret = MAX(*ret, 1); /* before 1970 is long ago as well */
    return 0;
}

static int plan_give(struct call *c)
{
    CLEAN(plan_list_free) struct plan_list *l = NULL;
    struct plan_state *state = NULL;
    const char *plan = call_text(c, "plan_id");
    const json_t *own = json_object_get(c->body, "stream_limit");
    int64_t until_ms = 0;
    int r = plan_find_user(c, &state);
    if (r == 0)
        r = plans_get(c->control->plans, &l, NULL);
    if (r == 0 && plan != NULL && plan_find(l, plan) == NULL)
        r = fault_set(&c->fault, 404, "PLAN_NOT_FOUND", "there is no such plan");
    if (r == 0)
        r = plan_until(c, &until_ms);
    if (r == 0)
        r = rights_set_plan(c->db, state->user, plan, until_ms,
                            own == NULL ? -1 : (int)json_integer_value(own), c->now_ms, NULL);
    return r < 0 ? r : plan_answer_held(c, state->user, state);
}

/* The plan stands whatever becomes of this: the sweep comes after it. */
static void plan_on_trimmed(void *arg, int res, const struct lease *over, unsigned count)
{
    struct call *c = arg;
    (void)over;
    if (res == 0)
        metric_add(c->control->playbacks_swept, count);
    call_finish(c, 0);
}

static void plan_trim(struct call *c)
{
    const struct plan_state *state = c->data;
    if (lease_trim(playback_leases(c), str_of(state->user), state->limit, plan_on_trimmed, c) < 0)
        call_finish(c, 0);
}

static int grant_give(struct call *c)
{
    struct plan_state *state = NULL;
    struct entitle_grant grant = {
        .asset = call_text(c, "asset"),
        .from_ms = c->now_ms,
        .height_max = (uint32_t)call_integer(c, "height_max"),
    };
    int r = plan_find_user(c, &state);
    if (r == 0)
        r = plan_until(c, &grant.until_ms);
    if (r == 0)
        r = rights_grant(c->db, state->user, &grant, c->now_ms);
    if (r == -ENOSPC)
        return fault_set(&c->fault, 409, "GRANTS_FULL", "this user has as many as there can be");
    return r;
}

/* --- a user's sessions ------------------------------------------------------------------------ */

static int session_find_user(struct call *c)
{
    struct plan_state *state = NULL;
    return plan_find_user(c, &state);
}

static void session_list_of(struct call *c)
{
    const struct plan_state *state = c->data;
    playback_list_of(c, state->user);
}

static void session_end_of(struct call *c)
{
    const struct plan_state *state = c->data;
    playback_end_of(c, state->user, call_path(c, "session"));
}

const struct op_handler plan_ops[] = {
    {"plans_list", plan_answer_list, NULL},
    {"plans_set", plan_set_list, NULL},
    {"plan_mine", plan_mine, NULL},
    {"plan_of", plan_of, NULL},
    {"plan_give", plan_give, plan_trim},
    {"grant_give", grant_give, NULL},
    {"sessions_of", session_find_user, session_list_of},
    {"session_end_of", session_find_user, session_end_of},
    {NULL, NULL, NULL},
};
