/* SPDX-License-Identifier: Apache-2.0 */
#include "control/people/oidc.h"
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include "base/enc.h"
#include "control/model.h"
#include "control/people/accounts.h"
#include "control/people/oidc_priv.h"
#include "control/session.h"
#include "control/valid.h"

#define OIDC_SKEW_S 60 /* clocks that disagree */

int oidc_new(const struct oidc_provider *providers, unsigned count, struct oidc **ret)
{
    if (count > OIDC_PROVIDERS_MAX)
        return -EINVAL;
    struct oidc *o = calloc(1, sizeof *o);
    if (o == NULL)
        return -ENOMEM;
    o->magic = OIDC_MAGIC;
    o->count = count;
    for (unsigned i = 0; i < count; i++) {
        o->entries[i].provider = &providers[i];
        (void)pthread_mutex_init(&o->entries[i].lock, NULL); /* default attributes: cannot fail */
    }
    *ret = o;
    return 0;
}

struct oidc *oidc_free(struct oidc *o)
{
    if (o == NULL)
        return NULL;
    ASSERT(o->magic == OIDC_MAGIC);
    for (unsigned i = 0; i < o->count; i++) {
        oidc__config_unref(o->entries[i].config);
        (void)pthread_mutex_destroy(&o->entries[i].lock);
    }
    MAGIC_CLEAR(o);
    free(o);
    return NULL;
}

struct oidc_entry *oidc__entry(struct oidc *o, const char *name)
{
    for (unsigned i = 0; o != NULL && i < o->count; i++)
        if (strcmp(o->entries[i].provider->name, name) == 0)
            return &o->entries[i];
    return NULL;
}

bool oidc_has(const struct oidc *o, const char *provider)
{
    return oidc__entry((struct oidc *)(uintptr_t)o, provider) != NULL;
}

/* One slash at the start, not two, and no backslash, which browsers take for a slash: everything
 * else there would be another host. */
bool oidc_path_ok(struct str path)
{
    if (path.size == 0 || path.size > OIDC_PATH_MAX || path.data[0] != '/')
        return false;
    if (path.size > 1 && (path.data[1] == '/' || path.data[1] == '\\'))
        return false;
    for (size_t i = 0; i < path.size; i++) {
        unsigned char c = (unsigned char)path.data[i];
        if (c <= ' ' || c >= 0x7f || c == '\\')
            return false;
    }
    return true;
}

/* --- the way there ---------------------------------------------------------------------------- */

/* RFC 7636 section 4.2: S256. */
static int oidc_challenge(const char *verifier, struct buf *out)
{
    uint8_t digest[32];
    unsigned size = 0;
    if (EVP_Digest(verifier, strlen(verifier), digest, &size, EVP_sha256(), NULL) != 1)
        return -ENOMEM;
    enc_base64url(digest, sizeof digest, out);
    return buf_error(out);
}

static void oidc_put_query(struct buf *out, const char *name, const char *value)
{
    buf_putc(out, memchr(out->data, '?', out->size) != NULL ? '&' : '?');
    buf_printf(out, "%s=", name);
    enc_percent(str_of(value), out);
}

static int oidc_write_url(const struct oidc_entry *e, const struct oidc_config *c,
                          const char *redirect_uri, const char *state, const char *nonce,
                          const char *verifier, struct buf *out)
{
    const struct oidc_provider *p = e->provider;
    CLEAN_BUF struct buf challenge = BUF_EMPTY;
    int r = oidc_challenge(verifier, &challenge);
    if (r < 0)
        return r;
    buf_puts(out, c->authorize);
    if (buf_error(out) < 0)
        return buf_error(out);
    oidc_put_query(out, "response_type", "code");
    oidc_put_query(out, "client_id", p->client_id);
    oidc_put_query(out, "redirect_uri", redirect_uri);
    oidc_put_query(out, "scope", p->scopes != NULL ? p->scopes : "openid email profile");
    oidc_put_query(out, "state", state);
    oidc_put_query(out, "nonce", nonce);
    oidc_put_query(out, "code_challenge", challenge.data);
    oidc_put_query(out, "code_challenge_method", "S256");
    return buf_error(out);
}

