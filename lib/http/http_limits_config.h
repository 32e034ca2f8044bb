/* SPDX-License-Identifier: Apache-2.0 */
/* http_limits_config: the `limits:` part of a daemon's configuration: what clients may take.
 *
 * Life:    part of a daemon's configuration struct, loaded and freed with it.
 * Owner:   that struct.
 * Threads: any; read-only once loaded.
 * Errors:  -EINVAL with a sentence that names the key.
 * Units:   milliseconds; sizes are texts like "32K". */
#pragma once
#include "base/config.h"
#include "http/http.h"

struct http_limits_config {
    uint32_t idle_ms;
    uint32_t head_ms;
    char *header_size;
    uint32_t connections;
    uint32_t connections_per_address;
};

extern const cyaml_schema_field_t http_limits_fields[];

/* HTTP_LIMITS_FIELD("limits", struct edge_config, limits) in a daemon's schema. */
#define HTTP_LIMITS_FIELD(key, type, member)                                                       \
    CYAML_FIELD_MAPPING(key, CYAML_FLAG_OPTIONAL, type, member, http_limits_fields)

/* What the configuration says goes into *o, the rest stays as it is. o NULL: only to check. */
MUST_USE int http_limits_apply(const char *key, const struct http_limits_config *c,
                               struct http_options *o, struct err *err);
