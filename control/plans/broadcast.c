/* SPDX-License-Identifier: Apache-2.0 */
#include "control/plans/broadcast.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include "base/clock.h"
#include "base/enc.h"
#include "base/id.h"
#include "control/model.h"
#include "control/session.h"

#define BROADCAST_KEY_BYTES 32
#define BROADCAST_TRIES     32
#define BROADCAST_ASSET     "live-" /* and the id */

static const char *broadcast_text(const json_t *doc, const char *name)
{
    const char *text = json_string_value(json_object_get(doc, name));
    return text != NULL ? text : "";
}

static int64_t broadcast_number(const json_t *doc, const char *name)
{
    return json_integer_value(json_object_get(doc, name));
}

static bool broadcast_is(const json_t *doc, const char *state)
{
    return strcmp(broadcast_text(doc, "state"), state) == 0;
}

static int broadcast_put(json_t *doc, const char *name, json_t *value)
{
    return json_object_set_new(doc, name, value) < 0 ? -ENOMEM : 0;
}

bool broadcast_is_live(const json_t *doc, int64_t now_ms)
{
    return broadcast_is(doc, "live") &&
           broadcast_number(doc, "seen_ms") + BROADCAST_LOST_MS > now_ms;
}

/* --- keys ------------------------------------------------------------------------------------- */

static int broadcast_key(char ret_key[BROADCAST_KEY_SIZE], char digest[SESSION_DIGEST_SIZE])
{
    uint8_t random[BROADCAST_KEY_BYTES];
    CLEAN_BUF struct buf text = BUF_EMPTY;
    id_random(random, sizeof random);
    enc_base64url(random, sizeof random, &text);
    OPENSSL_cleanse(random, sizeof random);
    if (buf_error(&text) < 0)
        return buf_error(&text);
    session_digest(buf_str(&text), digest);
    return str_copy(buf_str(&text), ret_key, BROADCAST_KEY_SIZE);
}

/* --- changing --------------------------------------------------------------------------------- */

struct broadcast_change {
    /* 0: written; 1: nothing to write; below: refused. */
    int (*apply)(json_t *doc, const struct broadcast_change *c);
    enum broadcast_event event;
    const char *digest;
    const char *encoder;
    int64_t now_ms;
    struct fault *fault;
};

static int broadcast_change_once(struct db *db, const char *id, const struct broadcast_change *c,
                                 json_t **ret)
{
    json_t *doc = NULL;
    int r = db_get(db, MODEL_BROADCASTS, id, &doc);
    if (r < 0)
        return r;
    json_t *before = json_incref(json_object_get(doc, "rev"));
    r = c->apply(doc, c);
    if (r == 0)
        r = broadcast_put(doc, "rev", json_integer(json_integer_value(before) + 1));
    if (r == 0)
        r = db_replace_if(db, MODEL_BROADCASTS, doc, "rev", before);
    json_decref(before);
    if (r < 0) {
        json_decref(doc);
        return r;
    }
    *ret = doc;
    return 0;
}

static int broadcast_change(struct db *db, const char *id, const struct broadcast_change *c,
                            json_t **ret)
{
    for (unsigned i = 0; i < BROADCAST_TRIES; i++) {
        int r = broadcast_change_once(db, id, c, ret);
        if (r != -ESTALE)
            return r;
    }
    return -EBUSY;
}

static int broadcast_gone(struct fault *fault)
{
    return fault_set(fault, 410, "STREAM_ENDED", "this stream has ended");
}

static int broadcast_apply_key(json_t *doc, const struct broadcast_change *c)
{
    if (broadcast_is(doc, "ended"))
        return broadcast_gone(c->fault);
    return broadcast_put(doc, "key", json_string(c->digest));
}

static int broadcast_apply_stop(json_t *doc, const struct broadcast_change *c)
{
    if (broadcast_is(doc, "ended"))
        return 1;
    (void)json_object_del(doc, "encoder"); /* none was there: fine */
    int r = broadcast_put(doc, "state", json_string("ended"));
    return r < 0 ? r : broadcast_put(doc, "ended_ms", json_integer(c->now_ms));
}

