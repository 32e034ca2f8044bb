/* SPDX-License-Identifier: Apache-2.0 */
/* What a user plays: openapi/plans.yaml. A call's work on a pool thread finds the video and what
 * the user may; then the leases are asked on the loop. */
#include "control/plans/playback_ops.h"
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "control/catalog/catalog.h"
#include "control/ops.h"
#include "control/valid.h"

#define PLAYBACK_BEAT_S  (LEASE_HEARTBEAT_MS / 1000)
#define PLAYBACK_DEVICES "an unnamed device"

static void playback_state_free(void *data)
{
    struct playback_state *state = data;
    viewer_free(state->viewer);
    json_decref(state->video);
    free(state);
}

static const struct playback_state *playback_state(const struct call *c)
{
    return c->data;
}

struct leases *playback_leases(const struct call *c)
{
    const struct control_worker *w = http_req_worker(c->req);
    return w->leases;
}

static bool playback_is_away(int res)
{
    return res != 0 && res != -EDQUOT && res != -ENOENT && res != -ENOMEM;
}

/* Every answer of the leases goes through here. */
static int playback_result(struct call *c, int res)
{
    if (!playback_is_away(res))
        return res;
    metric_add(c->control->leases_away, 1);
    return fault_set(&c->fault, 503, "LEASES_UNAVAILABLE",
                     "the sessions' store is away, try again in a moment");
}

static int playback_no_session(struct call *c)
{
    return fault_set(&c->fault, 404, "SESSION_NOT_FOUND", "there is no such session");
}

/* --- lists ------------------------------------------------------------------------------------ */

/* What a store gave back may be no UTF-8, if others write to it. */
static json_t *playback_text(struct str s)
{
    json_t *text = json_stringn(s.data != NULL ? s.data : "", s.size);
    return text != NULL ? text : json_string("");
}

static json_t *playback_name(const struct lease *l)
{
    return l->device_name.size > 0 ? playback_text(l->device_name) : json_string(PLAYBACK_DEVICES);
}

static json_t *playback_time(int64_t real_ms)
{
    char text[CLOCK_TEXT_SIZE];
    clock_format(real_ms, text);
    return json_string(text);
}

static json_t *playback_active(const struct lease *l)
{
    return json_pack("{s:o, s:o, s:o, s:o}", "session_id", playback_text(l->session), "device_name",
                     playback_name(l), "asset", playback_text(l->asset), "started_at",
                     playback_time(l->started_ms));
}

static json_t *playback_action(const struct lease *l)
{
    json_t *name = playback_name(l);
    json_t *action =
        json_pack("{s:s, s:o, s:s+}", "action", "terminate_session", "session_id",
                  playback_text(l->session), "label", "Stop watching on ", json_string_value(name));
    json_decref(name);
    return action;
}

/* 429 in the shape of docs/api.md: what plays, and what the user can do about it: end one of them,
 * or have a plan with more. */
static int playback_full(struct call *c, const struct lease *active, unsigned count)
{
    json_t *list = json_array();
    json_t *actions = json_array();
    json_t *upgrades = viewer_upgrades(playback_state(c)->viewer, NULL);
    for (unsigned i = 0; i < count; i++) {
        (void)json_array_append_new(list, playback_active(&active[i]));
        (void)json_array_append_new(actions, playback_action(&active[i]));
    }
    int r = upgrades == NULL ? -1 : json_array_extend(actions, upgrades);
    json_decref(upgrades);
    metric_add(c->control->playbacks_over, 1);
    c->details = json_pack("{s:o, s:o}", "active", list, "actions", actions);
    if (c->details == NULL || r < 0)
        return -ENOMEM;
    return fault_set(&c->fault, 429, "CONCURRENT_LIMIT_EXCEEDED",
                     "you are watching on as many devices as your plan allows");
}

static void playback_on_list(void *arg, int res, const struct lease *active, unsigned count)
{
    struct call *c = arg;
    int r = playback_result(c, res);
    json_t *list = json_array();
    for (unsigned i = 0; r == 0 && i < count; i++) {
        json_t *each = playback_active(&active[i]);
        (void)json_object_set_new(each, "device", playback_text(active[i].device));
        (void)json_object_set_new(each, "expires_at", playback_time(active[i].expires_ms));
        (void)json_array_append_new(list, each);
    }
    if (r == 0)
        r = call_answer(c, json_pack("{s:O}", "sessions", list));
    json_decref(list);
    call_finish(c, r);
}

