/* SPDX-License-Identifier: Apache-2.0 */
/* http: a server of HTTP/1.1 and HTTP/2 over TCP and TLS, one loop a worker thread, and the request
 * and response that handlers see. Handlers know nothing of the library underneath: an HTTP/3 front
 * end can drive the same ones.
 *
 * Life:    http_server_new -> http_route* -> http_server_start -> (serving) -> http_server_drain ->
 *          http_server_free (joins the workers).
 *          A request: handler called -> http_req_ref if it answers later -> exactly one http_reply*
 *          -> http_req_unref. A client that goes away in between makes replies do nothing.
 * Owner:   main owns the server; a request is the server's, kept alive by references.
 * Threads: a request is touched on its worker's loop only (http_req_loop; get back by loop_post).
 *          http_route before start; drain and free from any thread but a worker's.
 * Errors:  0 or -errno; err tells which address or file, and why.
 * Units:   bytes, milliseconds.
 * Source:  RFC 9110 (semantics, conditional requests, ranges), RFC 9112, RFC 9113. */
#pragma once
#include <jansson.h>
#include "base/addr.h"
#include "base/err.h"
#include "base/field.h"
#include "base/metrics.h"
#include "base/rbuf.h"
#include "base/str.h"
#include "http/loop.h"

#define HTTP_SIZE_UNKNOWN UINT64_MAX

struct http_server;
struct http_req;
struct secret;

struct http_certificate {
    const char *cert_file; /* PEM, with the chain behind it */
    const char *key_file;
    const char *ocsp_file; /* DER, its authority's answer; NULL: none */
};

struct http_listen {
    const char *address;   /* "127.0.0.1", "::" */
    uint16_t port;         /* 0: any free one, see http_server_port */
    const char *cert_file; /* the default certificate; NULL: no TLS */
    const char *key_file;
    const char *ocsp_file;
    const struct http_certificate *certificates; /* more, chosen by the name asked for (SNI) */
    unsigned certificates_count;
    const char *ticket_key_file; /* secrets that servers share; NULL: this process's own */
    const char *alt_svc;         /* RFC 7838, on every answer over TLS; NULL: none */
};

/* What is written on stderr for each request: nothing, a JSON line, or a line of the "combined"
 * form that web servers have. Tokens in URLs are redacted in both. */
enum http_access_log { HTTP_LOG_OFF, HTTP_LOG_JSON, HTTP_LOG_COMBINED };

/* How a request ended. */
struct http_done {
    unsigned status;        /* 499: the client left before an answer */
    uint64_t bytes;         /* of the body, sent */
    uint64_t first_byte_us; /* from the request to the answer's first byte; 0: none was sent */
    uint64_t duration_us;   /* to its last */
};

struct http_options {
    const struct http_listen *listens;
    unsigned listens_count;
    unsigned workers;        /* 0: one per core */
    uint64_t body_size_max;  /* a larger request body is answered 413; 0: 1 MiB */
    uint64_t body_total_max; /* of all bodies that are being received; 0: the larger of 256 MiB
                              * and four bodies. Beyond it the largest is answered 503 */
    const struct secret *body_secret; /* bodies above 64 KiB need this credential, else 401 before
                                       * they are read; NULL: anyone's are read. HTTP/1 only */
    uint32_t idle_ms;         /* a connection without a request; over HTTP/1 also the time a request
                              * may take to arrive, body included; and a client that takes nothing
                              * of its answer; 0: 60 s */
    uint32_t head_ms;         /* a request's head, or a TLS handshake, that takes longer ends the
                               * connection; 0: 15 s */
    uint32_t header_size_max; /* of a request's head; a larger one is answered 431; 0: 32 KiB */
    uint32_t connections_max; /* of all workers; beyond it idle ones go, or new ones are refused;
                               * 0: seven eighths of the descriptors that the process may have */
    uint32_t connections_per_address; /* beyond it new ones are refused; a /64 of IPv6 is one
                                       * address; 0: no limit */
    const struct addr_net *proxies; /* whose X-Forwarded-For is believed: http_req_peer is who they
                                     * say then. Lent while the server lives; NULL: nobody's */
    unsigned proxies_count;
    const char *server_name; /* the Server header, and this hop's name in Cache-Status */
    enum http_access_log access_log;
    uint32_t ocsp_look_ms;   /* how often OCSP files are looked at; 0: 60 s */
    struct metrics *metrics; /* NULL: none */
    const char *metric_prefix;
    /* Called on each worker's thread once its loop stands and before it accepts; what it returns is
     * http_req_worker(). NULL result with *ret_r < 0 stops the start. worker_stop: at its end. */
    void *(*worker_start)(void *arg, struct loop *loop, unsigned index, int *ret_r);
    void (*worker_stop)(void *arg, void *worker);
    /* Called when a request's answer is out or its client has left, on the request's loop; the
     * request can be asked nothing but http_req_room and http_req_worker. May be NULL. */
    void (*request_done)(void *arg, struct http_req *req, const struct http_done *done);
    void *arg;
};

