/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/upstream.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/buf.h"
#include "base/id.h"
#include "edge/upstream_server.h"

#define UPSTREAM_FAILURES  3
#define UPSTREAM_SUCCESSES 2
#define UPSTREAM_ID_SIZE   (sizeof "weir-" + 16)

struct upstreams {
    uint32_t magic;
#define UPSTREAMS_MAGIC UINT32_C(0x0b57ea35)
    unsigned count;
    char id[UPSTREAM_ID_SIZE];
    struct upstream list[UPSTREAMS_MAX];
};

enum upstream_kind { UPSTREAM_KIND_WEIR, UPSTREAM_KIND_HTTP };
enum upstream_balance { UPSTREAM_FAILOVER, UPSTREAM_HASH };

static const cyaml_strval_t upstream_kinds[] = {
    {"weir", UPSTREAM_KIND_WEIR},
    {"http", UPSTREAM_KIND_HTTP},
};

static const cyaml_strval_t upstream_balances[] = {
    {"failover", UPSTREAM_FAILOVER},
    {"hash", UPSTREAM_HASH},
};

static const cyaml_schema_value_t upstream_server = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, 4096)};

#define TEXT_OPTIONAL(key, type, member)                                                           \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, member, 1, 4096)
#define UINT_OPTIONAL(key, type, member) CYAML_FIELD_UINT(key, CYAML_FLAG_OPTIONAL, type, member)
#define SERVERS_OPTIONAL(key, member)                                                              \
    CYAML_FIELD_SEQUENCE(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct upstream_config,    \
                         member, &upstream_server, 0, UPSTREAM_SERVERS_MAX)

static const cyaml_strval_t upstream_notices[] = {
    {"on", UPSTREAM_NOTICES_ON},
    {"off", UPSTREAM_NOTICES_OFF},
};

static const cyaml_schema_field_t upstream_health_fields[] = {
    TEXT_OPTIONAL("path", struct upstream_health_config, path),
    UINT_OPTIONAL("interval_ms", struct upstream_health_config, interval_ms),
    UINT_OPTIONAL("timeout_ms", struct upstream_health_config, timeout_ms),
    UINT_OPTIONAL("failures", struct upstream_health_config, failures),
    UINT_OPTIONAL("successes", struct upstream_health_config, successes),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t upstream_fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct upstream_config, name, 1, 64),
    CYAML_FIELD_ENUM("kind", CYAML_FLAG_OPTIONAL, struct upstream_config, kind, upstream_kinds,
                     ARRAY_LEN(upstream_kinds)),
    CYAML_FIELD_SEQUENCE("servers", CYAML_FLAG_POINTER, struct upstream_config, servers,
                         &upstream_server, 1, UPSTREAM_SERVERS_MAX),
    TEXT_OPTIONAL("ca_file", struct upstream_config, ca_file),
    TEXT_OPTIONAL("cert_file", struct upstream_config, cert_file),
    TEXT_OPTIONAL("key_file", struct upstream_config, key_file),
    TEXT_OPTIONAL("credential_file", struct upstream_config, credential_file),
    CYAML_FIELD_BOOL("http2", CYAML_FLAG_OPTIONAL, struct upstream_config, http2),
    UINT_OPTIONAL("connect_ms", struct upstream_config, connect_ms),
    UINT_OPTIONAL("stall_ms", struct upstream_config, stall_ms),
    CYAML_FIELD_UINT_PTR("retries", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                         struct upstream_config, retries),
    CYAML_FIELD_ENUM("balance", CYAML_FLAG_OPTIONAL, struct upstream_config, balance,
                     upstream_balances, ARRAY_LEN(upstream_balances)),
    CYAML_FIELD_MAPPING_PTR("health", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                            struct upstream_config, health, upstream_health_fields),
    CYAML_FIELD_ENUM("notices", CYAML_FLAG_OPTIONAL, struct upstream_config, notices,
                     upstream_notices, ARRAY_LEN(upstream_notices)),
    UINT_OPTIONAL("ref_ttl_ms", struct upstream_config, ref_ttl_ms),
    SERVERS_OPTIONAL("parents", parents),
    SERVERS_OPTIONAL("siblings", siblings),
    TEXT_OPTIONAL("self", struct upstream_config, self),
    TEXT_OPTIONAL("peer_credential_file", struct upstream_config, peer_credential_file),
    TEXT_OPTIONAL("peer_ca_file", struct upstream_config, peer_ca_file),
    CYAML_FIELD_END,
};

const cyaml_schema_value_t upstream_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct upstream_config, upstream_fields)};

bool upstream_is_http(const struct upstream *u)
{
    return u->config->kind == UPSTREAM_KIND_HTTP;
}

static int upstream_check_url(const struct upstream_config *c, const char *key, const char *text,
                              struct err *err)
{
    struct str url = str_of(text);
    struct str rest = str_behind_http(url);
    bool ok = rest.size > 0;
    for (size_t i = 0; ok && i < rest.size; i++)
        ok = rest.data[i] > ' ' && rest.data[i] < 0x7f && strchr("/?#\"\\@", rest.data[i]) == NULL;
    if (!ok)
        return err_set(err, -EINVAL,
                       "upstreams: %s: %s: '%s' is not a URL without a path, such as "
                       "https://origin.example.org",
                       c->name, key, text);
    return 0;
}