static int broadcast_apply_publish(json_t *doc, const struct broadcast_change *c, bool is_same)
{
    int r = 0;
    if (broadcast_is_live(doc, c->now_ms) && !is_same)
        return fault_set(c->fault, 409, "STREAM_BUSY", "another encoder is sending this stream");
    if (!broadcast_is(doc, "live"))
        r = broadcast_put(doc, "live_ms", json_integer(c->now_ms));
    if (r == 0)
        r = broadcast_put(doc, "state", json_string("live"));
    if (r == 0)
        r = broadcast_put(doc, "encoder", json_string(c->encoder));
    return r < 0 ? r : broadcast_put(doc, "seen_ms", json_integer(c->now_ms));
}

static int broadcast_apply_event(json_t *doc, const struct broadcast_change *c)
{
    bool is_same =
        broadcast_is(doc, "live") && strcmp(broadcast_text(doc, "encoder"), c->encoder) == 0;
    if (broadcast_is(doc, "ended"))
        return broadcast_gone(c->fault);
    if (strcmp(broadcast_text(doc, "key"), c->digest) != 0 && !is_same) /* changed meanwhile */
        return fault_set(c->fault, 403, "STREAM_KEY_WRONG", "this is no stream's key");
    if (c->event == BROADCAST_PUBLISH)
        return broadcast_apply_publish(doc, c, is_same);
    if (!is_same)
        return c->event == BROADCAST_UNPUBLISH
                   ? 1
                   : fault_set(c->fault, 409, "STREAM_BUSY",
                               "another encoder is sending this stream, or none");
    if (c->event == BROADCAST_BEAT)
        return broadcast_put(doc, "seen_ms", json_integer(c->now_ms));
    (void)json_object_del(doc, "encoder");
    return broadcast_put(doc, "state", json_string("ready"));
}

/* --- calls ------------------------------------------------------------------------------------ */

static int broadcast_check_count(struct db *db, const char *owner, struct fault *fault)
{
    uint64_t count = 0;
    json_t *equal = json_string(owner);
    json_t *where = json_pack("{s:[s, s]}", "state", "ready", "live");
    const struct db_list list = {
        .key = "owner created_ms", .limit = 1, .equal = equal, .where = where};
    int r =
        equal == NULL || where == NULL ? -ENOMEM : db_count(db, MODEL_BROADCASTS, &list, &count);
    json_decref(equal);
    json_decref(where);
    if (r == 0 && count >= BROADCASTS_MAX)
        r = fault_set(fault, 409, "STREAMS_FULL", "you have %d streams: stop one of them first",
                      BROADCASTS_MAX);
    return r;
}

int broadcast_start(struct db *db, const char *owner, const char *title, const char *tier,
                    int64_t now_ms, char ret_key[BROADCAST_KEY_SIZE], json_t **ret,
                    struct fault *fault)
{
    char id[ID_TEXT_SIZE];
    char asset[sizeof BROADCAST_ASSET + ID_TEXT_SIZE];
    char digest[SESSION_DIGEST_SIZE];
    int r = broadcast_check_count(db, owner, fault);
    if (r == 0)
        r = broadcast_key(ret_key, digest);
    if (r < 0)
        return r;
    id_text(id);
    (void)snprintf(asset, sizeof asset, "%s%s", BROADCAST_ASSET, id); /* sized to fit */
    json_t *doc = json_pack("{s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:I}", "id", id, "rev", 1, "owner",
                            owner, "title", title, "asset", asset, "key", digest, "state", "ready",
                            "created_ms", (json_int_t)now_ms);
    r = doc == NULL ? -ENOMEM : 0;
    if (r == 0 && tier != NULL)
        r = broadcast_put(doc, "tier", json_string(tier));
    if (r == 0)
        r = db_insert(db, MODEL_BROADCASTS, doc);
    if (r < 0) {
        json_decref(doc);
        return r;
    }
    *ret = doc;
    return 0;
}

