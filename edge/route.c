/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/route.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

struct routes {
    uint32_t magic;
#define ROUTES_MAGIC UINT32_C(0x207e5a11)
    unsigned count;
    struct route list[ROUTES_MAX]; /* the first that fits counts: sorted by exactness */
};

#define TEXT_OPTIONAL(key, member)                                                                 \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct route_config,     \
                           member, 1, 4096)

static const cyaml_schema_field_t route_fields[] = {
    TEXT_OPTIONAL("name", name),
    TEXT_OPTIONAL("host", host),
    TEXT_OPTIONAL("prefix", prefix),
    CYAML_FIELD_STRING_PTR("upstream", CYAML_FLAG_POINTER, struct route_config, upstream, 1, 64),
    TEXT_OPTIONAL("token_ring_file", token_ring_file),
    RULES_LIST_FIELD("token_audience", struct route_config, token_audience),
    TEXT_OPTIONAL("cookie_domain", cookie_domain),
    RULES_FIELDS(struct route_config, rules),
    CYAML_FIELD_MAPPING("cache", CYAML_FLAG_OPTIONAL, struct route_config, cache,
                        cache_config_fields),
    CYAML_FIELD_END,
};

const cyaml_schema_value_t route_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct route_config, route_fields)};

static struct str route_prefix(const struct route_config *c)
{
    return c->prefix == NULL ? STR("/") : str_of(c->prefix);
}

/* A very long one is cut; route_check sees to it that two are not the same then. */
void route_label(const struct route_config *c, char out[ROUTE_LABEL_SIZE])
{
    if (c->name != NULL)
        (void)snprintf(out, ROUTE_LABEL_SIZE, "%s", c->name);
    else
        (void)snprintf(out, ROUTE_LABEL_SIZE, "%s" STR_FMT, c->host != NULL ? c->host : "",
                       STR_ARG(route_prefix(c)));
}

static int route_check_one(const struct route_config *c, struct err *err)
{
    if (!str_starts(route_prefix(c), STR("/")))
        return err_set(err, -EINVAL, "routes: prefix: '%s' does not begin with '/'", c->prefix);
    if (c->host != NULL && strchr(c->host, ':') != NULL)
        return err_set(err, -EINVAL, "routes: host: '%s' has a port, which does not count here",
                       c->host);
    const char *star = c->host == NULL ? NULL : strrchr(c->host, '*');
    if (star != NULL && (star != c->host || star[1] != '.'))
        return err_set(err, -EINVAL, "routes: host: '%s' has a '*' other than in a leading '*.'",
                       c->host);
    for (const char *at = c->cookie_domain; at != NULL && *at != 0; at++) {
        if (!isalnum((unsigned char)*at) && *at != '.' && *at != '-')
            return err_set(err, -EINVAL, "routes: cookie_domain: '%s' is not a host's name",
                           c->cookie_domain);
    }
    struct cache_rules rules;
    int r = cache_rules_of(&c->cache, &rules, err);
    if (r < 0)
        return r;
    r = rules_check(&c->rules, err);
    CLEAN(token_ring_free) struct token_ring *ring = NULL;
    if (r == 0 && c->token_ring_file != NULL)
        r = token_ring_load(c->token_ring_file, &ring, err);
    return r;
}

static bool route_is_same(const struct route_config *a, const struct route_config *b)
{
    return str_eq_nocase(str_of(a->host), str_of(b->host)) &&
           str_eq(route_prefix(a), route_prefix(b));
}

int route_check(const struct route_config *c, unsigned count, struct err *err)
{
    for (unsigned i = 0; i < count; i++) {
        int r = route_check_one(&c[i], err);
        if (r < 0)
            return r;
        for (unsigned n = 0; n < i; n++) {
            if (route_is_same(&c[i], &c[n]))
                return err_set(err, -EINVAL, "routes: two are for host %s and prefix " STR_FMT,
                               c[i].host == NULL ? "(any)" : c[i].host,
                               STR_ARG(route_prefix(&c[i])));
            char one[ROUTE_LABEL_SIZE], other[ROUTE_LABEL_SIZE];
            route_label(&c[i], one);
            route_label(&c[n], other);
            if (strcasecmp(one, other) == 0)
                return err_set(err, -EINVAL, "routes: name: metrics would call two of them %s",
                               one);
        }
    }
    return 0;
}

static unsigned route_host_rank(const struct route_config *c)
{
    if (c->host == NULL)
        return 0;
    return c->host[0] == '*' ? 1 : 2;
}

