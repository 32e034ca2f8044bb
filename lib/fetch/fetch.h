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
 *          -ETIMEDOUT, -ECONNRESET (broke off), -EBADMSG (not HTTP, a length or fields that cannot
 *          be, or TLS refused), -EFBIG, -EIO,
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
    bool http2;           /* offered by ALPN to https upstreams; else HTTP/1.1 */
    unsigned streams_max; /* `shared` ones on an HTTP/2 connection, then a further one; 0: 32 */
};

MUST_USE int fetch_new(struct loop *loop, const struct fetch_options *options, struct fetch **ret);
struct fetch *fetch_free(struct fetch *f);

#define FETCH_FIELDS_MAX      256
#define FETCH_FIELDS_SIZE_MAX (64u << 10)

struct fetch_head {
    unsigned status;
    uint64_t size; /* Content-Length, of a HEAD's or a 304's answer too; or UINT64_MAX */
    struct str type;
    struct fields fields; /* all of them, hop-by-hop ones included; lent for the call. At most
                             FETCH_FIELDS_MAX of together FETCH_FIELDS_SIZE_MAX, else -EBADMSG */
};

struct fetch_request {
    const char *method; /* "GET", "PUT", ... */
    const char *url;
    const char *bearer;      /* Authorization: Bearer; NULL: none */
    const char *trace_id;    /* 32 hex digits for traceparent; NULL: a new one */
    const char *type;        /* Content-Type of the body; NULL: none */
    const char *unix_socket; /* NULL: TCP */
    struct rbuf *body;       /* NULL: none */
    struct fields fields;    /* further ones, sent as they are; see below */
    uint32_t stall_ms;       /* of this one; 0: the fetch's */
    bool shared;             /* may have an HTTP/2 connection with others; is never paused then */
    /* NULL where not wanted. on_data may return -errno to end the request with it. */
    int (*on_head)(void *arg, const struct fetch_head *head);
    int (*on_data)(void *arg, const uint8_t *data, size_t size);
    void (*on_done)(void *arg, int res, unsigned status);
    /* In place of body: asked for its bytes as the upstream takes them. 0 and at least one byte in
     * out; -EAGAIN: none yet, fetch_body_more() is called when there are; -ENODATA: that was all;
     * another error ends the request with it. Sent in chunks; never retried, never `shared`. The
     * upstream may answer before the end: then no more is asked for. */
    int (*on_body)(void *arg, uint8_t *out, size_t size_max, size_t *ret_size);
    void *arg;
};

/* Of request->fields: a Host counts (and is the :authority of HTTP/2), a User-Agent and an Accept
 * replace the library's, traceparent replaces trace_id; Content-Length, Transfer-Encoding, Expect,
 * and hop-by-hop ones are fetch's own and left out; so are Authorization and Content-Type beside
 * bearer and type. Nothing is added that negotiates (no Accept-Encoding). -EINVAL for a name or a
 * value that HTTP does not allow. */
MUST_USE int fetch_start(struct fetch *f, const struct fetch_request *request,
                         struct fetch_op **ret);
void fetch_cancel(struct fetch_op *op);

/* No on_data until it is let go on: the upstream feels it by its TCP window, and no more is held
 * than one read (and what the kernel's socket buffer takes). A pause is no stall. Where no bytes
 * are missing, on_done may come in a pause. From any callback. Not for `shared` requests: libcurl
 * before 8 holds up all of an HTTP/2 connection for a paused stream of it. */
void fetch_pause(struct fetch_op *op, bool paused);

/* There are bytes for on_body, or their end. From any callback. Waiting for them is no stall. */
void fetch_body_more(struct fetch_op *op);

/* For programs without a loop (weirctl, ingest's threads, tests): one request, whole body into out,
 * which is at most size_max and left as it was by a failure. request's callbacks are not used. One
 * fetch_client per thread; keeps its connections. */
struct fetch_client;
MUST_USE int fetch_client_new(const struct fetch_options *options, struct fetch_client **ret);
struct fetch_client *fetch_client_free(struct fetch_client *c);
MUST_USE int fetch_client_run(struct fetch_client *c, const struct fetch_request *request,
                              size_t size_max, unsigned *ret_status, struct buf *out,
                              struct err *err);