MUST_USE int http_server_new(const struct http_options *options, struct err *err,
                             struct http_server **ret);

/* Methods as a set, for routes. HEAD is answered wherever GET is: the handler sees GET, the body
 * stays out. A path that has a route but not the method is answered 405 with Allow. */
enum {
    HTTP_GET = 1,
    HTTP_POST = 2,
    HTTP_PUT = 4,
    HTTP_DELETE = 8,
    HTTP_PATCH = 16,
    HTTP_OPTIONS = 32,
};

/* pattern: "/metrics" that path alone; "/blob/": it and all below. The longest match wins. */
typedef void http_handler(struct http_req *req, void *arg);
MUST_USE int http_route(struct http_server *s, unsigned methods, const char *pattern,
                        http_handler *handler, void *arg);

/* The same for a route whose handler takes the body as it comes: it is called once the head is
 * here, and either answers or calls http_req_receive. Beyond body_size_max: 413 where the length
 * was told, else end(-EFBIG). The server's own body_size_max and body_secret do not count here. */
MUST_USE int http_route_stream(struct http_server *s, unsigned methods, const char *pattern,
                               http_handler *handler, void *arg, uint64_t body_size_max);

/* /metrics, /health/live and /health/ready (ready: NULL means always; else 503 while false). */
MUST_USE int http_route_status(struct http_server *s, struct metrics *metrics,
                               bool (*ready)(void *arg), void *arg);

MUST_USE int http_server_start(struct http_server *s, struct err *err);
uint16_t http_server_port(const struct http_server *s, unsigned listen_index);

/* TLS of running listeners anew; connections that stand keep what they have. After an error all is
 * as before. reload_tls reads the known files again; set_tls takes what listens
 * names, but for the addresses; they are as many as before. */
MUST_USE int http_server_reload_tls(struct http_server *s, struct err *err);
MUST_USE int http_server_set_tls(struct http_server *s, const struct http_listen *listens,
                                 unsigned count, struct err *err);

/* OCSP for certificates without an ocsp_file: the program asks the authority and hands the answer
 * in. index counts the certificates of all listeners. -ENOENT: behind the last; -ENODATA: nothing
 * to ask for this one. */
struct http_ocsp_ask {
    char *url;
    char *request; /* DER, to be sent by POST as application/ocsp-request */
    size_t request_size;
    int64_t due_s; /* when it should be asked again: seconds since 1970; 0: now */
};
MUST_USE int http_server_ocsp_ask(struct http_server *s, unsigned index, struct http_ocsp_ask *ret);
void http_ocsp_ask_clear(struct http_ocsp_ask *ask);
/* The answer, DER: checked as a client would; -EINVAL and err say what is wrong with it. */
MUST_USE int http_server_ocsp_set(struct http_server *s, unsigned index, struct str der,
                                  struct err *err);

/* Accepts no more, lets what is under way finish for at most wait_ms. Clients are told to go with
 * their next answer (Connection: close, GOAWAY); those that ask for nothing are let go soon. */
void http_server_drain(struct http_server *s, uint32_t wait_ms);
/* Drains of this process that wait at all wait so long, or until SIGTERM or SIGINT is pending: for
 * one whose place another process has taken. */
void http_server_linger(uint32_t ms);
struct http_server *http_server_free(struct http_server *s);

/* --- the request ------------------------------------------------------------------------------ */

struct http_req *http_req_ref(struct http_req *req);
struct http_req *http_req_unref(struct http_req *req);
bool http_req_gone(const struct http_req *req); /* the client left, or it was answered */

unsigned http_req_method(const struct http_req *req); /* one of HTTP_*; HEAD shows as GET */
bool http_req_is_head(const struct http_req *req);
struct str http_req_path(const struct http_req *req);      /* as sent, percent-coded, no query */
struct str http_req_query(const struct http_req *req);     /* behind the '?', or STR_NONE */
struct str http_req_scheme(const struct http_req *req);    /* "http", "https" */
struct str http_req_authority(const struct http_req *req); /* Host or :authority */
struct str http_req_header(const struct http_req *req, const char *name); /* lower-case name */

/* All header fields as they came, without Host; valid as long as the request is not gone. */
struct fields http_req_fields(const struct http_req *req);
struct str http_req_body(const struct http_req *req);
/* The client's address, no port; behind proxies of ours the one they tell. False, or an empty text:
 * it has none, or is gone already. */
bool http_req_client(const struct http_req *req, struct addr *ret);
struct str http_req_peer(struct http_req *req);
struct str http_req_id(const struct http_req *req); /* 32 hex: traceparent's trace-id, or new */
struct loop *http_req_loop(const struct http_req *req);
void *http_req_worker(const struct http_req *req);

