/* SPDX-License-Identifier: Apache-2.0 */
#include "token/token.h"
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include "base/id.h"
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
        claims->expires_s > TOKEN_TIME_MAX || claims->not_before_s > TOKEN_TIME_MAX ||
        claims->renew_for_s < 0 || claims->renew_for_s > TOKEN_TIME_MAX ||
        claims->renew_depth > INT32_MAX)
        return -EINVAL;
    CLEAN_BUF struct buf payload = BUF_EMPTY;
    buf_printf(&payload, "{\"cdniv\":1,\"exp\":%" PRId64, claims->expires_s);
    if (claims->not_before_s > 0)
        buf_printf(&payload, ",\"nbf\":%" PRId64, claims->not_before_s);
    token_put_text("iss", claims->issuer, &payload);
    token_put_text("sub", claims->subject, &payload);
    token_put_text("jti", claims->id, &payload);
    token_put_text("cdniip", claims->clients_text, &payload);
    token_put_text("cdniuc", claims->container, &payload);
    if (claims->renew_for_s > 0)
        buf_printf(&payload, ",\"cdnistt\":1,\"cdniets\":%" PRId64 ",\"cdnistd\":%" PRIu32,
                   claims->renew_for_s, claims->renew_depth);
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

/* aud (RFC 9246 section 2.1.3): one name or a list, of which one must be ours. */
static int token_check_audience(const json_t *aud, const struct token_rules *rules)
{
    size_t count = json_is_array(aud) ? json_array_size(aud) : 1;
    int r = -EACCES;
    for (size_t i = 0; i < count; i++) {
        const char *name = json_string_value(json_is_array(aud) ? json_array_get(aud, i) : aud);
        if (name == NULL)
            return -EBADMSG;
        for (unsigned k = 0; k < rules->audiences_count; k++) {
            if (strcmp(rules->audiences[k], name) == 0)
                r = 0;
        }
    }
    return r;
}

/* cdniip (RFC 9246 section 2.1.10). The RFC has the address encrypted; whoever leaves it in the
 * clear shows it to nobody but the client it belongs to. An encrypted one does not parse here. */
static int token_get_clients(const json_t *j, const struct token_rules *rules,
                             struct token_claims *c)
{
    int r = token_get_text(j, "cdniip", &c->clients_text);
    if (r < 0 || c->clients_text == NULL)
        return r;
    if (!rules->checks_clients || addr_net_parse(str_of(c->clients_text), &c->clients) < 0)
        return -EACCES;
    return 0;
}

/* An integer from 0 to max; absent: *ret stays. */
static int token_get_integer(const json_t *j, const char *key, int64_t max, int64_t *ret)
{
    const json_t *value = json_object_get(j, key);
    if (value == NULL)
        return 0;
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > max)
        return -EBADMSG;
    *ret = json_integer_value(value);
    return 0;
}

/* cdniets, cdnistt, cdnistd (RFC 9246 sections 2.1.12 to 2.1.14). Of the transports the registry
 * has none (0) and a cookie (1). */
static int token_get_renewal(const json_t *j, struct token_claims *c)
{
    int64_t transport = 0, depth = 0, seconds = 0;
    int r = token_get_integer(j, "cdnistt", 1, &transport);
    if (r == 0)
        r = token_get_integer(j, "cdnistd", INT32_MAX, &depth);
    if (r == 0)
        r = token_get_time(j, "cdniets", &seconds);
    if (r < 0)
        return r;
    if (transport == 0)
        return 0;
    if (seconds <= 0)
        return -EBADMSG; /* it must be there, section 2.1.13 */
    c->renew_for_s = seconds;
    c->renew_depth = (uint32_t)depth;
    return 0;
}

static int token_check_limits(const json_t *j, const struct token_rules *rules,
                              struct token_claims *c)
{
    int64_t version = 1; /* cdniv, section 2.1.8 */
    int r = token_get_integer(j, "cdniv", 1, &version);
    if (r < 0 || version != 1)
        return -EBADMSG;
    r = token_get_renewal(j, c);
    if (r == 0)
        r = token_check_critical(j);
    const json_t *aud = json_object_get(j, "aud");
    if (r == 0 && aud != NULL)
        r = token_check_audience(aud, rules);
    if (r == 0)
        r = token_get_clients(j, rules, c);
    if (r == 0)
        r = token_get_text(j, "jti", &c->id);
    if (r == 0 && c->id != NULL && !rules->checks_id)
        r = -EACCES;
    return r;
}

