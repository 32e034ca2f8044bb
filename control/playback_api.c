/* SPDX-License-Identifier: Apache-2.0 */
/* What a user plays. A call's way: its work on a pool thread finds the user (and the video), then
 * the leases are asked on the loop, then it is answered. */
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/id.h"
#include "control/api.h"
#include "control/catalog.h"
#include "control/valid.h"

#define PLAYBACK_PREFIX  "/api/v1/playback/"
#define PLAYBACK_ID_MAX  64
#define PLAYBACK_BEAT_S  (LEASE_HEARTBEAT_MS / 1000)
#define PLAYBACK_DEVICES "an unnamed device"

static struct leases *playback_leases(const struct job *job)
{
    const struct control_worker *w = http_req_worker(job->req);
    return w->leases;
}

static bool playback_is_away(int res)
{
    return res != 0 && res != -EDQUOT && res != -ENOENT && res != -ENOMEM;
}

/* Every answer of the leases goes through here. */
static int playback_result(struct job *job, int res)
{
    if (!playback_is_away(res))
        return res;
    metric_add(job->control->leases_away, 1);
    return fault_set(&job->fault, 503, "LEASES_UNAVAILABLE",
                     "the sessions' store is away, try again in a moment");
}

static int playback_no_session(struct job *job)
{
    return fault_set(&job->fault, 404, "SESSION_NOT_FOUND", "you have no such session");
}

