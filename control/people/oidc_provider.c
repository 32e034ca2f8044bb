/* SPDX-License-Identifier: Apache-2.0 */
/* What a provider publishes, and the calls to it: oidc_priv.h. */
#include <errno.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/enc.h"
#include "base/log.h"
#include "control/people/oidc_priv.h"
#include "fetch/fetch.h"

#define OIDC_ANSWER_MAX ((size_t)256 << 10)
#define OIDC_KEEP_S     3600
#define OIDC_AGAIN_S    10 /* keys are not read more often, whatever tokens name */

int oidc__failed(const struct oidc_entry *e, struct fault *fault, const char *format, ...)
{
    char text[384];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(text, sizeof text, format, list); /* a longer one is cut */
    va_end(list);
    log_warn("log-in by %s: %s", e->provider->name, text);
    return fault_set(fault, 502, "PROVIDER_FAILED", "%s did not do its part, try again later",
                     e->provider->name);
}

/* --- asking ----------------------------------------------------------------------------------- */

static int oidc_ask(const struct oidc_entry *e, const struct fetch_request *request,
                    unsigned *ret_status, json_t **ret, struct fault *fault)
{
    const struct fetch_options options = {.ca_file = e->provider->ca_file, .connect_ms = 5000};
    struct fetch_client *client = NULL;
    CLEAN_BUF struct buf text = BUF_EMPTY;
    struct err err = {""};
    int r = fetch_client_new(&options, &client);
    if (r < 0)
        return r;
    r = fetch_client_run(client, request, OIDC_ANSWER_MAX, ret_status, &text, &err);
    fetch_client_free(client);
    if (r < 0)
        return oidc__failed(e, fault, "%s: %s", request->url, err.text);
    json_t *answer =
        json_loadb(text.data != NULL ? text.data : "", text.size, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(answer)) {
        json_decref(answer);
        return oidc__failed(e, fault, "%s: status %u and no JSON object", request->url,
                            *ret_status);
    }
    *ret = answer;
    return 0;
}

static int oidc_get(const struct oidc_entry *e, const char *url, const char *bearer, json_t **ret,
                    struct fault *fault)
{
    const struct fetch_request request = {.method = "GET", .url = url, .bearer = bearer};
    unsigned status = 0;
    json_t *answer = NULL;
    int r = oidc_ask(e, &request, &status, &answer, fault);
    if (r == 0 && status != 200)
        r = oidc__failed(e, fault, "%s: status %u", url, status);
    if (r < 0)
        json_decref(answer);
    else
        *ret = answer;
    return r;
}

/* --- what it publishes ------------------------------------------------------------------------ */

void oidc__config_unref(struct oidc_config *c)
{
    if (c == NULL || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    json_decref(c->document);
    jwks_free(c->keys);
    free(c);
}

/* Where the issuer is reached by TLS, so are its endpoints. */
static const char *oidc_endpoint(const struct oidc_entry *e, const json_t *document,
                                 const char *name)
{
    const char *url = json_string_value(json_object_get(document, name));
    bool tls = str_starts(str_of(e->provider->issuer), STR("https://"));
    bool good = str_starts(str_of(url), STR("https://")) ||
                (!tls && str_starts(str_of(url), STR("http://")));
    return good ? url : NULL;
}

static bool oidc_lists(const json_t *document, const char *name, const char *value)
{
    size_t i;
    json_t *each;
    json_array_foreach(json_object_get(document, name), i, each)
    {
        if (json_is_string(each) && strcmp(json_string_value(each), value) == 0)
            return true;
    }
    return false;
}

static int oidc_read_keys(const struct oidc_entry *e, struct oidc_config *c, struct fault *fault)
{
    const char *url = oidc_endpoint(e, c->document, "jwks_uri");
    json_t *set = NULL;
    struct err err = {""};
    if (url == NULL)
        return oidc__failed(e, fault, "it publishes no keys");
    int r = oidc_get(e, url, NULL, &set, fault);
    if (r < 0)
        return r;
    r = jwks_of(set, &c->keys, &err);
    json_decref(set);
    return r == -EINVAL ? oidc__failed(e, fault, "its keys: %s", err.text) : r;
}

/* Discovery 1.0 section 4.3: the document must be about the issuer that it was asked of. */
static int oidc_read_document(const struct oidc_entry *e, struct oidc_config *c,
                              struct fault *fault)
{
    CLEAN_BUF struct buf url = BUF_EMPTY;
    struct str issuer = str_of(e->provider->issuer);
    while (str_ends(issuer, STR("/")))
        issuer.size--;
    buf_put_str(&url, issuer);
    buf_puts(&url, "/.well-known/openid-configuration");
    int r = buf_error(&url);
    if (r == 0)
        r = oidc_get(e, url.data, NULL, &c->document, fault);
    if (r < 0)
        return r;
    const char *said = json_string_value(json_object_get(c->document, "issuer"));
    if (said == NULL || strcmp(said, e->provider->issuer) != 0)
        return oidc__failed(e, fault, "it calls itself %.100s", said != NULL ? said : "nothing");
    c->authorize = oidc_endpoint(e, c->document, "authorization_endpoint");
    c->token = oidc_endpoint(e, c->document, "token_endpoint");
    c->userinfo = oidc_endpoint(e, c->document, "userinfo_endpoint");
    if (c->authorize == NULL || c->token == NULL)
        return oidc__failed(e, fault, "it publishes no endpoints");
    static const char methods[] = "token_endpoint_auth_methods_supported";
    c->secret_in_body = !oidc_lists(c->document, methods, "client_secret_basic") &&
                        oidc_lists(c->document, methods, "client_secret_post");
    return 0;
}

static int oidc_read(const struct oidc_entry *e, int64_t now_s, struct oidc_config **ret,
                     struct fault *fault)
{
    struct oidc_config *c = calloc(1, sizeof *c);
    if (c == NULL)
        return -ENOMEM;
    atomic_init(&c->refs, 1);
    c->read_s = now_s;
    int r = oidc_read_document(e, c, fault);
    if (r == 0)
        r = oidc_read_keys(e, c, fault);
    if (r < 0)
        oidc__config_unref(c);
    else
        *ret = c;
    return r;
}

int oidc__config_get(struct oidc_entry *e, bool fresh, int64_t now_s, struct oidc_config **ret,
                     struct fault *fault)
{
    int r = 0;
    /* Held over the network: of many that ask at once one reads, and the others have it then. */
    (void)pthread_mutex_lock(&e->lock);
    int64_t age_s = e->config == NULL ? INT64_MAX : now_s - e->config->read_s;
    if (age_s < 0 || age_s > (fresh ? OIDC_AGAIN_S : OIDC_KEEP_S)) {
        struct oidc_config *c = NULL;
        r = oidc_read(e, now_s, &c, fault);
        if (r == 0) {
            oidc__config_unref(e->config);
            e->config = c;
        }
    }
    if (r == 0) {
        (void)atomic_fetch_add_explicit(&e->config->refs, 1, memory_order_relaxed);
        *ret = e->config;
    }
    (void)pthread_mutex_unlock(&e->lock);
    return r;
}

/* --- code and tokens -------------------------------------------------------------------------- */

static void oidc_put_form(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "%s%s=", out->size > 0 ? "&" : "", name);
    enc_percent(str_of(value), out);
}

