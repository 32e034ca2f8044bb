/* SPDX-License-Identifier: Apache-2.0 */
/* views: rendered manifests, kept, because those of a long film take many milliseconds to write.
 *
 * Life:    views_new -> views_resolve* -> views_free.
 * Owner:   the worker; a found view is a struct view_body, cleared by the caller.
 * Threads: the worker's loop.
 * Errors:  as view_resolve.
 * Units:   bytes. */
#pragma once
#include "base/rbuf.h"
#include "media/title.h"
#include "media/view.h"

#define VIEWS_SLOTS    128
#define VIEWS_SIZE_MAX (UINT32_C(32) << 20) /* of all kept ones; those used last stay */

struct views;

struct view_body {
    const char *type; /* static text */
    bool is_blob;
    struct digest digest; /* of the blob, or of the text */
    struct rbuf *text;    /* a reference; NULL for a blob */
};

MUST_USE int views_new(struct views **ret);
struct views *views_free(struct views *v);
MUST_USE int views_resolve(struct views *v, const struct title *t, struct str rest,
                           uint32_t height_max, struct view_body *ret, bool *ret_is_new);
