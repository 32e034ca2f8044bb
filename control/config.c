/* SPDX-License-Identifier: Apache-2.0 */
#include "control/config.h"
#include <errno.h>
#include <stdlib.h>
#include "control/live.h"
#include "control/plans/edge_choice.h"
#include "lease/lease.h"

#define TEXT(name, type, flags)                                                                    \
    CYAML_FIELD_STRING_PTR(#name, CYAML_FLAG_POINTER | (flags), type, name, 1, 4096)

static const cyaml_strval_t control_fails[] = {
    {"database", CONTROL_LEASES_DB},
    {"closed", CONTROL_LEASES_CLOSED},
    {"open", CONTROL_LEASES_OPEN},
};

static const cyaml_schema_field_t position_fields[] = {
    CYAML_FIELD_FLOAT("latitude", CYAML_FLAG_DEFAULT, struct control_position, latitude),
    CYAML_FIELD_FLOAT("longitude", CYAML_FLAG_DEFAULT, struct control_position, longitude),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t edge_place = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 2, 2)};

static const cyaml_schema_field_t edge_fields[] = {
    TEXT(url, struct control_edge, CYAML_FLAG_DEFAULT),
    TEXT(status_url, struct control_edge, CYAML_FLAG_OPTIONAL),
    CYAML_FIELD_UINT("weight", CYAML_FLAG_OPTIONAL, struct control_edge, weight),
    CYAML_FIELD_UINT("capacity_mbps", CYAML_FLAG_OPTIONAL, struct control_edge, capacity_mbps),
    CYAML_FIELD_MAPPING_PTR("position", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                            struct control_edge, position, position_fields),
    CYAML_FIELD_SEQUENCE_COUNT("countries", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                               struct control_edge, countries, countries_count, &edge_place, 0,
                               300),
    CYAML_FIELD_SEQUENCE_COUNT("continents", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                               struct control_edge, continents, continents_count, &edge_place, 0,
                               7),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t control_edge = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct control_edge, edge_fields)};

static const cyaml_schema_field_t control_fields[] = {
    HTTP_LISTEN_FIELD("listen", struct control_config, listen),
    HTTP_LISTEN_FIELD("admin_listen", struct control_config, admin_listen),
    TEXT(db, struct control_config, CYAML_FLAG_DEFAULT),
    TEXT(token_ring_file, struct control_config, CYAML_FLAG_DEFAULT),
    TEXT(edge_url, struct control_config, CYAML_FLAG_OPTIONAL),
    CYAML_FIELD_SEQUENCE_COUNT("edges", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                               struct control_config, edges, edges_count, &control_edge, 1,
                               EDGE_COUNT_MAX - 1),
    TEXT(geo_file, struct control_config, CYAML_FLAG_OPTIONAL),
    TEXT(default_plan, struct control_config, CYAML_FLAG_OPTIONAL),
    CYAML_FIELD_UINT("audit_days", CYAML_FLAG_OPTIONAL, struct control_config, audit_days),
    CYAML_FIELD_UINT("sweep_s", CYAML_FLAG_OPTIONAL, struct control_config, sweep_s),
    TEXT(public_url, struct control_config, CYAML_FLAG_OPTIONAL),
    TEXT(admin_credential_file, struct control_config, CYAML_FLAG_DEFAULT),
    TEXT(web_folder, struct control_config, CYAML_FLAG_DEFAULT),
    TEXT(issuer, struct control_config, CYAML_FLAG_OPTIONAL),
    TEXT(history_folder, struct control_config, CYAML_FLAG_OPTIONAL),
    CYAML_FIELD_UINT("token_lifetime_s", CYAML_FLAG_OPTIONAL, struct control_config,
                     token_lifetime_s),
    CYAML_FIELD_UINT("stream_limit", CYAML_FLAG_OPTIONAL, struct control_config, stream_limit),
    BUS_CONFIG_FIELDS(struct control_config, bus),
    CYAML_FIELD_ENUM("leases_fail", CYAML_FLAG_OPTIONAL, struct control_config, leases_fail,
                     control_fails, ARRAY_LEN(control_fails)),
    TEXT(edge_credential_file, struct control_config, CYAML_FLAG_OPTIONAL),
    CYAML_FIELD_UINT("workers", CYAML_FLAG_OPTIONAL, struct control_config, workers),
    HTTP_ACCESS_LOG_FIELD("access_log", struct control_config, access_log),
    TEXT(session_key_file, struct control_config, CYAML_FLAG_OPTIONAL),
    CYAML_FIELD_MAPPING_PTR("mail", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct control_config,
                            mail, outside_mail_fields),
    CYAML_FIELD_SEQUENCE("oidc", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct control_config,
                         oidc, &outside_oidc_schema, 0, OIDC_PROVIDERS_MAX),
    GATE_CONFIG_FIELD("api", struct control_config, api),
    CYAML_FIELD_END,
};

