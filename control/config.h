/* SPDX-License-Identifier: Apache-2.0 */
/* config: the YAML file of weir-control: docs/config-control.md tells every key.
 *
 * Life:    config_load with control_schema -> control_config_check -> config_free.
 * Owner:   the loaded struct is its loader's.
 * Threads: any.
 * Errors:  -errno and a sentence in err.
 * Units:   seconds. */
#pragma once
#include "bus/bus_config.h"
#include "control/people/outside.h"
#include "control/api/gate_config.h"
#include "http/http_config.h"

#define CONTROL_TOKEN_LIFETIME_S     (6 * 3600)
#define CONTROL_TOKEN_LIFETIME_S_MIN 60
#define CONTROL_TOKEN_LIFETIME_S_MAX (7 * 24 * 3600)

#define CONTROL_SWEEP_S        60
#define CONTROL_AUDIT_DAYS     400
#define CONTROL_AUDIT_DAYS_MAX 36500

/* While Redis is away: sessions are in the database, or nobody starts, or everybody does. */
enum control_leases_fail { CONTROL_LEASES_DB, CONTROL_LEASES_CLOSED, CONTROL_LEASES_OPEN };

struct control_position {
    double latitude;
    double longitude;
};

/* One of the edges that viewers may be sent to. */
struct control_edge {
    char *url;
    char *status_url; /* its admin_listen; NULL: only whether url answers is looked at */
    uint32_t weight;  /* 0: 1 */
    uint32_t capacity_mbps;
    struct control_position *position; /* NULL: not known */
    char **countries;
    unsigned countries_count;
    char **continents;
    unsigned continents_count;
};

struct control_config {
    struct http_listen_config listen;
    struct http_listen_config admin_listen;
    char *db;
    char *token_ring_file;
    char *edge_url;
    char *public_url;
    char *admin_credential_file;
    char *web_folder;
    char *issuer;
    char *history_folder;       /* of archived history; NULL: it stays in the database */
    uint32_t token_lifetime_s;  /* 0: CONTROL_TOKEN_LIFETIME_S */
    uint32_t workers;           /* 0: one per core */
    char *default_plan;         /* of users who have none; NULL: the lowest */
    uint32_t stream_limit;      /* of those; 0: the plan's */
    struct control_edge *edges; /* beside edge_url, which may be NULL then */
    unsigned edges_count;
    char *geo_file;             /* MaxMind DB; NULL: no place is known */
    uint32_t audit_days;        /* how long audit records stay; 0: CONTROL_AUDIT_DAYS */
    uint32_t sweep_s;           /* 0: CONTROL_SWEEP_S */
    struct bus_config bus;      /* NULL redis: leases are in this process's memory */
    unsigned leases_fail;       /* when Redis is away */
    char *edge_credential_file; /* edges that ask about leases here; NULL: none may */
    enum http_access_log access_log;
    char *session_key_file;           /* signs access tokens; NULL: beside the database's file */
    struct outside_mail_config *mail; /* NULL: no letters; accounts need none */
    struct outside_oidc_config *oidc;
    uint32_t oidc_count;
    struct gate_config api;
};

/* Where the key of access tokens is: caller frees. -EINVAL where the database is no file and the
 * configuration names none. */
MUST_USE int control_key_file(const struct control_config *c, struct err *err, char **ret);

extern const cyaml_schema_value_t control_schema;

/* For daemon_ops.check: addresses and numbers, and that every file can be loaded. */
MUST_USE int control_config_check(const void *config, struct err *err);