static int token_get_claims(const json_t *j, const struct token_rules *rules,
                            struct token_claims *c)
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
    int64_t height = 0;
    r = token_get_integer(j, "weir_height_max", UINT32_MAX, &height);
    c->height_max = (uint32_t)height;
    if (r < 0 || c->container == NULL || json_object_get(j, "exp") == NULL)
        return -EBADMSG;
    return token_check_limits(j, rules, c);
}

/* The claims of a token whose signature is good; *ret is the caller's reference. */
static int token_open(const struct token_ring *ring, struct str token, json_t **ret,
                      const struct token_key **ret_key)
{
    CLEAN_BUF struct buf payload = BUF_EMPTY;
    int r = token__jws_verify(ring, token, &payload, ret_key);
    if (r < 0)
        return r;
    json_t *j = json_loadb(payload.data != NULL ? payload.data : "", payload.size,
                           JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(j)) {
        json_decref(j);
        return -EBADMSG;
    }
    *ret = j;
    return 0;
}

int token_verify(const struct token_ring *ring, struct str token, int64_t now_s,
                 const struct token_rules *rules, struct token_claims *ret)
{
    ASSERT(ret != NULL);
    *ret = (struct token_claims){0};
    static const struct token_rules none = {0};
    const struct token_key *k = NULL;
    CLEAN(token_json_free) json_t *j = NULL;
    int r = token_open(ring, token, &j, &k);
    if (r < 0)
        return r;
    struct token_claims claims = {0};
    r = token_get_claims(j, rules != NULL ? rules : &none, &claims);
    if (r == 0 && k->issuer != NULL &&
        (claims.issuer == NULL || strcmp(k->issuer, claims.issuer) != 0))
        r = -EKEYREJECTED;
    if (r == 0 && now_s >= claims.expires_s)
        r = -ETIME;
    if (r == 0 && now_s < claims.not_before_s)
        r = -EAGAIN;
    if (r == 0)
        r = token__matcher_new(claims.container, &claims.matcher);
    if (r < 0) {
        token_claims_clear(&claims);
        return r;
    }
    *ret = claims;
    return 0;
}

int token_renew(const struct token_ring *ring, struct str token, int64_t now_s, struct buf *out)
{
    ASSERT(out != NULL);
    CLEAN(token_json_free) json_t *j = NULL;
    const struct token_key *k = NULL;
    int r = token_open(ring, token, &j, &k);
    if (r < 0)
        return r;
    struct token_claims renewal = {0};
    r = token_get_renewal(j, &renewal);
    if (r < 0)
        return r;
    if (renewal.renew_for_s == 0 || now_s < 0 || now_s > TOKEN_TIME_MAX - renewal.renew_for_s)
        return -EINVAL;
    bool set = json_object_set_new(j, "exp", json_integer(now_s + renewal.renew_for_s)) == 0;
    if (json_object_get(j, "iat") != NULL)
        set = set && json_object_set_new(j, "iat", json_integer(now_s)) == 0;
    if (json_object_get(j, "jti") != NULL) {
        char id[ID_TEXT_SIZE];
        id_text(id);
        set = set && json_object_set_new(j, "jti", json_string(id)) == 0;
    }
    if (ring->keys[0].issuer != NULL)
        set = set && json_object_set_new(j, "iss", json_string(ring->keys[0].issuer)) == 0;
    char *text = set ? json_dumps(j, JSON_COMPACT) : NULL;
    if (text == NULL)
        return -ENOMEM;
    r = token__jws_sign(ring, str_of(text), out);
    free(text);
    return r;
}

void token_claims_clear(struct token_claims *claims)
{
    ASSERT(claims != NULL);
    free(claims->issuer);
    free(claims->subject);
    free(claims->container);
    free(claims->asset);
    free(claims->session);
    free(claims->id);
    free(claims->clients_text);
    token__matcher_free(claims->matcher);
    *claims = (struct token_claims){0};
}
