/* SPDX-License-Identifier: Apache-2.0 */
/* edges: those that viewers may be sent to, and how they are: each is asked once a second by a
 * thread of this module. What is chosen is edge_choice.h's.
 *
 * Life:    edges_new -> edges_watch (the thread starts, where there is a choice at all) ->
 *          edges_pick* -> edges_free (the thread ends).
 * Owner:   struct live, which is replaced as a whole.
 * Threads: edges_pick: any. The rest: one.
 * Errors:  0 or -errno and a sentence.
 * Units:   milliseconds.
 *
 * An edge is up when its status_url's /health/ready answers 200, or, without one, when whatever
 * answers at its url is not a failure (5xx). It is down after EDGES_FAILURES that were not so. Its
 * load is what it has sent in the last seconds, by its own count, of capacity_mbps. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "control/plans/edge_choice.h"

#define EDGES_ASK_MS   1000
#define EDGES_WAIT_MS  1500 /* for an answer */
#define EDGES_FAILURES 2    /* in a row */

struct control_config;
struct edges;

MUST_USE int edges_new(const struct control_config *config, struct err *err, struct edges **ret);
struct edges *edges_free(struct edges *e); /* takes NULL, returns NULL */

/* old: those before a reload, whose state the same edges inherit; NULL: none. */
MUST_USE int edges_watch(struct edges *e, const struct edges *old);

/* The URL of the best one, without a slash at the end; lives as long as e. */
const char *edges_pick(struct edges *e, const struct edge_viewer *viewer, struct str lot);

void edges_origins(const struct edges *e, struct buf *out); /* all URLs, parted by blanks */
unsigned edges_up(const struct edges *e);                   /* how many are not down */
