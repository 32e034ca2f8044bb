/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/rules.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

struct rules {
    uint32_t magic;
#define RULES_MAGIC UINT32_C(0x2a1e5a1d)
    const struct rules_config *config;
    struct addr_net *nets; /* addresses_allow, then addresses_deny */
    bool any_origin;       /* "*" */
};

const cyaml_schema_value_t rules_text = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, 1024)};

const cyaml_strval_t rules_unknown_names[2] = {
    {"allow", RULES_UNKNOWN_ALLOW},
    {"deny", RULES_UNKNOWN_DENY},
};

/* --- opening ---------------------------------------------------------------------------------- */

static int rules_check_codes(const char *key, char *const *list, unsigned count, struct err *err)
{
    for (unsigned i = 0; i < count; i++) {
        const char *c = list[i];
        if (strlen(c) != 2 || !isupper((unsigned char)c[0]) || !isupper((unsigned char)c[1]))
            return err_set(err, -EINVAL, "routes: %s: '%s' is not two capital letters", key, c);
    }
    return 0;
}

static int rules_check_continents(const char *key, char *const *list, unsigned count,
                                  struct err *err)
{
    static const char *const names[] = {"AF", "AN", "AS", "EU", "NA", "OC", "SA"};
    for (unsigned i = 0; i < count; i++) {
        bool known = false;
        for (size_t n = 0; n < ARRAY_LEN(names); n++)
            known = known || strcmp(names[n], list[i]) == 0;
        if (!known)
            return err_set(err, -EINVAL, "routes: %s: '%s' is none of AF AN AS EU NA OC SA", key,
                           list[i]);
    }
    return 0;
}

static int rules_parse_nets(const char *key, char *const *list, unsigned count,
                            struct addr_net *out, struct err *err)
{
    for (unsigned i = 0; i < count; i++) {
        if (addr_net_parse(str_of(list[i]), &out[i]) < 0)
            return err_set(err, -EINVAL, "routes: %s: '%s' is neither an address nor a prefix", key,
                           list[i]);
    }
    return 0;
}

/* "example.org", "*.example.org", "example.org:8080". */
static bool rules_is_host(struct str s)
{
    if (str_starts(s, STR("*.")))
        s = str_skip(s, 2);
    bool good = s.size > 0;
    for (size_t i = 0; i < s.size && good; i++)
        good = isalnum((unsigned char)s.data[i]) || strchr(".-_:[]", s.data[i]) != NULL;
    return good;
}

static int rules_check_referers(const struct rules_config *c, struct err *err)
{
    for (unsigned i = 0; i < c->referers_allow_count; i++) {
        struct str one = str_of(c->referers_allow[i]);
        if (!rules_is_host(one))
            return err_set(err, -EINVAL,
                           "routes: referers_allow: '" STR_FMT
                           "' is not a host, such as *.example.org, nor none",
                           STR_ARG(one));
    }
    return 0;
}

static int rules_check_origins(const struct rules_config *c, struct err *err)
{
    for (unsigned i = 0; i < c->allow_origin_count; i++) {
        struct str one = str_of(c->allow_origin[i]);
        if (str_eq(one, STR("*")) || str_eq(one, STR("null")))
            continue;
        struct str rest = str_behind_http(one);
        if (!rules_is_host(rest))
            return err_set(err, -EINVAL,
                           "routes: allow_origin: '" STR_FMT
                           "' is not an origin, such as https://*.example.org, nor *",
                           STR_ARG(one));
    }
    return 0;
}

static int rules_check_fields(const char *key, char *const *list, unsigned count, struct err *err)
{
    for (unsigned i = 0; i < count; i++) {
        for (const char *at = list[i]; *at != 0; at++) {
            if (!isalnum((unsigned char)*at) && *at != '-' && *at != '_')
                return err_set(err, -EINVAL, "routes: %s: '%s' is not a field's name", key,
                               list[i]);
        }
    }
    return 0;
}

static int rules_check_lists(const struct rules_config *c, struct err *err)
{
    int r = rules_check_codes("countries_allow", c->countries_allow, c->countries_allow_count, err);
    if (r == 0)
        r = rules_check_codes("countries_deny", c->countries_deny, c->countries_deny_count, err);
    if (r == 0)
        r = rules_check_continents("continents_allow", c->continents_allow,
                                   c->continents_allow_count, err);
    if (r == 0)
        r = rules_check_continents("continents_deny", c->continents_deny, c->continents_deny_count,
                                   err);
    if (r == 0)
        r = rules_check_referers(c, err);
    if (r == 0)
        r = rules_check_origins(c, err);
    if (r == 0)
        r = rules_check_fields("allow_headers", c->allow_headers, c->allow_headers_count, err);
    if (r == 0)
        r = rules_check_fields("expose_headers", c->expose_headers, c->expose_headers_count, err);
    return r;
}

int rules_open(const struct rules_config *c, struct err *err, struct rules **ret)
{
    int error = rules_check_lists(c, err);
    if (error < 0)
        return error;
    size_t nets_count = (size_t)c->addresses_allow_count + c->addresses_deny_count;
    struct rules *r = calloc(1, sizeof *r);
    if (r != NULL)
        r->nets = calloc(nets_count + 1, sizeof *r->nets);
    if (r == NULL || r->nets == NULL) {
        free(r);
        return err_set(err, -ENOMEM, "out of memory");
    }
    r->magic = RULES_MAGIC;
    r->config = c;
    r->any_origin = c->allow_origin_count == 0;
    for (unsigned i = 0; i < c->allow_origin_count; i++)
        r->any_origin = r->any_origin || strcmp(c->allow_origin[i], "*") == 0;
    error = rules_parse_nets("addresses_allow", c->addresses_allow, c->addresses_allow_count,
                             r->nets, err);
    if (error == 0)
        error = rules_parse_nets("addresses_deny", c->addresses_deny, c->addresses_deny_count,
                                 r->nets + c->addresses_allow_count, err);
    if (error == 0 && c->allow_credentials && r->any_origin)
        error = err_set(err, -EINVAL,
                        "routes: allow_credentials: needs allow_origin with names, not with *");
    if (error < 0) {
        rules_free(r);
        return error;
    }
    *ret = r;
    return 0;
}

