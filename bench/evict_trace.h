/* SPDX-License-Identifier: Apache-2.0 */
/* evict_trace: a trace of requests in memory: which object, how large; from a generator or a file.
 *
 * Life:    = {0} -> evict_trace_object, evict_trace_request ... -> evict_trace_finish -> _free.
 * Owner:   the caller.
 * Threads: one while it is filled, then any.
 * Errors:  -ENOMEM, -EFBIG; the readers say what is wrong with a file in one sentence.
 * Units:   bytes; objects are numbered from 0 in the order in which they were made. */
#pragma once
#include "base/digest.h"

#define EVICT_NEVER        UINT32_MAX /* in next: not asked for again */
#define EVICT_REQUESTS_MAX (UINT32_MAX - 1)

struct evict_trace {
    uint32_t objects_count, objects_cap;
    uint32_t requests_count, requests_cap;
    uint32_t *sizes;    /* of each object, at least 1; that of its first request */
    uint32_t *requests; /* the object of each request */
    /* Made by evict_trace_finish: */
    uint32_t *next;         /* of each request: the place of the next one for the same object */
    struct digest *digests; /* of each object */
    uint64_t footprint;     /* bytes of all objects that are asked for */
    uint64_t bytes;         /* bytes of all requests */
};

MUST_USE int evict_trace_object(struct evict_trace *t, uint32_t size, uint32_t *ret_object);
MUST_USE int evict_trace_request(struct evict_trace *t, uint32_t object);
MUST_USE int evict_trace_finish(struct evict_trace *t);
void evict_trace_free(struct evict_trace *t);
