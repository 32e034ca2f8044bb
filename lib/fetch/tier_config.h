/* SPDX-License-Identifier: Apache-2.0 */
/* tier_config: the `bucket:` and `siblings:` parts of a configuration, and the tiers they describe.
 *
 * Life:    part of a daemon's configuration struct, loaded and freed with it.
 * Owner:   that struct; a tier made of it is the caller's.
 * Threads: any; read-only once loaded.
 * Errors:  -EINVAL and others with a sentence that names the key.
 * Units:   sizes are texts like "64M". */
#pragma once
#include "base/config.h"
#include "store/tier.h"

#define TIER_SIBLINGS_MAX 16u

struct tier_bucket_config {
    char *endpoint; /* NULL: there is no bucket */
    char *name;
    char *region;
    char *prefix;
    char *access_key_file;
    char *secret_key_file;
    char *ca_file;
    char *part_size;
    bool virtual_host;
    bool shared; /* other stores name blobs in it */
};

struct tier_siblings_config {
    char **urls;
    unsigned urls_count;
    char *credential_file;
    char *ca_file;
};

extern const cyaml_schema_field_t tier_bucket_fields[];
extern const cyaml_schema_field_t tier_siblings_fields[];

#define TIER_BUCKET_FIELD(key, type, member)                                                       \
    CYAML_FIELD_MAPPING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, member,           \
                            tier_bucket_fields)
#define TIER_SIBLINGS_FIELD(key, type, member)                                                     \
    CYAML_FIELD_MAPPING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, member,           \
                            tier_siblings_fields)

/* c NULL: *ret is NULL. Reads the credentials; asks nobody yet. */
MUST_USE int tier_bucket_open(const struct tier_bucket_config *c, struct err *err,
                              struct store_tier **ret);
MUST_USE int tier_siblings_open(const struct tier_siblings_config *c, struct err *err,
                                struct store_tier **ret);
