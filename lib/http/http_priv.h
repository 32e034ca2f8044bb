/* SPDX-License-Identifier: Apache-2.0 */
/* http_priv: what the files of lib/http share: the server, its workers, connections and requests.
 *
 * Life:    server: new -> start (threads) -> drain -> free. Worker: one thread's whole run.
 *          Request: made when the library calls our handler, holding one reference for the
 * library's side, dropped when the library disposes its own request; the rest are http_req_ref's.
 * Owner:   server owns workers; worker owns its connections, requests, listeners and the library's
 *          context.
 * Threads: a worker's members are its thread's, except where marked.
 * Errors:  0 or -errno.
 * Units:   bytes, milliseconds. */
#pragma once
#include <h2o.h>
#include <pthread.h>
#include <stdatomic.h>
#include "base/id.h"
#include "http/http.h"
#include "http/http_flood.h"
#include "http/http_limit.h"
#include "http/http_route.h"

#define HTTP_PIECE_SIZE (64 << 10) /* through TLS and HTTP/2: what stays in cache */
#define HTTP_PIECE_PLAIN                                                                           \
    (512 << 10)               /* HTTP/1 in clear: the kernel copies straight from our buffer */
#define HTTP_REQ_FREE_MAX 256 /* requests kept for reuse, a worker */
#define HTTP_LISTENS_MAX  16
#define HTTP_WORKERS_MAX  256
#define HTTP_SOCKETS_MAX  512 /* of a listener */
#define HTTP_ACCEPTS_MAX  16  /* in one turn, so that connections which stand get theirs */
#define HTTP_ACCEPT_RETRY 100 /* ms to wait when descriptors have run out */

struct http_worker;
struct http_intake;
struct http_linger;
struct st_h2o_http2_conn_t;

/* Why a connection was ended; the names are in http_conn.c. */
enum http_cut {
    HTTP_CUT_RESETS,
    HTTP_CUT_SETTINGS,
    HTTP_CUT_PINGS,
    HTTP_CUT_PRIORITY,
    HTTP_CUT_DATA,
    HTTP_CUT_HEADERS,
    HTTP_CUT_WINDOWS,
    HTTP_CUT_OTHERS,
    HTTP_CUT_HANDSHAKE,
    HTTP_CUT_SLOW_HEAD,
    HTTP_CUT_SLOW_BODY,
    HTTP_CUT_STALLED,
    HTTP_CUT_CREDENTIAL,
    HTTP_CUT_BODIES,
    HTTP_CUT_IDLE,
    HTTP_CUT_ROOM,
    HTTP_CUT_REASONS
};

struct tls_set;

struct http_tls { /* of a listener; never changed once it is there */
    struct http_tls *retired_next;
    struct tls_set *set;
    char *alt_svc; /* NULL: none */
    bool has_ticket_file;
};

struct http_listener {          /* of the server: one address */
    struct http_listen options; /* its strings are ours */
    uint16_t port;              /* as bound */
    unsigned place;             /* http_inherit.h */
    struct http_tls *tls;       /* NULL: clear text; swapped under server.lock */
};

struct http_figures {
    struct metric *requests[6]; /* by class: [1] is 1xx; [0] what has no class */
    struct metric *sent_bytes;
    struct metric *duration;
    struct metric *connections;
    struct metric *connections_total;
    struct metric *cut[HTTP_CUT_REASONS];
    struct metric *refused_full, *refused_address;
    struct metric *first_byte;
    struct metric *handshakes[2][2]; /* TLS 1.2, 1.3; in full, resumed */
    struct metric *handshakes_failed;
};

enum http_state { HTTP_STATE_NEW, HTTP_STATE_RUNNING, HTTP_STATE_DRAINED };

struct http_server {
    uint32_t magic;
#define HTTP_SERVER_MAGIC UINT32_C(0x48c5e1f2)
    enum http_state state;
    struct http_options options; /* listens is listeners[].options */
    char *server_name;
    struct http_listener listeners[HTTP_LISTENS_MAX];
    struct http_router router;
    struct http_figures figures;
    struct metrics *status_metrics; /* http_route_status */
    bool (*ready)(void *arg);
    void *ready_arg;
    h2o_globalconf_t conf;
    bool conf_made;
    struct http_worker *workers;
    unsigned workers_count;
    /* Old certificates: a connection that has not yet sent its first byte points at its context
     * without a reference (the library takes one with SSL_new), so they are kept to the end. */
    struct http_tls *tls_retired; /* under lock */
    struct pool *tls_pool;        /* reads OCSP files; NULL: no TLS */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* of a worker's state */
    struct http_limits *limits;
    atomic_uint connections;
    struct http_server *left_next;
};

struct http_handler { /* what the library keeps for us */
    h2o_handler_t super;
    struct http_server *server;
};

