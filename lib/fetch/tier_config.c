/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/tier_config.h"
#include <assert.h>
#include <errno.h>
#include "fetch/peer_tier.h"
#include "fetch/s3_tier.h"

#define TEXT(key, type, member)                                                                    \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER, type, member, 1, 4096)
#define TEXT_OPTIONAL(key, type, member)                                                           \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, member, 1, 4096)

const cyaml_schema_field_t tier_bucket_fields[] = {
    TEXT("endpoint", struct tier_bucket_config, endpoint),
    TEXT("name", struct tier_bucket_config, name),
    TEXT_OPTIONAL("region", struct tier_bucket_config, region),
    TEXT_OPTIONAL("prefix", struct tier_bucket_config, prefix),
    TEXT("access_key_file", struct tier_bucket_config, access_key_file),
    TEXT("secret_key_file", struct tier_bucket_config, secret_key_file),
    TEXT_OPTIONAL("ca_file", struct tier_bucket_config, ca_file),
    TEXT_OPTIONAL("part_size", struct tier_bucket_config, part_size),
    CYAML_FIELD_BOOL("virtual_host", CYAML_FLAG_OPTIONAL, struct tier_bucket_config, virtual_host),
    CYAML_FIELD_BOOL("shared", CYAML_FLAG_OPTIONAL, struct tier_bucket_config, shared),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t tier_url_value = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, 4096)};

const cyaml_schema_field_t tier_siblings_fields[] = {
    CYAML_FIELD_SEQUENCE("urls", CYAML_FLAG_POINTER, struct tier_siblings_config, urls,
                         &tier_url_value, 1, TIER_SIBLINGS_MAX),
    TEXT_OPTIONAL("credential_file", struct tier_siblings_config, credential_file),
    TEXT_OPTIONAL("ca_file", struct tier_siblings_config, ca_file),
    CYAML_FIELD_END,
};

static_assert(TIER_SIBLINGS_MAX <= PEER_TIER_PEERS_MAX, "all that may be configured are asked");

int tier_bucket_open(const struct tier_bucket_config *c, struct err *err, struct store_tier **ret)
{
    uint64_t part_size = 0;
    *ret = NULL;
    if (c == NULL)
        return 0;
    int r = config_size("part_size", c->part_size, &part_size, err);
    if (r == 0 && part_size > UINT32_MAX)
        r = err_set(err, -EINVAL, "part_size: %s is more than a blob may have", c->part_size);
    if (r < 0)
        return r;
    struct s3_options options = {.endpoint = c->endpoint,
                                 .bucket = c->name,
                                 .region = c->region,
                                 .virtual_host = c->virtual_host,
                                 .prefix = c->prefix,
                                 .access_key_file = c->access_key_file,
                                 .secret_key_file = c->secret_key_file,
                                 .ca_file = c->ca_file,
                                 .multipart_size = (uint32_t)part_size};
    return s3_tier_new(&options, err, ret);
}

int tier_siblings_open(const struct tier_siblings_config *c, struct err *err,
                       struct store_tier **ret)
{
    *ret = NULL;
    if (c == NULL)
        return 0;
    struct peer_options options = {.urls = (const char *const *)c->urls,
                                   .urls_count = c->urls_count,
                                   .bearer_file = c->credential_file,
                                   .ca_file = c->ca_file};
    return peer_tier_new(&options, err, ret);
}