static int upstream_check_urls(const struct upstream_config *c, const char *key, char **list,
                               unsigned count, struct err *err)
{
    int r = 0;
    for (unsigned i = 0; r == 0 && i < count; i++) {
        r = upstream_check_url(c, key, list[i], err);
        for (unsigned n = 0; r == 0 && n < i; n++)
            if (strcmp(list[i], list[n]) == 0)
                r = err_set(err, -EINVAL, "upstreams: %s: %s: %s is named twice", c->name, key,
                            list[i]);
    }
    return r;
}

static int upstream_check_secret(const char *path, struct err *err)
{
    struct secret s = {0};
    int r = path == NULL ? 0 : secret_load(path, &s, err);
    secret_clear(&s);
    return r;
}

static int upstream_check_peers(const struct upstream_config *c, struct err *err)
{
    int r = upstream_check_urls(c, "parents", c->parents, c->parents_count, err);
    if (r == 0)
        r = upstream_check_urls(c, "siblings", c->siblings, c->siblings_count, err);
    if (r == 0 && c->self != NULL)
        r = upstream_check_url(c, "self", c->self, err);
    if (r < 0)
        return r;
    if (c->siblings_count > 0 && c->self == NULL)
        return err_set(err, -EINVAL,
                       "upstreams: %s: siblings: they need 'self', the URL by which they know this "
                       "edge",
                       c->name);
    if (c->parents_count + c->siblings_count > 0 && c->peer_credential_file == NULL)
        return err_set(err, -EINVAL,
                       "upstreams: %s: peer_credential_file is needed for parents and siblings",
                       c->name);
    return upstream_check_secret(c->peer_credential_file, err);
}

/* It stands in URLs between edges and in metrics. */
static bool upstream_name_ok(struct str name)
{
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_' || c == '.'))
            return false;
    }
    return name.size > 0;
}

static int upstream_check_one(const struct upstream_config *c, struct err *err)
{
    if (!upstream_name_ok(str_of(c->name)))
        return err_set(err, -EINVAL,
                       "upstreams: name: '%s' has other characters than letters, digits, '.', '_' "
                       "and '-'",
                       c->name);
    if ((c->cert_file == NULL) != (c->key_file == NULL))
        return err_set(err, -EINVAL, "upstreams: %s: cert_file and key_file go together", c->name);
    if (c->health != NULL && c->health->path != NULL && c->health->path[0] != '/')
        return err_set(err, -EINVAL, "upstreams: %s: health: path: '%s' does not begin with '/'",
                       c->name, c->health->path);
    if (c->retries != NULL && *c->retries > UPSTREAM_RETRIES_MAX)
        return err_set(err, -EINVAL, "upstreams: %s: retries: more than %u", c->name,
                       UPSTREAM_RETRIES_MAX);
    int r = upstream_check_urls(c, "servers", c->servers, c->servers_count, err);
    if (r == 0)
        r = upstream_check_secret(c->credential_file, err);
    return r < 0 ? r : upstream_check_peers(c, err);
}

int upstream_check(const struct upstream_config *c, unsigned count, struct err *err)
{
    for (unsigned i = 0; i < count; i++) {
        for (unsigned n = 0; n < i; n++) {
            if (strcmp(c[i].name, c[n].name) == 0)
                return err_set(err, -EINVAL, "upstreams: two have the name %s", c[i].name);
        }
        int r = upstream_check_one(&c[i], err);
        if (r < 0)
            return r;
    }
    return 0;
}

static void upstream_add(struct upstream *u, enum upstream_role role, const char *url)
{
    const struct upstream_health_config *h = u->config->health;
    struct upstream_server *s = &u->all[u->all_count++];
    s->url = url;
    s->upstream = u;
    s->role = role;
    s->id = digest_of(url, strlen(url));
    s->is_checked = role != UPSTREAM_SERVER || (h != NULL && h->path != NULL);
    s->failures_max = h != NULL && h->failures > 0 ? h->failures : UPSTREAM_FAILURES;
    s->successes_min = h != NULL && h->successes > 0 ? h->successes : UPSTREAM_SUCCESSES;
}

