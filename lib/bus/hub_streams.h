/* SPDX-License-Identifier: Apache-2.0 */
/* hub_streams: the streams of one process's memory.
 *
 * Life:    hub_streams_new -> hub_streams_add, _read, _ack* -> hub_streams_free.
 * Owner:   the hub.
 * Threads: under the hub's lock.
 * Errors:  -ENOMEM, -ENOBUFS (HUB_STREAMS_MAX, HUB_GROUPS_MAX), -EPROTO: not an id.
 * Units:   milliseconds of the monotonic clock, given by the caller. */
#pragma once
#include "bus/bus.h"

#define HUB_STREAMS_MAX    4096
#define HUB_GROUPS_MAX     256 /* of a stream */
#define HUB_STREAM_ID_SIZE 24

struct hub_streams;

MUST_USE int hub_streams_new(struct hub_streams **ret);
struct hub_streams *hub_streams_free(struct hub_streams *h); /* takes NULL, returns NULL */

MUST_USE int hub_streams_add(struct hub_streams *h, struct str key, struct str text, uint64_t keep,
                             char ret_id[HUB_STREAM_ID_SIZE]);

/* *ret is a list of {id, text} lists, all of it in *ret_room, which the caller frees. */
MUST_USE int hub_streams_read(struct hub_streams *h, const struct bus_stream_read *read,
                              uint64_t now_ms, struct bus_answer *ret, char **ret_room);
MUST_USE int hub_streams_ack(struct hub_streams *h, struct str key, struct str group, struct str id,
                             bool *ret);
