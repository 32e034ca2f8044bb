/* SPDX-License-Identifier: Apache-2.0 */
/* remote: the origin and the control service as ingest calls them.
 *
 * Life:    struct remote lives with the daemon; a remote_client per thread: remote_client_new ->
 *          calls -> remote_client_free.
 * Owner:   the daemon; the thread.
 * Threads: struct remote is read-only; a client by one thread.
 * Errors:  0; -ECANCELED once *stop is set; -EHOSTDOWN after all retries; -ENOENT (404); -EIO the
 *          other side refused; err says what and why.
 * Units:   bytes, milliseconds.
 *
 * Requests are retried with growing pauses when the other side is away or answers 5xx (but not 507:
 * a full store does not empty itself). */
#pragma once
#include <stdatomic.h>
#include "base/digest.h"
#include "base/secret.h"
#include "fetch/fetch.h"

struct remote {
    const char *origin_url;
    struct secret origin_secret;  /* publish */
    const char *control_url;      /* NULL: none */
    struct secret control_secret; /* admin */
    const char *ca_file;
    unsigned tries; /* of each request; 0: REMOTE_TRIES */
};

#define REMOTE_TRIES 7 /* pauses of 0.25 s, doubled each time: about 16 s */

struct remote_client;

MUST_USE int remote_client_new(const struct remote *r, const atomic_bool *stop,
                               struct remote_client **ret);
struct remote_client *remote_client_free(struct remote_client *c);
DEFINE_CLEAN(struct remote_client *, remote_client_free)

/* Which of these the origin lacks: is_missing[i]. At most 10,000. */
MUST_USE int remote_missing(struct remote_client *c, const struct digest *digests, unsigned count,
                            bool *is_missing, struct err *err);
MUST_USE int remote_put_blob(struct remote_client *c, const struct digest *d, struct rbuf *bytes,
                             struct err *err);
MUST_USE int remote_get_blob(struct remote_client *c, const struct digest *d, struct buf *out,
                             struct err *err);
MUST_USE int remote_put_ref(struct remote_client *c, const char *asset, const struct digest *d,
                            uint64_t *ret_generation, struct err *err);
MUST_USE int remote_get_ref(struct remote_client *c, const char *asset, struct digest *ret,
                            uint64_t *ret_generation, struct err *err);

/* PUT /api/v1/admin/assets/<asset>; body is JSON. */
MUST_USE int remote_put_asset(struct remote_client *c, const char *asset, struct str body,
                              struct err *err);
