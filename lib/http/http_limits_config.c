/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http_limits_config.h"
#include <errno.h>

#define LIMITS_MS_MIN     100u
#define LIMITS_MS_MAX     3600000u
#define LIMITS_HEADER_MIN (UINT64_C(1) << 10)
#define LIMITS_HEADER_MAX (UINT64_C(256) << 10) /* libh2o takes no more */
#define LIMITS_TEXT_MAX   64
#define LIMITS_NUMBER(name)                                                                        \
    CYAML_FIELD_UINT(#name, CYAML_FLAG_OPTIONAL, struct http_limits_config, name)

const cyaml_schema_field_t http_limits_fields[] = {
    LIMITS_NUMBER(idle_ms),
    LIMITS_NUMBER(head_ms),
    CYAML_FIELD_STRING_PTR("header_size", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                           struct http_limits_config, header_size, 1, LIMITS_TEXT_MAX),
    LIMITS_NUMBER(connections),
    LIMITS_NUMBER(connections_per_address),
    CYAML_FIELD_END,
};

static int http_limits_time(const char *key, const char *name, uint32_t ms, struct err *err)
{
    if (ms == 0 || (ms >= LIMITS_MS_MIN && ms <= LIMITS_MS_MAX))
        return 0;
    return err_set(err, -EINVAL, "%s: %s: %u is not from %u to %u", key, name, ms, LIMITS_MS_MIN,
                   LIMITS_MS_MAX);
}

int http_limits_apply(const char *key, const struct http_limits_config *c, struct http_options *o,
                      struct err *err)
{
    uint64_t header_size = 0;
    int r = http_limits_time(key, "idle_ms", c->idle_ms, err);
    if (r == 0)
        r = http_limits_time(key, "head_ms", c->head_ms, err);
    if (r < 0)
        return r;
    if (c->header_size != NULL &&
        (str_to_size(str_of(c->header_size), &header_size) < 0 || header_size < LIMITS_HEADER_MIN ||
         header_size > LIMITS_HEADER_MAX))
        return err_set(err, -EINVAL, "%s: header_size: '%s' is not a size from 1K to 256K", key,
                       c->header_size);
    if (o == NULL)
        return 0;
    o->idle_ms = c->idle_ms;
    o->head_ms = c->head_ms;
    o->header_size_max = (uint32_t)header_size;
    o->connections_max = c->connections;
    o->connections_per_address = c->connections_per_address;
    return 0;
}
