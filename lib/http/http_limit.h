/* SPDX-License-Identifier: Apache-2.0 */
/* http_limit: the clients of a server by address: how many connections each has, and the bucket
 * that its paced answers share. A /64 counts as one address of IPv6: it is what one customer gets.
 *
 * Life:    http_limits_new -> (http_limit_enter -> http_limit_leave)* -> http_limits_free, when all
 *          have left.
 * Owner:   the server; an entry lives while somebody is in it.
 * Threads: any.
 * Errors:  0 or -errno.
 * Units:   connections; bytes, bytes a second, microseconds. */
#pragma once
#include <pthread.h>
#include <sys/socket.h>
#include "base/base.h"

struct http_limits;
struct http_limit; /* one address */

/* A token bucket: what may be sent now. Zeroed: nothing was sent yet, so a whole burst is free. */
struct http_bucket {
    uint64_t rate; /* bytes a second */
    uint64_t burst;
    int64_t tokens;
    uint64_t at_us;
};

/* How much of want may go now; 0: nothing before *ret_wait_us have passed. What goes is taken by
 * http_bucket_take, which may overdraw: the debt is waited off. */
uint64_t http_bucket_ask(struct http_bucket *b, uint64_t rate, uint64_t burst, uint64_t now_us,
                         uint64_t want, uint64_t *ret_wait_us);
void http_bucket_take(struct http_bucket *b, uint64_t bytes);

MUST_USE int http_limits_new(struct http_limits **ret);
struct http_limits *http_limits_free(struct http_limits *l);

/* -EBUSY: max of them are there already (0: no limit). -EAFNOSUPPORT: no address of IP. */
MUST_USE int http_limit_enter(struct http_limits *l, const struct sockaddr *address, unsigned max,
                              struct http_limit **ret);
struct http_limit *http_limit_leave(struct http_limits *l, struct http_limit *e); /* takes NULL */

uint64_t http_limit_ask(struct http_limits *l, struct http_limit *e, uint64_t rate, uint64_t burst,
                        uint64_t now_us, uint64_t want, uint64_t *ret_wait_us);
void http_limit_take(struct http_limits *l, struct http_limit *e, uint64_t bytes);

unsigned http_limits_count(struct http_limits *l); /* addresses with somebody in them */