int broadcast_get(struct db *db, const char *id, json_t **ret)
{
    return db_get(db, MODEL_BROADCASTS, id, ret);
}

int broadcast_list(struct db *db, const char *owner, unsigned limit, const char *cursor,
                   json_t **ret, char **ret_cursor)
{
    json_t *equal = json_string(owner);
    const struct db_list list = {
        .key = "owner created_ms",
        .descending = true,
        .limit = limit,
        .cursor = cursor,
        .equal = equal,
    };
    int r = equal == NULL ? -ENOMEM : db_list(db, MODEL_BROADCASTS, &list, ret, ret_cursor);
    json_decref(equal);
    return r;
}

int broadcast_rekey(struct db *db, const char *id, char ret_key[BROADCAST_KEY_SIZE], json_t **ret,
                    struct fault *fault)
{
    char digest[SESSION_DIGEST_SIZE];
    int r = broadcast_key(ret_key, digest);
    const struct broadcast_change c = {
        .apply = broadcast_apply_key, .digest = digest, .fault = fault};
    return r < 0 ? r : broadcast_change(db, id, &c, ret);
}

int broadcast_stop(struct db *db, const char *id, int64_t now_ms, json_t **ret)
{
    const struct broadcast_change c = {.apply = broadcast_apply_stop, .now_ms = now_ms};
    return broadcast_change(db, id, &c, ret);
}

int broadcast_tell(struct db *db, enum broadcast_event event, struct str key, const char *encoder,
                   int64_t now_ms, json_t **ret, struct fault *fault)
{
    char digest[SESSION_DIGEST_SIZE];
    json_t *found = NULL;
    session_digest(key, digest);
    json_t *value = json_string(digest);
    int r = value == NULL ? -ENOMEM : db_find(db, MODEL_BROADCASTS, "key", value, &found);
    json_decref(value);
    if (r == -ENOENT)
        return fault_set(fault, 403, "STREAM_KEY_WRONG", "this is no stream's key");
    if (r < 0)
        return r;
    const struct broadcast_change c = {
        .apply = broadcast_apply_event,
        .event = event,
        .digest = digest,
        .encoder = encoder,
        .now_ms = now_ms,
        .fault = fault,
    };
    r = broadcast_change(db, broadcast_text(found, "id"), &c, ret);
    json_decref(found);
    return r;
}

/* --- showing ---------------------------------------------------------------------------------- */

static int broadcast_put_time(json_t *out, const char *name, const json_t *doc, const char *from)
{
    char text[CLOCK_TEXT_SIZE];
    if (broadcast_number(doc, from) == 0)
        return broadcast_put(out, name, json_null());
    clock_format(broadcast_number(doc, from), text);
    return broadcast_put(out, name, json_string(text));
}

json_t *broadcast_public(const json_t *doc, int64_t now_ms)
{
    bool is_lost = broadcast_is(doc, "live") && !broadcast_is_live(doc, now_ms);
    json_t *out = json_pack("{s:O, s:O, s:O, s:s}", "id", json_object_get(doc, "id"), "title",
                            json_object_get(doc, "title"), "asset", json_object_get(doc, "asset"),
                            "state", is_lost ? "ready" : broadcast_text(doc, "state"));
    int r = out == NULL ? -ENOMEM : broadcast_put_time(out, "created", doc, "created_ms");
    if (r == 0)
        r = broadcast_put_time(out, "live_since", doc, is_lost ? "" : "live_ms");
    if (r == 0)
        r = broadcast_put_time(out, "ended", doc, "ended_ms");
    if (r == 0)
        return out;
    json_decref(out);
    return NULL;
}

json_t *broadcast_title(const json_t *doc)
{
    json_t *title = json_pack("{s:O, s:O, s:O, s:s}", "id", json_object_get(doc, "asset"), "title",
                              json_object_get(doc, "title"), "owner", json_object_get(doc, "owner"),
                              "state", "published");
    json_t *tier = json_object_get(doc, "tier");
    if (title != NULL && tier != NULL && json_object_set(title, "tier", tier) < 0) {
        json_decref(title);
        return NULL;
    }
    return title;
}
