/* SPDX-License-Identifier: Apache-2.0 */
/* http_text: small readers of what a stranger sent: trace headers, and what must not be logged.
 *
 * Life:    none.
 * Owner:   the caller's memory.
 * Threads: any.
 * Errors:  -EINVAL: not of the form; nothing is written then.
 * Units:   bytes.
 * Source:  W3C Trace Context section 3.2 (traceparent). */
#pragma once
#include "base/buf.h"
#include "base/id.h"

/* The trace-id of a traceparent header. */
MUST_USE int http_traceparent_parse(struct str value, char ret_id[ID_TEXT_SIZE]);

/* Appends target (a path with its query) with the value of every URISigningPackage replaced by
 * "redacted", also when its name is percent-coded, once or more: a token is a credential. */
void http_target_redact(struct str target, struct buf *out);
