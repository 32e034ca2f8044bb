/* SPDX-License-Identifier: Apache-2.0 */
#include "control/people/api_keys.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/enc.h"
#include "base/id.h"
#include "control/model.h"
#include "control/people/tickets.h"
#include "control/session.h"

static const char *api_key_text(const json_t *doc, const char *name)
{
    const char *text = json_string_value(json_object_get(doc, name));
    return text != NULL ? text : "";
}

static int api_key_check(const struct api_key_new *key, struct fault *fault)
{
    size_t i;
    json_t *scope;
    if (json_array_size(key->scopes) == 0)
        return fault_set(fault, 422, "SCOPE_INVALID", "a key needs at least one scope");
    json_array_foreach(key->scopes, i, scope)
    {
        const char *name = json_string_value(scope);
        if (!scope_is_known(name))
            return fault_set(fault, 422, "SCOPE_INVALID", "there is no scope \"%.40s\"",
                             name != NULL ? name : "");
        if (!scope_is_for(name, key->role))
            return fault_set(fault, 422, "SCOPE_INVALID", "your account may not do \"%.40s\"",
                             name);
    }
    return 0;
}

int api_key_make(struct db *db, const struct api_key_new *key, int64_t now_ms,
                 char ret_key[API_KEY_SIZE], json_t **ret, struct fault *fault)
{
    uint8_t random[8];
    char id[API_KEY_ID_SIZE];
    char secret[TICKET_SIZE];
    char digest[SESSION_DIGEST_SIZE];
    json_t *others = NULL;
    int r = api_key_check(key, fault);
    if (r == 0)
        r = api_keys_list(db, key->user, &others);
    /* Two at once may make one more than that: it keeps lists short, no more. */
    if (r == 0 && json_array_size(others) >= API_KEYS_MAX)
        r = fault_set(fault, 409, "TOO_MANY_KEYS", "an account has at most %d keys", API_KEYS_MAX);
    json_decref(others);
    if (r < 0)
        return r;
    id_random(random, sizeof random);
    enc_hex(random, sizeof random, id);
    ticket_random(secret);
    session_digest(str_of(secret), digest);
    json_t *doc =
        json_pack("{s:s, s:s, s:s, s:s, s:O, s:I}", "id", id, "user", key->user, "name", key->name,
                  "secret", digest, "scopes", key->scopes, "created_ms", (json_int_t)now_ms);
    r = doc == NULL ? -ENOMEM : 0;
    if (r == 0 && key->expires_ms != 0 &&
        json_object_set_new(doc, "expires_ms", json_integer(key->expires_ms)) < 0)
        r = -ENOMEM;
    if (r == 0)
        r = db_insert(db, MODEL_API_KEYS, doc);
    if (r == 0)
        (void)snprintf(ret_key, API_KEY_SIZE, API_KEY_PREFIX "%s_%s", id, secret);
    OPENSSL_cleanse(secret, sizeof secret);
    if (r < 0)
        json_decref(doc);
    else
        *ret = doc;
    return r;
}

bool api_key_is(struct str credential)
{
    return credential.size == API_KEY_SIZE - 1 && str_starts(credential, STR(API_KEY_PREFIX));
}

/* A key that is in use all the time is written once a minute. */
static void api_key_used(struct db *db, const json_t *doc, int64_t now_ms)
{
    int64_t before = json_integer_value(json_object_get(doc, "used_ms"));
    if (now_ms - before < API_KEY_USED_MS)
        return;
    json_t *set = json_pack("{s:I}", "used_ms", (json_int_t)now_ms);
    const struct db_update update = {.set = set};
    if (set != NULL) /* it is told to people only: a failure is no reason to refuse the key */
        (void)!db_update(db, MODEL_API_KEYS, api_key_text(doc, "id"), &update, NULL);
    json_decref(set);
}

int api_key_find(struct db *db, struct str key, int64_t now_ms, json_t **ret)
{
    char id[API_KEY_ID_SIZE];
    char digest[SESSION_DIGEST_SIZE];
    json_t *doc = NULL;
    if (!api_key_is(key))
        return -ENOENT;
    struct str secret;
    key = str_skip(key, strlen(API_KEY_PREFIX));
    if (str_copy(str_cut(key, '_', &secret), id, sizeof id) < 0 || secret.size != TICKET_SIZE - 1 ||
        strlen(id) != sizeof id - 1)
        return -ENOENT;
    int r = db_get(db, MODEL_API_KEYS, id, &doc);
    if (r < 0)
        return r == -EINVAL ? -ENOENT : r;
    session_digest(secret, digest);
    const char *stored = api_key_text(doc, "secret");
    const json_t *expires = json_object_get(doc, "expires_ms");
    if (strlen(stored) != sizeof digest - 1 || !session_digest_eq(stored, digest) ||
        (json_is_integer(expires) && json_integer_value(expires) <= now_ms)) {
        json_decref(doc);
        return -ENOENT;
    }
    api_key_used(db, doc, now_ms);
    *ret = doc;
    return 0;
}

int api_keys_list(struct db *db, const char *user, json_t **ret)
{
    json_t *equal = json_pack("[s]", user);
    const struct db_list list = {
        .key = "user created_ms", .descending = true, .limit = DB_LIST_MAX, .equal = equal};
    char *cursor = NULL;
    int r = equal == NULL ? -ENOMEM : db_list(db, MODEL_API_KEYS, &list, ret, &cursor);
    json_decref(equal);
    free(cursor);
    return r;
}

int api_key_end(struct db *db, const char *user, const char *id)
{
    json_t *where = json_pack("{s:s}", "user", user);
    int r = where == NULL ? -ENOMEM : db_delete_if(db, MODEL_API_KEYS, id, where);
    json_decref(where);
    return r == -ESTALE || r == -EINVAL ? -ENOENT : r; /* another's is none */
}

static int api_key_put_time(json_t *out, const char *name, const json_t *doc, const char *member)
{
    char text[CLOCK_TEXT_SIZE];
    const json_t *ms = json_object_get(doc, member);
    if (!json_is_integer(ms))
        return json_object_set_new(out, name, json_null());
    clock_format(json_integer_value(ms), text);
    return json_object_set_new(out, name, json_string(text));
}

json_t *api_key_public(const json_t *doc)
{
    json_t *out = json_pack("{s:O, s:O, s:O}", "id", json_object_get(doc, "id"), "name",
                            json_object_get(doc, "name"), "scopes", json_object_get(doc, "scopes"));
    if (out == NULL || api_key_put_time(out, "created", doc, "created_ms") < 0 ||
        api_key_put_time(out, "expires", doc, "expires_ms") < 0 ||
        api_key_put_time(out, "used", doc, "used_ms") < 0) {
        json_decref(out);
        return NULL;
    }
    return out;
}
