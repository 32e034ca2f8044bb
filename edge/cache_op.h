/* SPDX-License-Identifier: Apache-2.0 */
/* cache_op: one client's request of something that may be kept, from its look-up to the last byte.
 *
 *   cache_serve -> decide -> use -> probe -> reply -> (the answer reads) -> closed
 *                     |-> ask -> answer -> use | pass | failed
 *
 * Life:    op_new -> ... -> op_end, once, on every path. Once it has replied it is the source of
 *          the answer: its close is the end.
 * Owner:   itself; the worker keeps the memory for the next one.
 * Threads: the request's loop.
 * Errors:  answered to the client.
 * Units:   bytes. */
#pragma once
#include "edge/cache_pass.h"

#define CACHE_TRIES_MAX 4u  /* of what changed while it was asked for */
#define CACHE_GAPS_MAX  3u  /* in a row without a byte */
#define CACHE_LOST_LOOK 64u /* blocks looked for where one was lost */
#define CACHE_RANGE_WAIT                                                                           \
    (UINT64_C(8) << 20) /* of a body without a size, before a range is given up */

struct cache_op {
    uint32_t magic;
#define CACHE_OP_MAGIC UINT32_C(0xca0b0b5e)
    struct cache_op *next; /* in the worker's list of free ones */
    struct cache_worker *worker;
    struct http_req *req;
    const struct route *route;
    struct cache_request *request; /* NULL until an upstream is to be asked */
    struct digest primary, key;
    struct http_cache_ask ask;
    struct cache_object *object;
    const char *fwd, *detail; /* for Cache-Status; fwd NULL: a hit */
    unsigned fwd_status, tries;
    bool head_only, stored, collapsed, by_range;
    bool is_peer; /* it comes from another edge */

    /* While it waits for an answer. */
    struct cache_fill *fill;
    struct cache_waker *waker;
    bool started;

    /* While it reads: cache_read.c. */
    struct cache_waker *reader; /* in the body; NULL: the body is settled */
    struct rbuf *held;
    const uint8_t *data;
    uint64_t start;
    uint32_t size;
    uint64_t getting_offset;
    struct digest getting_digest;
    unsigned gaps;
    int read_error;
    bool getting, in_get, closed, replied, from_disk;
    bool own; /* the body is what came for this request: reading it is no further use of it */
};

/* cache_serve.c */
void op_end(struct cache_op *op);
void op_restart(struct cache_op *op);         /* what it had found is of no use */
MUST_USE int op_request(struct cache_op *op); /* makes op->request, if it is not there */

/* cache_read.c: from the object to the client. */
void op_use(struct cache_op *op, struct cache_object *o); /* takes the reference */
void op_leave_body(struct cache_op *op);