struct http_logger {
    h2o_logger_t super;
    struct http_server *server;
};

struct http_accept { /* of a worker: one listening socket */
    struct http_worker *worker;
    unsigned listener; /* of the server's */
    int fd;            /* until it is given to the library */
    h2o_socket_t *sock;
    const struct http_tls *tls; /* NULL: clear text */
    h2o_accept_ctx_t ctx;
};

enum http_conn_state { HTTP_CONN_HANDSHAKE, HTTP_CONN_OPEN };

struct http_conn {
    struct http_conn *next, *prev; /* in worker.conns: the last used first */
    struct http_worker *worker;
    struct http_accept *accept;
    h2o_socket_t *sock;
    enum http_conn_state state;
    bool is_served, is_refused; /* http_guard.c */
    bool is_asked;              /* it has had a request: http_seen.c */
    bool is_rehooked;           /* in worker.rehook */
    bool in_reset;              /* the client's RST_STREAM is being handled */
    bool h2_prefaced;
    bool is_told;      /* that it is to go: http_worker.c */
    bool is_idle;      /* counted in worker.idle */
    unsigned requests; /* under way, as handlers see them */
    struct http_conn *rehook_next;
    struct http_conn *watch_next, *watch_prev; /* in worker.watched */
    bool is_watched;
    h2o_socket_cb library_read;     /* http_guard.c */
    struct st_h2o_http2_conn_t *h2; /* NULL: HTTP/1 */
    ssize_t (*h2_expect)(struct st_h2o_http2_conn_t *conn, const uint8_t *src, size_t size,
                         const char **why); /* the library's */
    uint64_t idle_ms;                       /* since then without a request, or in its handshake */
    uint64_t partial_ms, partial_mark;      /* http_watch.c */
    uint64_t cut_ms;                        /* since then it is to go; 0: no */
    struct http_limit *address;             /* NULL: not counted */
    struct http_bucket bucket;              /* of paced answers */
    struct http_flood flood;
    struct http_seal *seal;      /* NULL: the library's TLS, or none */
    struct http_intake *intakes; /* bodies that handlers take as they come: http_intake.h */
    bool is_seen;                /* HTTP/1: the library has a part of the next request's head */
};

enum http_worker_state {
    HTTP_WORKER_STARTING,
    HTTP_WORKER_READY, /* waits for the others */
    HTTP_WORKER_FAILED,
    HTTP_WORKER_ENDED,
};

struct http_worker {
    struct http_server *server;
    unsigned index;
    pthread_t thread;
    bool thread_made;
    enum http_worker_state state; /* under server.lock */
    int start_result;             /* under server.lock */
    bool go, give_up;             /* under server.lock: what to do once ready */
    struct loop *loop;
    void *user; /* options.worker_start's */
    h2o_context_t ctx;
    bool ctx_made;
    struct http_accept *accepts; /* one a listener, or more: those that were inherited */
    unsigned accepts_count;
    struct loop_timer accept_retry;
    struct http_conn *conns, *conns_last;
    atomic_uint idle;          /* connections without a request, which may go when room is needed */
    struct http_conn *reading; /* the library reads from it now; NULL: it is gone */
    struct http_conn *rehook;  /* those whose callback is to be ours again */
    h2o_socket_cb http1_read;  /* the library's; learnt from the first connection */
    struct http_req *active;   /* those the library still knows */
    struct http_req *free;
    unsigned free_count;
    unsigned live; /* requests with references */
    struct loop_timer drain_timer;
    struct loop_timer guard_timer;
    struct loop_timer tls_timer;
    bool guard_runs;
    struct loop_timer watch_timer;
    bool watch_runs;
    struct http_conn *watched;      /* those that do not rest: http_watch.c */
    _Atomic uint64_t body_bytes;    /* of bodies that are here, or coming */
    _Atomic uint64_t h2_body_bytes; /* the same over HTTP/2 */
    uint64_t flush_until_ms;        /* what is answered at the stop goes out until then */
    atomic_bool draining;
    atomic_uint busy; /* requests under way, as counted while draining */
    bool stopping;
    h2o_buffer_prototype_t *h2_write_prototype; /* http_recycle.c */
    uint8_t *seal_buffer;                       /* http_seal.c */
    BIO *seal_sink;
    struct http_linger *lingers; /* http_linger.c */
    unsigned lingers_count;
};

/* --- the body being sent (http_body.c) ---------------------------------------------------------
 */

struct http_part { /* text (in the request's pool), then bytes of the entity */
    struct str text;
    uint64_t offset;
    uint64_t size;
};