int oidc_begin(struct oidc *o, struct db *db, const struct oidc_begin *begin, int64_t now_ms,
               char ret_cookie[TICKET_SIZE], struct buf *ret_url, struct fault *fault)
{
    char state[TICKET_SIZE];
    char nonce[TICKET_SIZE];
    char verifier[TICKET_SIZE];
    char cookie[TICKET_SIZE];
    char digest[SESSION_DIGEST_SIZE];
    struct oidc_config *c = NULL;
    struct oidc_entry *e = oidc__entry(o, begin->provider);
    if (e == NULL)
        return fault_set(fault, 404, "PROVIDER_NOT_FOUND", "there is no such provider");
    if (!oidc_path_ok(str_of(begin->path)))
        return fault_set(fault, 422, "PATH_INVALID", "the path is none of this site");
    int r = oidc__config_get(e, false, now_ms / 1000, &c, fault);
    if (r < 0)
        return r;
    ticket_random(nonce);
    ticket_random(verifier);
    ticket_random(cookie);
    session_digest(str_of(cookie), digest);
    json_t *data =
        json_pack("{s:s, s:s, s:s, s:s, s:s}", "nonce", nonce, "verifier", verifier, "cookie",
                  digest, "path", begin->path, "redirect_uri", begin->redirect_uri);
    r = data == NULL ? -ENOMEM
                     : ticket_make(db, "oidc", begin->provider, data, now_ms, OIDC_WAY_MS, state);
    json_decref(data);
    if (r == 0)
        r = oidc_write_url(e, c, begin->redirect_uri, state, nonce, verifier, ret_url);
    oidc__config_unref(c);
    if (r == 0)
        memcpy(ret_cookie, cookie, sizeof cookie);
    return r;
}

/* --- the id token ----------------------------------------------------------------------------- */

static bool oidc_is(const json_t *claims, const char *name, const char *text)
{
    const char *is = json_string_value(json_object_get(claims, name));
    return is != NULL && text != NULL && strcmp(is, text) == 0;
}

/* Core 1.0 section 3.1.3.7, points 3 to 5: it is for us, and for nobody else besides. */
static bool oidc_is_for_us(const json_t *claims, const char *client_id)
{
    const json_t *audience = json_object_get(claims, "aud");
    const json_t *party = json_object_get(claims, "azp");
    if (party != NULL && !oidc_is(claims, "azp", client_id))
        return false;
    if (json_is_string(audience))
        return oidc_is(claims, "aud", client_id);
    const char *only = json_string_value(json_array_get(audience, 0));
    return json_array_size(audience) == 1 && only != NULL && strcmp(only, client_id) == 0;
}

static int oidc_check_claims(const struct oidc_entry *e, const json_t *claims, const char *nonce,
                             int64_t now_s, struct fault *fault)
{
    const struct oidc_provider *p = e->provider;
    const json_t *expires = json_object_get(claims, "exp");
    const json_t *issued = json_object_get(claims, "iat");
    const char *subject = json_string_value(json_object_get(claims, "sub"));
    if (!oidc_is(claims, "iss", p->issuer))
        return oidc__failed(e, fault, "the id token is of another issuer");
    if (!oidc_is_for_us(claims, p->client_id))
        return oidc__failed(e, fault, "the id token is for somebody else");
    if (!json_is_integer(expires) || json_integer_value(expires) <= now_s - OIDC_SKEW_S ||
        !json_is_integer(issued) || json_integer_value(issued) > now_s + OIDC_SKEW_S)
        return oidc__failed(e, fault, "the id token is over, or not yet good: look at the clocks");
    if (!oidc_is(claims, "nonce", nonce))
        return oidc__failed(e, fault, "the id token is for another log-in");
    if (subject == NULL || subject[0] == 0 || strlen(subject) > 255)
        return oidc__failed(e, fault, "the id token names nobody");
    return 0;
}

static int oidc_read_token(struct oidc_entry *e, struct oidc_config **config, struct str token,
                           int64_t now_s, struct buf *out, struct fault *fault)
{
    int r = jwks_verify((*config)->keys, token, out);
    if (r != -ENOKEY)
        return r;
    struct oidc_config *fresh = NULL; /* it may have new keys since */
    r = oidc__config_get(e, true, now_s, &fresh, fault);
    if (r < 0)
        return r;
    oidc__config_unref(*config);
    *config = fresh;
    return jwks_verify(fresh->keys, token, out);
}

