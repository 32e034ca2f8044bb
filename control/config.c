/* SPDX-License-Identifier: Apache-2.0 */
#include "control/config.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include "base/file.h"

#define CONTROL_CREDENTIAL_MIN 16 /* bytes; shorter ones can be guessed */

#define TEXT(name, type, flags)                                                                    \
    CYAML_FIELD_STRING_PTR(#name, CYAML_FLAG_POINTER | (flags), type, name, 1, 4096)

static const cyaml_schema_field_t control_listen_fields[] = {
    TEXT(address, struct control_listen, CYAML_FLAG_DEFAULT),
    CYAML_FIELD_UINT("port", CYAML_FLAG_DEFAULT, struct control_listen, port),
    TEXT(cert_file, struct control_listen, CYAML_FLAG_OPTIONAL),
    TEXT(key_file, struct control_listen, CYAML_FLAG_OPTIONAL),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t control_fields[] = {
    CYAML_FIELD_MAPPING("listen", CYAML_FLAG_DEFAULT, struct control_config, listen,
                        control_listen_fields),
    CYAML_FIELD_MAPPING("admin_listen", CYAML_FLAG_DEFAULT, struct control_config, admin_listen,
                        control_listen_fields),
    TEXT(db, struct control_config, CYAML_FLAG_DEFAULT),
    TEXT(token_ring_file, struct control_config, CYAML_FLAG_DEFAULT),
    TEXT(edge_url, struct control_config, CYAML_FLAG_DEFAULT),
    TEXT(public_url, struct control_config, CYAML_FLAG_OPTIONAL),
    TEXT(admin_credential_file, struct control_config, CYAML_FLAG_DEFAULT),
    TEXT(web_folder, struct control_config, CYAML_FLAG_DEFAULT),
    TEXT(issuer, struct control_config, CYAML_FLAG_OPTIONAL),
    CYAML_FIELD_UINT("token_lifetime_s", CYAML_FLAG_OPTIONAL, struct control_config,
                     token_lifetime_s),
    CYAML_FIELD_UINT("workers", CYAML_FLAG_OPTIONAL, struct control_config, workers),
    CYAML_FIELD_BOOL("access_log", CYAML_FLAG_OPTIONAL, struct control_config, access_log),
    CYAML_FIELD_END,
};

const cyaml_schema_value_t control_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct control_config, control_fields)};

static int config_check_listen(const char *name, const struct control_listen *l, struct err *err)
{
    if ((l->cert_file == NULL) != (l->key_file == NULL))
        return err_set(err, -EINVAL, "%s: cert_file and key_file come together or not at all",
                       name);
    return 0;
}

/* scheme://authority and no more than slashes behind; both go into headers and links as they are. */
static int config_check_url(const char *name, const char *url, struct err *err)
{
    struct str rest = str_of(url);
    if (str_starts(rest, STR("https://")))
        rest = str_skip(rest, strlen("https://"));
    else if (str_starts(rest, STR("http://")))
        rest = str_skip(rest, strlen("http://"));
    else
        return err_set(err, -EINVAL, "%s: '%s' does not begin with https:// or http://", name, url);
    while (str_ends(rest, STR("/")))
        rest.size--;
    for (size_t i = 0; i < rest.size; i++)
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]",
                   rest.data[i]) == NULL)
            return err_set(err, -EINVAL, "%s: '%s' is not of the form https://host:port", name,
                           url);
    return rest.size > 0 ? 0 : err_set(err, -EINVAL, "%s: '%s' names no host", name, url);
}

int control_config_check(const void *config, struct err *err)
{
    const struct control_config *c = config;
    int r = config_check_listen("listen", &c->listen, err);
    if (r == 0)
        r = config_check_listen("admin_listen", &c->admin_listen, err);
    if (r == 0)
        r = config_check_url("edge_url", c->edge_url, err);
    if (r == 0 && c->public_url != NULL)
        r = config_check_url("public_url", c->public_url, err);
    if (r == 0 && c->token_lifetime_s != 0 &&
        (c->token_lifetime_s < CONTROL_TOKEN_LIFETIME_S_MIN ||
         c->token_lifetime_s > CONTROL_TOKEN_LIFETIME_S_MAX))
        r = err_set(err, -EINVAL, "token_lifetime_s: %u is not from %d to %d", c->token_lifetime_s,
                    CONTROL_TOKEN_LIFETIME_S_MIN, CONTROL_TOKEN_LIFETIME_S_MAX);
    if (r < 0)
        return r;
    struct live *l = NULL;
    r = live_load(c, err, &l);
    live_unref(l);
    return r;
}

/* --- live ------------------------------------------------------------------------------------- */

static int live_load_credential(const char *path, char out[SESSION_DIGEST_SIZE], struct err *err)
{
    CLEAN_BUF struct buf secret = BUF_EMPTY;
    int r = file_read_secret(path, &secret);
    if (r < 0)
        return err_errno(err, r, "admin_credential_file: reading %s", path);
    if (secret.size < CONTROL_CREDENTIAL_MIN)
        r = err_set(err, -EINVAL, "admin_credential_file: the secret in %s is shorter than %d bytes",
                    path, CONTROL_CREDENTIAL_MIN);
    else
        session_digest(buf_str(&secret), out);
    OPENSSL_cleanse(secret.data, secret.size);
    return r;
}

/* A copy without slashes at the end; NULL for NULL, or when out of memory. */
static char *live_url(const char *url)
{
    struct str text = str_of(url);
    while (str_ends(text, STR("/")))
        text.size--;
    return url != NULL ? str_dup(text) : NULL;
}

int live_load(const struct control_config *c, struct err *err, struct live **ret)
{
    struct live *l = calloc(1, sizeof *l);
    if (l == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    l->magic = LIVE_MAGIC;
    atomic_init(&l->refs, 1);
    l->edge_url = live_url(c->edge_url);
    l->public_url = live_url(c->public_url);
    l->issuer = str_dup(c->issuer != NULL ? str_of(c->issuer) : STR("weir-control"));
    int r = 0;
    if (l->edge_url == NULL || l->issuer == NULL || (c->public_url != NULL && l->public_url == NULL))
        r = err_set(err, -ENOMEM, "out of memory");
    if (r == 0)
        r = token_ring_load(c->token_ring_file, &l->ring, err);
    if (r == 0)
        r = live_load_credential(c->admin_credential_file, l->admin_digest, err);
    if (r == 0)
        r = web_load(c->web_folder, l->edge_url,
                     str_starts(str_of(l->public_url), STR("https://")), err, &l->web);
    if (r < 0) {
        live_unref(l);
        return r;
    }
    l->signer = (struct playback_signer){
        .ring = l->ring,
        .edge_url = l->edge_url,
        .issuer = l->issuer,
        .lifetime_s = c->token_lifetime_s != 0 ? c->token_lifetime_s : CONTROL_TOKEN_LIFETIME_S,
    };
    *ret = l;
    return 0;
}

struct live *live_ref(struct live *l)
{
    ASSERT(l != NULL && l->magic == LIVE_MAGIC);
    (void)atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
    return l;
}

struct live *live_unref(struct live *l)
{
    if (l == NULL)
        return NULL;
    ASSERT(l->magic == LIVE_MAGIC);
    if (atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) == 1) {
        token_ring_free(l->ring);
        web_free(l->web);
        free(l->edge_url);
        free(l->public_url);
        free(l->issuer);
        MAGIC_CLEAR(l);
        free(l);
    }
    return NULL;
}