void playback_list_of(struct call *c, const char *user)
{
    int r = lease_list(playback_leases(c), str_of(user), playback_on_list, c);
    if (r < 0)
        call_finish(c, r);
}

static void playback_list(struct call *c)
{
    playback_list_of(c, c->caller.user);
}

/* --- opening ---------------------------------------------------------------------------------- */

/* Until the token ends, or what it was given for does. */
static int64_t playback_until_s(const struct call *c, const struct playback_state *state)
{
    int64_t until_s = playback_expires(&c->live->signer, c->now_ms / 1000);
    if (state->verdict.until_ms != 0)
        until_s = MIN(until_s, state->verdict.until_ms / 1000 + 1);
    return until_s;
}

static json_t *playback_offer(const struct entitle_verdict *v)
{
    return json_pack("{s:s, s:i, s:b, s:b}", "plan_id", v->plan->id, "height_max",
                     (int)v->height_max, "ads", (int)v->ads, "downloads", (int)v->downloads);
}

static int playback_answer(struct call *c)
{
    const struct playback_signer *signer = &c->live->signer;
    const struct playback_state *state = playback_state(c);
    char expires_text[CLOCK_TEXT_SIZE];
    CLEAN_BUF struct buf url = BUF_EMPTY;
    const struct playback_claims claims = {
        .asset = state->asset,
        .user = c->caller.user,
        .session = state->session,
        .edge = edges_pick(signer->edges, &state->viewer->where, str_of(state->session)),
        .height_max = state->verdict.height_max,
        .expires_s = playback_until_s(c, state),
    };
    int r = playback_sign_for(signer, &claims, &url);
    if (r < 0)
        return r;
    clock_format(claims.expires_s * 1000, expires_text);
    json_t *offer = playback_offer(&state->verdict);
    json_t *answer =
        json_pack("{s:s, s:O, s:s+, s:s+, s:s+, s:s+, s:s, s:s, s:i, s:o}", "asset", state->asset,
                  "title", json_object_get(state->video, "title"), "hls_url", url.data,
                  "master.m3u8", "dash_url", url.data, "manifest.mpd", "thumbnails_url", url.data,
                  "thumbnails.vtt", "poster_url", url.data, "poster.jpg", "expires", expires_text,
                  "session_id", state->session, "heartbeat_s", PLAYBACK_BEAT_S, "offer", offer);
    r = call_answer(c, answer);
    if (r == 0)
        metric_add(c->control->playbacks, 1);
    return r;
}

static void playback_on_open(void *arg, int res, const struct lease *active, unsigned count)
{
    struct call *c = arg;
    int r = 0;
    if (playback_is_away(res) && c->live->leases_fail == CONTROL_LEASES_OPEN) /* edges take it up */
        metric_add(c->control->leases_away, 1);
    else
        r = res == -EDQUOT ? playback_full(c, active, count) : playback_result(c, res);
    call_finish(c, r == 0 ? playback_answer(c) : r);
}

/* Of the body, or of the query where the method has no body. */
static struct str playback_label(const struct call *c, const char *name)
{
    return c->body != NULL ? call_str(c, name) : str_of(call_query_text(c, name));
}

void playback_open(struct call *c)
{
    const struct playback_state *state = playback_state(c);
    const struct lease lease = {
        .user = str_of(c->caller.user),
        .session = str_of(state->session),
        .asset = str_of(state->asset),
        .device = playback_label(c, "device"),
        .device_name = playback_label(c, "device_name"),
        .until_ms = playback_until_s(c, state) * 1000,
    };
    int r =
        lease_open(playback_leases(c), &lease, state->verdict.stream_limit, playback_on_open, c);
    if (r < 0)
        call_finish(c, r);
}

int playback_begin(struct call *c, struct playback_state **ret)
{
    struct playback_state *state = calloc(1, sizeof *state);
    if (state == NULL)
        return -ENOMEM;
    c->data = state;
    c->data_free = playback_state_free;
    int r = viewer_load(c, &state->viewer);
    if (r < 0)
        return r;
    state->verdict = state->viewer->has;
    *ret = state;
    return 0;
}

int playback_admit(struct call *c, struct playback_state *state, json_t *video, const char *asset)
{
    state->video = video;
    playback_session_make(c->caller.user, state->session);
    if (str_copy(str_of(asset), state->asset, sizeof state->asset) < 0)
        return -EBADMSG;
    return viewer_may(c, state->viewer, video, call_text(c, "pin"), &state->verdict);
}

