/* SPDX-License-Identifier: Apache-2.0 */
#include "control/people/access.h"
#include <errno.h>
#include <stdlib.h>

#define ACCESS_AUDIENCE "weir-api" /* no token for something else passes as one of ours */

int access_sign(struct keyring *k, const char *issuer, const struct access *claims,
                const char *role, struct buf *out)
{
    json_t *payload = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I}", "iss", issuer, "aud",
                                ACCESS_AUDIENCE, "sub", claims->user, "sid", claims->login, "role",
                                role, "iat", (json_int_t)(claims->expires_s - KEYRING_TOKEN_LIFE_S),
                                "exp", (json_int_t)claims->expires_s);
    char *text = payload == NULL ? NULL : json_dumps(payload, JSON_COMPACT);
    int r = text == NULL ? -ENOMEM : keyring_sign(k, str_of(text), out);
    json_decref(payload);
    free(text);
    return r;
}

static bool access_is(const json_t *claims, const char *name, const char *text)
{
    const char *is = json_string_value(json_object_get(claims, name));
    return is != NULL && strcmp(is, text) == 0;
}

static int access_copy(const json_t *claims, const char *name, char out[ACCESS_ID_SIZE])
{
    const json_t *value = json_object_get(claims, name);
    if (!json_is_string(value) || json_string_length(value) == 0 ||
        str_copy((struct str){json_string_value(value), json_string_length(value)}, out,
                 ACCESS_ID_SIZE) < 0)
        return -EBADMSG;
    return 0;
}

static int access_read(const json_t *claims, const char *issuer, int64_t now_s, struct access *ret)
{
    struct access a;
    const json_t *exp = json_object_get(claims, "exp");
    const json_t *iat = json_object_get(claims, "iat");
    if (!json_is_object(claims) || !json_is_integer(exp) || !json_is_integer(iat) ||
        !access_is(claims, "iss", issuer) || !access_is(claims, "aud", ACCESS_AUDIENCE) ||
        access_copy(claims, "sub", a.user) < 0 || access_copy(claims, "sid", a.login) < 0)
        return -EBADMSG;
    if (json_integer_value(exp) <= now_s)
        return -ETIME;
    if (json_integer_value(iat) > now_s + ACCESS_SKEW_S)
        return -EAGAIN;
    a.expires_s = json_integer_value(exp);
    *ret = a;
    return 0;
}

int access_verify(struct keyring *k, const char *issuer, struct str token, int64_t now_s,
                  struct access *ret)
{
    CLEAN_BUF struct buf payload = BUF_EMPTY;
    int r = keyring_verify(k, token, &payload);
    if (r < 0)
        return r;
    json_t *claims = json_loadb(payload.data != NULL ? payload.data : "", payload.size,
                                JSON_REJECT_DUPLICATES, NULL);
    r = access_read(claims, issuer, now_s, ret);
    json_decref(claims);
    return r;
}
