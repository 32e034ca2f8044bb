/* SPDX-License-Identifier: Apache-2.0 */
/* Who asks: the admin credential, an access token or an API key: api/caller.h. */
#include <errno.h>
#include "control/ops.h"
#include "control/people/access.h"
#include "control/people/api_keys.h"
#include "control/people/logins.h"
#include "control/people/ops_priv.h"
#include "control/model.h"
#include "control/session.h"
#include "db/db_mirror.h"
#include "token/jwks.h"

static struct str caller_credential(const struct call *c)
{
    const char *bearer = call_bearer(c);
    return bearer != NULL ? str_of(bearer) : call_cookie_of(c, OPS_ACCESS_COOKIE);
}

static int caller_look(struct call *c)
{
    char guess[SESSION_DIGEST_SIZE];
    const char *bearer = call_bearer(c);
    struct str credential = caller_credential(c);
    if (credential.size == 0 || credential.size > JWKS_TOKEN_SIZE_MAX)
        return 0;
    if (bearer != NULL) {
        session_digest(credential, guess);
        if (session_digest_eq(guess, c->live->admin_digest)) {
            c->caller.kind = CALLER_OPERATOR;
            return 0;
        }
    }
    uint64_t fresh_ms = db_is_fresh(c->db) ? KNOWN_TOLD_MS : KNOWN_FRESH_MS;
    if (known_find(people_known(c->control->people), credential, c->now_ms, fresh_ms, &c->caller) ==
        0)
        return 0;
    bool is_token = memchr(credential.data, '.', credential.size) != NULL;
    return is_token || api_key_is(credential) ? -EAGAIN : 0;
}

/* Fills in what the account says. -ENOENT: it is gone, or disabled. */
static int caller_fill(struct call *c, const char *user_id, enum caller_kind kind)
{
    struct caller *caller = &c->caller;
    json_t *user = NULL;
    int r = db_get(c->db, MODEL_USERS, user_id, &user);
    if (r == 0 && account_is_disabled(user))
        r = -ENOENT;
    if (r == 0)
        r = str_copy(str_of(user_id), caller->user, sizeof caller->user);
    if (r < 0) {
        json_decref(user);
        return r;
    }
    caller->kind = kind;
    caller->roles = role_bits(account_role(user));
    caller->document = user;
    return 0;
}

static int caller_find_key(struct call *c, struct str credential, int64_t *ret_expires_ms)
{
    json_t *key = NULL;
    int r = api_key_find(c->db, credential, c->now_ms, &key);
    if (r < 0)
        return r;
    const json_t *expires = json_object_get(key, "expires_ms");
    const char *user = json_string_value(json_object_get(key, "user"));
    const char *id = json_string_value(json_object_get(key, "id"));
    r = user == NULL || id == NULL ? -EBADMSG : caller_fill(c, user, CALLER_KEY);
    if (r == 0)
        r = str_copy(str_of(id), c->caller.session, sizeof c->caller.session);
    if (r == 0) {
        c->caller.scopes = json_incref(json_object_get(key, "scopes"));
        *ret_expires_ms = json_is_integer(expires) ? json_integer_value(expires) : INT64_MAX;
    }
    json_decref(key);
    return r;
}

static int caller_verify(struct call *c, struct str credential, struct access *ret)
{
    struct keyring *keys = people_keys(c->control->people);
    const char *issuer = c->live->issuer;
    int64_t now_s = c->now_ms / 1000;
    int r = access_verify(keys, issuer, credential, now_s, ret);
    if (r != -ENOKEY)
        return r;
    r = people_reload_keys(c->control->people, c->now_ms); /* another control's new one? */
    return r < 0 ? r : access_verify(keys, issuer, credential, now_s, ret);
}

static bool caller_is_refusal(int r)
{
    return r == -EBADMSG || r == -ENOKEY || r == -EKEYREJECTED || r == -ETIME || r == -EAGAIN ||
           r == -ENOENT || r == -EMSGSIZE;
}

static int caller_find_token(struct call *c, struct str credential, int64_t *ret_expires_ms)
{
    struct access access;
    json_t *login = NULL;
    int r = caller_verify(c, credential, &access);
    if (r < 0)
        return caller_is_refusal(r) ? -ENOENT : r;
    r = login_get(c->db, access.login, c->now_ms, &login);
    if (r < 0)
        return r;
    const char *user = json_string_value(json_object_get(login, "user"));
    const char *profile = json_string_value(json_object_get(login, "profile"));
    const json_t *rating = json_object_get(login, "rating_max");
    r = user == NULL || strcmp(user, access.user) != 0 ? -ENOENT
                                                       : caller_fill(c, user, CALLER_USER);
    if (r == 0)
        r = str_copy(str_of(access.login), c->caller.session, sizeof c->caller.session);
    if (r == 0 && profile != NULL)
        r = str_copy(str_of(profile), c->caller.profile, sizeof c->caller.profile);
    if (r == 0) {
        c->caller.rating_max = json_is_integer(rating) ? (int)json_integer_value(rating) : -1;
        if (c->caller.rating_max >= 0) /* a child at the account has none of its powers */
            c->caller.roles &= CALLER_FREE | CALLER_PREMIUM;
        *ret_expires_ms = access.expires_s * 1000;
    }
    json_decref(login);
    return r;
}

static int caller_find(struct call *c)
{
    struct known *known = people_known(c->control->people);
    struct str credential = caller_credential(c);
    uint64_t begun = known_begin(known);
    int64_t expires_ms = 0;
    int r = api_key_is(credential) ? caller_find_key(c, credential, &expires_ms)
                                   : caller_find_token(c, credential, &expires_ms);
    if (r == 0) {
        known_add(known, begun, credential, expires_ms, &c->caller);
        return 0;
    }
    caller_clear(&c->caller);
    return r == -ENOENT ? 0 : r; /* good for nothing is as good as none */
}

const struct caller_ops people_callers = {caller_look, caller_find};
