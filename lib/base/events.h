/* SPDX-License-Identifier: Apache-2.0 */
/* events: a stream of server-sent events, read as its bytes come and written.
 *
 * Life:    events_init -> events_feed* -> events_clear.
 * Owner:   the caller's struct.
 * Threads: one at a time.
 * Errors:  events_feed: -EMSGSIZE a line or an event beyond EVENTS_SIZE_MAX, -ENOMEM, or what the
 *          callback returned; the stream is of no use then.
 * Units:   bytes.
 * Source:  HTML Living Standard, section 9.2 (server-sent events). */
#pragma once
#include "base/buf.h"

#define EVENTS_SIZE_MAX 8192

struct event {
    struct str name; /* "message" when the stream names none */
    struct str id;   /* the last one of the stream, this event's or an earlier one's */
    struct str data; /* lines joined by newlines */
};

/* Everything is lent for the call. Below 0 ends the feed. */
typedef int events_cb(void *arg, const struct event *e);

struct events {
    events_cb *cb;
    void *arg;
    struct buf line, name, id, data;
    bool has_data;
    bool skip_newline; /* a line has ended with a carriage return */
};

void events_init(struct events *s, events_cb *cb, void *arg);
MUST_USE int events_feed(struct events *s, struct str bytes);
void events_clear(struct events *s);

/* Appends one event; data has no newline. id: STR_NONE for none. */
void event_write(struct buf *out, struct str name, struct str id, struct str data);
