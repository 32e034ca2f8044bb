/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http_config.h"
#include <errno.h>

#define HTTP_CONFIG_TEXT_MAX  4096
#define HTTP_CONFIG_CERTS_MAX 255 /* and the default one */

#define HTTP_TEXT(key, type, member)                                                               \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, member, 1,         \
                           HTTP_CONFIG_TEXT_MAX)

static const cyaml_schema_field_t http_certificate_fields[] = {
    CYAML_FIELD_STRING_PTR("cert_file", CYAML_FLAG_POINTER, struct http_certificate, cert_file, 1,
                           HTTP_CONFIG_TEXT_MAX),
    CYAML_FIELD_STRING_PTR("key_file", CYAML_FLAG_POINTER, struct http_certificate, key_file, 1,
                           HTTP_CONFIG_TEXT_MAX),
    HTTP_TEXT("ocsp_file", struct http_certificate, ocsp_file),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t http_certificate_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct http_certificate, http_certificate_fields)};

const cyaml_schema_field_t http_listen_fields[] = {
    CYAML_FIELD_STRING_PTR("address", CYAML_FLAG_POINTER, struct http_listen_config, address, 1,
                           HTTP_CONFIG_TEXT_MAX),
    CYAML_FIELD_UINT("port", CYAML_FLAG_DEFAULT, struct http_listen_config, port),
    HTTP_TEXT("cert_file", struct http_listen_config, cert_file),
    HTTP_TEXT("key_file", struct http_listen_config, key_file),
    HTTP_TEXT("ocsp_file", struct http_listen_config, ocsp_file),
    CYAML_FIELD_SEQUENCE("certificates", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                         struct http_listen_config, certificates, &http_certificate_schema, 0,
                         HTTP_CONFIG_CERTS_MAX),
    HTTP_TEXT("ticket_key_file", struct http_listen_config, ticket_key_file),
    HTTP_TEXT("alt_svc", struct http_listen_config, alt_svc),
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
    const struct {
        const char *name;
        bool is_set;
    } of_tls[] = {
        {"ocsp_file", c->ocsp_file != NULL},
        {"certificates", c->certificates_count > 0},
        {"ticket_key_file", c->ticket_key_file != NULL},
        {"alt_svc", c->alt_svc != NULL},
    };
    if ((c->cert_file == NULL) != (c->key_file == NULL))
        return err_set(err, -EINVAL, "%s: cert_file and key_file come together or not at all", key);
    for (size_t i = 0; c->cert_file == NULL && i < ARRAY_LEN(of_tls); i++)
        if (of_tls[i].is_set)
            return err_set(err, -EINVAL, "%s: %s needs cert_file and key_file beside it", key,
                           of_tls[i].name);
    return 0;
}

struct http_listen http_listen_of(const struct http_listen_config *c)
{
    return (struct http_listen){
        .address = c->address,
        .port = c->port,
        .cert_file = c->cert_file,
        .key_file = c->key_file,
        .ocsp_file = c->ocsp_file,
        .certificates = c->certificates,
        .certificates_count = c->certificates_count,
        .ticket_key_file = c->ticket_key_file,
        .alt_svc = c->alt_svc,
    };
}
