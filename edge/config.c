/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/edge.h"
#include <errno.h>
#include "edge/prefetch.h"
#include "edge/lease.h"

static const cyaml_schema_field_t edge_fields[] = {
    HTTP_LISTEN_FIELD("listen", struct edge_config, listen),
    CYAML_FIELD_SEQUENCE("also_listen", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                         struct edge_config, also_listen, &http_listen_schema, 0,
                         EDGE_LISTENS_MAX - 1),
    HTTP_LISTEN_FIELD("admin_listen", struct edge_config, admin_listen),
    CYAML_FIELD_STRING_PTR("admin_credential_file", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                           struct edge_config, admin_credential_file, 1, 4096),
    CYAML_FIELD_MAPPING("edges", CYAML_FLAG_OPTIONAL, struct edge_config, edges,
                        purge_config_fields),
    CYAML_FIELD_BOOL("ocsp", CYAML_FLAG_OPTIONAL, struct edge_config, ocsp),
    HTTP_LIMITS_FIELD("limits", struct edge_config, limits),
    CYAML_FIELD_UINT("workers", CYAML_FLAG_OPTIONAL, struct edge_config, workers),
    STORE_CONFIG_FIELD("store", struct edge_config, store),
    CYAML_FIELD_SEQUENCE("upstreams", CYAML_FLAG_POINTER, struct edge_config, upstreams,
                         &upstream_schema, 1, UPSTREAMS_MAX),
    CYAML_FIELD_SEQUENCE("routes", CYAML_FLAG_POINTER, struct edge_config, routes, &route_schema, 1,
                         ROUTES_MAX),
    CYAML_FIELD_STRING_PTR("geo_file", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct edge_config,
                           geo_file, 1, 4096),
    RULES_LIST_FIELD("trusted_proxies", struct edge_config, trusted_proxies),
    CYAML_FIELD_MAPPING_PTR("prefetch", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                            struct edge_config, prefetch, prefetch_fields),
    BUS_CONFIG_FIELDS(struct edge_config, bus),
    CYAML_FIELD_MAPPING_PTR("lease", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct edge_config,
                            lease, lease_config_fields),
    CYAML_FIELD_STRING_PTR("records_size", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                           struct edge_config, records_size, 1, 32),
    HTTP_ACCESS_LOG_FIELD("access_log", struct edge_config, access_log),
    CYAML_FIELD_END,
};

const cyaml_schema_value_t edge_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct edge_config, edge_fields)};

static int edge_check_proxies(const struct edge_config *c, struct err *err)
{
    for (unsigned i = 0; i < c->trusted_proxies_count; i++) {
        struct addr_net net;
        if (addr_net_parse(str_of(c->trusted_proxies[i]), &net) < 0)
            return err_set(err, -EINVAL, "trusted_proxies: '%s' is neither an address nor a prefix",
                           c->trusted_proxies[i]);
    }
    return 0;
}

/* Rules about places are nothing without a file that knows them. */
static int edge_check_geo(const struct edge_config *c, struct err *err)
{
    struct geo *geo = NULL;
    int r = c->geo_file == NULL ? 0 : geo_open(c->geo_file, &geo, err);
    geo_free(geo);
    for (unsigned i = 0; i < c->routes_count && r == 0 && c->geo_file == NULL; i++) {
        struct rules *rules = NULL;
        r = rules_open(&c->routes[i].rules, err, &rules);
        if (r == 0 && rules_needs_geo(rules))
            r = err_set(err, -EINVAL,
                        "routes: countries and continents need geo_file, which is missing");
        rules_free(rules);
    }
    return r;
}

/* That the routes' upstreams are there, and what each kind of them needs. */
static int edge_check_join(const struct edge_config *c, struct err *err)
{
    struct upstreams *upstreams = NULL;
    struct routes *routes = NULL;
    int r = upstreams_open(c->upstreams, c->upstreams_count, err, &upstreams);
    if (r == 0)
        r = routes_open(c->routes, c->routes_count, upstreams, err, &routes);
    routes_free(routes);
    upstreams_free(upstreams);
    return r;
}

int edge_check(const void *config, struct err *err)
{
    const struct edge_config *c = config;
    struct store_options store = {.size_max = EDGE_DISK_SIZE_DEFAULT};
    int r = store_config_apply(&c->store, NULL, &store, err);
    if (r == 0 && store.size_max == 0)
        r = err_set(err, -EINVAL, "store: disk_size: an edge's disk tier has a size above 0");
    for (unsigned i = 0; i < c->store.devices_count && r == 0; i++) {
        if (c->store.devices[i].cold)
            r = err_set(err, -EINVAL, "store: devices: a cache has no cold ones");
    }
    uint64_t records_size = 0;
    if (r == 0)
        r = config_size("records_size", c->records_size, &records_size, err);
    if (r == 0)
        r = http_listen_check("listen", &c->listen, err);
    for (unsigned i = 0; r == 0 && i < c->also_listen_count; i++)
        r = http_listen_check("also_listen", &c->also_listen[i], err);
    if (r == 0)
        r = http_listen_check("admin_listen", &c->admin_listen, err);
    struct secret admin = {0};
    if (r == 0 && c->admin_credential_file != NULL)
        r = secret_load(c->admin_credential_file, &admin, err);
    secret_clear(&admin);
    if (r == 0)
        r = purge_check(&c->edges, err);
    if (r == 0)
        r = http_limits_apply("limits", &c->limits, NULL, err);
    if (r == 0)
        r = upstream_check(c->upstreams, c->upstreams_count, err);
    if (r == 0)
        r = prefetch_check(c->prefetch, err);
    if (r == 0)
        r = route_check(c->routes, c->routes_count, err);
    if (r == 0)
        r = lease_config_check(c, err);
    if (r == 0)
        r = edge_check_proxies(c, err);
    if (r == 0)
        r = edge_check_geo(c, err);
    return r < 0 ? r : edge_check_join(c, err);
}
