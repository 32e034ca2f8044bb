/* SPDX-License-Identifier: Apache-2.0 */
/* lease_doc: a user's leases as one document, so that each change of them is one step of the
 * database. Pure: documents in, documents out.
 *
 * Life:    lease_doc_new or one that was read -> lease_doc_* -> written back where it has changed.
 * Owner:   the caller's document. Lists borrow their texts from *ret_from (json_decref after use).
 * Threads: one at a time.
 * Errors:  -ENOMEM; -EINVAL a text that is no UTF-8; those of lease.h's callbacks.
 * Units:   milliseconds since 1970, given by the caller.
 *
 * {"id": the user, "rev": raised with each change, "limit": as the last opening gave it,
 * "until_ms": when nothing in it counts any more, "crowd": a number of its own while there are two
 * sessions or more, "sessions": oldest first [{"session", "asset", "device", "device_name",
 * "started_ms", "expires_ms", "until_ms"}], "ended": [{"session", "until_ms", "over"}]} */
#pragma once
#include <jansson.h>
#include "lease/lease.h"

MUST_USE int lease_doc_new(struct str user, json_t **ret);

struct lease_doc_list {
    struct lease *at;
    unsigned count;
    json_t *from; /* its texts are there */
};
void lease_doc_list_clear(struct lease_doc_list *l);

/* A renewal with expires_ms takes up what another backend had: no longer than until then.
 *
 * Each first drops what has expired. 0 or an error; -EDQUOT changes the document as well. */
MUST_USE int lease_doc_open(json_t *doc, const struct lease *lease, unsigned limit, int64_t now_ms,
                            uint32_t life_ms, struct lease_doc_list *ret_full,
                            struct lease_doc_list *ret_ended);
MUST_USE int lease_doc_list(json_t *doc, int64_t now_ms, struct lease_doc_list *ret);
MUST_USE int lease_doc_end(json_t *doc, struct str session, int64_t now_ms);
MUST_USE int lease_doc_renew(json_t *doc, const struct lease *lease, int64_t now_ms,
                             uint32_t life_ms, enum lease_state *ret);
MUST_USE int lease_doc_trim(json_t *doc, unsigned limit, int64_t now_ms,
                            struct lease_doc_list *ret_over);

/* The names of those that were ended and whose tokens still live; borrowed from doc. */
const json_t *lease_doc_ended(const json_t *doc);

/* Raises rev and sets until_ms and crowd: before it is written. */
MUST_USE int lease_doc_seal(json_t *doc);