struct http_body {
    h2o_generator_t generator;
    struct rbuf *rbuf; /* a reference; or */
    const struct http_source_ops *ops;
    void *source;
    bool size_known;
    struct http_part *parts; /* &one, or in the request's pool */
    struct http_part one;
    unsigned parts_count;
    unsigned part;
    bool text_sent;     /* of the present part */
    uint64_t part_sent; /* of its bytes */
    uint64_t total;     /* all that will be sent; UINT64_MAX: unknown */
    bool started, ended;
    bool waiting; /* for http_req_wake */
    bool pumping, woken;
};

struct http_pace { /* rate 0: not paced */
    uint64_t rate, burst;
    bool by_address;
    struct loop_timer timer;
};

struct http_stall { /* http_watch.c */
    uint64_t since_ms, acked, sent;
};

struct http_req {
    uint32_t magic;
#define HTTP_REQ_MAGIC UINT32_C(0x6e90b7a3)
    unsigned refs;
    struct http_worker *worker;
    struct http_req *next, *prev; /* in worker.active; next alone in worker.free */
    h2o_req_t *h2o;               /* NULL: disposed */
    struct http_conn *conn;       /* NULL as well then */
    bool answered;
    bool is_head;
    bool failed;   /* the body ended before its end */
    bool is_reuse; /* not the first on its connection */
    bool is_cut;   /* http_cut.c: the body ends as soon as it may */
    uint64_t mark;
    bool is_private; /* http_res_private */
    unsigned method;
    uint64_t start_us;
    uint64_t first_us; /* when the first byte of the answer was handed on; 0: not yet */
    uint64_t expect;   /* body bytes that the answer promised; UINT64_MAX: unknown */
    struct str path, query;
    struct str date; /* to be sent instead of now; lent until the head is out */
    char id[ID_TEXT_SIZE];
    bool has_client;
    struct addr client;
    char peer[ADDR_TEXT_SIZE]; /* the same as text, once it is asked for; "": not yet */
    struct http_body body;
    struct http_intake *intake; /* NULL: its body is in h2o->entity */
    _Alignas(16) char room[HTTP_REQ_ROOM];
    struct http_pace pace;
    struct http_stall stall;
};

static inline void http__req_check(const struct http_req *req)
{
    ASSERT(req != NULL);
    ASSERT(req->magic == HTTP_REQ_MAGIC);
}

static inline bool http__can_reply(const struct http_req *req)
{
    http__req_check(req);
    return req->h2o != NULL && !req->answered;
}

/* http_req.c: the library's handler, and the request's life. */
int http__on_req(h2o_handler_t *self, h2o_req_t *h2o);
struct http_req *http__req_of(h2o_req_t *h2o); /* NULL: the library answered it itself */
void http__req_free_all(struct http_worker *w);

/* http_reply.c */
void http__set_status(struct http_req *req, unsigned status);
void http__add_header(struct http_req *req, const char *name, struct str value);
void http__lend_header(struct http_req *req, const struct field *f); /* not copied */
void http__send(struct http_req *req, h2o_iovec_t *vecs, size_t count, h2o_send_state_t state);
void http__send_nothing(struct http_req *req); /* status and headers are set: no body */
struct str http__pool_copy(struct http_req *req, struct str s);

/* A filter: what the library answers by itself (400, 413) becomes an error object like ours; and
 * every answer gets the listener's Alt-Svc. */
void http__on_library_error(h2o_filter_t *self, h2o_req_t *h2o, h2o_ostream_t **slot);

/* http_body.c: sends parts of rbuf or source. The caller has set status and headers. */
void http__body_start(struct http_req *req);
void http__body_close(struct http_req *req); /* the source, once */
void http__body_abort(struct http_req *req); /* at the server's end */

/* http_seal.c */
void http__seal_attach(SSL_CTX *ctx);
void http__seal_start(struct http_conn *c); /* the handshake is done */
void http__seal_free(struct http_conn *c);
void http__seal_end(struct http_worker *w); /* its connections are gone */

/* http_conn.c */
void http__cut_figures_init(struct http_server *s);
void http__conn_open(struct http_accept *a, h2o_socket_t *sock);
struct http_conn *http__conn_of(h2o_req_t *h2o);
struct http_conn *http__conn_of_socket(const h2o_socket_t *sock);
void http__conn_begin(struct http_conn *c); /* a request; its end */
void http__conn_end(struct http_conn *c);
void http__conn_used(struct http_conn *c);
void http__conn_rehook_all(void *arg);    /* of a worker */
void http__conn_cut(struct http_conn *c); /* the library finds its end, and cleans up */
void http__conn_cut_for(struct http_conn *c, enum http_cut why);
void http__conn_count_cut(struct http_conn *c, enum http_cut why); /* it is cut by other means */
void http__conn_cancelled(struct http_conn *c);                    /* counts, and cuts a flood */
bool http__conn_make_room(struct http_worker *w); /* ends an idle one; false: none anywhere */
struct http_limit *http__conn_address(struct http_conn *c); /* NULL: it has none */

