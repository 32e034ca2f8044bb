/* SPDX-License-Identifier: Apache-2.0 */
/* store_config: the `store:` part of a daemon's configuration.
 *
 * Life:    part of a daemon's configuration struct, loaded and freed with it.
 * Owner:   that struct; the options made of it borrow its texts, and store_devices_of's list.
 * Threads: any; read-only once loaded.
 * Errors:  -EINVAL with a sentence that names the key.
 * Units:   sizes and rates are texts like "64M", times like "30d". */
#pragma once
#include "base/config.h"
#include "store/store.h"

#define STORE_CONFIG_DEVICES_MAX 64u

struct store_device_config {
    char *path;
    bool cold;
};

struct store_config {
    char *path;
    char *volume_size;
    char *hot_size;
    char *disk_size; /* a cache's */
    struct store_device_config *devices;
    unsigned devices_count;
    char *warm_max;
    char *demote_after;
    char *unreferenced_after;
    char *dropped_after;
    char *keep_rate;
    char *scrub_rate;
    char *durability; /* "local", "s3-async", "s3-sync" */
    char *admission;  /* "auto", "all", "second" */
};

extern const cyaml_schema_field_t store_config_fields[];

/* STORE_CONFIG_FIELD("store", struct origin_config, store) in a daemon's schema. */
#define STORE_CONFIG_FIELD(key, type, member)                                                      \
    CYAML_FIELD_MAPPING(key, CYAML_FLAG_DEFAULT, type, member, store_config_fields)

/* What the configuration says goes into *o, the rest of it stays as it is. devices: room for
 * STORE_CONFIG_DEVICES_MAX, which *o borrows; NULL: only to check. */
MUST_USE int store_config_apply(const struct store_config *c, struct store_device *devices,
                                struct store_options *o, struct err *err);
