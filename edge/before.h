/* SPDX-License-Identifier: Apache-2.0 */
/* before: what an asset showed before, so that players who hold an older manifest can go on.
 *
 * Life:    before_new -> calls -> before_free, once no load is under way.
 * Owner:   the worker.
 * Threads: the worker's loop.
 * Errors:  none: what cannot be told is not admitted.
 * Units:   none.
 *
 * The last BEFORE_MAX presentations that this host has served of an asset are refs in its store,
 * under names of ours, so they outlive a restart. A name of ours that somebody gave to an asset
 * does no harm: a presentation counts for the asset that it names only. */
#pragma once
#include "edge/edge.h"

#define BEFORE_MAX 8

struct before;

MUST_USE int before_new(struct edge_worker *w, struct before **ret);
struct before *before_free(struct before *b);

/* The asset shows that presentation now. */
void before_remember(struct before *b, const struct upstream *u, struct str asset,
                     const struct digest *presentation);
/* It is gone. */
void before_forget(struct before *b, const struct upstream *u, struct str asset);

/* Whether the blob belongs to one of them, and to no track above height_max. cb may run before
 * before_ask returns. */
typedef void before_cb(void *arg, bool admitted);
void before_ask(struct before *b, const struct upstream *u, struct str asset,
                const struct digest *blob, uint32_t height_max, before_cb *cb, void *arg);
