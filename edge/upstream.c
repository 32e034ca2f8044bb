/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/upstream.h"
#include <errno.h>
#include <stdlib.h>
#include "base/buf.h"

struct upstreams {
    uint32_t magic;
#define UPSTREAMS_MAGIC UINT32_C(0x0b57ea35)
    unsigned count;
    struct upstream list[UPSTREAMS_MAX];
};

enum upstream_kind { UPSTREAM_KIND_WEIR, UPSTREAM_KIND_HTTP };

static const cyaml_strval_t upstream_kinds[] = {
    {"weir", UPSTREAM_KIND_WEIR},
    {"http", UPSTREAM_KIND_HTTP},
};

static const cyaml_schema_value_t upstream_server = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, 4096)};

#define TEXT_OPTIONAL(key, member)                                                                 \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct upstream_config,  \
                           member, 1, 4096)

static const cyaml_schema_field_t upstream_fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct upstream_config, name, 1, 64),
    CYAML_FIELD_ENUM("kind", CYAML_FLAG_OPTIONAL, struct upstream_config, kind, upstream_kinds,
                     ARRAY_LEN(upstream_kinds)),
    CYAML_FIELD_SEQUENCE("servers", CYAML_FLAG_POINTER, struct upstream_config, servers,
                         &upstream_server, 1, UPSTREAM_SERVERS_MAX),
    TEXT_OPTIONAL("ca_file", ca_file),
    TEXT_OPTIONAL("credential_file", credential_file),
    CYAML_FIELD_UINT("ref_ttl_ms", CYAML_FLAG_OPTIONAL, struct upstream_config, ref_ttl_ms),
    CYAML_FIELD_END,
};

const cyaml_schema_value_t upstream_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct upstream_config, upstream_fields)};

bool upstream_is_http(const struct upstream *u)
{
    return u->config->kind == UPSTREAM_KIND_HTTP;
}

static int upstream_check_one(const struct upstream_config *c, struct err *err)
{
    if (c->kind == UPSTREAM_KIND_HTTP)
        return err_set(err, -ENOTSUP, "upstreams: %s: kind: http is not served yet", c->name);
    for (unsigned i = 0; i < c->servers_count; i++) {
        struct str url = str_of(c->servers[i]);
        struct str rest = str_starts(url, STR("https://"))  ? str_skip(url, 8)
                          : str_starts(url, STR("http://")) ? str_skip(url, 7)
                                                            : STR_NONE;
        if (rest.size == 0 || memchr(rest.data, '/', rest.size) != NULL)
            return err_set(err, -EINVAL,
                           "upstreams: %s: servers: '%s' is not a URL without a path, such as "
                           "https://origin.example.org",
                           c->name, c->servers[i]);
    }
    struct secret s = {0};
    int r = c->credential_file == NULL ? 0 : secret_load(c->credential_file, &s, err);
    secret_clear(&s);
    return r;
}

int upstream_check(const struct upstream_config *c, unsigned count, struct err *err)
{
    for (unsigned i = 0; i < count; i++) {
        for (unsigned n = 0; n < i; n++) {
            if (strcmp(c[i].name, c[n].name) == 0)
                return err_set(err, -EINVAL, "upstreams: two have the name %s", c[i].name);
        }
        int r = upstream_check_one(&c[i], err);
        if (r < 0)
            return r;
    }
    return 0;
}

int upstreams_open(const struct upstream_config *c, unsigned count, struct err *err,
                   struct upstreams **ret)
{
    ASSERT(count <= UPSTREAMS_MAX);
    struct upstreams *u = calloc(1, sizeof *u);
    if (u == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    u->magic = UPSTREAMS_MAGIC;
    int r = 0;
    for (unsigned i = 0; r == 0 && i < count; i++) {
        struct upstream *one = &u->list[u->count++];
        one->config = &c[i];
        one->index = i;
        if (c[i].credential_file != NULL)
            r = secret_load(c[i].credential_file, &one->credential, err);
    }
    if (r < 0) {
        upstreams_free(u);
        return r;
    }
    *ret = u;
    return 0;
}

struct upstreams *upstreams_free(struct upstreams *u)
{
    if (u == NULL)
        return NULL;
    ASSERT(u->magic == UPSTREAMS_MAGIC);
    for (unsigned i = 0; i < u->count; i++)
        secret_clear(&u->list[i].credential);
    MAGIC_CLEAR(u);
    free(u);
    return NULL;
}

unsigned upstreams_count(const struct upstreams *u)
{
    ASSERT(u->magic == UPSTREAMS_MAGIC);
    return u->count;
}

struct upstream *upstreams_at(struct upstreams *u, unsigned i)
{
    ASSERT(u->magic == UPSTREAMS_MAGIC);
    ASSERT(i < u->count);
    return &u->list[i];
}

struct upstream *upstream_find(struct upstreams *u, struct str name)
{
    ASSERT(u->magic == UPSTREAMS_MAGIC);
    for (unsigned i = 0; i < u->count; i++) {
        if (str_eq(str_of(u->list[i].config->name), name))
            return &u->list[i];
    }
    return NULL;
}

const char *upstream_bearer(const struct upstream *u)
{
    return u->credential.size > 0 ? u->credential.text : NULL;
}

struct digest upstream_asset_key(const struct upstream *u, struct str asset)
{
    char text[UPSTREAM_NAME_MAX + 1 + UPSTREAM_ASSET_MAX];
    size_t size = strlen(u->config->name);
    ASSERT(size <= UPSTREAM_NAME_MAX);
    ASSERT(asset.size <= UPSTREAM_ASSET_MAX);
    memcpy(text, u->config->name, size);
    text[size++] = '/'; /* not in an asset's name, so no two pairs make one text */
    if (asset.size > 0)
        memcpy(text + size, asset.data, asset.size);
    return digest_of(text, size + asset.size);
}
