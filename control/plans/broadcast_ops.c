/* SPDX-License-Identifier: Apache-2.0 */
/* Live streams: openapi/streams.yaml. */
#include <errno.h>
#include <stdlib.h>
#include "control/api/audit.h"
#include "control/ops.h"
#include "control/plans/broadcast.h"
#include "control/plans/playback_ops.h"

static int stream_missing(struct call *c, int r)
{
    return r != -ENOENT ? r
                        : fault_set(&c->fault, 404, "STREAM_NOT_FOUND", "there is no such stream");
}

static int stream_answer(struct call *c, json_t *doc)
{
    int r = call_answer(c, broadcast_public(doc, c->now_ms));
    json_decref(doc);
    return r;
}

static int stream_answer_key(struct call *c, json_t *doc, const char *key)
{
    int r = call_answer(
        c, json_pack("{s:o, s:s}", "stream", broadcast_public(doc, c->now_ms), "key", key));
    json_decref(doc);
    return r;
}

/* One's own, or anybody's for an administrator; another's is not there. */
static int stream_own(struct call *c)
{
    json_t *doc = NULL;
    int r = broadcast_get(c->db, call_path(c, "stream"), &doc);
    if (r < 0)
        return stream_missing(c, r);
    const char *owner = json_string_value(json_object_get(doc, "owner"));
    bool may = (c->caller.roles & CALLER_ADMIN) != 0 ||
               (owner != NULL && strcmp(owner, c->caller.user) == 0);
    json_decref(doc);
    return may ? 0 : stream_missing(c, -ENOENT);
}

static int stream_start(struct call *c)
{
    CLEAN(plan_list_free) struct plan_list *l = NULL;
    char key[BROADCAST_KEY_SIZE];
    json_t *doc = NULL;
    const char *plan = call_text(c, "plan_id");
    int r = plans_get(c->control->plans, &l, NULL);
    if (r == 0 && plan != NULL && plan_find(l, plan) == NULL)
        r = fault_set(&c->fault, 404, "PLAN_NOT_FOUND", "there is no such plan");
    if (r == 0)
        r = broadcast_start(c->db, c->caller.user, call_text(c, "title"), plan, c->now_ms, key,
                            &doc, &c->fault);
    return r < 0 ? r : stream_answer_key(c, doc, key);
}

static int stream_list(struct call *c)
{
    json_t *docs = NULL;
    char *next = NULL;
    size_t i;
    const json_t *doc;
    int r = broadcast_list(c->db, c->caller.user, (unsigned)call_query_integer(c, "limit"),
                           call_query_text(c, "cursor"), &docs, &next);
    if (r == -EINVAL)
        return fault_set(&c->fault, 422, "CURSOR_INVALID", "the cursor is none of this list");
    if (r < 0)
        return r;
    json_t *list = json_array();
    json_array_foreach(docs, i, doc)
    {
        if (json_array_append_new(list, broadcast_public(doc, c->now_ms)) < 0)
            r = -ENOMEM;
    }
    if (r == 0)
        r = call_answer(c, json_pack("{s:O, s:s?}", "streams", list, "next", next));
    json_decref(docs);
    json_decref(list);
    free(next);
    return r;
}

static int stream_get(struct call *c)
{
    json_t *doc = NULL;
    int r = broadcast_get(c->db, call_path(c, "stream"), &doc);
    return r < 0 ? stream_missing(c, r) : stream_answer(c, doc);
}

static int stream_key(struct call *c)
{
    char key[BROADCAST_KEY_SIZE];
    json_t *doc = NULL;
    int r = stream_own(c);
    if (r == 0)
        r = broadcast_rekey(c->db, call_path(c, "stream"), key, &doc, &c->fault);
    return r < 0 ? stream_missing(c, r) : stream_answer_key(c, doc, key);
}

static int stream_stop(struct call *c)
{
    json_t *doc = NULL;
    int r = stream_own(c);
    if (r == 0)
        r = broadcast_stop(c->db, call_path(c, "stream"), c->now_ms, &doc);
    return r < 0 ? stream_missing(c, r) : stream_answer(c, doc);
}

static int stream_manifest(struct call *c)
{
    struct playback_state *state = NULL;
    json_t *doc = NULL;
    int r = broadcast_get(c->db, call_path(c, "stream"), &doc);
    if (r < 0)
        return stream_missing(c, r);
    if (!broadcast_is_live(doc, c->now_ms))
        r = fault_set(&c->fault, 409, "STREAM_NOT_LIVE", "this stream is not on air");
    json_t *title = r == 0 ? broadcast_title(doc) : NULL;
    if (r == 0 && title == NULL)
        r = -ENOMEM;
    if (r == 0)
        r = playback_begin(c, &state);
    if (r == 0) {
        r = playback_admit(c, state, title, json_string_value(json_object_get(doc, "asset")));
        title = NULL; /* taken over */
    }
    json_decref(title);
    json_decref(doc);
    return r;
}

static int stream_authorize(struct call *c)
{
    json_t *doc = NULL;
    const char *event = call_text(c, "event");
    enum broadcast_event e = strcmp(event, "publish") == 0 ? BROADCAST_PUBLISH
                             : strcmp(event, "beat") == 0  ? BROADCAST_BEAT
                                                           : BROADCAST_UNPUBLISH;
    int r = broadcast_tell(c->db, e, call_str(c, "key"), call_text(c, "encoder"), c->now_ms, &doc,
                           &c->fault);
    if (r == -EPROTO && c->fault.status == 403)
        audit_attack(c, "stream key wrong", NULL);
    if (r < 0)
        return r;
    if (e != BROADCAST_BEAT) /* which come every few seconds, and change nothing */
        audit_event(c, e == BROADCAST_PUBLISH ? "stream on air" : "stream off air",
                    json_string_value(json_object_get(doc, "owner")));
    r = call_answer(c, json_pack("{s:o, s:i}", "stream", broadcast_public(doc, c->now_ms), "beat_s",
                                 BROADCAST_BEAT_MS / 1000));
    json_decref(doc);
    return r;
}

const struct op_handler broadcast_ops[] = {
    {"streams_list", stream_list, NULL},
    {"streams_start", stream_start, NULL},
    {"streams_get", stream_get, NULL},
    {"streams_key", stream_key, NULL},
    {"streams_stop", stream_stop, NULL},
    {"streams_manifest", stream_manifest, playback_open},
    {"streams_authorize", stream_authorize, NULL},
    {NULL, NULL, NULL},
};
