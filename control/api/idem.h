/* SPDX-License-Identifier: Apache-2.0 */
/* idem: Idempotency-Key: a POST that is sent again, because its answer was lost, is not done again
 * but answered as the first time.
 *
 * The key counts for the caller, the operation and IDEM_LIFE_S. It is stored before the work, with
 * a digest of all that was asked, and the answer beside it after: who asks in between is told so
 * (409), who asks for something else with the same key as well (422). An answer that says "later"
 * (429, 5xx) is not kept. A process that dies during the work leaves a record that says "running";
 * after IDEM_RUN_MS it is taken over, and the work is done (again).
 *
 * Life:    idem_read on the loop -> idem_begin -> (the work, the answer rendered) -> idem_end.
 * Owner:   the call.
 * Threads: idem_read: the call's loop; the others: a pool thread.
 * Errors:  -EPROTO with the fault; -EALREADY: the call is rendered with the answer of then.
 * Units:   milliseconds since 1970.
 * Source:  draft-ietf-httpapi-idempotency-key-header-07. */
#pragma once
#include "control/api/call.h"

#define IDEM_LIFE_S   (24 * 3600)
#define IDEM_RUN_MS   60000
#define IDEM_BODY_MAX ((size_t)512 << 10) /* of an answer that is kept */

MUST_USE int idem_read(struct call *c);
MUST_USE int idem_begin(struct call *c);
void idem_end(struct call *c);

/* Deletes what is older than it counts. */
MUST_USE int idem_purge(struct db *db, int64_t now_ms);