/* *ret: the claims of the id token, with those of userinfo where it has no address. */
static int oidc_read_claims(struct oidc_entry *e, struct oidc_config **config, const json_t *answer,
                            const char *nonce, int64_t now_s, json_t **ret, struct fault *fault)
{
    CLEAN_BUF struct buf payload = BUF_EMPTY;
    const char *token = json_string_value(json_object_get(answer, "id_token"));
    const char *access = json_string_value(json_object_get(answer, "access_token"));
    if (token == NULL)
        return oidc__failed(e, fault, "it gives no id token");
    int r = oidc_read_token(e, config, str_of(token), now_s, &payload, fault);
    if (r == -EBADMSG || r == -ENOKEY || r == -EKEYREJECTED)
        return oidc__failed(e, fault, "the id token is not signed by a key of its own");
    if (r < 0)
        return r;
    json_t *claims = json_loadb(payload.data != NULL ? payload.data : "", payload.size,
                                JSON_REJECT_DUPLICATES, NULL);
    r = oidc_check_claims(e, claims, nonce, now_s, fault);
    if (r == 0 && json_object_get(claims, "email") == NULL && (*config)->userinfo != NULL &&
        access != NULL) {
        json_t *more = NULL;
        r = oidc__userinfo(e, *config, access, &more, fault);
        /* Core 1.0 section 5.3.2: about the same person, or not to be used. */
        if (r == 0 && !oidc_is(more, "sub", json_string_value(json_object_get(claims, "sub"))))
            r = oidc__failed(e, fault, "userinfo is about somebody else");
        if (r == 0 && json_object_update_missing(claims, more) < 0)
            r = -ENOMEM;
        json_decref(more);
    }
    if (r < 0)
        json_decref(claims);
    else
        *ret = claims;
    return r;
}

/* --- the account ------------------------------------------------------------------------------ */

static int oidc_link(struct db *db, const char *link, const char *provider, const json_t *user,
                     int64_t now_ms)
{
    json_t *doc = json_pack("{s:s, s:O, s:s, s:I}", "id", link, "user", json_object_get(user, "id"),
                            "provider", provider, "created_ms", (json_int_t)now_ms);
    int r = doc == NULL ? -ENOMEM : db_put(db, MODEL_LINKS, doc);
    json_decref(doc);
    return r;
}

/* By the address, if the provider says that it is the person's, and we know that the account is
 * its owner's: else whoever signed up with another's address would wait here for them. */
static int oidc_user_of_email(struct db *db, const json_t *claims, int64_t now_ms, json_t **ret,
                              struct fault *fault)
{
    char address[VALID_EMAIL_SIZE];
    struct fault ignored = {0};
    json_t *user = NULL;
    const char *email = json_string_value(json_object_get(claims, "email"));
    if (email == NULL || !json_is_true(json_object_get(claims, "email_verified")) ||
        valid_email(str_of(email), address, &ignored) < 0)
        return fault_set(fault, 403, "OIDC_EMAIL_UNVERIFIED",
                         "the provider does not say that the e-mail address is yours");
    int r = account_find(db, address, &user);
    if (r == -ENOENT)
        r = account_make_verified(db, address, now_ms, &user);
    if (r == -EEXIST) /* another one was quicker: it is there now */
        r = account_find(db, address, &user);
    if (r == 0 && !account_is_verified(user)) {
        json_decref(user);
        return fault_set(fault, 403, "OIDC_EMAIL_UNVERIFIED",
                         "there is an account with this address that nobody has confirmed");
    }
    if (r == 0)
        *ret = user;
    return r;
}

static int oidc_user(struct db *db, const struct oidc_provider *p, const json_t *claims,
                     int64_t now_ms, json_t **ret, struct fault *fault)
{
    char link[SESSION_DIGEST_SIZE];
    CLEAN_BUF struct buf name = BUF_EMPTY;
    json_t *doc = NULL;
    json_t *user = NULL;
    buf_printf(&name, "%s\n%s", p->issuer, json_string_value(json_object_get(claims, "sub")));
    if (buf_error(&name) < 0)
        return buf_error(&name);
    session_digest(buf_str(&name), link);
    int r = db_get(db, MODEL_LINKS, link, &doc);
    if (r == 0) {
        const char *id = json_string_value(json_object_get(doc, "user"));
        r = id == NULL ? -EBADMSG : db_get(db, MODEL_USERS, id, &user);
    }
    json_decref(doc);
    if (r == -ENOENT) {
        r = oidc_user_of_email(db, claims, now_ms, &user, fault);
        if (r == 0)
            r = oidc_link(db, link, p->name, user, now_ms);
    }
    if (r == 0 && account_is_disabled(user))
        r = fault_set(fault, 403, "ACCOUNT_DISABLED", "this account is disabled");
    if (r < 0)
        json_decref(user);
    else
        *ret = user;
    return r;
}

