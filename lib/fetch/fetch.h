/* SPDX-License-Identifier: Apache-2.0 */
/* fetch: requests to upstreams (origin, control, ingest) on a loop, pooled and retried.
 *
 * Life:    fetch_new per loop -> fetch_start* -> (callbacks) -> fetch_free (cancels the rest).
 *          A request: fetch_start -> on_head? -> on_data* -> on_done exactly once, unless
 *          cancelled: after fetch_cancel no callback comes. The first comes on the loop's next turn
 *                     or later.
 *          fetch_start and fetch_cancel may be called from any callback, fetch_free from none.
 * Owner:   the loop's thread. The request struct is read during fetch_start only; its strings are
 *          copied, its body is referenced.
 * Threads: the loop's.
 * Errors:  on_done res: 0 when an answer came whole, whatever its status; -ECONNREFUSED,
 *          -ETIMEDOUT, -ECONNRESET (broke off), -EBADMSG (not HTTP, or TLS refused), -EFBIG, -EIO,
 *          -EHOSTDOWN (circuit open: not tried).
 * Units:   milliseconds, bytes. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "base/rbuf.h"
#include "base/str.h"
#include "base/field.h"
#include "http/loop.h"

struct fetch;
struct fetch_op;

struct fetch_options {
    const char *ca_file;       /* trusted roots; NULL: the system's */
    uint32_t connect_ms;       /* 0: 2 s */
    uint32_t stall_ms;         /* no byte for that long; 0: 10 s */
    unsigned retries;          /* of idempotent requests before the first byte, with backoff */
    unsigned breaker_failures; /* this many in a row open the circuit of a host; 0: 8 */
    uint32_t breaker_ms;       /* and keep it open that long; 0: 1 s */
    unsigned connections_max;  /* per host; 0: 64 */
    const char *cert_file;     /* PEM, shown to upstreams that ask for one; NULL: none */
    const char *key_file;
    bool http2; /* offered by ALPN to https upstreams */
};

MUST_USE int fetch_new(struct loop *loop, const struct fetch_options *options, struct fetch **ret);
struct fetch *fetch_free(struct fetch *f);

struct fetch_head {
    unsigned status;
    uint64_t size; /* Content-Length, or UINT64_MAX */
    struct str type;
    struct fields fields; /* all of them, hop-by-hop ones included; lent for the call */
};

struct fetch_request {
    const char *method; /* "GET", "PUT", ... */
    const char *url;
    const char *bearer;      /* Authorization: Bearer; NULL: none */
    const char *trace_id;    /* 32 hex digits for traceparent; NULL: a new one */
    const char *type;        /* Content-Type of the body; NULL: none */
    const char *unix_socket; /* NULL: TCP */
    struct rbuf *body;       /* NULL: none */
    struct fields fields;    /* further ones, sent as they are; a Host among them counts */
    /* NULL where not wanted. on_data may return -errno to end the request with it. */
    int (*on_head)(void *arg, const struct fetch_head *head);
    int (*on_data)(void *arg, const uint8_t *data, size_t size);
    void (*on_done)(void *arg, int res, unsigned status);
    void *arg;
};

MUST_USE int fetch_start(struct fetch *f, const struct fetch_request *request,
                         struct fetch_op **ret);
void fetch_cancel(struct fetch_op *op);

/* No on_data until it is let go on: the upstream feels it by its window. A pause is no stall. */
void fetch_pause(struct fetch_op *op, bool paused);

/* For programs without a loop (weirctl, ingest's threads, tests): one request, whole body into out,
 * which is at most size_max and left as it was by a failure. request's callbacks are not used. One
 * fetch_client per thread; keeps its connections. */
struct fetch_client;
MUST_USE int fetch_client_new(const struct fetch_options *options, struct fetch_client **ret);
struct fetch_client *fetch_client_free(struct fetch_client *c);
MUST_USE int fetch_client_run(struct fetch_client *c, const struct fetch_request *request,
                              size_t size_max, unsigned *ret_status, struct buf *out,
                              struct err *err);