int rules_check(const struct rules_config *c, struct err *err)
{
    struct rules *r = NULL;
    int error = rules_open(c, err, &r);
    rules_free(r);
    return error;
}

struct rules *rules_free(struct rules *r)
{
    if (r == NULL)
        return NULL;
    ASSERT(r->magic == RULES_MAGIC);
    free(r->nets);
    MAGIC_CLEAR(r);
    free(r);
    return NULL;
}

const struct rules_config *rules_config_of(const struct rules *r)
{
    ASSERT(r->magic == RULES_MAGIC);
    return r->config;
}

bool rules_any_origin(const struct rules *r)
{
    return r->any_origin;
}

bool rules_needs_geo(const struct rules *r)
{
    const struct rules_config *c = r->config;
    return c->countries_allow_count + c->countries_deny_count + c->continents_allow_count +
               c->continents_deny_count >
           0;
}

bool rules_needs_client(const struct rules *r)
{
    return rules_needs_geo(r) || r->config->addresses_allow_count > 0 ||
           r->config->addresses_deny_count > 0;
}

/* --- where the client is ---------------------------------------------------------------------- */

static bool rules_lists_code(char *const *list, unsigned count, const char *code)
{
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(list[i], code) == 0)
            return true;
    }
    return false;
}

/* A deny list outweighs an allow list; what is in neither of two allow lists is refused. */
static bool rules_place_fits(const struct rules_config *c, const struct addr *client,
                             const struct geo *geo)
{
    bool allows = c->countries_allow_count > 0 || c->continents_allow_count > 0;
    struct geo_place place = {.country = ""};
    if (client == NULL || geo == NULL || geo_find(geo, client, &place) < 0)
        return c->geo_unknown == RULES_UNKNOWN_BY_LISTS ? !allows
                                                        : c->geo_unknown == RULES_UNKNOWN_ALLOW;
    if (rules_lists_code(c->countries_deny, c->countries_deny_count, place.country) ||
        rules_lists_code(c->continents_deny, c->continents_deny_count, place.continent))
        return false;
    return !allows ||
           rules_lists_code(c->countries_allow, c->countries_allow_count, place.country) ||
           rules_lists_code(c->continents_allow, c->continents_allow_count, place.continent);
}

static bool rules_has_client(const struct addr_net *nets, unsigned count, const struct addr *client)
{
    for (unsigned i = 0; i < count; i++) {
        if (addr_net_has(&nets[i], client))
            return true;
    }
    return false;
}

static bool rules_client_fits(const struct rules *r, const struct addr *client)
{
    unsigned allows = r->config->addresses_allow_count, denies = r->config->addresses_deny_count;
    if (allows == 0 && denies == 0)
        return true;
    if (client == NULL || rules_has_client(r->nets + allows, denies, client))
        return false;
    return allows == 0 || rules_has_client(r->nets, allows, client);
}

/* --- which page it comes from ----------------------------------------------------------------- */

static bool rules_host_fits(struct str pattern, struct str host)
{
    if (!str_starts(pattern, STR("*.")))
        return str_eq_nocase(pattern, host);
    pattern = str_skip(pattern, 1);
    return host.size > pattern.size &&
           str_eq_nocase(pattern, str_skip(host, host.size - pattern.size));
}

/* The host of "https://host:port/path"; STR_NONE for anything else. */
static struct str rules_host_of(struct str url)
{
    struct str rest;
    struct str scheme = str_cut(url, ':', &rest);
    if ((!str_eq_nocase(scheme, STR("https")) && !str_eq_nocase(scheme, STR("http"))) ||
        !str_starts(rest, STR("//")))
        return STR_NONE;
    rest = str_skip(rest, 2);
    size_t end = 0;
    while (end < rest.size && strchr("/?#\\", rest.data[end]) == NULL)
        end++;
    struct str host = {rest.data, end};
    if (memchr(host.data, '@', host.size) != NULL)
        return STR_NONE; /* no browser sends one */
    size_t size = host.size;
    while (size > 0 && isdigit((unsigned char)host.data[size - 1]))
        size--;
    return size > 0 && host.data[size - 1] == ':' ? (struct str){host.data, size - 1} : host;
}

bool rules_referer_fits(struct str pattern, struct str referer)
{
    if (str_eq(pattern, STR("none")))
        return referer.size == 0;
    struct str host = rules_host_of(referer);
    return host.size > 0 && rules_host_fits(pattern, host);
}

static bool rules_page_fits(const struct rules_config *c, struct str referer)
{
    for (unsigned i = 0; i < c->referers_allow_count; i++) {
        if (rules_referer_fits(str_of(c->referers_allow[i]), referer))
            return true;
    }
    return c->referers_allow_count == 0;
}

enum rules_verdict rules_admit(const struct rules *r, const struct addr *client,
                               const struct geo *geo, struct str referer)
{
    ASSERT(r->magic == RULES_MAGIC);
    if (!rules_client_fits(r, client))
        return RULES_CLIENT;
    if (rules_needs_geo(r) && !rules_place_fits(r->config, client, geo))
        return RULES_GEO;
    return rules_page_fits(r->config, referer) ? RULES_ADMIT : RULES_REFERER;
}
