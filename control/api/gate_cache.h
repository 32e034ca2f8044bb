/* SPDX-License-Identifier: Apache-2.0 */
/* gate_cache: which answers are kept (cache.h), for whom, and when they are void.
 *
 * What `by: viewer` says is the same for all viewers of one age limit and country; creators and
 * administrators may see more of what is theirs, so they are always answered anew. Such an answer
 * shows documents that the database keeps in memory, and counts only while that does (db_mirror.h):
 * then every change of them is heard of.
 *
 * Life:    gate_cache_find when it is known who asks, gate_cache_keep with the answer.
 * Owner:   the call.
 * Threads: the call's loop; gate_changed: any.
 * Errors:  -ENOMEM.
 * Units:   - */
#pragma once
#include "control/api/call.h"
#include "control/api/gate.h"

/* c->cache_id: what the path names, as sent. The call is rendered where an answer was found. */
MUST_USE int gate_cache_find(struct gate *g, struct call *c);
void gate_cache_keep(struct gate *g, struct call *c);

/* Answers that show things of that kind, or the one of that id, are void. */
void gate_changed(struct gate *g, const char *kind, const char *id);
void gate_changed_all(struct gate *g);