/* --- the way back ----------------------------------------------------------------------------- */

static int oidc_state_invalid(struct fault *fault)
{
    return fault_set(fault, 400, "OIDC_STATE_INVALID",
                     "this log-in was not begun in this browser, or too long ago; try again");
}

/* The ticket of the state, used up, if it and the cookie are of one log-in. */
static int oidc_take_state(struct db *db, const struct oidc_end *end, int64_t now_ms, json_t **ret,
                           struct fault *fault)
{
    char digest[SESSION_DIGEST_SIZE];
    json_t *ticket = NULL;
    int r = ticket_take(db, "oidc", str_of(end->state), now_ms, &ticket);
    if (r == -ENOENT)
        return oidc_state_invalid(fault);
    if (r < 0)
        return r;
    const json_t *data = json_object_get(ticket, "data");
    const char *cookie = json_string_value(json_object_get(data, "cookie"));
    session_digest(end->cookie, digest);
    if (cookie == NULL || strlen(cookie) != SESSION_DIGEST_SIZE - 1 ||
        !session_digest_eq(cookie, digest) || !oidc_is(ticket, "about", end->provider) ||
        !oidc_is(data, "redirect_uri", end->redirect_uri)) {
        json_decref(ticket);
        return oidc_state_invalid(fault);
    }
    *ret = ticket;
    return 0;
}

static int oidc_finish(struct oidc_entry *e, struct db *db, const struct oidc_end *end,
                       const json_t *data, int64_t now_ms, json_t **ret_user, struct fault *fault)
{
    const char *verifier = json_string_value(json_object_get(data, "verifier"));
    const char *nonce = json_string_value(json_object_get(data, "nonce"));
    struct oidc_config *config = NULL;
    json_t *answer = NULL;
    json_t *claims = NULL;
    if (verifier == NULL || nonce == NULL)
        return -EBADMSG;
    int r = oidc__config_get(e, false, now_ms / 1000, &config, fault);
    if (r == 0)
        r = oidc__redeem(e, config, end, verifier, &answer, fault);
    if (r == 0)
        r = oidc_read_claims(e, &config, answer, nonce, now_ms / 1000, &claims, fault);
    if (r == 0)
        r = oidc_user(db, e->provider, claims, now_ms, ret_user, fault);
    json_decref(answer);
    json_decref(claims);
    oidc__config_unref(config);
    return r;
}

int oidc_end(struct oidc *o, struct db *db, const struct oidc_end *end, int64_t now_ms,
             json_t **ret_user, struct buf *ret_path, struct fault *fault)
{
    json_t *ticket = NULL;
    struct oidc_entry *e = oidc__entry(o, end->provider);
    if (e == NULL)
        return fault_set(fault, 404, "PROVIDER_NOT_FOUND", "there is no such provider");
    int r = oidc_take_state(db, end, now_ms, &ticket, fault);
    if (r < 0)
        return r;
    const json_t *data = json_object_get(ticket, "data");
    const char *path = json_string_value(json_object_get(data, "path"));
    /* RFC 9207: an answer of another provider, mixed up with this one's. */
    if (end->issuer != NULL && strcmp(end->issuer, e->provider->issuer) != 0)
        r = oidc_state_invalid(fault);
    else if (end->code == NULL)
        r = fault_set(fault, 403, "OIDC_REFUSED", "%s did not log you in", e->provider->name);
    else
        r = oidc_finish(e, db, end, data, now_ms, ret_user, fault);
    if (r == 0) {
        buf_puts(ret_path, path != NULL && oidc_path_ok(str_of(path)) ? path : "/");
        r = buf_error(ret_path);
        if (r < 0)
            json_decref(*ret_user);
    }
    json_decref(ticket);
    return r;
}