/* RFC 6749 section 2.3.1: both are percent-coded before they are joined. */
static int oidc_put_basic(const struct oidc_provider *p, struct buf *out)
{
    CLEAN_BUF struct buf pair = BUF_EMPTY;
    enc_percent(str_of(p->client_id), &pair);
    buf_putc(&pair, ':');
    enc_percent(str_of(p->client_secret), &pair);
    uint8_t *text = buf_error(&pair) < 0 ? NULL : malloc(4 * ((pair.size + 2) / 3) + 1);
    if (text == NULL)
        return -ENOMEM;
    int size = EVP_EncodeBlock(text, (const uint8_t *)pair.data, (int)pair.size);
    buf_puts(out, "Basic ");
    buf_put(out, text, (size_t)size);
    free(text);
    return buf_error(out);
}

static int oidc_write_form(const struct oidc_entry *e, const struct oidc_config *c,
                           const struct oidc_end *end, const char *verifier, struct rbuf **ret)
{
    const struct oidc_provider *p = e->provider;
    CLEAN_BUF struct buf form = BUF_EMPTY;
    oidc_put_form(&form, "grant_type", "authorization_code");
    oidc_put_form(&form, "code", end->code);
    oidc_put_form(&form, "redirect_uri", end->redirect_uri);
    oidc_put_form(&form, "code_verifier", verifier);
    if (p->client_secret == NULL || c->secret_in_body)
        oidc_put_form(&form, "client_id", p->client_id);
    if (p->client_secret != NULL && c->secret_in_body)
        oidc_put_form(&form, "client_secret", p->client_secret);
    int r = buf_error(&form);
    if (r == 0)
        r = rbuf_new((uint32_t)form.size, ret);
    return r < 0 ? r : rbuf_append(*ret, form.data, (uint32_t)form.size);
}

int oidc__redeem(const struct oidc_entry *e, const struct oidc_config *c,
                 const struct oidc_end *end, const char *verifier, json_t **ret,
                 struct fault *fault)
{
    CLEAN_BUF struct buf basic = BUF_EMPTY;
    CLEAN(rbuf_unref) struct rbuf *body = NULL;
    unsigned status = 0;
    json_t *answer = NULL;
    int r = oidc_write_form(e, c, end, verifier, &body);
    if (r == 0 && e->provider->client_secret != NULL && !c->secret_in_body)
        r = oidc_put_basic(e->provider, &basic);
    if (r < 0)
        return r;
    const struct field auth = {STR("authorization"), buf_str(&basic)};
    const struct fetch_request request = {
        .method = "POST",
        .url = c->token,
        .type = "application/x-www-form-urlencoded",
        .body = body,
        .fields = {&auth, basic.size > 0 ? 1 : 0},
    };
    r = oidc_ask(e, &request, &status, &answer, fault);
    if (r < 0)
        return r;
    const char *why = json_string_value(json_object_get(answer, "error"));
    if (why != NULL && strcmp(why, "invalid_grant") == 0) /* a code that is none, or was used */
        r = fault_set(fault, 403, "OIDC_REFUSED", "%s does not take the code", e->provider->name);
    else if (status != 200)
        r = oidc__failed(e, fault, "no token: status %u, %.100s", status, why != NULL ? why : "");
    if (r < 0)
        json_decref(answer);
    else
        *ret = answer;
    return r;
}

int oidc__userinfo(const struct oidc_entry *e, const struct oidc_config *c,
                   const char *access_token, json_t **ret, struct fault *fault)
{
    return oidc_get(e, c->userinfo, access_token, ret, fault);
}
