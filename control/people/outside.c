/* SPDX-License-Identifier: Apache-2.0 */
#include "control/people/outside.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include "base/file.h"

#define TEXT(key, type, member, flags)                                                             \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | (flags), struct type, member, 1, 4096)

static const cyaml_strval_t outside_tls[] = {
    {"required", OUTSIDE_TLS_REQUIRED},
    {"off", OUTSIDE_TLS_OFF},
};

const cyaml_schema_field_t outside_mail_fields[] = {
    TEXT("url", outside_mail_config, url, CYAML_FLAG_DEFAULT),
    TEXT("from", outside_mail_config, from, CYAML_FLAG_DEFAULT),
    TEXT("user", outside_mail_config, user, CYAML_FLAG_OPTIONAL),
    TEXT("password_file", outside_mail_config, password_file, CYAML_FLAG_OPTIONAL),
    TEXT("ca_file", outside_mail_config, ca_file, CYAML_FLAG_OPTIONAL),
    CYAML_FIELD_ENUM("tls", CYAML_FLAG_OPTIONAL, struct outside_mail_config, tls, outside_tls,
                     ARRAY_LEN(outside_tls)),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t outside_oidc_fields[] = {
    TEXT("name", outside_oidc_config, name, CYAML_FLAG_DEFAULT),
    TEXT("issuer", outside_oidc_config, issuer, CYAML_FLAG_DEFAULT),
    TEXT("client_id", outside_oidc_config, client_id, CYAML_FLAG_DEFAULT),
    TEXT("client_secret_file", outside_oidc_config, client_secret_file, CYAML_FLAG_OPTIONAL),
    TEXT("scopes", outside_oidc_config, scopes, CYAML_FLAG_OPTIONAL),
    TEXT("ca_file", outside_oidc_config, ca_file, CYAML_FLAG_OPTIONAL),
    CYAML_FIELD_END,
};

const cyaml_schema_value_t outside_oidc_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct outside_oidc_config, outside_oidc_fields)};

static void outside_wipe(const char *secret)
{
    char *text = (char *)(uintptr_t)secret;
    if (text != NULL)
        OPENSSL_cleanse(text, strlen(text));
    free(text);
}

struct outside *outside_free(struct outside *o)
{
    if (o == NULL)
        return NULL;
    oidc_free(o->oidc);
    for (unsigned i = 0; i < o->providers_count; i++) {
        struct oidc_provider *p = &o->providers[i];
        outside_wipe(p->client_secret);
        free((char *)(uintptr_t)p->name);
        free((char *)(uintptr_t)p->issuer);
        free((char *)(uintptr_t)p->client_id);
        free((char *)(uintptr_t)p->scopes);
        free((char *)(uintptr_t)p->ca_file);
    }
    outside_wipe(o->mail.password);
    free((char *)(uintptr_t)o->mail.url);
    free((char *)(uintptr_t)o->mail.from);
    free((char *)(uintptr_t)o->mail.user);
    free((char *)(uintptr_t)o->mail.ca_file);
    free(o);
    return NULL;
}

/* A copy; NULL for NULL. */
static int outside_copy(const char *text, const char **ret)
{
    *ret = text != NULL ? str_dup(str_of(text)) : NULL;
    return text != NULL && *ret == NULL ? -ENOMEM : 0;
}

static int outside_read(const char *key, const char *path, const char **ret, struct err *err)
{
    struct buf text = BUF_EMPTY;
    if (path == NULL)
        return 0;
    int r = file_read_secret(path, &text);
    if (r < 0) {
        buf_free(&text);
        return err_errno(err, r, "%s: reading %s", key, path);
    }
    *ret = buf_take(&text);
    return *ret == NULL ? err_set(err, -ENOMEM, "out of memory") : 0;
}

static int outside_load_mail(struct outside *o, const struct outside_mail_config *c,
                             const char *public_url, struct err *err)
{
    struct mail_options *m = &o->mail;
    struct err why = {""};
    int r = outside_copy(c->url, &m->url);
    if (r == 0)
        r = outside_copy(c->from, &m->from);
    if (r == 0)
        r = outside_copy(c->user, &m->user);
    if (r == 0)
        r = outside_copy(c->ca_file, &m->ca_file);
    if (r < 0)
        return err_set(err, r, "out of memory");
    m->in_clear = c->tls == OUTSIDE_TLS_OFF;
    r = outside_read("mail: password_file", c->password_file, &m->password, err);
    if (r < 0)
        return r;
    r = mail_check(m, &why);
    if (r < 0)
        return err_set(err, r, "mail: %s", why.text);
    if (public_url == NULL)
        return err_set(err, -EINVAL, "mail: public_url is missing, which links in letters need");
    o->has_mail = true;
    return 0;
}

static bool outside_is_name(const char *name)
{
    size_t size = strlen(name);
    return size <= 32 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == size;
}

/* Without TLS anybody on the way could log in as anybody: only on this host, for trying out. */
static bool outside_is_safe(const char *issuer)
{
    struct str s = str_of(issuer);
    return str_starts(s, STR("https://")) || str_starts(s, STR("http://127.0.0.1")) ||
           str_starts(s, STR("http://localhost")) || str_starts(s, STR("http://[::1]"));
}

static int outside_load_provider(struct outside *o, const struct outside_oidc_config *c,
                                 struct err *err)
{
    if (!outside_is_name(c->name))
        return err_set(err, -EINVAL, "oidc: name: '%s' is not of at most 32 a-z, 0-9 and '-'",
                       c->name);
    for (unsigned i = 0; i < o->providers_count; i++)
        if (strcmp(o->providers[i].name, c->name) == 0)
            return err_set(err, -EINVAL, "oidc: name: '%s' is there twice", c->name);
    if (!outside_is_safe(c->issuer))
        return err_set(err, -EINVAL, "oidc: issuer: '%s' does not begin with https://", c->issuer);
    struct oidc_provider *p = &o->providers[o->providers_count++];
    int r = outside_copy(c->name, &p->name);
    if (r == 0)
        r = outside_copy(c->issuer, &p->issuer);
    if (r == 0)
        r = outside_copy(c->client_id, &p->client_id);
    if (r == 0)
        r = outside_copy(c->scopes, &p->scopes);
    if (r == 0)
        r = outside_copy(c->ca_file, &p->ca_file);
    if (r < 0)
        return err_set(err, r, "out of memory");
    return outside_read("oidc: client_secret_file", c->client_secret_file, &p->client_secret, err);
}

int outside_load(const struct outside_mail_config *mail, const struct outside_oidc_config *oidc,
                 unsigned oidc_count, const char *public_url, struct err *err, struct outside **ret)
{
    struct outside *o = calloc(1, sizeof *o);
    if (o == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    int r = mail != NULL ? outside_load_mail(o, mail, public_url, err) : 0;
    if (r == 0 && oidc_count > OIDC_PROVIDERS_MAX)
        r = err_set(err, -EINVAL, "oidc: more than %d providers", OIDC_PROVIDERS_MAX);
    if (r == 0 && oidc_count > 0 && public_url == NULL)
        r = err_set(err, -EINVAL, "oidc: public_url is missing, to which providers send back");
    for (unsigned i = 0; r == 0 && i < oidc_count; i++)
        r = outside_load_provider(o, &oidc[i], err);
    if (r == 0 && o->providers_count > 0) {
        r = oidc_new(o->providers, o->providers_count, &o->oidc);
        if (r < 0)
            (void)err_errno(err, r, "oidc");
    }
    if (r < 0)
        outside_free(o);
    else
        *ret = o;
    return r;
}