static int playback_work_open(struct call *c)
{
    struct playback_state *state = NULL;
    json_t *video = NULL;
    const char *asset = call_text(c, "asset");
    int r = valid_is_asset(str_of(asset)) ? catalog_get(c->db, asset, &video) : -ENOENT;
    if (r == -ENOENT)
        return fault_set(&c->fault, 404, "VIDEO_NOT_FOUND", "there is no such video");
    if (r == 0)
        r = playback_begin(c, &state);
    if (r == 0)
        r = viewer_as(c, state->viewer, call_text(c, "profile"), call_text(c, "pin"));
    if (r < 0) {
        json_decref(video);
        return r;
    }
    return playback_admit(c, state, video, asset);
}

/* --- one's sessions --------------------------------------------------------------------------- */

static void playback_on_over(void *arg, int res, const struct lease *active, unsigned count)
{
    struct call *c = arg;
    int r = playback_result(c, res);
    call_finish(c, r == 0 ? playback_full(c, active, count) : r);
}

/* Ended on purpose, or by a plan that allows less than before: the page tells the two apart. */
static int playback_ended(struct call *c, bool is_over)
{
    const struct viewer_of *v = playback_state(c)->viewer;
    json_t *actions = is_over ? viewer_upgrades(v, NULL) : json_array();
    c->details =
        json_pack("{s:s, s:s, s:i, s:o}", "reason", is_over ? "PLAN_LIMIT" : "ENDED", "plan_id",
                  v->has.plan->id, "stream_limit", (int)v->has.stream_limit, "actions", actions);
    if (c->details == NULL)
        return -ENOMEM;
    if (!is_over)
        return fault_set(&c->fault, 410, "SESSION_TERMINATED", "this session has been ended");
    return fault_set(&c->fault, 410, "SESSION_TERMINATED",
                     "your plan %s allows %u stream%s at once: this one was ended",
                     v->has.plan->name, v->has.stream_limit, v->has.stream_limit == 1 ? "" : "s");
}

static int playback_beat_answer(struct call *c, enum lease_state state)
{
    if (state == LEASE_ENDED || state == LEASE_OVER)
        return playback_ended(c, state == LEASE_OVER);
    return call_answer(c, json_pack("{s:s, s:i}", "session_id", call_path(c, "session"),
                                    "heartbeat_s", PLAYBACK_BEAT_S));
}

static void playback_on_beat(void *arg, int res, const enum lease_state *states, unsigned count)
{
    struct call *c = arg;
    enum lease_state state = count == 1 ? states[0] : LEASE_UNSURE;
    int r = playback_result(c, res == 0 && state == LEASE_UNSURE ? -EIO : res);
    if (r == 0 && state == LEASE_FULL) {
        r = lease_list(playback_leases(c), str_of(c->caller.user), playback_on_over, c);
        if (r == 0)
            return;
    } else if (r == 0) {
        r = playback_beat_answer(c, state);
    }
    call_finish(c, r);
}

static void playback_beat(struct call *c)
{
    const struct lease lease = {
        .user = str_of(c->caller.user),
        .session = str_of(call_path(c, "session")),
        .limit = playback_state(c)->viewer->has.stream_limit,
    };
    int r = lease_renew(playback_leases(c), &lease, 1, playback_on_beat, c);
    if (r < 0)
        call_finish(c, r);
}

static void playback_on_end(void *arg, int res, const struct lease *active, unsigned count)
{
    struct call *c = arg;
    (void)active, (void)count;
    call_finish(c, res == -ENOENT ? playback_no_session(c) : playback_result(c, res));
}

void playback_end_of(struct call *c, const char *user, const char *session)
{
    int r = lease_end(playback_leases(c), str_of(user), str_of(session), playback_on_end, c);
    if (r < 0)
        call_finish(c, r);
}

static void playback_end(struct call *c)
{
    if (!playback_session_is_of(call_path(c, "session"), c->caller.user)) {
        call_finish(c, playback_no_session(c));
        return;
    }
    playback_end_of(c, c->caller.user, call_path(c, "session"));
}

static int playback_work_beat(struct call *c)
{
    struct playback_state *state = NULL;
    if (!playback_session_is_of(call_path(c, "session"), c->caller.user))
        return playback_no_session(c);
    return playback_begin(c, &state);
}

const struct op_handler playback_ops[] = {
    {"playback_start", playback_work_open, playback_open},
    {"playback_list", NULL, playback_list},
    {"playback_stop", NULL, playback_end},
    {"playback_terminate", NULL, playback_end},
    {"playback_heartbeat", playback_work_beat, playback_beat},
    {NULL, NULL, NULL},
};
