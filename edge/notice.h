/* SPDX-License-Identifier: Apache-2.0 */
/* notice: hears from Weir origins which refs move, and tells all workers.
 *
 * Life:    notices_new on the first worker -> streams come, break and come again -> notices_free.
 * Owner:   that worker.
 * Threads: its loop; the workers hear by spread.h, each in the same order.
 * Errors:  logged: without notices refs are asked for again when ref_ttl_ms is over.
 * Units:   milliseconds.
 *
 * There is a stream to each server of each upstream of kind weir (docs/api.md, GET /refs/watch).
 * While all streams of an upstream are live, what a worker has asked for since they are is true
 * until a notice says otherwise. An era is such a time without a gap: a stream that goes on where
 * it broke continues it, any other one begins the next. */
#pragma once
#include "edge/edge.h"

#define NOTICE_SILENCE_MS 5000 /* a stream without a byte for so long has broken */

struct notices;

MUST_USE int notices_new(struct edge_worker *w, struct notices **ret);
struct notices *notices_free(struct notices *n);

enum notice_kind {
    NOTICE_LIVE,  /* from now on what was asked for in this era holds */
    NOTICE_DOWN,  /* and no longer */
    NOTICE_MOVED, /* asset shows presentation */
    NOTICE_GONE,  /* asset is no more */
};

struct notice {
    enum notice_kind kind;
    unsigned upstream; /* its index */
    uint64_t era;      /* of NOTICE_LIVE; never 0 */
    struct digest presentation;
    char asset[STORE_NAME_MAX + 1];
};

/* A "ref" event's data; -EBADMSG when not of the form. Fills kind, asset and presentation. */
MUST_USE int notice_parse(struct str data, struct notice *ret);
