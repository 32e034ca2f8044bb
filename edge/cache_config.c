/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/cache_config.h"
#include <errno.h>
#include "edge/cache_block.h"

#define CACHE_BLOCK_DEFAULT     (UINT64_C(1) << 20)
#define CACHE_AHEAD_DEFAULT     (UINT64_C(32) << 20)
#define CACHE_HEURISTIC_DEFAULT 86400u
#define CACHE_PASS_DEFAULT      10u

#define TEXT(key, member)                                                                          \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct cache_config,     \
                           member, 1, 32)
#define FLAG(key, member) CYAML_FIELD_BOOL(key, CYAML_FLAG_OPTIONAL, struct cache_config, member)

static const cyaml_strval_t cache_queries[] = {
    {"all", HTTP_KEY_QUERY_ALL},
    {"none", HTTP_KEY_QUERY_NONE},
    {"some", HTTP_KEY_QUERY_SOME},
};

static const cyaml_schema_value_t cache_query_name = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, 256)};

const cyaml_schema_field_t cache_config_fields[] = {
    TEXT("block_size", block_size),
    TEXT("ttl", ttl),
    TEXT("negative_ttl", negative_ttl),
    TEXT("ttl_max", ttl_max),
    TEXT("heuristic_max", heuristic_max),
    TEXT("pass_ttl", pass_ttl),
    TEXT("object_max", object_max),
    TEXT("fill_ahead", fill_ahead),
    CYAML_FIELD_ENUM("query", CYAML_FLAG_OPTIONAL, struct cache_config, query, cache_queries,
                     ARRAY_LEN(cache_queries)),
    CYAML_FIELD_SEQUENCE("query_names", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                         struct cache_config, query_names, &cache_query_name, 1, 64),
    FLAG("query_sorted", query_sorted),
    CYAML_FIELD_BOOL_PTR("honour_client_no_cache", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                         struct cache_config, honour_client_no_cache),
    FLAG("pass_host", pass_host),
    FLAG("pass_surrogate_keys", pass_surrogate_keys),
    CYAML_FIELD_END,
};

static int cache_seconds(const char *key, const char *text, int64_t *ret, struct err *err)
{
    uint32_t s = 0;
    if (text == NULL)
        return 0;
    int r = config_seconds(key, text, &s, err);
    if (r == 0)
        *ret = s;
    return r;
}

static int cache_rules_times(const struct cache_config *c, struct cache_rules *rules,
                             struct err *err)
{
    int64_t pass_s = CACHE_PASS_DEFAULT;
    rules->options = (struct http_cache_options){
        .ttl_s = HTTP_CACHE_NONE,
        .negative_ttl_s = HTTP_CACHE_NONE,
        .heuristic_max_s = CACHE_HEURISTIC_DEFAULT,
        .ttl_max_s = HTTP_CACHE_NONE,
    };
    const struct {
        const char *key, *text;
        int64_t *ret;
    } times[] = {
        {"cache: ttl", c->ttl, &rules->options.ttl_s},
        {"cache: negative_ttl", c->negative_ttl, &rules->options.negative_ttl_s},
        {"cache: ttl_max", c->ttl_max, &rules->options.ttl_max_s},
        {"cache: heuristic_max", c->heuristic_max, &rules->options.heuristic_max_s},
        {"cache: pass_ttl", c->pass_ttl, &pass_s},
    };
    int r = 0;
    for (size_t i = 0; i < ARRAY_LEN(times) && r == 0; i++)
        r = cache_seconds(times[i].key, times[i].text, times[i].ret, err);
    rules->pass_s = (uint32_t)pass_s;
    return r;
}

int cache_rules_of(const struct cache_config *c, struct cache_rules *ret, struct err *err)
{
    struct cache_rules rules = {
        .object_max = UINT64_MAX,
        .fill_ahead = CACHE_AHEAD_DEFAULT,
        .key = {.query = (enum http_key_query)c->query,
                .names = (const char *const *)c->query_names,
                .names_count = c->query_names_count,
                .sorted = c->query_sorted},
        .pass_host = c->pass_host,
        .pass_surrogate_keys = c->pass_surrogate_keys,
        .honour_client = c->honour_client_no_cache == NULL || *c->honour_client_no_cache,
    };
    uint64_t block_size = CACHE_BLOCK_DEFAULT;
    int r = config_size("cache: block_size", c->block_size, &block_size, err);
    if (r == 0)
        r = config_size("cache: object_max", c->object_max, &rules.object_max, err);
    if (r == 0)
        r = config_size("cache: fill_ahead", c->fill_ahead, &rules.fill_ahead, err);
    if (r == 0)
        r = cache_rules_times(c, &rules, err);
    if (r == 0 && (block_size < CACHE_BLOCK_SIZE_MIN || block_size > CACHE_BLOCK_SIZE_MAX ||
                   (block_size & (block_size - 1)) != 0))
        r = err_set(err, -EINVAL, "cache: block_size: '%s' is no power of two from 64K to 32M",
                    c->block_size);
    if (r == 0 && rules.key.query == HTTP_KEY_QUERY_SOME && c->query_names_count == 0)
        r = err_set(err, -EINVAL, "cache: query_names: query: some needs the names that count");
    if (r == 0 && rules.key.query == HTTP_KEY_QUERY_NONE && c->query_names_count > 0)
        r = err_set(err, -EINVAL, "cache: query_names: with query: none there is nothing to name");
    if (r < 0)
        return r;
    rules.block_size = (uint32_t)block_size;
    *ret = rules;
    return 0;
}
