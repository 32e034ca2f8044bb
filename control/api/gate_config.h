/* SPDX-License-Identifier: Apache-2.0 */
/* gate_config: the mapping "api" of weir-control's configuration: docs/config-control.md.
 *
 * Life:    a member of the daemon's configuration -> gate_config_check -> gate_settings_new.
 * Owner:   the loaded configuration; settings are copies.
 * Threads: settings are read-only once made: any.
 * Errors:  -EINVAL and a sentence.
 * Units:   requests a minute. */
#pragma once
#include "base/addr.h"
#include "base/config.h"

#define GATE_RATE_USER    100
#define GATE_RATE_ADDRESS 1000

struct gate_config {
    uint32_t rate_user;    /* 0: GATE_RATE_USER */
    uint32_t rate_address; /* 0: GATE_RATE_ADDRESS */
    char **cors_origins;
    unsigned cors_origins_count;
    char **proxies;
    unsigned proxies_count;
};

extern const cyaml_schema_field_t gate_config_fields[];

#define GATE_CONFIG_FIELD(key, type, member)                                                       \
    CYAML_FIELD_MAPPING(key, CYAML_FLAG_OPTIONAL, type, member, gate_config_fields)

struct gate_settings {
    uint32_t rate_user;
    uint32_t rate_address;
    char **origins; /* "https://app.example.org"; ends with NULL */
    struct addr_net *proxies;
    unsigned proxies_count;
};

MUST_USE int gate_settings_new(const struct gate_config *c, struct err *err,
                               struct gate_settings **ret);
struct gate_settings *gate_settings_free(struct gate_settings *s);
DEFINE_CLEAN(struct gate_settings *, gate_settings_free)

/* Whether pages of that origin may read and call the API. */
bool gate_settings_allow(const struct gate_settings *s, struct str origin);
