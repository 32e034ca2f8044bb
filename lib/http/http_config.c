/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http_config.h"
#include <errno.h>

#define HTTP_CONFIG_TEXT_MAX 4096

const cyaml_schema_field_t http_listen_fields[] = {
    CYAML_FIELD_STRING_PTR("address", CYAML_FLAG_POINTER, struct http_listen_config, address, 1,
                           HTTP_CONFIG_TEXT_MAX),
    CYAML_FIELD_UINT("port", CYAML_FLAG_DEFAULT, struct http_listen_config, port),
    CYAML_FIELD_STRING_PTR("cert_file", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                           struct http_listen_config, cert_file, 1, HTTP_CONFIG_TEXT_MAX),
    CYAML_FIELD_STRING_PTR("key_file", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                           struct http_listen_config, key_file, 1, HTTP_CONFIG_TEXT_MAX),
    CYAML_FIELD_END,
};

const cyaml_strval_t http_access_log_names[HTTP_ACCESS_LOG_NAMES] = {
    {"off", HTTP_LOG_OFF},   {"json", HTTP_LOG_JSON}, {"combined", HTTP_LOG_COMBINED},
    {"true", HTTP_LOG_JSON}, {"false", HTTP_LOG_OFF},
};

const cyaml_schema_value_t http_listen_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct http_listen_config, http_listen_fields)};

int http_listen_check(const char *key, const struct http_listen_config *c, struct err *err)
{
    if ((c->cert_file == NULL) != (c->key_file == NULL))
        return err_set(err, -EINVAL, "%s: cert_file and key_file come together or not at all", key);
    return 0;
}

struct http_listen http_listen_of(const struct http_listen_config *c)
{
    return (struct http_listen){c->address, c->port, c->cert_file, c->key_file};
}
