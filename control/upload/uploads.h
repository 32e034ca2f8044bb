/* SPDX-License-Identifier: Apache-2.0 */
/* uploads: films that creators send: through control to ingest, held nowhere on the way.
 *
 *   client ──multipart──▶ receive.c ──chunks──▶ weir-ingest (spool, job)
 *                            │ upload_doc.c: what is known of it       ▲
 *   client ◀──JSON, SSE── upload_ops.c          uploads.c: the sweep ──┘ how far the job is
 *
 * Life:    uploads_new -> uploads_attach (the first worker) -> ... -> uploads_detach ->
 *          uploads_free, behind the workers' end.
 * Owner:   the control service.
 * Threads: new and free: the main thread; attach and detach: the loop; the sweep has a thread.
 * Errors:  0 or -errno.
 * Units:   bytes. */
#pragma once
#include "control/api/call.h"

#define UPLOADS_SIZE_MAX (UINT64_C(64) << 30) /* unless configured */

struct uploads;

MUST_USE int uploads_new(struct control *c, struct uploads **ret);
struct uploads *uploads_free(struct uploads *u); /* takes NULL, returns NULL */
void uploads_attach(struct uploads *u, struct loop *loop);
void uploads_detach(struct uploads *u, struct loop *loop);

/* receive.c: `then` of the operation. */
void upload_receive(struct call *c);
