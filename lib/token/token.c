/* SPDX-License-Identifier: Apache-2.0 */
#include "token/token.h"
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include "token/token_priv.h"

#define TOKEN_TIME_MAX (INT64_C(1) << 53) /* exact as a JSON number anywhere */

static json_t *token_json_free(json_t *j)
{
    json_decref(j);
    return NULL;
}
DEFINE_CLEAN(json_t *, token_json_free)

static void token_put_text(const char *key, const char *text, struct buf *out)
{
    if (text == NULL)
        return;
    buf_printf(out, ",\"%s\":", key);
    buf_put_json_string(out, str_of(text));
}

int token_sign(const struct token_ring *ring, const struct token_claims *claims, struct buf *out)
{
    token__ring_check(ring);
    ASSERT(claims != NULL);
    ASSERT(out != NULL);
    if (claims->container == NULL || claims->expires_s <= 0 || claims->not_before_s < 0 ||
        claims->expires_s > TOKEN_TIME_MAX || claims->not_before_s > TOKEN_TIME_MAX)
        return -EINVAL;
    CLEAN_BUF struct buf payload = BUF_EMPTY;
    buf_printf(&payload, "{\"cdniv\":1,\"exp\":%" PRId64, claims->expires_s);
    if (claims->not_before_s > 0)
        buf_printf(&payload, ",\"nbf\":%" PRId64, claims->not_before_s);
    token_put_text("iss", claims->issuer, &payload);
    token_put_text("sub", claims->subject, &payload);
    token_put_text("cdniuc", claims->container, &payload);
    token_put_text("weir_asset", claims->asset, &payload);
    token_put_text("weir_session", claims->session, &payload);
    if (claims->height_max > 0)
        buf_printf(&payload, ",\"weir_height_max\":%" PRIu32, claims->height_max);
    buf_putc(&payload, '}');
    if (buf_error(&payload) != 0)
        return buf_error(&payload);
    return token__jws_sign(ring, buf_str(&payload), out);
}

/* ---- claims ---- */

/* Absent: *ret stays. */
static int token_get_text(const json_t *j, const char *key, char **ret)
{
    const json_t *value = json_object_get(j, key);
    if (value == NULL)
        return 0;
    if (!json_is_string(value))
        return -EBADMSG;
    *ret = str_dup((struct str){json_string_value(value), json_string_length(value)});
    return *ret != NULL ? 0 : -ENOMEM;
}

/* NumericDate (RFC 7519 section 2): seconds, perhaps with a fraction, which is cut off. */
static int token_get_time(const json_t *j, const char *key, int64_t *ret)
{
    const json_t *value = json_object_get(j, key);
    if (value == NULL)
        return 0;
    if (!json_is_number(value))
        return -EBADMSG;
    double seconds = json_number_value(value);
    if (!(fabs(seconds) <= (double)TOKEN_TIME_MAX))
        return -EBADMSG;
    *ret = json_is_integer(value) ? json_integer_value(value) : (int64_t)floor(seconds);
    return 0;
}

/* cdnicrit (RFC 9246 section 2.1.9): claims that whoever verifies must understand. Those of the RFC
 * itself may not be listed; of others we know only our own. */
static int token_check_critical(const json_t *j)
{
    static const struct str known[] = {STR("weir_asset"), STR("weir_session"),
                                       STR("weir_height_max")};
    const json_t *list = json_object_get(j, "cdnicrit");
    if (list == NULL)
        return 0;
    struct str names = {json_string_value(list), json_string_length(list)};
    if (!json_is_string(list) || names.size == 0)
        return -EBADMSG;
    while (names.data != NULL) {
        struct str name = str_cut(names, ',', &names);
        bool is_known = false;
        for (size_t i = 0; i < ARRAY_LEN(known); i++) {
            if (str_eq(name, known[i]) && json_object_get(j, known[i].data) != NULL)
                is_known = true;
        }
        if (!is_known)
            return -EBADMSG;
    }
    return 0;
}

/* Claims that narrow what the token allows in ways that are not checked here: refused, for to
 * ignore them would allow more than the issuer did. cdniip is an encrypted address, jti asks for a
 * memory of all tokens ever seen, aud names a party that we may not be. */
static int token_check_limits(const json_t *j)
{
    static const char *const limits[] = {"cdniip", "jti", "aud"};
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        if (json_object_get(j, limits[i]) != NULL)
            return -EACCES;
    }
    const json_t *version = json_object_get(j, "cdniv"); /* absent: 1 */
    if (version != NULL && (!json_is_integer(version) || json_integer_value(version) != 1))
        return -EBADMSG;
    const json_t *transport = json_object_get(j, "cdnistt");
    if (transport != NULL && (!json_is_integer(transport) || json_integer_value(transport) < 0 ||
                              json_integer_value(transport) > 1))
        return -EBADMSG;
    return token_check_critical(j);
}

static int token_get_claims(const json_t *j, struct token_claims *c)
{
    int r;
    if ((r = token_get_text(j, "iss", &c->issuer)) < 0 ||
        (r = token_get_text(j, "sub", &c->subject)) < 0 ||
        (r = token_get_text(j, "cdniuc", &c->container)) < 0 ||
        (r = token_get_text(j, "weir_asset", &c->asset)) < 0 ||
        (r = token_get_text(j, "weir_session", &c->session)) < 0 ||
        (r = token_get_time(j, "exp", &c->expires_s)) < 0 ||
        (r = token_get_time(j, "nbf", &c->not_before_s)) < 0)
        return r;
    const json_t *height = json_object_get(j, "weir_height_max");
    if (height != NULL && (!json_is_integer(height) || json_integer_value(height) < 0 ||
                           json_integer_value(height) > UINT32_MAX))
        return -EBADMSG;
    c->height_max = (uint32_t)json_integer_value(height); /* NULL: 0 */
    if (c->container == NULL || json_object_get(j, "exp") == NULL)
        return -EBADMSG;
    return token_check_limits(j);
}

int token_verify(const struct token_ring *ring, struct str token, int64_t now_s,
                 struct token_claims *ret)
{
    ASSERT(ret != NULL);
    *ret = (struct token_claims){0};
    CLEAN_BUF struct buf payload = BUF_EMPTY;
    int r = token__jws_verify(ring, token, &payload);
    if (r < 0)
        return r;
    CLEAN(token_json_free)
    json_t *j = json_loadb(payload.data != NULL ? payload.data : "", payload.size,
                           JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(j))
        return -EBADMSG;
    struct token_claims claims = {0};
    r = token_get_claims(j, &claims);
    if (r == 0 && now_s >= claims.expires_s)
        r = -ETIME;
    if (r == 0 && now_s < claims.not_before_s)
        r = -EAGAIN;
    if (r < 0) {
        token_claims_clear(&claims);
        return r;
    }
    *ret = claims;
    return 0;
}

void token_claims_clear(struct token_claims *claims)
{
    ASSERT(claims != NULL);
    free(claims->issuer);
    free(claims->subject);
    free(claims->container);
    free(claims->asset);
    free(claims->session);
    *claims = (struct token_claims){0};
}
