/* SPDX-License-Identifier: Apache-2.0 */
/* http_config: the `listen:` part of every daemon's configuration.
 *
 * Life:    part of a daemon's configuration struct, loaded and freed with it.
 * Owner:   that struct.
 * Threads: any; read-only once loaded.
 * Errors:  -EINVAL with a sentence that names the key.
 * Units:   none. */
#pragma once
#include "base/config.h"
#include "http/http.h"

struct http_listen_config {
    char *address;
    uint16_t port;
    char *cert_file; /* NULL: no TLS */
    char *key_file;
    char *ocsp_file;
    struct http_certificate *certificates;
    unsigned certificates_count;
    char *ticket_key_file;
    char *alt_svc;
};

extern const cyaml_schema_field_t http_listen_fields[];
extern const cyaml_schema_value_t http_listen_schema; /* an entry of a sequence of them */

/* `access_log: json | combined | off`; true and false are json and off. In a daemon's schema:
 * HTTP_ACCESS_LOG_FIELD("access_log", struct edge_config, access_log). */
#define HTTP_ACCESS_LOG_NAMES 5
extern const cyaml_strval_t http_access_log_names[HTTP_ACCESS_LOG_NAMES];
#define HTTP_ACCESS_LOG_FIELD(key, type, member)                                                   \
    CYAML_FIELD_ENUM(key, CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, type, member,                   \
                     http_access_log_names, HTTP_ACCESS_LOG_NAMES)

/* HTTP_LISTEN_FIELD("listen", struct edge_config, listen) in a daemon's schema. */
#define HTTP_LISTEN_FIELD(key, type, member)                                                       \
    CYAML_FIELD_MAPPING(key, CYAML_FLAG_DEFAULT, type, member, http_listen_fields)

MUST_USE int http_listen_check(const char *key, const struct http_listen_config *c,
                               struct err *err);
struct http_listen http_listen_of(const struct http_listen_config *c); /* borrows its texts */
