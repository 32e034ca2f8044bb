/* SPDX-License-Identifier: Apache-2.0 */
#include "origin/origin.h"
#include <errno.h>

static const cyaml_schema_field_t origin_fields[] = {
    HTTP_LISTEN_FIELD("listen", struct origin_config, listen),
    CYAML_FIELD_UINT("workers", CYAML_FLAG_OPTIONAL, struct origin_config, workers),
    STORE_CONFIG_FIELD("store", struct origin_config, store),
    TIER_BUCKET_FIELD("bucket", struct origin_config, bucket),
    TIER_SIBLINGS_FIELD("siblings", struct origin_config, siblings),
    CYAML_FIELD_STRING_PTR("publish_credential_file", CYAML_FLAG_POINTER, struct origin_config,
                           publish_credential_file, 1, 4096),
    CYAML_FIELD_STRING_PTR("read_credential_file", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                           struct origin_config, read_credential_file, 1, 4096),
    HTTP_ACCESS_LOG_FIELD("access_log", struct origin_config, access_log),
    CYAML_FIELD_END,
};

const cyaml_schema_value_t origin_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct origin_config, origin_fields)};

/* Made and thrown away: that finds out what is wrong with them. */
static int origin_check_tiers(const struct origin_config *c, struct err *err)
{
    struct store_tier *bucket = NULL, *siblings = NULL;
    int r = tier_bucket_open(c->bucket, err, &bucket);
    if (r == 0)
        r = tier_siblings_open(c->siblings, err, &siblings);
    if (bucket != NULL)
        bucket->ops->free(bucket);
    if (siblings != NULL)
        siblings->ops->free(siblings);
    return r;
}

int origin_check(const void *config, struct err *err)
{
    const struct origin_config *c = config;
    struct store_options store = {0};
    int r = store_config_apply(&c->store, NULL, &store, err);
    if (r == 0 && store.size_max > 0)
        r = err_set(err, -EINVAL,
                    "store: disk_size: an origin gives nothing up, only an edge has one");
    if (r == 0 && store.durability != STORE_LOCAL && c->bucket == NULL)
        r = err_set(err, -EINVAL, "store: durability: %s needs a bucket", c->store.durability);
    if (r == 0)
        r = origin_check_tiers(c, err);
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