/* http_h2.c: the only one that knows the insides of the library's HTTP/2, but http_recycle.c. */
void http__h2_hook(struct http_conn *c);           /* the library has just taken the socket over */
bool http__h2_bye(struct http_conn *c);            /* false: it cannot be told that way now */
bool http__h2_has_more(const struct http_conn *c); /* than what it writes now */
bool http__h2_is_partial(const struct http_conn *c, uint64_t *ret_mark);
bool http__h2_is_receiving(const struct http_conn *c);
struct http_conn *http__h2_receiving(h2o_req_t *h2o, size_t *ret_size); /* NULL: it is whole */
bool http__h2_is_blocked(h2o_req_t *h2o); /* by the client's windows */
void http__h2_reset(h2o_req_t *h2o);

/* http_watch.c */
void http__watch_conn(struct http_conn *c); /* something came, or is to come */
void http__unwatch_conn(struct http_conn *c);
void http__watch_stop(struct http_worker *w);

/* http_head.c */
size_t http__head_size(const h2o_req_t *h2o);
MUST_USE int http__head_check(h2o_req_t *h2o, const char **ret_why); /* -EBADMSG */

/* http_pace.c */
uint64_t http__pace_ask(struct http_req *req, uint64_t want, uint64_t *ret_wait_us);
void http__pace_take(struct http_req *req, uint64_t bytes);

/* http_log.c */
void http__log_access(h2o_logger_t *self, h2o_req_t *h2o);

/* http_linger.c: HTTP/1, before the library closes behind an answer of its own */
void http__linger_behind(h2o_req_t *h2o);

/* http_seen.c: figures, and what they and the log want to know. */
MUST_USE int http__figures_init(struct http_server *s);
void http__seen_handshake(struct http_server *s, h2o_socket_t *sock, const char *error);
void http__seen_begin(struct http_req *req);      /* it came */
void http__seen_first_byte(struct http_req *req); /* of its answer; only the first call counts */
void http__seen_end(struct http_server *s, struct http_req *req, const struct http_done *done);

/* http_tls.c. before: what the listener has now, for what outlives a reload; NULL: nothing. */
MUST_USE int http__tls_new(const struct http_listen *o, const struct http_tls *before,
                           struct err *err, struct http_tls **ret); /* *ret stays: no TLS */
struct http_tls *http__tls_free(struct http_tls *t);
SSL_CTX *http__tls_ctx(const struct http_tls *t); /* takes NULL */
MUST_USE int http__listen_options_copy(const struct http_listen *o, struct http_listen *ret);
void http__listen_options_free(struct http_listen *o);
void http__tls_add_alt_svc(h2o_req_t *h2o);
MUST_USE int http__tls_start(struct http_server *s);
void http__tls_watch(struct http_worker *w);
void http__tls_unwatch(struct http_worker *w);

/* http_listen.c: at least count sockets bound with the same port, not yet listening where they are
 * new: one a worker. fds has room for HTTP_SOCKETS_MAX. */
MUST_USE int http__listen_bind(struct http_listener *l, unsigned count, int *fds,
                               unsigned *ret_count, struct err *err);

/* http_worker.c */
void *http__worker_main(void *arg);
void http__worker_drain(void *arg); /* posted */
void http__worker_stop(void *arg);  /* posted */
void http__worker_tls(void *arg);   /* posted */

/* http_intake.c: bodies that handlers take as they come. */
void http__intake_join(struct http_req *req);  /* it is new: its body may be one of those */
void http__intake_leave(struct http_req *req); /* the library disposes it */
void http__intakes_free(struct http_conn *c);  /* it is closed */

/* http_intake_h1.c. True: what is in the connection's buffer is not the library's (yet). */
bool http__intake_see(struct http_conn *c);

/* http_intake_h2.c */
uint32_t http__h2_stream_id(const h2o_req_t *h2o);
bool http__intake_frame(struct http_conn *c, const struct http_frame *f, const uint8_t *payload);
bool http__intake_begin(struct http_conn *c, uint32_t stream_id, uint8_t ret_end[HTTP_FRAME_HEAD]);
void http__intake_forget(struct http_conn *c, uint32_t stream_id);

/* http_linger.c */
void http__lingers_free(struct http_worker *w);

/* http_guard.c: bodies on their way in. */
void http__guard_refuse(struct http_conn *c, unsigned status, enum http_cut why); /* HTTP/1 */
bool http__guard_is_full(const struct http_server *s);                            /* of bodies */
void http__guard_see(struct http_conn *c); /* it may have become large */
void http__guard_stop(struct http_worker *w);
uint64_t http__guard_total(uint64_t total_max, uint64_t body_size_max);

/* http_recycle.c: memory that the library keeps for each thread and never frees. */
void http__recycle_learn(struct http_worker *w, const struct st_h2o_http2_conn_t *conn);
void http__recycle_free(struct http_worker *w);
