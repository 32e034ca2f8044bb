/* SPDX-License-Identifier: Apache-2.0 */
/* title: a presentation ready to serve: parsed, and its blobs indexed; and a small cache of them.
 *
 * Life:    title_new (1 reference) -> title_ref/title_unref. title_cache_new -> _add/_get ->
 *          title_cache_free.
 * Owner:   reference holders; the cache holds one for each entry.
 * Threads: one: each worker has its own titles and its own cache.
 * Errors:  -EBADMSG bytes that are no presentation; -ENOMEM.
 * Units:   none. */
#pragma once
#include "media/presentation.h"

struct title {
    uint32_t magic;
    uint32_t refs;
    struct digest digest; /* of the presentation's bytes */
    struct presentation *presentation;
    struct digest *blobs; /* every digest it names, sorted, each once */
    uint32_t blobs_count;
};

MUST_USE int title_new(const struct digest *d, struct str bytes, struct title **ret,
                       struct err *err);
struct title *title_ref(struct title *t);
struct title *title_unref(struct title *t); /* takes NULL, returns NULL */
bool title_names(const struct title *t, const struct digest *d);

/* Whether the blob is part of a video track with more lines than height_max (0: no cap), and of no
 * track that is allowed. */
bool title_capped(const struct title *t, const struct digest *d, uint32_t height_max);

/* Holds the `slots` titles used last. */
struct title_cache;
MUST_USE int title_cache_new(unsigned slots, struct title_cache **ret);
struct title_cache *title_cache_free(struct title_cache *c);
struct title *title_cache_get(struct title_cache *c, const struct digest *d); /* lent, or NULL */
void title_cache_add(struct title_cache *c, struct title *t); /* takes a reference of its own */
