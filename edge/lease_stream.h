/* SPDX-License-Identifier: Apache-2.0 */
/* lease_stream: control's stream of ended sessions, taken apart: server-sent events, of which only
 * "data: SESSION" and "event: gap" count.
 *
 * Life:    = {0} -> lease_stream_feed* -> (forgotten).
 * Owner:   the caller's struct.
 * Threads: one at a time.
 * Errors:  -EBADMSG: a line that is longer than any of ours, or a session that is none.
 * Units:   bytes.
 * Source:  WHATWG HTML, section 9.2.6 (lines end with LF, CR or CRLF). */
#pragma once
#include "lease/lease.h"

#define LEASE_STREAM_LINE_MAX 512

struct lease_stream {
    char line[LEASE_STREAM_LINE_MAX];
    size_t size;
    bool after_cr;
    bool is_gap; /* of the event that is being read */
    char session[LEASE_TEXT_MAX + 1];
};

/* on_event: session is STR_NONE for a gap. An error of it ends the feeding. */
MUST_USE int lease_stream_feed(struct lease_stream *s, const void *bytes, size_t size,
                               void (*on_event)(void *arg, struct str session), void *arg);
