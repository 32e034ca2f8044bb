/* SPDX-License-Identifier: Apache-2.0 */
/* ingest: the daemon: configuration, the HTTP interface of docs/api.md ("Ingest"), the jobs behind.
 *
 * Life:    ingest_start -> serving -> ingest_stop.
 * Owner:   main.
 * Threads: start, reload and stop on the main thread.
 * Errors:  -errno with a sentence in err.
 * Units:   - */
#pragma once
#include "base/config.h"
#include "base/pool.h"
#include "http/http_config.h"
#include "ingest/jobs.h"

struct ingest_config {
    struct http_listen_config listen;
    char *credential_file; /* opens our own interface */
    char *state;
    char *origin_url;
    char *publish_credential_file; /* the origin's */
    char *control_url;             /* NULL: no catalogue */
    char *admin_credential_file;   /* control's */
    char *ca_file;                 /* NULL: the system's roots */
    double *segment_seconds;       /* NULL: 4 */
    unsigned threads;              /* 0: one a core */
    enum http_access_log access_log;
};

extern const cyaml_schema_value_t ingest_schema;
MUST_USE int ingest_check(const void *config, struct err *err);

struct ingest {
    uint32_t magic;
#define INGEST_MAGIC UINT32_C(0x19e57a0d)
    struct secret secret;
    struct metrics *metrics;
    struct pool *pool;
    struct jobs *jobs;
    struct http_server *server;
    char *spool;                                      /* spool.h: the folder */
    char *origin_url, *control_url, *ca_file, *state; /* of the configuration, which goes */
};

MUST_USE int ingest_start(const struct ingest_config *c, struct err *err, struct ingest **ret);
void ingest_stop(struct ingest *i);
uint16_t ingest_port(const struct ingest *i);

/* upload.c */
MUST_USE int upload_routes(struct ingest *i);

/* api.c */
MUST_USE int ingest_routes(struct ingest *i);