static void playback_fail(struct job *job, int r)
{
    job->error = r;
    job_finish(job);
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
static int playback_answer_full(struct job *job, const struct lease *active, unsigned count)
{
    json_t *list = json_array();
    json_t *actions = json_array();
    for (unsigned i = 0; i < count; i++) {
        (void)json_array_append_new(list, playback_active(&active[i]));
        (void)json_array_append_new(actions, playback_action(&active[i]));
    }
    metric_add(job->control->playbacks_over, 1);
    job->status = 429;
    job->answer =
        json_pack("{s:{s:s, s:s, s:{s:o, s:o}}}", "error", "code", "CONCURRENT_LIMIT_EXCEEDED",
                  "message", "you are watching on as many devices as your plan allows", "details",
                  "active", list, "actions", actions);
    return job->answer == NULL ? -ENOMEM : 0;
}

static void playback_on_list(void *arg, int res, const struct lease *active, unsigned count)
{
    struct job *job = arg;
    json_t *list = json_array();
    for (unsigned i = 0; i < count; i++) {
        json_t *each = playback_active(&active[i]);
        (void)json_object_set_new(each, "device", playback_text(active[i].device));
        (void)json_object_set_new(each, "expires_at", playback_time(active[i].expires_ms));
        (void)json_array_append_new(list, each);
    }
    job->error = playback_result(job, res);
    if (job->error == 0)
        job->answer = json_pack("{s:O}", "sessions", list);
    json_decref(list);
    if (job->error == 0 && job->answer == NULL)
        job->error = -ENOMEM;
    job_finish(job);
}

static void playback_list(struct job *job)
{
    int r = lease_list(playback_leases(job), str_of(job->user_id), playback_on_list, job);
    if (r < 0)
        playback_fail(job, r);
}

/* --- opening ---------------------------------------------------------------------------------- */

static int playback_answer(struct job *job)
{
    const struct playback_signer *signer = &job->live->signer;
    const char *asset = json_string_value(json_object_get(job->video, "id"));
    char expires_text[CLOCK_TEXT_SIZE];
    CLEAN_BUF struct buf url = BUF_EMPTY;
    int64_t expires_s = playback_expires(signer, clock_real_s());
    int r = asset == NULL
                ? -EBADMSG
                : playback_sign(signer, asset, job->user_id, job->playback, expires_s, &url);
    if (r < 0)
        return r;
    clock_format(expires_s * 1000, expires_text);
    job->answer =
        json_pack("{s:s, s:O, s:s+, s:s+, s:s+, s:s+, s:s, s:s, s:i}", "asset", asset, "title",
                  json_object_get(job->video, "title"), "hls_url", url.data, "master.m3u8",
                  "dash_url", url.data, "manifest.mpd", "thumbnails_url", url.data,
                  "thumbnails.vtt", "poster_url", url.data, "poster.jpg", "expires", expires_text,
                  "session_id", job->playback, "heartbeat_s", PLAYBACK_BEAT_S);
    if (job->answer == NULL)
        return -ENOMEM;
    metric_add(job->control->playbacks, 1);
    return 0;
}

static void playback_on_open(void *arg, int res, const struct lease *active, unsigned count)
{
    struct job *job = arg;
    if (playback_is_away(res) && job->live->leases_fail_open) {
        metric_add(job->control->leases_away, 1);
        job->error = playback_answer(job); /* the edges take it up when the store is back */
    } else if (res == -EDQUOT) {
        job->error = playback_answer_full(job, active, count);
    } else {
        job->error = playback_result(job, res);
        if (job->error == 0)
            job->error = playback_answer(job);
    }
    job_finish(job);
}

static void playback_open(struct job *job)
{
    struct lease lease = {
        .user = str_of(job->user_id),
        .session = str_of(job->playback),
        .asset = str_of(json_string_value(json_object_get(job->video, "id"))),
        .until_ms = playback_expires(&job->live->signer, clock_real_s()) * 1000,
    };
    int r = valid_label(job->body, "device", &lease.device, &job->fault);
    if (r == 0)
        r = valid_label(job->body, "device_name", &lease.device_name, &job->fault);
    if (r == 0)
        r = lease_open(playback_leases(job), &lease, job->limit, playback_on_open, job);
    if (r < 0)
        playback_fail(job, r);
}

/* Who asks, and how much they may play at once. */
static int playback_work_user(struct job *job)
{
    json_t *user = NULL;
    int r = api__user(job, &user);
    if (r < 0)
        return r;
    json_int_t own = json_integer_value(json_object_get(user, "stream_limit"));
    job->limit = own > 0 && own <= LEASE_LIMIT_MAX ? (unsigned)own : job->live->stream_limit;
    job->user_id = str_dup(str_of(json_string_value(json_object_get(user, "id"))));
    json_decref(user);
    return job->user_id == NULL ? -ENOMEM : 0;
}

static int playback_work_open(struct job *job)
{
    char session[ID_TEXT_SIZE];
    struct str asset = STR_NONE;
    struct str label;
    int r = playback_work_user(job);
    if (r == 0)
        r = valid_string(job->body, "asset", &asset, &job->fault);
    if (r == 0)
        r = valid_label(job->body, "device", &label, &job->fault);
    if (r == 0)
        r = valid_label(job->body, "device_name", &label, &job->fault);
    if (r == 0 && !valid_is_asset(asset))
        r = -ENOENT;
    if (r == 0)
        r = catalog_get(job->control->db, asset.data, &job->video);
    if (r == -ENOENT)
        r = fault_set(&job->fault, 404, "VIDEO_NOT_FOUND", "there is no such video");
    if (r < 0)
        return r;
    id_text(session);
    job->playback = str_dup(str_of(session));
    return job->playback == NULL ? -ENOMEM : 0;
}

/* --- one's sessions --------------------------------------------------------------------------- */

static void playback_on_over(void *arg, int res, const struct lease *active, unsigned count)
{
    struct job *job = arg;
    job->error = playback_result(job, res);
    if (job->error == 0)
        job->error = playback_answer_full(job, active, count);
    job_finish(job);
}

static void playback_on_beat(void *arg, int res, const enum lease_state *states, unsigned count)
{
    struct job *job = arg;
    enum lease_state state = count == 1 ? states[0] : LEASE_UNSURE;
    int r = 0;
    if (res == 0 && state == LEASE_UNSURE)
        res = -EIO;
    job->error = playback_result(job, res);
    if (job->error == 0 && state == LEASE_FULL) {
        r = lease_list(playback_leases(job), str_of(job->user_id), playback_on_over, job);
        if (r == 0)
            return;
        job->error = r;
    } else if (job->error == 0 && (state == LEASE_ENDED || state == LEASE_OVER)) {
        job->error =
            fault_set(&job->fault, 410, "SESSION_TERMINATED", "this session has been ended");
    } else if (job->error == 0) {
        job->answer =
            json_pack("{s:s, s:i}", "session_id", job->playback, "heartbeat_s", PLAYBACK_BEAT_S);
        job->error = job->answer == NULL ? -ENOMEM : 0;
    }
    job_finish(job);
}

static void playback_beat(struct job *job)
{
    const struct lease lease = {
        .user = str_of(job->user_id),
        .session = str_of(job->playback),
        .limit = job->limit,
    };
    int r = lease_renew(playback_leases(job), &lease, 1, playback_on_beat, job);
    if (r < 0)
        playback_fail(job, r);
}

static void playback_on_end(void *arg, int res, const struct lease *active, unsigned count)
{
    struct job *job = arg;
    (void)active, (void)count;
    job->status = 204;
    job->error = res == -ENOENT ? playback_no_session(job) : playback_result(job, res);
    job_finish(job);
}

static void playback_end(struct job *job)
{
    int r = lease_end(playback_leases(job), str_of(job->user_id), str_of(job->playback),
                      playback_on_end, job);
    if (r < 0)
        playback_fail(job, r);
}

/* --- requests --------------------------------------------------------------------------------- */

static void playback_on_post(struct http_req *req, void *arg)
{
    static const char *const members[] = {"asset", "device?", "device_name?", NULL};
    struct job *job = api__post(arg, req, members, playback_work_open);
    if (job == NULL)
        return;
    job->then = playback_open;
    job_submit(job);
}

static void playback_on_get(struct http_req *req, void *arg)
{
    struct job *job = job_new(arg, req, playback_work_user);
    if (job == NULL)
        return;
    job->session = api__session(req);
    job->then = playback_list;
    job_submit(job);
}

static bool playback_is_id(struct str s)
{
    if (s.size == 0 || s.size > PLAYBACK_ID_MAX)
        return false;
    for (size_t i = 0; i < s.size; i++)
        if (!((s.data[i] >= '0' && s.data[i] <= '9') || (s.data[i] >= 'a' && s.data[i] <= 'f')))
            return false;
    return true;
}

/* "SESSION" (DELETE), "SESSION/heartbeat" and "SESSION/terminate" (POST). */
static void playback_on_session(struct http_req *req, void *arg)
{
    struct fault fault = {0};
    struct str verb;
    struct str id = str_cut(str_skip(http_req_path(req), strlen(PLAYBACK_PREFIX)), '/', &verb);
    bool is_post = http_req_method(req) == HTTP_POST;
    void (*then)(struct job * job) = NULL;
    if (!is_post && verb.data == NULL)
        then = playback_end;
    else if (is_post && str_eq(verb, STR("terminate")))
        then = playback_end;
    else if (is_post && str_eq(verb, STR("heartbeat")))
        then = playback_beat;
    int r = then == NULL ? fault_set(&fault, 404, "NOT_FOUND", "there is no such call")
            : is_post    ? api__check_post(arg, req, &fault)
                         : api__check_origin(arg, req, &fault);
    if (r == 0 && !playback_is_id(id))
        r = fault_set(&fault, 404, "SESSION_NOT_FOUND", "you have no such session");
    if (r < 0) {
        api__refuse(arg, req, &fault);
        return;
    }
    struct job *job = job_new(arg, req, playback_work_user);
    if (job == NULL)
        return;
    job->session = api__session(req);
    job->playback = str_dup(id);
    job->then = then;
    if (job->playback != NULL) {
        job_submit(job);
        return;
    }
    fault_of_errno(&job->fault, -ENOMEM, "reading a request");
    api__refuse(arg, req, &job->fault);
    job_free(job);
}

int playback_routes(struct control *c)
{
    int r = http_route(c->server, HTTP_POST, "/api/v1/playback", playback_on_post, c);
    if (r == 0)
        r = http_route(c->server, HTTP_GET, "/api/v1/playback", playback_on_get, c);
    if (r == 0)
        r = http_route(c->server, HTTP_POST | HTTP_DELETE, PLAYBACK_PREFIX, playback_on_session, c);
    return r;
}
