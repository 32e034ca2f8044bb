/* SPDX-License-Identifier: Apache-2.0 */
/* What a user plays: openapi/playback.yaml. A call's work on a pool thread finds what the user may
 * (and the video); then the leases are asked on the loop. */
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/id.h"
#include "control/api/call.h"
#include "control/catalog.h"
#include "control/ops.h"
#include "control/valid.h"

#define PLAYBACK_BEAT_S  (LEASE_HEARTBEAT_MS / 1000)
#define PLAYBACK_DEVICES "an unnamed device"

/* From a work to what comes behind it. */
struct playback_state {
    unsigned limit;
    char session[ID_TEXT_SIZE]; /* that is opened */
    json_t *video;
};

static void playback_state_free(void *data)
{
    struct playback_state *state = data;
    json_decref(state->video);
    free(state);
}

static const struct playback_state *playback_state(const struct call *c)
{
    return c->data;
}

static struct leases *playback_leases(const struct call *c)
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
    return fault_set(&c->fault, 404, "SESSION_NOT_FOUND", "you have no such session");
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

/* 429 in the shape of docs/api.md: what plays, and what the user can do about it. */
static int playback_full(struct call *c, const struct lease *active, unsigned count)
{
    json_t *list = json_array();
    json_t *actions = json_array();
    for (unsigned i = 0; i < count; i++) {
        (void)json_array_append_new(list, playback_active(&active[i]));
        (void)json_array_append_new(actions, playback_action(&active[i]));
    }
    metric_add(c->control->playbacks_over, 1);
    c->details = json_pack("{s:o, s:o}", "active", list, "actions", actions);
    if (c->details == NULL)
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

static void playback_list(struct call *c)
{
    int r = lease_list(playback_leases(c), str_of(c->caller.user), playback_on_list, c);
    if (r < 0)
        call_finish(c, r);
}

/* --- opening ---------------------------------------------------------------------------------- */

static int playback_answer(struct call *c)
{
    const struct playback_signer *signer = &c->live->signer;
    const struct playback_state *state = playback_state(c);
    const char *asset = json_string_value(json_object_get(state->video, "id"));
    char expires_text[CLOCK_TEXT_SIZE];
    CLEAN_BUF struct buf url = BUF_EMPTY;
    int64_t expires_s = playback_expires(signer, clock_real_s());
    int r = asset == NULL
                ? -EBADMSG
                : playback_sign(signer, asset, c->caller.user, state->session, expires_s, &url);
    if (r < 0)
        return r;
    clock_format(expires_s * 1000, expires_text);
    r = call_answer(c, json_pack("{s:s, s:O, s:s+, s:s+, s:s+, s:s+, s:s, s:s, s:i}", "asset",
                                 asset, "title", json_object_get(state->video, "title"), "hls_url",
                                 url.data, "master.m3u8", "dash_url", url.data, "manifest.mpd",
                                 "thumbnails_url", url.data, "thumbnails.vtt", "poster_url",
                                 url.data, "poster.jpg", "expires", expires_text, "session_id",
                                 state->session, "heartbeat_s", PLAYBACK_BEAT_S));
    if (r == 0)
        metric_add(c->control->playbacks, 1);
    return r;
}

static void playback_on_open(void *arg, int res, const struct lease *active, unsigned count)
{
    struct call *c = arg;
    int r = 0;
    if (playback_is_away(res) && c->live->leases_fail_open) /* edges take it up later */
        metric_add(c->control->leases_away, 1);
    else
        r = res == -EDQUOT ? playback_full(c, active, count) : playback_result(c, res);
    call_finish(c, r == 0 ? playback_answer(c) : r);
}

static void playback_open(struct call *c)
{
    const struct playback_state *state = playback_state(c);
    struct lease lease = {
        .user = str_of(c->caller.user),
        .session = str_of(state->session),
        .asset = str_of(json_string_value(json_object_get(state->video, "id"))),
        .until_ms = playback_expires(&c->live->signer, clock_real_s()) * 1000,
    };
    int r = valid_label(c->body, "device", &lease.device, &c->fault);
    if (r == 0)
        r = valid_label(c->body, "device_name", &lease.device_name, &c->fault);
    if (r == 0)
        r = lease_open(playback_leases(c), &lease, state->limit, playback_on_open, c);
    if (r < 0)
        call_finish(c, r);
}

/* How much the user may play at once. */
static int playback_work_limit(struct call *c)
{
    struct playback_state *state = calloc(1, sizeof *state);
    if (state == NULL)
        return -ENOMEM;
    c->data = state;
    c->data_free = playback_state_free;
    json_int_t own = json_integer_value(json_object_get(c->caller.document, "stream_limit"));
    state->limit = own > 0 && own <= LEASE_LIMIT_MAX ? (unsigned)own : c->live->stream_limit;
    return 0;
}

static int playback_work_open(struct call *c)
{
    struct str label;
    const char *asset = call_text(c, "asset");
    int r = playback_work_limit(c);
    if (r < 0)
        return r;
    struct playback_state *state = c->data;
    r = valid_label(c->body, "device", &label, &c->fault);
    if (r == 0)
        r = valid_label(c->body, "device_name", &label, &c->fault);
    if (r == 0)
        r = valid_is_asset(str_of(asset)) ? catalog_get(c->db, asset, &state->video) : -ENOENT;
    if (r == -ENOENT)
        r = fault_set(&c->fault, 404, "VIDEO_NOT_FOUND", "there is no such video");
    id_text(state->session);
    return r;
}

/* --- one's sessions --------------------------------------------------------------------------- */

static void playback_on_over(void *arg, int res, const struct lease *active, unsigned count)
{
    struct call *c = arg;
    int r = playback_result(c, res);
    call_finish(c, r == 0 ? playback_full(c, active, count) : r);
}

static int playback_beat_answer(struct call *c, enum lease_state state)
{
    if (state == LEASE_ENDED || state == LEASE_OVER)
        return fault_set(&c->fault, 410, "SESSION_TERMINATED", "this session has been ended");
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
        .limit = playback_state(c)->limit,
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

static void playback_end(struct call *c)
{
    int r = lease_end(playback_leases(c), str_of(c->caller.user), str_of(call_path(c, "session")),
                      playback_on_end, c);
    if (r < 0)
        call_finish(c, r);
}

const struct op_handler playback_ops[] = {
    {"playback_start", playback_work_open, playback_open},
    {"playback_list", NULL, playback_list},
    {"playback_stop", NULL, playback_end},
    {"playback_terminate", NULL, playback_end},
    {"playback_heartbeat", playback_work_limit, playback_beat},
    {NULL, NULL, NULL},
};
