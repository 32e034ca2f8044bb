/* SPDX-License-Identifier: Apache-2.0 */
#include "origin/origin.h"
#include <errno.h>

static const cyaml_schema_field_t origin_fields[] = {
    HTTP_LISTEN_FIELD("listen", struct origin_config, listen),
    CYAML_FIELD_UINT("workers", CYAML_FLAG_OPTIONAL, struct origin_config, workers),
    CYAML_FIELD_STRING_PTR("store", CYAML_FLAG_POINTER, struct origin_config, store, 1, 4096),
    CYAML_FIELD_STRING_PTR("volume_size", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                           struct origin_config, volume_size, 1, 32),
    CYAML_FIELD_STRING_PTR("hot_size", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                           struct origin_config, hot_size, 1, 32),
    CYAML_FIELD_STRING_PTR("publish_credential_file", CYAML_FLAG_POINTER, struct origin_config,
                           publish_credential_file, 1, 4096),
    CYAML_FIELD_STRING_PTR("read_credential_file", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                           struct origin_config, read_credential_file, 1, 4096),
    CYAML_FIELD_BOOL("access_log", CYAML_FLAG_OPTIONAL, struct origin_config, access_log),
    CYAML_FIELD_END,
};

const cyaml_schema_value_t origin_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct origin_config, origin_fields)};

int origin_check(const void *config, struct err *err)
{
    const struct origin_config *c = config;
    uint64_t size = 0;
    int r = config_size("volume_size", c->volume_size, &size, err);
    if (r == 0)
        r = config_size("hot_size", c->hot_size, &size, err);
    if (r == 0)
        r = http_listen_check("listen", &c->listen, err);
    struct secret s = {0};
    if (r == 0)
        r = secret_load(c->publish_credential_file, &s, err);
    if (r == 0 && c->read_credential_file != NULL)
        r = secret_load(c->read_credential_file, &s, err);
    secret_clear(&s);
    return r;
}