/* The more exact one first. */
static int route_order(const void *a, const void *b)
{
    const struct route *x = a, *y = b;
    unsigned rank_x = route_host_rank(x->config), rank_y = route_host_rank(y->config);
    if (rank_x != rank_y)
        return rank_x > rank_y ? -1 : 1;
    size_t host_x = str_of(x->config->host).size, host_y = str_of(y->config->host).size;
    if (host_x != host_y)
        return host_x > host_y ? -1 : 1;
    int hosts = strcasecmp(x->config->host == NULL ? "" : x->config->host,
                           y->config->host == NULL ? "" : y->config->host);
    if (hosts != 0)
        return hosts;
    size_t size_x = route_prefix(x->config).size, size_y = route_prefix(y->config).size;
    return size_x > size_y ? -1 : size_x < size_y;
}

static int routes_add(struct routes *r, const struct route_config *c, struct upstreams *upstreams,
                      struct err *err)
{
    struct route *one = &r->list[r->count++];
    one->config = c;
    one->upstream = upstream_find(upstreams, str_of(c->upstream));
    if (one->upstream == NULL)
        return err_set(err, -EINVAL, "routes: there is no upstream with the name %s", c->upstream);
    int error = cache_rules_of(&c->cache, &one->cache, err);
    if (error < 0)
        return error;
    return rules_open(&c->rules, err, &one->rules);
}

int routes_open(const struct route_config *c, unsigned count, struct upstreams *upstreams,
                struct err *err, struct routes **ret)
{
    ASSERT(count <= ROUTES_MAX);
    struct routes *r = calloc(1, sizeof *r);
    if (r == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    r->magic = ROUTES_MAGIC;
    int error = 0;
    for (unsigned i = 0; error == 0 && i < count; i++)
        error = routes_add(r, &c[i], upstreams, err);
    if (error < 0) {
        routes_free(r);
        return error;
    }
    qsort(r->list, r->count, sizeof r->list[0], route_order);
    for (unsigned i = 0; i < r->count; i++)
        r->list[i].index = i;
    *ret = r;
    return 0;
}

struct routes *routes_free(struct routes *r)
{
    if (r == NULL)
        return NULL;
    ASSERT(r->magic == ROUTES_MAGIC);
    for (unsigned i = 0; i < r->count; i++)
        rules_free(r->list[i].rules);
    MAGIC_CLEAR(r);
    free(r);
    return NULL;
}

unsigned routes_count(const struct routes *r)
{
    ASSERT(r->magic == ROUTES_MAGIC);
    return r->count;
}

const struct route *routes_at(const struct routes *r, unsigned index)
{
    ASSERT(r->magic == ROUTES_MAGIC);
    ASSERT(index < r->count);
    return &r->list[index];
}

/* Without its port; an IPv6 address keeps its brackets. */
static struct str route_host_of(struct str authority)
{
    size_t size = authority.size;
    while (size > 0 && authority.data[size - 1] >= '0' && authority.data[size - 1] <= '9')
        size--;
    if (size > 0 && size <= authority.size && authority.data[size - 1] == ':')
        return (struct str){authority.data, size - 1};
    return authority;
}

static bool route_takes_host(const struct route_config *c, struct str host)
{
    if (c->host == NULL)
        return true;
    struct str want = str_of(c->host);
    if (want.data[0] != '*')
        return str_eq_nocase(want, host);
    want = str_skip(want, 1);
    return host.size > want.size && str_eq_nocase(str_skip(host, host.size - want.size), want);
}

static bool route_takes_path(const struct route_config *c, struct str path)
{
    struct str prefix = route_prefix(c);
    if (!str_starts(path, prefix))
        return false;
    /* "/live" takes "/live" and "/live/a", not "/lives". */
    return prefix.data[prefix.size - 1] == '/' || path.size == prefix.size ||
           path.data[prefix.size] == '/';
}

const struct route *route_find(const struct routes *r, struct str authority, struct str path)
{
    ASSERT(r->magic == ROUTES_MAGIC);
    struct str host = route_host_of(authority);
    const struct route_config *hit = NULL;
    for (unsigned i = 0; i < r->count; i++) {
        const struct route_config *c = r->list[i].config;
        /* Once a host has fitted, less exact ones do not count any more. */
        if (hit != NULL && !str_eq_nocase(str_of(hit->host), str_of(c->host)))
            return NULL;
        if (!route_takes_host(c, host))
            continue;
        if (route_takes_path(c, path))
            return &r->list[i];
        hit = c;
    }
    return NULL;
}
