/* SPDX-License-Identifier: Apache-2.0 */
/* origin: the authoritative store behind an HTTP interface: blobs, refs and views (docs/api.md).
 *
 * Life:    origin_start -> serving -> origin_stop.
 * Owner:   main.
 * Threads: struct origin is read-only while serving; each worker has a struct origin_worker.
 * Errors:  0 or -errno with a sentence in err.
 * Units:   bytes, milliseconds. */
#pragma once
#include "base/config.h"
#include "base/metrics.h"
#include "base/secret.h"
#include "fetch/tier_config.h"
#include "http/http_config.h"
#include "media/title.h"
#include "origin/watch.h"
#include "store/store_config.h"

#define ORIGIN_MISSING_MAX     10000 /* digests in one POST /missing */
#define ORIGIN_BLOBS_NAMED_MAX 100   /* missing blobs listed in one answer */
#define ORIGIN_TITLES_MAX      256   /* parsed presentations a worker keeps */

struct origin_config {
    struct http_listen_config listen;
    unsigned workers;
    struct store_config store;
    struct tier_bucket_config *bucket;     /* NULL: none */
    struct tier_siblings_config *siblings; /* NULL: none */
    char *publish_credential_file;
    char *read_credential_file; /* NULL: reading is open */
    enum http_access_log access_log;
};

extern const cyaml_schema_value_t origin_schema;
MUST_USE int origin_check(const void *config, struct err *err);

struct origin {
    uint32_t magic;
#define ORIGIN_MAGIC UINT32_C(0x0419100a)
    struct secret publish;
    struct secret read; /* size 0: open */
    struct metrics *metrics;
    struct store_tier *bucket, *siblings; /* outlive the store */
    struct store *store;
    struct http_server *server;
    struct watch *watch;
    struct metric *published, *ref_reads;
};

struct origin_worker {
    struct origin *origin;
    struct store_worker *store;
    struct loop_watch *watch;
    struct title_cache *titles;
};

MUST_USE int origin_start(const struct origin_config *config, struct err *err, struct origin **ret);
void origin_stop(struct origin *o);
uint16_t origin_port(const struct origin *o);

/* False after answering 401 or 403 itself. */
bool origin_may_publish(struct origin *o, struct http_req *req);
bool origin_may_read(struct origin *o, struct http_req *req);

/* Answers for a failed store call. */
void origin_reply_store_error(struct http_req *req, int error);

/* Handlers, by file: blob_api.c, ref_api.c, view_api.c. */
http_handler origin_put_blob, origin_get_blob, origin_get_named_blob, origin_post_missing;
http_handler origin_put_ref, origin_get_ref, origin_delete_ref, origin_list_refs;
http_handler origin_watch_refs;
http_handler origin_get_view;