/* --- a body that is taken as it comes --- */
struct http_intake_ops {
    /* The next bytes, at least one, lent for the call. Gives how many it has taken; fewer than size
     * (0 too): no more until http_req_more(). The client then waits: nothing piles up here but what
     * a socket's or a stream's buffer holds. May answer the request. */
    size_t (*data)(void *arg, const uint8_t *data, size_t size);
    /* Once, and nothing behind it: 0: that was all of the body; -ECANCELED: the request has been
     * answered before that. Else the request is to be answered now, as far as it still can be:
     * -ECONNRESET: the client broke off; -EBADMSG: it is wrongly coded; -EFBIG: it is too large;
     * -ETIMEDOUT: next to nothing came for idle_ms. */
    void (*end)(void *arg, int res);
};

/* For a request that is not answered yet, at most once; callbacks come on the loop's later turns,
 * until end at the latest when the request is gone. Also good on a route that has read its body. */
void http_req_receive(struct http_req *req, const struct http_intake_ops *ops, void *arg);
void http_req_more(struct http_req *req); /* there is room again; from anywhere on the loop */
uint64_t http_req_body_size(const struct http_req *req); /* as told; or HTTP_SIZE_UNKNOWN */

/* Room for what the server's user keeps of a request, zeroed when it comes. */
#define HTTP_REQ_ROOM 384
void *http_req_room(struct http_req *req);
uint64_t http_req_age_us(const struct http_req *req); /* since it came */

/* "Authorization: Bearer X" gives X; STR_NONE otherwise. */
struct str http_req_bearer(const struct http_req *req);

/* A number of the caller's, not 0, by which its response can be ended: http_cut_marked ends those
 * of this loop's worker that are not yet out, abruptly, and tells how many. Loop's thread. */
void http_req_mark(struct http_req *req, uint64_t mark);
unsigned http_cut_marked(struct http_server *s, struct loop *loop, uint64_t mark);

/* --- the response ----------------------------------------------------------------------------- */

/* Before the reply. name: static lower-case text; value is copied. */
void http_res_header(struct http_req *req, const char *name, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* The same for a field whose name is not known beforehand; both are copied. */
void http_res_field(struct http_req *req, struct str name, struct str value);

/* The answer is for this client alone: it says so to caches, and what else is said to shared ones,
 * by whoever has made the answer, is left out. Before any header of the reply. */
void http_res_private(struct http_req *req);

/* A small body, copied. type may be NULL (no Content-Type). */
void http_reply(struct http_req *req, unsigned status, const char *type, struct str body);

/* {"error":{"code":code,"message":...,"details":{}}} */
void http_reply_error(struct http_req *req, unsigned status, const char *code, const char *format,
                      ...) PRINTF_LIKE(4, 5);
void http_reply_json(struct http_req *req, unsigned status, json_t *value); /* takes value over */

/* Where a body's bytes come from, when they may not all be here yet. */
struct http_source_ops {
    /* Bytes at offset: 0 and at least one byte (*ret_data lent until the next read or close);
     * -EAGAIN: none yet, http_req_wake() will be called; other errors end the response abruptly. */
    int (*read)(void *source, uint64_t offset, uint32_t size_max, const uint8_t **ret_data,
                uint32_t *ret_size);
    void (*close)(void *source); /* exactly once: sent, failed, or the client left */
};
struct http_entity {
    /* 0: 200. Another (or 200) is sent as it is: no condition, no range */
    unsigned status;
    const char *type;          /* Content-Type */
    const char *etag;          /* with its quotes, strong; NULL: none */
    const char *cache_control; /* NULL: none */
    int64_t modified_s;        /* Last-Modified; 0: none */
    struct rbuf *body;         /* a reference is taken; or NULL and: */
    const struct http_source_ops *source_ops;
    void *source;
    uint64_t
        size; /* of the source's whole body; HTTP_SIZE_UNKNOWN: no ranges, ends at read -ENODATA */
    /* Further ones, lent as the source is, without control characters. Where there are any, etag,
     * cache_control and modified_s are taken to be among them: they decide, and are not written. */
    struct fields fields;
};

/* Answers 200, 206 (one range, or multipart/byteranges), 304, 412 or 416 as the request's
 * preconditions and Range say; the body is sent in pieces that stay in cache. The source is closed
 * in every case, also when the request is gone. */
void http_reply_entity(struct http_req *req, const struct http_entity *e);
void http_req_wake(struct http_req *req); /* the source has more, or its end */

/* Before http_reply_entity: its body is sent with at most rate bytes a second, the first burst
 * bytes and what was saved up since apart. What it shares the rate with: all paced answers on its
 * connection, or all to the client's address; the rate asked for last counts. rate > 0. */
enum http_pace_by { HTTP_PACE_CONNECTION, HTTP_PACE_ADDRESS };
void http_res_pace(struct http_req *req, uint64_t rate, uint64_t burst, enum http_pace_by by);
