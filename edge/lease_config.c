/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include "edge/lease_priv.h"

#define TEXT_OPTIONAL(key, member)                                                                 \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct lease_config,     \
                           member, 1, 4096)

static const cyaml_strval_t lease_backends[] = {
    {"redis", LEASE_BACKEND_REDIS},
    {"control", LEASE_BACKEND_CONTROL},
};

static const cyaml_strval_t lease_fails[] = {
    {"open", LEASE_FAIL_OPEN},
    {"closed", LEASE_FAIL_CLOSED},
};

const cyaml_schema_field_t lease_config_fields[] = {
    CYAML_FIELD_ENUM("backend", CYAML_FLAG_DEFAULT, struct lease_config, backend, lease_backends,
                     ARRAY_LEN(lease_backends)),
    TEXT_OPTIONAL("url", url),
    TEXT_OPTIONAL("credential_file", credential_file),
    TEXT_OPTIONAL("ca_file", ca_file),
    CYAML_FIELD_ENUM("fail", CYAML_FLAG_OPTIONAL, struct lease_config, fail, lease_fails,
                     ARRAY_LEN(lease_fails)),
    CYAML_FIELD_UINT("renew_s", CYAML_FLAG_OPTIONAL, struct lease_config, renew_s),
    CYAML_FIELD_END,
};

static int lease_check_control(const struct lease_config *c, struct err *err)
{
    struct str url = str_of(c->url);
    if (url.size == 0)
        return err_set(err, -EINVAL, "lease: url: the backend control needs its URL");
    if (str_behind_http(url).data == NULL)
        return err_set(err, -EINVAL, "lease: url: '%s' does not begin with https:// or http://",
                       c->url);
    if (c->credential_file == NULL)
        return err_set(err, -EINVAL,
                       "lease: credential_file: the backend control needs its edge credential");
    struct secret s = {0};
    int r = secret_load(c->credential_file, &s, err);
    secret_clear(&s);
    return r;
}

int lease_config_check(const struct edge_config *c, struct err *err)
{
    const struct lease_config *l = c->lease;
    int r = bus_config_check(&c->bus, err);
    if (r < 0 || l == NULL)
        return r;
    if (l->renew_s > LEASE_RENEW_S_MAX)
        return err_set(err, -EINVAL, "lease: renew_s: %u is more than %d", l->renew_s,
                       LEASE_RENEW_S_MAX);
    if (l->backend == LEASE_BACKEND_CONTROL)
        return lease_check_control(l, err);
    if (l->url != NULL || l->credential_file != NULL || l->ca_file != NULL)
        return err_set(err, -EINVAL,
                       "lease: url, credential_file and ca_file are for the backend control");
    if (c->bus.redis == NULL)
        return err_set(err, -EINVAL, "redis: the lease backend redis needs its URL");
    return 0;
}
