/* SPDX-License-Identifier: Apache-2.0 */
/* publish: puts a finished film on the origin and into the catalogue.
 *
 * Life:    one call.
 * Owner:   the job's thread.
 * Threads: makes a few for the uploads, joins them.
 * Errors:  as remote.h. Nothing is visible before everything is up: the ref moves last. A catalogue
 *          that does not answer is a warning only: the film is published then.
 * Units:   bytes. */
#pragma once
#include "ingest/remote.h"
#include "ingest/work.h"

struct publish_state {
    atomic_uint_fast64_t blobs, blobs_done; /* to be sent, and sent */
    _Atomic bool is_publishing;             /* the uploads are through */
};

struct publish_done {
    struct digest presentation;
    uint64_t generation;
    struct err warning; /* empty text: none */
};

MUST_USE int publish_film(const struct remote *remote, const struct work *w,
                          const struct presentation *p, const atomic_bool *stop,
                          struct publish_state *state, struct publish_done *ret, struct err *err);

/* Whether the asset shows that presentation; moves the ref back to it when it does not, but the
 * origin still has all its blobs. -ENOENT: it has not. A title (NULL: as it is) that differs makes
 * a new presentation of the same tracks. Tells the catalogue in any case. */
MUST_USE int publish_again(const struct remote *remote, const char *asset,
                           const struct digest *presentation, const char *title,
                           struct publish_done *ret, struct err *err);
