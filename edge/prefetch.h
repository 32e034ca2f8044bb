/* SPDX-License-Identifier: Apache-2.0 */
/* prefetch: the next segments of what is playing, fetched before they are asked for.
 *
 *   a viewer asks for a segment -> who is next? -> queue -> under the limits: ahead.h -> kept
 *
 * Next is, of a Weir title, what follows in the track; of an http route what the player says
 * (CMCD nor), else what follows in a media playlist that was asked for lately, else the name with
 * the next number.
 *
 * Life:    prefetch_new, prefetch_worker_new per worker -> prefetch_* per request ->
 *          prefetch_worker_free -> prefetch_free.
 * Owner:   struct edge, its workers.
 * Threads: struct prefetch: any; struct prefetch_worker: its loop's.
 * Errors:  none: what cannot be fetched ahead is fetched when it is asked for.
 * Units:   bytes a second, milliseconds.
 *
 * Viewers come first: no more than `concurrent` fills at once and `rate` bytes a second, all
 * workers together; what waits longer than PREFETCH_WAIT_MS is forgotten. */
#pragma once
#include "edge/edge.h"
#include "edge/gate.h"

#define PREFETCH_SEGMENTS_MAX 16
#define PREFETCH_QUEUE        64u
#define PREFETCH_WAIT_MS      4000

struct prefetch_config {
    unsigned segments;   /* 0: 2 */
    char *rate;          /* NULL: 50M; "none": without a limit */
    unsigned concurrent; /* 0: 4 */
};

struct prefetch;
struct prefetch_worker;

extern const cyaml_schema_field_t prefetch_fields[];
MUST_USE int prefetch_check(const struct prefetch_config *c, struct err *err); /* takes NULL */

/* config NULL: *ret is NULL, and all below takes that. */
MUST_USE int prefetch_new(const struct prefetch_config *c, struct metrics *m,
                          struct prefetch **ret);
struct prefetch *prefetch_free(struct prefetch *p);
MUST_USE int prefetch_worker_new(struct edge_worker *w, struct prefetch *p,
                                 struct prefetch_worker **ret);
struct prefetch_worker *prefetch_worker_free(struct prefetch_worker *w);

/* A viewer asks for this blob of this title. */
void prefetch_blob(struct prefetch_worker *w, const struct upstream *u, const struct title *t,
                   const struct digest *d);

/* A viewer asks for this URL, which has this key. */
void prefetch_url(struct prefetch_worker *w, struct http_req *req, const struct route *route,
                  const struct gate_pass *pass, const struct digest *key);
