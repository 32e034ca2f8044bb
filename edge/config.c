/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/edge.h"
#include <errno.h>

#define TEXT(key, member)                                                                          \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER, struct edge_config, member, 1, 4096)
#define TEXT_OPTIONAL(key, member)                                                                 \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct edge_config,      \
                           member, 1, 4096)

static const cyaml_schema_field_t edge_fields[] = {
    HTTP_LISTEN_FIELD("listen", struct edge_config, listen),
    HTTP_LISTEN_FIELD("admin_listen", struct edge_config, admin_listen),
    CYAML_FIELD_UINT("workers", CYAML_FLAG_OPTIONAL, struct edge_config, workers),
    STORE_CONFIG_FIELD("store", struct edge_config, store),
    TEXT("origin", origin),
    TEXT_OPTIONAL("origin_ca_file", origin_ca_file),
    TEXT_OPTIONAL("origin_credential_file", origin_credential_file),
    TEXT("token_ring_file", token_ring_file),
    TEXT_OPTIONAL("allow_origin", allow_origin),
    CYAML_FIELD_UINT("ref_ttl_ms", CYAML_FLAG_OPTIONAL, struct edge_config, ref_ttl_ms),
    CYAML_FIELD_BOOL("access_log", CYAML_FLAG_OPTIONAL, struct edge_config, access_log),
    CYAML_FIELD_END,
};

const cyaml_schema_value_t edge_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct edge_config, edge_fields)};

int edge_check(const void *config, struct err *err)
{
    const struct edge_config *c = config;
    struct store_options store = {.size_max = EDGE_DISK_SIZE_DEFAULT};
    int r = store_config_apply(&c->store, NULL, &store, err);
    if (r == 0 && store.size_max == 0)
        r = err_set(err, -EINVAL, "store: disk_size: an edge's disk tier has a size above 0");
    for (unsigned i = 0; i < c->store.devices_count && r == 0; i++) {
        if (c->store.devices[i].cold)
            r = err_set(err, -EINVAL, "store: devices: a cache has no cold ones");
    }
    if (r == 0 && !str_starts(str_of(c->origin), STR("http://")) &&
        !str_starts(str_of(c->origin), STR("https://")))
        r = err_set(err, -EINVAL, "origin: '%s' is not a URL", c->origin);
    if (r == 0)
        r = http_listen_check("listen", &c->listen, err);
    if (r == 0)
        r = http_listen_check("admin_listen", &c->admin_listen, err);
    CLEAN(token_ring_free) struct token_ring *ring = NULL;
    if (r == 0)
        r = token_ring_load(c->token_ring_file, &ring, err);
    struct secret s = {0};
    if (r == 0 && c->origin_credential_file != NULL)
        r = secret_load(c->origin_credential_file, &s, err);
    secret_clear(&s);
    return r;
}
