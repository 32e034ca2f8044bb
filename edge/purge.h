/* SPDX-License-Identifier: Apache-2.0 */
/* purge: what a response falls under, and the calls that make it go, here and at the other edges.
 *
 * Life:    purge_open (has caught up with the other edges, or its time is over) -> purge_route ->
 *          purge_stop once no request comes any more -> purge_free.
 * Owner:   struct edge.
 * Threads: tags: any. The rest: main's; the work is done on threads of its own.
 * Errors:  0 or -errno with a sentence in err.
 * Units:   seconds, milliseconds.
 *
 * A purge is a mark in lib/store/objects.h: nothing is told to workers, each looks at each use. */
#pragma once
#include "base/config.h"
#include "base/digest.h"
#include "base/field.h"
#include "edge/upstream.h"
#include "store/objects.h"

/* --- what a response falls under -------------------------------------------------------------- */

struct digest purge_url_tag(struct str key); /* as http_cache_key makes it */
struct digest purge_asset_tag(const struct upstream *u, struct str asset);
struct digest purge_surrogate_tag(const struct upstream *u, struct str name);

/* Of a response of an http upstream: its URL; each folder of its path ("/a/b/c.ts" is of the assets
 * "", "a" and "a/b"); each name in Surrogate-Key and xkey. key: http_cache_key's. *ret_count is at
 * most OBJECTS_TAGS_MAX. -E2BIG: there are more, and the response may not be kept: a purge could
 * not find it. response NULL: what is known before the head came. */
MUST_USE int purge_tags(const struct upstream *u, struct str key, const struct fields *response,
                        struct digest out[OBJECTS_TAGS_MAX], unsigned *ret_count);

/* --- calls ------------------------------------------------------------------------------------ */

#define PURGE_EDGES_MAX 64

struct purge_config {
    char **urls; /* of the other edges' admin_listen, without a path; its own does no harm */
    unsigned urls_count;
    char *credential_file; /* sent to them; NULL: admin_credential_file's */
    char *ca_file;         /* roots trusted for https ones; NULL: the system's */
    char *catch_up;        /* how long a start waits for them; NULL: 3s */
};

extern const cyaml_schema_field_t purge_config_fields[];
MUST_USE int purge_check(const struct purge_config *c, struct err *err);

struct edge;
struct http_server;
struct purge;

MUST_USE int purge_open(struct edge *e, struct err *err, struct purge **ret);
MUST_USE int purge_route(struct purge *p, struct http_server *admin);
void purge_stop(struct purge *p);

/* Between edges, any thread: the field of a question to another edge (nothing is appended where
 * there are none), and whether who gets it knows all purges that its asker knows. A question has to
 * be made after the sequence was read that its answer will carry. */
#define PURGE_DEMAND_FIELD "weir-purges"
void purge_demand(struct purge *p, struct buf *out);
bool purge_covers(struct purge *p, struct str demand);

struct purge *purge_free(struct purge *p);
