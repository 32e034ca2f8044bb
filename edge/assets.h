/* SPDX-License-Identifier: Apache-2.0 */
/* assets: what each asset's ref points to, as far as this worker knows, kept true by asking the
 * origin.
 *
 * Life:    assets_new -> assets_want* -> assets_free (answers who still waits with -ECANCELED).
 * Owner:   the worker.
 * Threads: the worker's loop.
 * Errors:  cb res: -ENOENT the origin has no such asset, others: neither the origin nor this host's
 *          cache could tell.
 * Units:   milliseconds.
 *
 * While the origin's notices come (notice.h), a ref that was asked for since they do is true until
 * one says otherwise; then its next presentation is loaded and the former one served until it is
 * here. Without notices a ref is fresh for ref_ttl_ms; then it is served once more while it is
 * asked for again (stale-while-revalidate), up to ASSETS_STALE_MS; older ones wait for the origin,
 * and count if the origin is away (stale-if-error). The last one seen is in the store, for after a
 * restart. */
#pragma once
#include "edge/edge.h"

#define ASSETS_MAX            4096 /* that a worker remembers; the least used go first */
#define ASSETS_STALE_MS       10000
#define ASSETS_RECENT_MS      250
#define ASSETS_TTL_MS_DEFAULT 2000

struct notice;

struct asset {
    struct title *now;
    struct title *before; /* the one it replaced, at hand; older ones: before.h. May be NULL */
    uint64_t checked_ms;  /* clock_mono_ms when the origin last said so; 0: not since start */
    bool stale;           /* the origin was away when last asked */
};

/* What an origin has told; in the order of the notices. */
void assets_notice(struct assets *a, const struct notice *notice);

MUST_USE int assets_new(struct edge_worker *w, struct assets **ret);
struct assets *assets_free(struct assets *a);

/* cb may run before assets_want returns; asset is lent for the call, NULL when res < 0. */
typedef void assets_cb(void *arg, int res, const struct asset *asset);
void assets_want(struct assets *a, const struct upstream *u, struct str name, assets_cb *cb,
                 void *arg);

/* The same, but what is older than ASSETS_RECENT_MS waits for the origin's word: for a view that is
 * not in what this worker knows, while another worker may have given out a newer manifest. */
void assets_want_recent(struct assets *a, const struct upstream *u, struct str name, assets_cb *cb,
                        void *arg);

/* The same for another edge, whose request had these fields. */
void assets_want_for_peer(struct assets *a, const struct upstream *u, struct str name,
                          const struct fields *came, assets_cb *cb, void *arg);