const cyaml_schema_value_t control_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct control_config, control_fields)};

/* scheme://authority and no more than slashes behind; both go into headers and links as they are.
 */
static int config_check_url(const char *name, const char *url, struct err *err)
{
    struct str rest = str_behind_http(str_of(url));
    if (rest.data == NULL)
        return err_set(err, -EINVAL, "%s: '%s' does not begin with https:// or http://", name, url);
    while (str_ends(rest, STR("/")))
        rest.size--;
    for (size_t i = 0; i < rest.size; i++)
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]",
                   rest.data[i]) == NULL)
            return err_set(err, -EINVAL, "%s: '%s' is not of the form https://host:port", name,
                           url);
    return rest.size > 0 ? 0 : err_set(err, -EINVAL, "%s: '%s' names no host", name, url);
}

static int config_check_codes(const char *name, char *const *codes, unsigned count, struct err *err)
{
    for (unsigned i = 0; i < count; i++)
        for (unsigned k = 0; k < 2; k++)
            if (codes[i][k] < 'A' || codes[i][k] > 'Z')
                return err_set(err, -EINVAL, "edges: %s: '%s' is not two capital letters", name,
                               codes[i]);
    return 0;
}

static int config_check_edges(const struct control_config *c, struct err *err)
{
    int r = 0;
    if (c->edge_url == NULL && c->edges_count == 0)
        return err_set(err, -EINVAL, "edge_url or edges is missing");
    if (c->edge_url != NULL)
        r = config_check_url("edge_url", c->edge_url, err);
    for (unsigned i = 0; r == 0 && i < c->edges_count; i++) {
        const struct control_edge *e = &c->edges[i];
        const struct control_position *p = e->position;
        r = config_check_url("edges: url", e->url, err);
        if (r == 0 && e->status_url != NULL)
            r = config_check_url("edges: status_url", e->status_url, err);
        if (r == 0)
            r = config_check_codes("countries", e->countries, e->countries_count, err);
        if (r == 0)
            r = config_check_codes("continents", e->continents, e->continents_count, err);
        if (r == 0 && p != NULL &&
            !(p->latitude >= -90 && p->latitude <= 90 && p->longitude >= -180 &&
              p->longitude <= 180))
            r = err_set(err, -EINVAL, "edges: position: this is nowhere on earth");
    }
    return r;
}

int control_key_file(const struct control_config *c, struct err *err, char **ret)
{
    CLEAN_BUF struct buf path = BUF_EMPTY;
    if (c->session_key_file != NULL)
        buf_puts(&path, c->session_key_file);
    else if (strstr(c->db, "://") == NULL)
        buf_printf(&path, "%s.key", c->db);
    else
        return err_set(err, -EINVAL, "session_key_file: is missing, as the database is no file");
    char *text = buf_take(&path);
    if (text == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    *ret = text;
    return 0;
}

int control_config_check(const void *config, struct err *err)
{
    const struct control_config *c = config;
    int r = http_listen_check("listen", &c->listen, err);
    if (r == 0)
        r = http_listen_check("admin_listen", &c->admin_listen, err);
    if (r == 0)
        r = config_check_edges(c, err);
    if (r == 0 && c->public_url != NULL)
        r = config_check_url("public_url", c->public_url, err);
    if (r == 0 && c->token_lifetime_s != 0 &&
        (c->token_lifetime_s < CONTROL_TOKEN_LIFETIME_S_MIN ||
         c->token_lifetime_s > CONTROL_TOKEN_LIFETIME_S_MAX))
        r = err_set(err, -EINVAL, "token_lifetime_s: %u is not from %d to %d", c->token_lifetime_s,
                    CONTROL_TOKEN_LIFETIME_S_MIN, CONTROL_TOKEN_LIFETIME_S_MAX);
    if (r == 0 && c->stream_limit > LEASE_LIMIT_MAX)
        r = err_set(err, -EINVAL, "stream_limit: %u is more than %d", c->stream_limit,
                    LEASE_LIMIT_MAX);
    if (r == 0 && c->audit_days > CONTROL_AUDIT_DAYS_MAX)
        r = err_set(err, -EINVAL, "audit_days: %u is more than %d", c->audit_days,
                    CONTROL_AUDIT_DAYS_MAX);
    if (r == 0)
        r = bus_config_check(&c->bus, err);
    char *key_file = NULL;
    if (r == 0)
        r = control_key_file(c, err, &key_file);
    free(key_file);
    CLEAN(gate_settings_free) struct gate_settings *settings = NULL;
    if (r == 0)
        r = gate_settings_new(&c->api, err, &settings);
    if (r < 0)
        return r;
    struct live *l = NULL;
    r = live_load(c, err, &l);
    live_unref(l);
    return r;
}
