/* SPDX-License-Identifier: Apache-2.0 */
/* bus_config: the keys of a daemon's file that name a Redis.
 *
 * Life:    members of the daemon's configuration struct.
 * Owner:   the loaded configuration.
 * Threads: any.
 * Errors:  those of bus_check_redis.
 * Units:   none. */
#pragma once
#include "base/config.h"
#include "bus/bus.h"

struct bus_config {
    char *redis; /* NULL: none */
    char *redis_password_file;
    char *redis_ca_file;
    char *redis_cert_file;
    char *redis_key_file;
};

#define BUS_CONFIG_FIELD(type, member, key)                                                        \
    CYAML_FIELD_STRING_PTR(#key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, member.key, 1,    \
                           4096)
/* Fields of the daemon's own mapping: redis, redis_password_file, ... */
#define BUS_CONFIG_FIELDS(type, member)                                                            \
    BUS_CONFIG_FIELD(type, member, redis), BUS_CONFIG_FIELD(type, member, redis_password_file),    \
        BUS_CONFIG_FIELD(type, member, redis_ca_file),                                             \
        BUS_CONFIG_FIELD(type, member, redis_cert_file),                                           \
        BUS_CONFIG_FIELD(type, member, redis_key_file)

static inline struct bus_redis_options bus_config_options(const struct bus_config *c)
{
    return (struct bus_redis_options){
        .url = c->redis,
        .password_file = c->redis_password_file,
        .ca_file = c->redis_ca_file,
        .cert_file = c->redis_cert_file,
        .key_file = c->redis_key_file,
    };
}

/* The URL and its files; a file without a URL is an error as well. */
MUST_USE int bus_config_check(const struct bus_config *c, struct err *err);