static int upstream_open(struct upstream *u, struct err *err)
{
    const struct upstream_config *c = u->config;
    u->all = calloc(UPSTREAM_ALL_MAX, sizeof *u->all);
    if (u->all == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    for (unsigned i = 0; i < c->siblings_count; i++)
        if (strcmp(c->siblings[i], c->self) != 0)
            upstream_add(u, UPSTREAM_SIBLING, c->siblings[i]);
    for (unsigned i = 0; i < c->parents_count; i++)
        upstream_add(u, UPSTREAM_PARENT, c->parents[i]);
    for (unsigned i = 0; i < c->servers_count; i++)
        upstream_add(u, UPSTREAM_SERVER, c->servers[i]);
    if (c->self != NULL)
        u->self = digest_of(c->self, strlen(c->self));
    int r = c->credential_file == NULL ? 0 : secret_load(c->credential_file, &u->credential, err);
    if (r == 0 && c->peer_credential_file != NULL)
        r = secret_load(c->peer_credential_file, &u->peer_credential, err);
    return r;
}

int upstreams_open(const struct upstream_config *c, unsigned count, struct err *err,
                   struct upstreams **ret)
{
    ASSERT(count <= UPSTREAMS_MAX);
    struct upstreams *u = calloc(1, sizeof *u);
    if (u == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    u->magic = UPSTREAMS_MAGIC;
    char id[ID_TEXT_SIZE];
    id_text(id);
    (void)snprintf(u->id, sizeof u->id, "weir-%.16s", id);
    int r = 0;
    for (unsigned i = 0; r == 0 && i < count; i++) {
        struct upstream *one = &u->list[u->count++];
        one->config = &c[i];
        one->index = i;
        r = upstream_open(one, err);
    }
    if (r < 0) {
        upstreams_free(u);
        return r;
    }
    *ret = u;
    return 0;
}

struct upstreams *upstreams_free(struct upstreams *u)
{
    if (u == NULL)
        return NULL;
    ASSERT(u->magic == UPSTREAMS_MAGIC);
    for (unsigned i = 0; i < u->count; i++) {
        secret_clear(&u->list[i].credential);
        secret_clear(&u->list[i].peer_credential);
        free(u->list[i].all);
    }
    MAGIC_CLEAR(u);
    free(u);
    return NULL;
}

static void upstream_measure(struct upstream *u, struct metrics *m)
{
    CLEAN_BUF struct buf labels = BUF_EMPTY;
    buf_printf(&labels, "upstream=\"%s\"", u->config->name);
    if (buf_error(&labels) == 0)
        u->retries = metrics_counter(m, "weir_edge_upstream_retries_total",
                                     "Requests that went on to another server, or again to one.",
                                     labels.data);
    for (unsigned i = 0; i < u->all_count; i++) {
        struct upstream_server *s = &u->all[i];
        buf_clear(&labels);
        buf_printf(&labels, "upstream=\"%s\",server=\"%s\"", u->config->name, s->url);
        if (buf_error(&labels) < 0)
            continue; /* a missing figure breaks nothing */
        s->healthy =
            metrics_gauge(m, "weir_edge_upstream_healthy",
                          "Whether the server is asked: 1, or 0 after failures.", labels.data);
        metric_set(s->healthy, 1);
        s->requests = metrics_counter(m, "weir_edge_upstream_requests_total",
                                      "Requests sent to the server.", labels.data);
        s->failed = metrics_counter(m, "weir_edge_upstream_failures_total",
                                    "Requests that the server did not answer whole.", labels.data);
        s->seconds = metrics_latency(m, "weir_edge_upstream_seconds",
                                     "Time to the head of the server's answer.", labels.data);
    }
}

void upstreams_measure(struct upstreams *u, struct metrics *registry)
{
    ASSERT(u->magic == UPSTREAMS_MAGIC);
    for (unsigned i = 0; i < u->count; i++)
        upstream_measure(&u->list[i], registry);
}

const char *upstreams_id(const struct upstreams *u)
{
    ASSERT(u->magic == UPSTREAMS_MAGIC);
    return u->id;
}

unsigned upstreams_count(const struct upstreams *u)
{
    ASSERT(u->magic == UPSTREAMS_MAGIC);
    return u->count;
}

struct upstream *upstreams_at(struct upstreams *u, unsigned i)
{
    ASSERT(u->magic == UPSTREAMS_MAGIC);
    ASSERT(i < u->count);
    return &u->list[i];
}

struct upstream *upstream_find(struct upstreams *u, struct str name)
{
    ASSERT(u->magic == UPSTREAMS_MAGIC);
    for (unsigned i = 0; i < u->count; i++) {
        if (str_eq(str_of(u->list[i].config->name), name))
            return &u->list[i];
    }
    return NULL;
}

struct upstream *upstreams_only_weir(struct upstreams *u)
{
    struct upstream *only = NULL;
    for (unsigned i = 0; i < upstreams_count(u); i++) {
        struct upstream *each = upstreams_at(u, i);
        if (upstream_is_http(each))
            continue;
        if (only != NULL)
            return NULL;
        only = each;
    }
    return only;
}

bool upstream_is_hashed(const struct upstream *u)
{
    return u->config->balance == UPSTREAM_HASH;
}

const char *upstream_bearer(const struct upstream *u)
{
    return u->credential.size > 0 ? u->credential.text : NULL;
}

struct digest upstream_asset_key(const struct upstream *u, struct str asset)
{
    char text[UPSTREAM_NAME_MAX + 1 + UPSTREAM_ASSET_MAX];
    size_t size = strlen(u->config->name);
    ASSERT(size <= UPSTREAM_NAME_MAX);
    ASSERT(asset.size <= UPSTREAM_ASSET_MAX);
    memcpy(text, u->config->name, size);
    text[size++] = '/'; /* not in an asset's name, so no two pairs make one text */
    if (asset.size > 0)
        memcpy(text + size, asset.data, asset.size);
    return digest_of(text, size + asset.size);
}
